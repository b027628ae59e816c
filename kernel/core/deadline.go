package core

import "math"

// Where the entries of the deadlines begin, less 1.
const (
	dueCalls  = maxThreads
	dueTimers = dueCalls + maxProcesses
	maxDue    = dueTimers + maxTimers
)

// deadlines is a binary heap of when something is due: entries 1 to maxThreads
// are the waits of threads, those from dueCalls+1 on the calls of processes, those
// from dueTimers+1 on timers. Its keys are lower bounds. Putting a deadline off does
// not touch the heap: the entry comes up too early once and is set again, so that a
// thread that waits with ever later deadlines costs a comparison each time. Whatever
// else happens to an entry moves at most as many as the heap has levels: 14 with all
// timers of all processes.
type deadlines struct {
	first int64          // the earliest key, Never if there is none
	heap  [maxDue]uint32 // entries, earliest first
	n     int
	key   [maxDue + 1]int64
	pos   [maxDue + 1]uint32 // index in heap + 1, 0 if absent
}

// Never is later than every deadline.
const Never = math.MaxInt64

// update keeps first true.
func (d *deadlines) update() {
	d.first = Never
	if d.n != 0 {
		d.first = d.key[d.heap[0]]
	}
}

// arm makes entry id come up no later than at when. A time before power-on comes
// from a process that made it up; it has passed like any other.
func (d *deadlines) arm(id uint32, when int64) {
	when = max(when, 1)
	if at := d.pos[id]; at != 0 {
		if when < d.key[id] {
			d.key[id] = when
			d.up(int(at - 1))
			d.update()
		}
		return
	}
	d.key[id] = when
	d.heap[d.n] = id
	d.pos[id] = uint32(d.n + 1)
	d.n++
	d.up(d.n - 1)
	d.update()
}

// drop removes entry id if it is there.
func (d *deadlines) drop(id uint32) {
	at := d.pos[id]
	if at == 0 {
		return
	}
	i := int(at - 1)
	d.pos[id] = 0
	d.n--
	if i == d.n {
		d.update()
		return
	}
	last := d.heap[d.n]
	d.heap[i] = last
	d.pos[last] = uint32(i + 1)
	d.up(i)
	d.down(int(d.pos[last] - 1))
	d.update()
}

func (d *deadlines) up(i int) {
	id := d.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		if d.key[d.heap[parent]] <= d.key[id] {
			break
		}
		d.heap[i] = d.heap[parent]
		d.pos[d.heap[i]] = uint32(i + 1)
		i = parent
	}
	d.heap[i] = id
	d.pos[id] = uint32(i + 1)
}

func (d *deadlines) down(i int) {
	id := d.heap[i]
	for {
		child := 2*i + 1
		if child >= d.n {
			break
		}
		if child+1 < d.n && d.key[d.heap[child+1]] < d.key[d.heap[child]] {
			child++
		}
		if d.key[id] <= d.key[d.heap[child]] {
			break
		}
		d.heap[i] = d.heap[child]
		d.pos[d.heap[i]] = uint32(i + 1)
		i = child
	}
	d.heap[i] = id
	d.pos[id] = uint32(i + 1)
}
