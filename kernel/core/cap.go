package core

import (
	"math"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// capNode is one capability. A process holds it through an entry of its handle
// table; moving it to another process changes the entry, not the node. The nodes
// form a tree: children were derived from their parent.
type capNode struct {
	id     uint32    // index in the table
	gen    uint32    // of an endpoint or notification: if that has another, it is gone
	send   *endpoint // that it lets its holder call, if that takes every message of registers
	recv   *endpoint // that it lets its holder serve
	badge  uint64
	kind   abi.Kind
	slot   uint16 // number of its entry in the owner's handle table
	rights abi.Rights
	owner  uint32 // process
	obj    uint32 // index in the table of its kind

	parent uint32
	child  uint32 // first child
	next   uint32 // sibling, or free list
	prev   uint32 // sibling
	call   uint32 // queued message that will move it, 0 for none
}

// capEntry is an entry of a handle table. The entries have the numbers 1 to
// capsPerProcess, which are the low half of a handle; the low byte of a number is the
// index, for which no bound needs to be checked.
type capEntry struct {
	// word is the handle that names the entry. While none may, the low half is not its
	// number, so that whatever handle selects the entry is different: a free entry has
	// the number of the next free one there, see freeWord, and that of a capability in
	// transit has a wrong bit.
	word uint64
	node *capNode // nil if the entry is free
}

// Bits of a number that are wrong in the word of an entry which no handle names.
const (
	// unused: no other entry is behind this free one (lastFree), or its generations
	// are used up.
	unused   = 1
	lastFree = 1 << 31
	// inTransit: a queued message carries the capability. Its handle comes back if
	// the message does.
	inTransit = 2
)

// freeWord returns the word of the free entry with a number, next being that of the
// next free one, 0 for none. No entry has itself behind it.
func freeWord(gen uint64, number, next uint32) uint64 {
	if next == 0 {
		next = number ^ unused | lastFree
	}
	return gen<<32 | uint64(next)
}

// nextFree returns the number of the free entry behind one with a word, 0 if there is
// none.
func nextFree(word uint64) uint32 {
	if word&lastFree != 0 {
		return 0
	}
	return uint32(word)
}

const _ = uint8(capsPerProcess - 1) // does not compile if a byte selects no entry

const (
	// maxGen ends the use of a handle-table entry for this process: a generation
	// is never used twice.
	maxGen = 1<<30 - 1
	// maxObjectGen ends the use of an entry in the tables of endpoints and
	// notifications.
	maxObjectGen = math.MaxUint32
)

// initHandles makes the table of a new process empty. Entries are set up when they
// are used for the first time: most processes need few of them.
func (p *Process) initHandles() { p.freeH, p.newH = 1, 0 }

// entry returns the entry with a number.
func (p *Process) entry(number uint32) *capEntry { return &p.handle[uint8(number)] }

// lookup returns the capability that h names, 0 if there is none.
func (k *Kernel) lookup(p *Process, h uint64) uint32 {
	e := &p.handle[uint8(h)]
	if e.word != h {
		return 0
	}
	return e.node.id
}

// need returns the capability that h names if it is of the kind and has the
// rights.
func (k *Kernel) need(p *Process, h uint64, kind abi.Kind, rights abi.Rights) (*capNode, abi.Errno) {
	e := &p.handle[uint8(h)]
	if e.word != h {
		return nil, abi.EBADF
	}
	n := e.node
	if n.kind != kind {
		return nil, abi.EKIND
	}
	if n.rights&rights != rights {
		return nil, abi.EPERM
	}
	return n, abi.OK
}

// setEndpoint notes for the direct path what the capability to e can be used for.
func (n *capNode) setEndpoint(e *endpoint) {
	if n.rights&abi.RightSend != 0 && e.maxLen >= abi.MaxInline {
		n.send = e
	}
	if n.rights&abi.RightRecv != 0 {
		n.recv = e
	}
}

// newCap gives p a capability to an object and counts the reference. It returns
// 0 if the table of p is full. The node pool holds as many nodes as all tables
// have entries: it cannot be empty when a table is not full.
func (k *Kernel) newCap(p *Process, kind abi.Kind, obj uint32, rights abi.Rights, badge uint64, parent uint32) uint32 {
	if p.freeH == 0 {
		return 0
	}
	i := k.freeCaps
	n := &k.caps[i]
	k.freeCaps = n.next
	*n = capNode{id: i, kind: kind, rights: rights, obj: obj, badge: badge, parent: parent}
	if kind == abi.KindEndpoint {
		n.setEndpoint(&k.endpoints[obj])
	}
	if parent != 0 {
		n.gen = k.caps[parent].gen
		n.next = k.caps[parent].child
		if n.next != 0 {
			k.caps[n.next].prev = i
		}
		k.caps[parent].child = i
	}
	k.capsUsed++
	k.retain(kind, obj)
	n.enter(p)
	return i
}

// enter puts n into the handle table of p, which must have room, and returns its handle.
//
//go:nosplit
func (n *capNode) enter(p *Process) uint64 {
	number := p.freeH
	e := p.entry(number)
	if number > p.newH {
		p.newH = number
		e.word = freeWord(1, number, (number+1)%(capsPerProcess+1))
	}
	p.freeH = nextFree(e.word)
	e.word = e.word>>32<<32 | uint64(number)
	e.node = n
	n.owner, n.slot, n.call = p.id, uint16(number), 0
	return e.word
}

// leave takes n out of the handle table of p, its owner; its handle is stale from then
// on.
//
//go:nosplit
func (n *capNode) leave(p *Process) {
	number := uint32(n.slot)
	e := p.entry(number)
	gen := e.word >> 32
	e.node = nil
	n.owner = 0
	if gen == maxGen {
		e.word ^= unused // for ever
		return
	}
	e.word = freeWord(gen+1, number, p.freeH)
	p.freeH = number
}

// moveCap takes node i from its owner's table to p's, which must have room, and
// returns its new handle. If narrow, it arrives without RightGrant.
func (k *Kernel) moveCap(i uint32, p *Process, narrow bool) uint64 {
	n := &k.caps[i]
	n.leave(&k.procs[n.owner])
	if narrow {
		n.rights &^= abi.RightGrant
	}
	return n.enter(p)
}

// hold marks node i as carried by call c; let undoes that.
func (k *Kernel) hold(i, c uint32) {
	n := &k.caps[i]
	n.call = c
	e := k.procs[n.owner].entry(uint32(n.slot))
	e.word = e.word>>32<<32 | uint64(n.slot^inTransit)
}

func (k *Kernel) let(i uint32) {
	n := &k.caps[i]
	n.call = 0
	e := k.procs[n.owner].entry(uint32(n.slot))
	e.word = e.word>>32<<32 | uint64(n.slot)
}

// movable returns the capability that h names if its holder may give it away.
func (k *Kernel) movable(p *Process, h uint64) (uint32, abi.Errno) {
	i := k.lookup(p, h)
	if i == 0 {
		return 0, abi.EBADF
	}
	if r := k.caps[i].rights; r&abi.RightGrant == 0 || r&(solitary|busy) != 0 {
		return 0, [...]abi.Errno{abi.EPERM, abi.EBUSY}[r/busy]
	}
	return i, abi.OK
}

// handleFor returns the handle of node i in its owner's table.
func (k *Kernel) handleFor(i uint32) uint64 {
	n := &k.caps[i]
	return k.procs[n.owner].entry(uint32(n.slot)).word
}

// closeNode removes one capability. Its children become its parent's.
func (k *Kernel) closeNode(i uint32) {
	n := &k.caps[i]
	if exclusive(n.kind) {
		k.disown(i)
	}
	n.leave(&k.procs[n.owner])
	if n.call != 0 {
		k.calls[n.call].cap = 0
	}
	// Out of the parent's list.
	if n.prev != 0 {
		k.caps[n.prev].next = n.next
	} else if n.parent != 0 {
		k.caps[n.parent].child = n.next
	}
	if n.next != 0 {
		k.caps[n.next].prev = n.prev
	}
	// Children up.
	for c := n.child; c != 0; {
		next := k.caps[c].next
		k.caps[c].parent = n.parent
		k.caps[c].prev, k.caps[c].next = 0, 0
		if n.parent != 0 {
			first := k.caps[n.parent].child
			k.caps[c].next = first
			if first != 0 {
				k.caps[first].prev = c
			}
			k.caps[n.parent].child = c
		}
		c = next
	}
	was := *n
	*n = capNode{id: i, next: k.freeCaps}
	k.freeCaps = i
	k.capsUsed--
	k.release(&was)
}

// revoke removes everything derived from node i and returns how many
// capabilities that were.
func (k *Kernel) revoke(i uint32) uint64 {
	count := uint64(0)
	for at := i; ; {
		for k.caps[at].child != 0 {
			at = k.caps[at].child
		}
		if at == i {
			return count
		}
		// Closing a derived capability closes no other one, so the parent is there.
		leaf := at
		at = k.caps[leaf].parent
		k.closeNode(leaf)
		count++
	}
}

// retain counts a capability to an object. Endpoints and notifications are not
// counted: they end with their one receiving capability, and the generation tells
// the others.
func (k *Kernel) retain(kind abi.Kind, obj uint32) {
	switch kind {
	case abi.KindVMO:
		k.vmos[obj].refs++
	case abi.KindProcess:
		k.procs[obj].refs++
	case abi.KindTimer:
		k.timers[obj].refs++
	}
}

// release uncounts the capability n, which is gone; the last one ends the object.
func (k *Kernel) release(n *capNode) {
	switch n.kind {
	case abi.KindEndpoint:
		if n.rights&abi.RightRecv != 0 && k.endpoints[n.obj].gen == n.gen {
			k.closeEndpoint(n.obj)
		}
	case abi.KindNotification:
		if n.rights&abi.RightWait != 0 && k.notifs[n.obj].gen == n.gen {
			k.closeNotification(n.obj)
		}
	case abi.KindVMO:
		k.vmos[n.obj].refs--
		k.maybeFreeVMO(n.obj)
	case abi.KindProcess:
		p := &k.procs[n.obj]
		p.refs--
		switch {
		case p.refs != 0:
		case p.state == procZombie:
			k.freeProcess(p)
		default:
			p.orphan, k.orphans = k.orphans, p.id
		}
	case abi.KindTimer:
		k.timers[n.obj].refs--
		if k.timers[n.obj].refs == 0 {
			k.freeTimer(n.obj)
		}
	}
}

// solitary rights stay with the process that created the object: an endpoint has
// one server and a notification one receiver.
const solitary = abi.RightRecv | abi.RightWait

// busy, beside the rights of a node, marks a window or an interrupt that its
// holder uses or has given on: it cannot be given away meanwhile. No right that a
// process can name has this bit.
const busy abi.Rights = 1 << 31

const _ = uint(busy - abi.AllRights - 1) // does not compile if one has

// derive gives p, which may be another process, a capability derived from the
// one that handle h of holder names.
func (k *Kernel) derive(holder *Process, h, rights, badge uint64, p *Process) (uint32, abi.Errno) {
	i := k.lookup(holder, h)
	if i == 0 {
		return 0, abi.EBADF
	}
	n := &k.caps[i]
	if rights > uint64(abi.AllRights) {
		return 0, abi.EINVAL
	}
	r := abi.Rights(rights)
	if n.rights&abi.RightGrant == 0 || r&^n.rights != 0 || r&solitary != 0 {
		return 0, abi.EPERM
	}
	if badge == 0 {
		badge = n.badge
	} else if n.kind != abi.KindEndpoint || n.badge != 0 {
		return 0, abi.EINVAL
	}
	if n.rights&busy != 0 {
		return 0, abi.EBUSY
	}
	c := k.newCap(p, n.kind, n.obj, r, badge, i)
	if c == 0 {
		return 0, abi.ENOSPC
	}
	if exclusive(n.kind) {
		k.own(c)
	}
	return c, abi.OK
}

func (k *Kernel) sysCapCopy(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	c, errno := k.derive(p, x[hart.A0], x[hart.A1], x[hart.A2], p)
	if errno != abi.OK {
		return errno
	}
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}

func (k *Kernel) sysCapClose(t *Thread) abi.Errno {
	p := t.proc
	i := k.lookup(p, t.Frame.X[hart.A0])
	if i == 0 {
		return abi.EBADF
	}
	k.closeNode(i)
	t.Frame.X[hart.A0] = 0
	k.endOrphans()
	return abi.OK
}

func (k *Kernel) sysCapRevoke(t *Thread) abi.Errno {
	p := t.proc
	i := k.lookup(p, t.Frame.X[hart.A0])
	if i == 0 {
		return abi.EBADF
	}
	t.Frame.X[hart.A0] = k.revoke(i)
	k.endOrphans()
	return abi.OK
}

func (k *Kernel) sysCapInfo(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	i := k.lookup(p, x[hart.A0])
	if i == 0 {
		return abi.EBADF
	}
	n := &k.caps[i]
	x[hart.A0], x[hart.A1], x[hart.A2], x[hart.A3], x[hart.A4] = uint64(n.kind), uint64(n.rights&^busy), n.badge, 0, 0
	switch n.kind {
	case abi.KindVMO:
		v := &k.vmos[n.obj]
		x[hart.A3] = v.size
		if v.sealed || v.immutable() {
			x[hart.A4] = 1
		}
	case abi.KindMMIO:
		x[hart.A3] = k.devices[n.obj].Size
	}
	return abi.OK
}
