package core

import (
	"math/bits"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/sv39"
)

// checker walks all tables of a kernel and compares what they say about each
// other. Every list must be consistent, every count must match, everything must
// be reachable from exactly where it belongs.
type checker struct {
	*sim
	onCall [maxCalls]uint8 // lists that a call is on, its client's aside
	refs   struct {
		procs [maxProcesses + 1]uint32
		vmos  [maxVMOs + 1]uint32
		maps  [maxVMOs + 1]uint32
		// Of devices: mappings, and capabilities that nothing was derived from.
		windows, owners, lines [maxDevices + 1]uint32
		tmrs                   [maxTimers + 1]uint32
		recv                   [maxEndpoints + 1]uint32 // receive rights
		wait                   [maxNotifs + 1]uint32    // wait rights
	}
	kept  [maxVMOs + 1]bool // back, by devices
	owned struct {
		eps, notes, tmrs, vmos, threads [maxProcesses + 1]uint32
	}
}

// check reports everything that is inconsistent. It is called between traps.
func (s *sim) check() {
	s.tb.Helper()
	c := &checker{sim: s}
	c.capTable()
	c.scheduler()
	c.processes()
	c.endpointTable()
	c.notifTable()
	c.timerTable()
	c.callTable()
	c.deviceTable()
	c.vmoTable()
	c.frames()
	if s.tb.Failed() {
		s.tb.FailNow()
	}
}

func (c *checker) want(ok bool, format string, args ...any) {
	if !ok {
		c.tb.Helper()
		c.tb.Errorf(format, args...)
	}
}

func (c *checker) processes() {
	free := 0
	for i := c.freeProcs; i != 0; i = c.procs[i].next {
		free++
		c.want(c.procs[i].state == procFree, "proc %d free in state %d", i, c.procs[i].state)
	}
	live := uint64(0)
	sids := map[uint64]bool{}
	for i := 1; i <= maxProcesses; i++ {
		p := &c.procs[i]
		if p.state == procFree {
			free--
			c.want(p.refs == 0, "free proc %d has %d references", i, p.refs)
			continue
		}
		c.want(p.refs == c.refs.procs[i], "proc %d: %d references, %d capabilities", i, p.refs, c.refs.procs[i])
		if p.state == procZombie {
			c.want(p.refs != 0, "zombie %d without capabilities", i)
			c.want(c.dueHart[dueCalls+i] == 0 && p.space.Root == 0 && p.acct.Used() == 0 && p.acct.Limit() == 0, "zombie %d has memory or a deadline", i)
			c.want(p.events.head|p.endpoints|p.notifs == 0 && p.donors == 0 && p.numRegions == 0, "zombie %d has queues", i)
			continue
		}
		live++
		c.want(!sids[p.sid], "two live processes of service %#x", p.sid)
		sids[p.sid] = true
		c.want(p.numRegions == 0 && p.hotRegion == 0 || int(p.hotRegion) < p.numRegions, "proc %d: region %d of %d is hot", i, p.hotRegion, p.numRegions)
		c.process(p)
	}
	c.want(free == 0, "%d more free processes on the list than in the table", free)
	c.want(live == c.live, "%d live processes, count says %d", live, c.live)
}

