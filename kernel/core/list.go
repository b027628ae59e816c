package core

// procList is a queue of processes, linked through their next and prev fields.
// A process is on at most one.
type procList struct{ head, tail uint32 }

func (k *Kernel) pushLast(l *procList, p *Process) {
	p.next, p.prev = 0, l.tail
	if l.tail != 0 {
		k.procs[l.tail].next = p.id
	} else {
		l.head = p.id
	}
	l.tail = p.id
}

func (k *Kernel) pushFirst(l *procList, p *Process) {
	p.next, p.prev = l.head, 0
	if l.head != 0 {
		k.procs[l.head].prev = p.id
	} else {
		l.tail = p.id
	}
	l.head = p.id
}

func (k *Kernel) remove(l *procList, p *Process) {
	if p.prev != 0 {
		k.procs[p.prev].next = p.next
	} else {
		l.head = p.next
	}
	if p.next != 0 {
		k.procs[p.next].prev = p.prev
	} else {
		l.tail = p.prev
	}
	p.next, p.prev = 0, 0
}

// callList is a queue of calls, linked through their next and prev fields: the
// queue of an endpoint, or the ended calls that a process has not collected. A call is on at most one.
type callList struct{ head, tail uint32 }

func (k *Kernel) pushCall(l *callList, i uint32) {
	c := &k.calls[i]
	c.next, c.prev = 0, l.tail
	if l.tail != 0 {
		k.calls[l.tail].next = i
	} else {
		l.head = i
	}
	l.tail = i
}

func (k *Kernel) removeCall(l *callList, i uint32) {
	c := &k.calls[i]
	if c.prev != 0 {
		k.calls[c.prev].next = c.next
	} else {
		l.head = c.next
	}
	if c.next != 0 {
		k.calls[c.next].prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.next, c.prev = 0, 0
}
