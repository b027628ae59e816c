package core

// procList is a queue of processes, linked through their next and prev fields.
// A process is on at most one.
type procList struct{ head, tail uint32 }

func (k *Kernel) pushReady(p *Process) {
	p.next, p.prev = 0, k.ready.tail
	if k.ready.tail != 0 {
		k.procs[k.ready.tail].next = p.id
	} else {
		k.ready.head = p.id
	}
	k.ready.tail = p.id
}

func (k *Kernel) pushReadyFirst(p *Process) {
	p.next, p.prev = k.ready.head, 0
	if k.ready.head != 0 {
		k.procs[k.ready.head].prev = p.id
	} else {
		k.ready.tail = p.id
	}
	k.ready.head = p.id
}

func (k *Kernel) removeReady(p *Process) {
	if p.prev != 0 {
		k.procs[p.prev].next = p.next
	} else {
		k.ready.head = p.next
	}
	if p.next != 0 {
		k.procs[p.next].prev = p.prev
	} else {
		k.ready.tail = p.prev
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