// process checks what belongs to one live process.
func (c *checker) process(p *Process) {
	c.want(p.numThreads == c.owned.threads[p.id], "proc %d: %d threads, count says %d", p.id, c.owned.threads[p.id], p.numThreads)
	c.want(!p.doomed || p.numThreads != 0, "proc %d is doomed, and nothing of it runs", p.id)
	c.want(p.waiter == 0 || c.threads[p.waiter].state == threadWaiting && c.threads[p.waiter].proc == p, "proc %d: waiter %d", p.id, p.waiter)
	c.want(p.yielded == 0 || c.threads[p.yielded].state == threadReady && c.threads[p.yielded].proc == p, "proc %d: yielded %d", p.id, p.yielded)
	c.want((p.pending != 0) == (p.events.head|p.numNotes|p.notifReady|p.epReady|p.lends != 0), "proc %d: events pending: %d", p.id, p.pending)
	c.want(p.waiter == 0 || p.pending == 0 || p.pending == p.lends, "proc %d: thread %d waits, and there are events", p.id, p.waiter)
	c.list(&p.events, func(i uint32, k *call) {
		c.want(k.state == callDone && k.client == p.id && !k.oneWay, "call %d in state %d among the events of proc %d", i, k.state, p.id)
	})
	c.want(p.numNotes <= notesPerServer && p.firstNote < notesPerServer, "proc %d: %d notes from %d", p.id, p.numNotes, p.firstNote)
	regions := p.regions[:p.numRegions]
	for i := range regions {
		r := &regions[i]
		c.want(r.start < r.end && (r.start|r.end)%abi.PageSize == 0, "proc %d: region %#x-%#x", p.id, r.start, r.end)
		c.want(r.perm&sv39.Perm(sv39.W|sv39.X) != sv39.Perm(sv39.W|sv39.X), "proc %d: region %#x is writable and executable", p.id, r.start)
		for j := range i {
			c.want(r.start >= regions[j].end || regions[j].start >= r.end, "proc %d: regions overlap at %#x", p.id, r.start)
		}
		if r.vmo != 0 {
			c.refs.maps[r.vmo]++
		}
		if r.dev != 0 {
			c.refs.windows[r.dev]++
			c.want(c.devices[r.dev].window != 0 && c.caps[c.devices[r.dev].window].owner == p.id, "proc %d maps device %d, whose owner it is not", p.id, r.dev)
		}
		c.want((r.dev != 0) == (r.kind == regionDevice), "proc %d: region %#x of kind %d has device %d", p.id, r.start, r.kind, r.dev)
	}
	c.handles(p)
}

// list checks the links of a list of calls.
func (c *checker) list(l *callList, visit func(i uint32, k *call)) {
	prev := uint32(0)
	for i := l.head; i != 0; i = c.calls[i].next {
		k := &c.calls[i]
		c.onCall[i]++
		if k.prev != prev || c.onCall[i] != 1 {
			c.tb.Fatalf("call %d: broken list, or on %d of them", i, c.onCall[i])
		}
		visit(i, k)
		prev = i
	}
	c.want(l.tail == prev, "list of calls ends at %d, tail says %d", prev, l.tail)
}

func (c *checker) handles(p *Process) {
	free := 0
	for h := p.freeH; h != 0 && h != p.newH+1; h = nextFree(p.entry(h).word) {
		free++
		if p.entry(h).node != nil {
			c.want(false, "proc %d: free handle %d in use", p.id, h)
		}
	}
	for h := uint32(1); h <= capsPerProcess; h++ {
		e := p.entry(h)
		low := uint32(e.word)
		if n := e.node; n != nil {
			want := h
			if n.call != 0 {
				want ^= inTransit
			}
			c.want(low == want, "proc %d: handle %d has the word %#x", p.id, h, e.word)
			c.want(n.owner == p.id && uint32(n.slot) == h && n.kind != 0 && &c.caps[n.id] == n, "proc %d: handle %d and node %d differ", p.id, h, n.id)
			c.want(h <= p.newH, "proc %d: handle %d is in use before its time", p.id, h)
		} else if h <= p.newH && e.word>>32 != maxGen {
			free--
		}
		c.want(e.node != nil || uint8(low) != uint8(h), "proc %d: handle %d is free and has the word %#x", p.id, h, e.word)
	}
	c.want(free == 0, "proc %d: %d handles neither used nor free", p.id, -free)
}

