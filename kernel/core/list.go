package core

// threadList is a queue of threads, linked through their next and prev fields. A
// thread is on at most one.
type threadList struct{ head, tail uint32 }

func (k *Kernel) pushLast(l *threadList, t *Thread) {
	t.next, t.prev = 0, l.tail
	if l.tail != 0 {
		k.threads[l.tail].next = t.id
	} else {
		l.head = t.id
	}
	l.tail = t.id
}

func (k *Kernel) pushFirst(l *threadList, t *Thread) {
	t.next, t.prev = l.head, 0
	if l.head != 0 {
		k.threads[l.head].prev = t.id
	} else {
		l.tail = t.id
	}
	l.head = t.id
}

func (k *Kernel) remove(l *threadList, t *Thread) {
	if t.prev != 0 {
		k.threads[t.prev].next = t.next
	} else {
		l.head = t.next
	}
	if t.next != 0 {
		k.threads[t.next].prev = t.prev
	} else {
		l.tail = t.prev
	}
	t.next, t.prev = 0, 0
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
