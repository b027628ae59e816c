package core

import (
	"bytes"
	"math"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// program is what a new process is made from.
type program struct {
	name     []byte
	vmo      uint32
	off      uint64 // of the ELF in the VMO, page aligned
	size     uint64
	frames   uint64
	args     []byte // argc NUL-terminated strings
	argc     uint64
	env      []byte // envc NUL-terminated strings
	envc     uint64
	data     []byte
	files    uint32 // VMO of initial files, or 0
	filesLen uint64
	qos      abi.QoS
	seed     *[32]byte // entropy that its maker gave
}

// ServiceID returns the identity that the kernel stamps on everything a service
// of this name sends: FNV-1a, 64 bits.
func ServiceID(name []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range name {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h
}

func (k *Kernel) sysSpawn(t *Thread) abi.Errno {
	errno := k.spawn(t)
	clear(k.spec.Seed[:]) // it is the child's secret
	return errno
}

// spawn creates a process. Whatever fails, nothing remains of it.
func (k *Kernel) spawn(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if _, errno := k.need(p, x[hart.A0], abi.KindSpawn, abi.RightManage); errno != abi.OK {
		return errno
	}
	s := &k.spec
	if !p.space.CopyIn(specBytes(s), x[hart.A1]) {
		return abi.EFAULT
	}
	if s.NameLen < 1 || s.NameLen > abi.MaxName || s.NumCaps > abi.MaxSpawnCaps || s.Console > s.NumCaps ||
		s.ArgsLen > abi.MaxBootData || s.EnvLen > abi.MaxBootData || s.DataLen > abi.MaxBootData ||
		s.ArgsLen+s.EnvLen+s.DataLen > abi.MaxBootData {
		return abi.EINVAL
	}
	n, errno := k.need(p, uint64(s.ELF), abi.KindVMO, abi.RightRead|abi.RightExec)
	if errno != abi.OK {
		return errno
	}
	pr := program{vmo: n.obj, off: s.ELFOff, size: s.ELFLen, frames: s.Frames, argc: s.Argc, envc: s.Envc, seed: &s.Seed}
	if v := &k.vmos[n.obj]; s.ELFOff%abi.PageSize != 0 || s.ELFOff > v.size || s.ELFLen > v.size-s.ELFOff {
		return abi.EINVAL
	}
	if s.Files != 0 {
		f, errno := k.need(p, uint64(s.Files), abi.KindVMO, abi.RightRead)
		if errno != abi.OK {
			return errno
		}
		if s.FilesLen == 0 || s.FilesLen > k.vmos[f.obj].size {
			return abi.EINVAL
		}
		pr.files, pr.filesLen = f.obj, s.FilesLen
	}
	if pr.qos = s.QoS; pr.qos == 0 {
		pr.qos = abi.DefaultQoS
	} else if !k.usable(pr.qos) {
		return abi.EINVAL
	}
	var name [abi.MaxName]byte
	pr.name = name[:s.NameLen]
	boot := k.scratch[:s.ArgsLen+s.EnvLen+s.DataLen]
	if !p.space.CopyIn(pr.name, s.NamePtr) || !p.space.CopyIn(boot, s.BootPtr) {
		return abi.EFAULT
	}
	pr.args, boot = boot[:s.ArgsLen], boot[s.ArgsLen:]
	pr.env, pr.data = boot[:s.EnvLen], boot[s.EnvLen:]
	if !holdsStrings(pr.args, pr.argc) || !holdsStrings(pr.env, pr.envc) {
		return abi.EINVAL
	}
	if p.freeH == 0 {
		return abi.ENOSPC
	}
	c, errno := k.create(&pr)
	if errno != abi.OK {
		return errno
	}
	console := uint64(0)
	for i := range s.NumCaps {
		g := &s.Caps[i]
		d, errno := k.derive(p, uint64(g.Handle), uint64(g.Rights), g.Badge, c)
		if errno != abi.OK {
			k.abandon(c)
			return errno
		}
		if i+1 == s.Console {
			if k.caps[d].kind != abi.KindConsole {
				k.abandon(c)
				return abi.EKIND
			}
			console = k.handleFor(d)
		}
	}
	k.start(c, console, s.NumCaps)
	h := k.newCap(p, abi.KindProcess, c.id, abi.RightRead|abi.RightManage|abi.RightGrant, 0, 0)
	x[hart.A0], x[hart.A1] = k.handleFor(h), c.pid
	return abi.OK
}

// holdsStrings reports whether b is exactly n NUL-terminated strings.
func holdsStrings(b []byte, n uint64) bool {
	if len(b) == 0 {
		return n == 0
	}
	return b[len(b)-1] == 0 && uint64(bytes.Count(b, []byte{0})) == n
}

// create makes a process that has memory but no capabilities and does not run.
func (k *Kernel) create(pr *program) (*Process, abi.Errno) {
	sid := ServiceID(pr.name)
	for i := range k.procs {
		if q := &k.procs[i]; q.sid == sid && q.state == procLive {
			return nil, abi.EEXIST
		}
	}
	v := &k.vmos[pr.vmo]
	readAt := func(off uint64, dst []byte) bool {
		k.readVMO(v, pr.off+off, dst)
		return true
	}
	if err := k.prog.Load(pr.size, readAt); err != nil {
		return nil, elf.Errno(err)
	}
	if pr.frames < minFrames || pr.frames > maxBudget {
		return nil, abi.EINVAL
	}
	if k.freeProcs == 0 || k.lastPID == math.MaxUint32 { // a pid is never used twice
		return nil, abi.ENOSPC
	}
	p := &k.procs[k.freeProcs]
	if !k.pool.Open(&p.acct, int(pr.frames)) {
		return nil, abi.ENOMEM
	}
	k.freeProcs = p.next
	p.reset()
	k.live++
	k.lastPID++
	p.pid, p.sid = uint64(k.lastPID), sid
	k.h.note(abi.FlightStart, p.id, k.lastPID)
	p.nameN = copy(p.name[:], pr.name)
	p.setQoS(pr.qos)
	var errno abi.Errno
	if p.space, errno = sv39.NewSpace(k.pool, &p.acct, k.kernelRoot); errno == abi.OK {
		p.space.Resolve = k.resolve[p.id]
		k.newThread(p)
		errno = k.populate(p, pr)
	}
	if errno != abi.OK {
		k.abandon(p)
		return nil, errno
	}
	return p, abi.OK
}

// reset clears what the last process in this table entry left.
func (p *Process) reset() {
	p.state, p.doomed = procLive, false
	p.waiter, p.yielded, p.usedThreads = 0, 0, 0
	p.next, p.harts, p.futexOrder = 0, 0, 0
	p.initHandles()
	p.events = callList{}
	p.notifReady, p.epReady, p.pending, p.preferEPs = 0, 0, 0, false
	p.callDue = 0
	p.firstNote, p.numNotes = 0, 0
	p.donors, p.lends, p.raised, p.lowered = 0, 0, 0, 0
	p.endpoints, p.notifs = 0, 0
	p.numEPs, p.numNotifs, p.numTimers, p.numVMOs = 0, 0, 0, 0
	p.handler, p.slices = 0, false
	p.exit, p.faults, p.faultCause, p.faultPC, p.faultAddr = 0, 0, 0, 0, 0
	p.watcher, p.watchBits = notifRef{}, 0
}

// abandon undoes create.
func (k *Kernel) abandon(p *Process) {
	if p.numThreads != 0 {
		k.stop(&k.threadsOf(p)[0])
	}
	k.teardown(p)
	k.freeProcess(p)
}

// populate lays out the address space of a new process.
func (k *Kernel) populate(p *Process, pr *program) abi.Errno {
	for _, s := range k.prog.Segments() {
		start := s.VA &^ (abi.PageSize - 1)
		r := region{
			start: start, end: pageUp(s.VA + s.MemSize), perm: s.Perm, kind: regionShare,
			vmo: pr.vmo, off: pr.off + s.FileOff - (s.VA - start), fileEnd: s.VA + s.FileSize,
		}
		if s.Perm&sv39.Perm(sv39.W) != 0 {
			r.kind = regionCopy
		}
		if errno := k.addRegion(p, &r); errno != abi.OK {
			return errno
		}
	}
	data := sv39.Perm(sv39.U | sv39.R | sv39.W)
	heapEnd := abi.HeapBase + pr.frames*abi.PageSize + heapSlack
	if errno := k.addRegion(p, &region{start: abi.HeapBase, end: heapEnd, perm: data}); errno != abi.OK {
		return errno
	}
	if errno := k.addRegion(p, &region{start: abi.StackTop - abi.StackSize, end: abi.StackTop, perm: data}); errno != abi.OK {
		return errno
	}
	p.ownRegions = p.numRegions
	start := abi.Start{
		Magic: abi.StartMagic, Version: abi.Version, PID: p.pid, ServiceID: p.sid,
		HeapStart: abi.HeapBase, HeapEnd: heapEnd, TickNS: k.tickNS, WallNS: k.wallNS,
		Argc: pr.argc, Envc: pr.envc, DataLen: uint64(len(pr.data)), Seed: k.drbg.next(p.pid, pr.seed), BornNS: k.now(), Harts: uint64(k.numHarts),
	}
	if pr.files != 0 {
		size := pageUp(pr.filesLen)
		r := region{start: abi.MapBase, end: abi.MapBase + size, perm: permOf(abi.RightRead), kind: regionShare, vmo: pr.files}
		if errno := k.addRegion(p, &r); errno != abi.OK {
			return errno
		}
		start.FilesPtr, start.FilesLen = r.start, pr.filesLen
	}
	strings := uint64(abi.StartPage + len(startBytes(&start)))
	start.ArgsPtr = strings
	start.EnvPtr = start.ArgsPtr + uint64(len(pr.args))
	start.DataPtr = start.EnvPtr + uint64(len(pr.env))
	f := &k.threadsOf(p)[0].Frame
	f.X[0], f.X[hart.SP], f.X[hart.A0] = k.prog.Entry, abi.StackTop, abi.StartPage
	w := startWriter{k: k, p: p, at: abi.StartPage}
	w.write(startBytes(&start))
	clear(start.Seed[:])
	w.write(pr.args)
	w.write(pr.env)
	w.write(pr.data)
	return w.errno
}

// heapSlack is how much larger, in bytes, the heap's range of addresses is than
// the budget: a runtime spreads sparse tables and arenas over it.
const heapSlack = 32 << 20

// maxBudget is what a process can have a heap for, in frames.
const maxBudget = (abi.HeapEnd - abi.HeapBase - heapSlack) / abi.PageSize

func pageUp(n uint64) uint64 { return (n + abi.PageSize - 1) &^ (abi.PageSize - 1) }

// startWriter fills the read-only pages that begin with the start page.
type startWriter struct {
	k     *Kernel
	p     *Process
	at    uint64
	page  []byte // rest of the current page
	errno abi.Errno
}

func (w *startWriter) write(b []byte) {
	for len(b) > 0 && w.errno == abi.OK {
		if len(w.page) == 0 {
			pa, ok := w.k.zeroFrame(&w.p.acct)
			if !ok {
				w.errno = abi.ENOMEM
				return
			}
			if w.errno = w.p.space.MapOwned(w.k.pool, w.at, pa, permOf(abi.RightRead)); w.errno != abi.OK {
				w.k.pool.Give(&w.p.acct, pa)
				return
			}
			w.page = mem.Bytes(pa, abi.PageSize)
		}
		n := copy(w.page, b)
		w.page, b = w.page[n:], b[n:]
		w.at += uint64(n)
	}
}

// start completes the start page of p and makes it ready.
func (k *Kernel) start(p *Process, console, numCaps uint64) {
	page := p.space.Lookup(abi.StartPage).Addr()
	setStartCaps(mem.Bytes(page, abi.PageSize), console, numCaps)
	k.makeReady(&k.threadsOf(p)[0])
}

func (k *Kernel) sysProcessKill(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindProcess, abi.RightManage)
	if errno != abi.OK {
		return errno
	}
	q := &k.procs[n.obj]
	if q.state != procLive {
		return abi.ENOENT
	}
	x[hart.A0] = 0
	k.end(q, abi.ExitKilled)
	if q.doomed && q != p {
		// Whoever kills may count on what the process had, its name for one. Who killed
		// itself is gone.
		t.state, t.object, t.waitDue = threadKilling, uint64(q.id), 0
		p.asleep++
		k.block(t)
		k.pick()
	}
	return abi.OK
}

func (k *Kernel) sysProcessInfo(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	q := p
	if x[hart.A0] != 0 {
		n, errno := k.need(p, x[hart.A0], abi.KindProcess, abi.RightRead)
		if errno != abi.OK {
			return errno
		}
		q = &k.procs[n.obj]
	}
	x[hart.A0] = 0
	if q.state == procLive {
		x[hart.A0] = 1
	}
	x[hart.A1], x[hart.A2] = uint64(q.exit), q.pid
	x[hart.A3], x[hart.A4] = uint64(q.acct.Used()), uint64(q.acct.Limit())
	x[hart.A5], x[hart.A6], x[hart.A7] = q.faultCause, q.faultPC, q.faultAddr
	x[hart.S2], x[hart.S2+1], x[hart.S2+2], x[hart.S2+3] = q.handles(), uint64(q.numRegions), q.faults, uint64(q.numThreads)
	x[hart.S2+4], x[hart.S2+5], x[hart.S2+6], x[hart.S2+7] = uint64(q.numVMOs), uint64(q.numTimers), uint64(q.numEPs), uint64(q.numNotifs)
	return abi.OK
}

// handles returns how many entries of the handle table of p are in use.
func (p *Process) handles() (n uint64) {
	for number := uint32(1); number <= p.newH; number++ {
		if p.entry(number).node != nil {
			n++
		}
	}
	return n
}

func (k *Kernel) sysProcessWatch(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindProcess, abi.RightRead)
	if errno != abi.OK {
		return errno
	}
	to, errno := k.signalable(p, x[hart.A1])
	if errno != abi.OK {
		return errno
	}
	q, bits := &k.procs[n.obj], x[hart.A2]
	if bits == 0 {
		return abi.EINVAL
	}
	if q.watchBits != 0 && k.notifs[q.watcher.i].gen == q.watcher.gen {
		return abi.EBUSY
	}
	x[hart.A0] = 0
	if q.state != procLive {
		k.signal(to, bits)
		return abi.OK
	}
	q.watcher, q.watchBits = to, bits
	return abi.OK
}