// caps checks nodes, their tree and what they refer to.
func (c *checker) capTable() {
	used, roots, reached := uint64(0), []uint32{}, uint64(0)
	for i := uint32(1); i <= maxCaps; i++ {
		n := &c.caps[i]
		if n.kind == 0 {
			continue
		}
		used++
		if n.parent == 0 {
			roots = append(roots, i)
			c.want(n.next|n.prev == 0, "root node %d has siblings", i)
		}
		p := &c.procs[n.owner]
		c.want(n.owner != 0 && p.state == procLive && p.entry(uint32(n.slot)).node == n, "node %d: owner %d does not have it", i, n.owner)
		if n.call != 0 {
			k := &c.calls[n.call]
			c.want(k.state == callQueued && k.cap == i, "node %d carried by call %d, which carries %d in state %d", i, n.call, k.cap, k.state)
		}
		c.want(n.rights&solitary == 0 || n.parent == 0, "node %d: derived with rights %#x", i, n.rights)
		c.want(n.rights&busy == 0 || exclusive(n.kind), "node %d of kind %d is busy", i, n.kind)
		switch n.kind {
		case abi.KindProcess:
			c.refs.procs[n.obj]++
		case abi.KindVMO:
			c.refs.vmos[n.obj]++
		case abi.KindTimer:
			c.refs.tmrs[n.obj]++
		case abi.KindMMIO, abi.KindIRQ:
			c.want(n.child == 0 || c.caps[n.child].next == 0, "node %d of device %d was given away twice", i, n.obj)
			c.want(n.obj != 0 && uint64(n.obj) <= c.numDevices, "node %d of device %d", i, n.obj)
			c.want((n.rights&busy != 0) == (n.child != 0 || n.kind == abi.KindMMIO && c.devices[n.obj].maps != 0 || n.kind == abi.KindIRQ && c.devices[n.obj].state != lineOff), "node %d of device %d: busy %v", i, n.obj, n.rights&busy != 0)
			if owner := &c.refs.owners; n.child == 0 {
				if n.kind == abi.KindIRQ {
					owner = &c.refs.lines
				}
				owner[n.obj]++
				c.want(c.devices[n.obj].window == i || c.devices[n.obj].line == i, "node %d owns device %d, which says %d and %d", i, n.obj, c.devices[n.obj].window, c.devices[n.obj].line)
			}
		case abi.KindEndpoint:
			e := &c.endpoints[n.obj]
			send := n.rights&abi.RightSend != 0 && (n.gen != e.gen || e.maxLen >= abi.MaxInline)
			c.want(n.send == nil || n.send == e && send, "node %d with rights %#x can call endpoint %d directly", i, n.rights, n.obj)
			c.want(n.recv == nil || n.recv == e && n.rights&abi.RightRecv != 0, "node %d with rights %#x can serve endpoint %d directly", i, n.rights, n.obj)
			if n.rights&abi.RightRecv != 0 {
				c.refs.recv[n.obj]++
				c.want(c.endpoints[n.obj].owner == n.owner && n.gen == c.endpoints[n.obj].gen, "node %d: receive right of an endpoint that proc %d serves", i, c.endpoints[n.obj].owner)
			}
		case abi.KindNotification:
			c.want(n.send == nil && n.recv == nil, "node %d of a notification has an endpoint", i)
			if n.rights&abi.RightWait != 0 {
				c.refs.wait[n.obj]++
				c.want(c.notifs[n.obj].owner == n.owner && n.gen == c.notifs[n.obj].gen, "node %d: wait right of a notification of proc %d", i, c.notifs[n.obj].owner)
			}
		}
	}
	var walk func(i uint32)
	walk = func(i uint32) {
		reached++
		n, prev := &c.caps[i], uint32(0)
		for j := n.child; j != 0 && reached <= used; j = c.caps[j].next {
			m := &c.caps[j]
			c.want(m.parent == i && m.prev == prev, "node %d: broken among the children of %d", j, i)
			// A parent may have lost RightGrant on its way to another process since.
			minted := n.kind == abi.KindDevices && exclusive(m.kind)
			executable := abi.Rights(0) // by vmo_exec
			if m.kind == abi.KindVMO && c.vmos[m.obj].code {
				executable = abi.RightExec
			}
			c.want(minted || m.kind == n.kind && m.obj == n.obj && m.gen == n.gen && m.rights&^(n.rights|abi.RightGrant|busy|executable) == 0, "node %d differs from its parent: kind %d, rights %#x", j, m.kind, m.rights)
			c.want(n.badge == 0 || m.badge == n.badge, "node %d: badge %#x under %#x", j, m.badge, n.badge)
			prev = j
			walk(j)
		}
	}
	for _, i := range roots {
		walk(i)
	}
	c.want(reached == used && used == c.capsUsed, "%d nodes in use, %d in trees, count says %d", used, reached, c.capsUsed)
	free := uint64(0)
	for i := c.freeCaps; i != 0; i = c.caps[i].next {
		free++
	}
	c.want(free+used == maxCaps, "%d nodes used and %d free of %d", used, free, maxCaps)
}

// freeList returns the length of a free list.
func freeList(first uint32, next func(uint32) uint32) (n int) {
	for i := first; i != 0; i = next(i) {
		n++
	}
	return n
}

