package timed

import (
	"container/heap"
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/timer"
)

// entry is a timer or a sleep.
type entry struct {
	due   int64
	seq   uint64 // of those due at the same time the first one comes first
	place int    // in the queue
	owner *owner
	id    uint32      // of a timer; 0: a sleep
	woke  int64       // when it fired
	sleep ipc.Pending // who sleeps
}

// owner is a service that has a session or sleeps. The kernel lets one process live under
// the name of a service, so a process with a higher id has taken its place.
type owner struct {
	service uint64
	pid     uint32
	session uint64 // number of the one that it has; 0: none
	sleeps  int
	timers  map[uint32]*entry // of the session, those that fired and were not told included
	fired   []*entry          // of these, in order
	waiting bool              // a call of OpNext waits
	next    ipc.Pending       // that call

	audited reasons
}

// table has all timers. It knows no clock: time is what it is told.
type table struct {
	owners   map[uint64]*owner
	queue    queue // what has not fired yet
	n        int   // timers and sleeps, those that fired and were not told included
	sessions int
	lastID   uint32
	lastSeq  uint64 // of entries and sessions
}

func newTable() *table { return &table{owners: map[uint64]*owner{}} }

// meet forgets what a process left that was the service before this one, and reports
// whether this one is the last so far: requests of another are those of the dead.
func (t *table) meet(service uint64, pid uint32) bool {
	o := t.owners[service]
	if o != nil && o.pid < pid {
		t.forget(o)
	}
	return o == nil || o.pid <= pid
}

// session returns the owner that a service with a session is, or nil.
func (t *table) session(service uint64) *owner {
	if o := t.owners[service]; o != nil && o.session != 0 {
		return o
	}
	return nil
}

// open begins a session of a process that was met.
func (t *table) open(service uint64, pid uint32) (*owner, ipc.Status) {
	switch {
	case t.session(service) != nil:
		return nil, ipc.StatusInvalidArgs
	case t.sessions == timer.MaxSessions:
		return nil, ipc.StatusOverLimit
	}
	o := t.add(service, pid)
	t.lastSeq++
	o.session = t.lastSeq
	o.audited = 0
	t.sessions++
	return o, ipc.StatusOK
}

// add returns the owner that a process is, a new one if need be.
func (t *table) add(service uint64, pid uint32) *owner {
	o := t.owners[service]
	if o == nil {
		o = &owner{service: service, pid: pid, timers: map[uint32]*entry{}}
		t.owners[service] = o
	}
	return o
}

// close ends a session of o and its timers, and reports whether it had not ended before.
func (t *table) close(o *owner, session uint64) bool {
	if session == 0 || o.session != session {
		return false
	}
	for _, e := range o.timers {
		t.drop(e)
	}
	o.session = 0
	t.sessions--
	t.tidy(o)
	return true
}

// forget removes an owner and all that it has: its process has ended.
func (t *table) forget(o *owner) {
	t.close(o, o.session)
	for _, e := range slices.Clone(t.queue) {
		if e.owner == o {
			t.drop(e)
		}
	}
}

// tidy removes an owner that has nothing any more.
func (t *table) tidy(o *owner) {
	if o.session == 0 && o.sleeps == 0 && t.owners[o.service] == o {
		delete(t.owners, o.service)
	}
}

// room reports whether o may have one more.
func (t *table) room(o *owner) bool {
	return len(o.timers)+o.sleeps < timer.MaxTimers && t.n < timer.MaxTotal
}

// register adds a timer to a session.
func (t *table) register(o *owner, class abi.Class, deadline uint64) (*entry, ipc.Status) {
	due, ok := timer.Due(class, deadline)
	switch {
	case !ok:
		return nil, ipc.StatusInvalidArgs
	case !t.room(o):
		return nil, ipc.StatusOverLimit
	}
	for t.lastID++; t.lastID == 0 || o.timers[t.lastID] != nil; t.lastID++ {
	}
	e := &entry{due: due, owner: o, id: t.lastID}
	o.timers[e.id] = e
	t.push(e)
	return e, ipc.StatusOK
}

// sleep adds a sleep, beginning now, of a process that was met.
func (t *table) sleep(service uint64, pid uint32, class abi.Class, deadline uint64, now int64) (*entry, ipc.Status) {
	due, ok := timer.Due(class, deadline)
	switch {
	case !ok:
		return nil, ipc.StatusInvalidArgs
	case int64(deadline)-now > timer.MaxSleep:
		return nil, ipc.StatusOverLimit
	}
	o := t.add(service, pid)
	if !t.room(o) {
		t.tidy(o)
		return nil, ipc.StatusOverLimit
	}
	e := &entry{due: due, owner: o}
	o.sleeps++
	t.push(e)
	return e, ipc.StatusOK
}

func (t *table) push(e *entry) {
	t.lastSeq++
	e.seq = t.lastSeq
	t.n++
	heap.Push(&t.queue, e)
}

// cancel removes a timer of o.
func (t *table) cancel(o *owner, id uint32) ipc.Status {
	e := o.timers[id]
	if e == nil {
		return ipc.StatusNotFound
	}
	t.drop(e)
	return ipc.StatusOK
}

// drop removes an entry, wherever it is.
func (t *table) drop(e *entry) {
	o := e.owner
	if e.place >= 0 {
		heap.Remove(&t.queue, e.place)
	} else if i := slices.Index(o.fired, e); i >= 0 {
		o.fired = slices.Delete(o.fired, i, i+1)
	}
	t.n--
	if e.id != 0 {
		delete(o.timers, e.id)
		return
	}
	o.sleeps--
	t.tidy(o)
}

// fire takes the first entry that is due at the time now from the queue, or returns nil.
// A sleep is gone with that; a timer stays until its owner was told.
func (t *table) fire(now int64) *entry {
	if len(t.queue) == 0 || t.queue[0].due > now {
		return nil
	}
	e := t.queue[0]
	e.woke = now
	if e.id == 0 {
		t.drop(e)
		return e
	}
	heap.Pop(&t.queue)
	e.owner.fired = append(e.owner.fired, e)
	return e
}

// due returns when the next one is due, if there is one.
func (t *table) due() (int64, bool) {
	if len(t.queue) == 0 {
		return 0, false
	}
	return t.queue[0].due, true
}

// news returns how many of the fired timers of o the next answer tells of: those of the
// first wake-up.
func (o *owner) news() int {
	n := 0
	for n < min(len(o.fired), timer.MaxFired) && o.fired[n].woke == o.fired[0].woke {
		n++
	}
	return n
}

// told removes the first n fired timers of o.
func (t *table) told(o *owner, n int) {
	for range n {
		t.drop(o.fired[0])
	}
}

// queue is a heap of entries by the time when they are due. An entry knows its place,
// which is -1 when it is not in the queue.
type queue []*entry

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if q[i].due != q[j].due {
		return q[i].due < q[j].due
	}
	return q[i].seq < q[j].seq
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.place = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.place = -1
	return e
}