func (c *checker) endpointTable() {
	used := 0
	ready := [maxEndpoints + 1]bool{}
	for i := range c.procs {
		p := &c.procs[i]
		if p.state != procLive {
			continue
		}
		prev, n := uint32(0), uint32(0)
		for e := p.endpoints; e != 0; e = c.endpoints[e].next {
			c.want(c.endpoints[e].owner == p.id && c.endpoints[e].prev == prev, "proc %d: endpoint list broken at %d", i, e)
			prev = e
			n++
		}
		c.want(n == p.numEPs && n <= endpointsPerProcess, "proc %d: %d endpoints, count says %d", i, n, p.numEPs)
		for e := p.epReady; e != 0; e = c.endpoints[e].ready {
			c.want(!ready[e] && c.endpoints[e].owner == p.id, "proc %d: ready endpoint %d", i, e)
			ready[e] = true
		}
		c.owned.eps[i] = n
		used += int(n)
	}
	for i := range c.endpoints {
		e := &c.endpoints[i]
		if e.owner == 0 {
			if e.queue.head|e.count|e.armed != 0 || e.onList {
				c.want(false, "closed endpoint %d has a queue", i)
			}
			continue
		}
		used--
		c.want(c.procs[e.owner].state == procLive && e.onList == ready[i], "endpoint %d of proc %d: ready %v", i, e.owner, ready[i])
		c.want(c.refs.recv[i] == 1, "endpoint %d has %d receive rights", i, c.refs.recv[i])
		n := uint32(0)
		c.list(&e.queue, func(j uint32, k *call) {
			n++
			c.want(k.state == callQueued && k.ep == uint32(i) && k.server == e.owner, "call %d in state %d in the queue of endpoint %d", j, k.state, i)
		})
		c.want(n == e.count && n <= e.depth, "endpoint %d: %d queued, count says %d", i, n, e.count)
		c.want(e.armed == 0 || e.armed == e.gen && e.taker.proc.id == e.owner, "endpoint %d: armed %d of generation %d", i, e.armed, e.gen)
		c.want(e.onList == (e.armed != 0 && n != 0), "endpoint %d: armed %v with %d queued, ready %v", i, e.armed, n, e.onList)
	}
	c.want(used == 0, "%d endpoints more on lists than in the table", used)
	used = 0
	for _, n := range c.owned.eps {
		used += int(n)
	}
	c.want(used+freeList(c.freeEPs, func(i uint32) uint32 { return c.endpoints[i].next }) == maxEndpoints, "%d endpoints used, the rest is not free", used)
}

func (c *checker) notifTable() {
	used := 0
	for i := range c.procs {
		p := &c.procs[i]
		if p.state != procLive {
			continue
		}
		prev, n := uint32(0), uint32(0)
		for e := p.notifs; e != 0; e = c.notifs[e].next {
			c.want(c.notifs[e].owner == p.id && c.notifs[e].prev == prev && c.refs.wait[e] == 1, "proc %d: notification list broken at %d", i, e)
			prev = e
			n++
		}
		c.want(n == p.numNotifs && n <= notifsPerProcess, "proc %d: %d notifications, count says %d", i, n, p.numNotifs)
		used += int(n)
		ready := map[uint32]bool{}
		for e := p.notifReady; e != 0; e = c.notifs[e].ready {
			c.want(!ready[e] && c.notifs[e].owner == p.id && c.notifs[e].bits != 0, "proc %d: ready notification %d", i, e)
			ready[e] = true
		}
		for e := p.notifs; e != 0; e = c.notifs[e].next {
			c.want(ready[e] == (c.notifs[e].bits != 0), "notification %d: bits %#x, ready %v", e, c.notifs[e].bits, ready[e])
		}
	}
	c.want(used+freeList(c.freeNotes, func(i uint32) uint32 { return c.notifs[i].next }) == maxNotifs, "%d notifications used, the rest is not free", used)
}

func (c *checker) timerTable() {
	used := 0
	for i := 1; i <= maxTimers; i++ {
		t := &c.timers[i]
		if t.refs|c.refs.tmrs[i] == 0 && t.due == 0 && c.dueHart[dueTimers+i] == 0 {
			continue
		}
		c.want(t.refs == c.refs.tmrs[i], "timer %d: %d references, %d capabilities", i, t.refs, c.refs.tmrs[i])
		c.want((t.due != 0) == (c.dueHart[dueTimers+i] != 0), "timer %d: due %d, in the heap %v", i, t.due, c.dueHart[dueTimers+i] != 0)
		if t.refs != 0 {
			used++
			c.owned.tmrs[t.owner]++
		}
	}
	for i := range c.procs {
		p := &c.procs[i]
		c.want(p.state != procLive || p.numTimers == c.owned.tmrs[i], "proc %d: %d timers, count says %d", i, c.owned.tmrs[i], p.numTimers)
	}
	c.want(used+freeList(c.freeTmrs, func(i uint32) uint32 { return c.timers[i].next }) == maxTimers, "%d timers used, the rest is not free", used)
}

func (c *checker) callTable() {
	used := uint64(0)
	free := [maxCalls]bool{}
	for n := range c.procs {
		p := &c.procs[n]
		// Without a call per record: this is most of the check's time.
		for k := p.freeCalls; k != nil; k = k.free {
			i := k.index()
			if free[i] || k != &c.calls[i] || k.state != callFree || k.oneWay || k.client != p.id {
				c.want(false, "proc %d: call record %d in state %d is free", n, i, k.state)
			}
			free[i] = true
		}
		for i := p.freeSends; i != 0; i = c.calls[i].next {
			k := &c.calls[i]
			if free[i] || k.state != callFree || !k.oneWay || k.server != p.id {
				c.want(false, "proc %d: record %d of a one-way message in state %d is free", n, i, k.state)
			}
			free[i] = true
		}
	}
	donors := [maxProcesses + 1]uint64{}
	for i := uint32(callsPerProcess); i < maxCalls; i++ {
		k := &c.calls[i]
		if k.state == callFree && free[i] && c.onCall[i] == 0 {
			continue
		}
		onList := uint8(0)
		if k.state == callQueued || k.state == callDone {
			onList = 1
		}
		c.want(k.state != callFree && !free[i] && c.onCall[i] == onList, "call %d in state %d: free %v, on %d lists", i, k.state, free[i], c.onCall[i])
		used++
		s, p := &c.procs[k.server], &c.procs[k.client]
		c.want(k.oneWay && k.client == 0 && k.state == callQueued || p.state == procLive, "call %d in state %d without a client", i, k.state)
		if k.outstanding() && !k.oneWay {
			donors[k.server] += k.lane
			c.want(k.lane <= max(p.lane, laneOf(p.effective())) && bits.OnesCount64(k.lane) == 1, "call %d in lane %#x, its client in %#x", i, k.lane, laneOf(p.effective()))
			c.want(k.lane <= p.lane || p.lends == 1, "call %d in lane %#x, its client does not know", i, k.lane)
		}
		if !k.oneWay {
			live := uint32(k.right)&rightIndex == i
			c.want(live == (k.state == callTaken) && uint32(k.right)&rightIndex|void == i|void && k.caller.proc.id == k.client, "call %d in state %d: reply right %#x", i, k.state, k.right)
		}
		if k.state != callDone {
			c.want(s.state == procLive, "call %d in state %d: server %d has ended", i, k.state, k.server)
			if k.deadline != 0 && !k.oneWay {
				c.want(p.callDue != 0 && p.callDue <= k.deadline && c.due(dueCalls+p.id, p.callDue), "call %d: deadline %d not armed", i, k.deadline)
			}
		}
		if k.cap != 0 && k.state == callQueued {
			c.want(c.caps[k.cap].call == i, "call %d carries node %d, which does not know", i, k.cap)
		} else {
			c.want(k.cap == 0, "call %d in state %d carries node %d", i, k.state, k.cap)
		}
	}
	for i := range c.procs {
		p := &c.procs[i]
		c.want(p.donors == donors[i], "proc %d: works for %#x, counts %#x", i, donors[i], p.donors)
		c.want(p.state != procLive || p.lane == laneOf(p.qos.Class()) && p.raised|p.lowered == 0, "proc %d: lane %#x, lists %d and %d", i, p.lane, p.raised, p.lowered)
	}
	c.want(used == c.callsUsed(), "%d calls used, count says %d", used, c.callsUsed())
}
