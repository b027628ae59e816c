package core

import (
	"strings"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

const mmioVA = abi.MapBase + 1<<20

// leaf returns the entry for va, which q touches first.
func (q proc) leafAfterTouch(va uint64) sv39.PTE {
	q.s.tb.Helper()
	if !q.access(va, sv39.R) || !q.access(va, sv39.W) {
		q.s.tb.Fatalf("pid %d cannot use %#x", q.life, va)
	}
	return q.space.Lookup(va)
}

func TestMMIOMap(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	if kind, rights, _ := d.info(d.window); kind != abi.KindMMIO || rights != abi.RightRead|abi.RightWrite || d.main.Frame.X[hart.A3] != abi.PageSize {
		t.Errorf("kind %d, rights %#x, %d bytes", kind, rights, d.main.Frame.X[hart.A3])
	}
	va := d.must(abi.SysMMIOMap, d.window, 0, 0, abi.PageSize)
	if e := d.leafAfterTouch(va); e.Addr() != simDevices[0].Base || e.Perm() != devicePerm {
		t.Errorf("leaf %#x", uint64(e))
	}
	s.check()
	// Its neighbours are not there.
	for _, at := range []uint64{va - 1, va + abi.PageSize} {
		if d.space.Lookup(at) != 0 {
			t.Errorf("%#x is mapped", at)
		}
	}
	d.must(abi.SysUnmap, va, abi.PageSize)
	if d.access(va, sv39.R) {
		t.Error("registers are there after unmap")
	}
	s.check()
	s.Shutdown()
	s.allBack()
}

// A window of several pages is mapped in parts, each where it belongs.
func TestMMIOMapParts(t *testing.T) {
	s := newSim(t)
	w := s.root.must(abi.SysMMIOCreate, hDevices, 1)
	q, _ := s.spawn()
	h := s.give(s.root, w, abi.RightRead|abi.RightWrite, 0, q)
	q.must(abi.SysMMIOMap, h, mmioVA, 2*abi.PageSize, 2*abi.PageSize)
	q.must(abi.SysMMIOMap, h, mmioVA+8*abi.PageSize, 0, 4*abi.PageSize)
	base := simDevices[1].Base
	for at, want := range map[uint64]mem.PA{
		mmioVA: base + 2*abi.PageSize, mmioVA + abi.PageSize: base + 3*abi.PageSize,
		mmioVA + 8*abi.PageSize: base, mmioVA + 11*abi.PageSize: base + 3*abi.PageSize,
	} {
		if e := q.leafAfterTouch(at); e.Addr() != want {
			t.Errorf("%#x is mapped to %#x, want %#x", at, e.Addr(), want)
		}
	}
	s.check()
	q.fails(abi.ENOENT, abi.SysUnmap, mmioVA, abi.PageSize)
	q.must(abi.SysUnmap, mmioVA, 2*abi.PageSize)
	q.must(abi.SysCapClose, h)
	s.check()
	if q.numRegions == 0 || q.space.Lookup(mmioVA+8*abi.PageSize) != 0 {
		t.Error("the second mapping is there after close")
	}
}

func TestRejectMMIONoCap(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	for _, h := range []uint64{0, bogus, uint64(abi.BootHandle(0)), hDevices, ^uint64(0), uint64(abi.ReplyBit) | 1<<32 | 1} {
		q.fails(abi.EBADF, abi.SysMMIOMap, h, mmioVA, 0, abi.PageSize)
	}
	// Nor with one that it no longer has.
	d := s.driver()
	d.must(abi.SysCapClose, d.window)
	d.fails(abi.EBADF, abi.SysMMIOMap, d.window, mmioVA, 0, abi.PageSize)
	s.check()
}

func TestRejectMMIOWrongCapKind(t *testing.T) {
	s := newSim(t)
	b := newTestbed(s)
	irq := s.give(s.root, s.root.must(abi.SysIRQCreate, hDevices, 1), abi.RightManage, 0, b.proc)
	devices := s.give(s.root, hDevices, abi.RightManage, 0, b.proc)
	for _, h := range []uint64{b.send, b.recv, b.note, b.vmo, b.child, b.console, b.spawnCap, b.timer, irq, devices} {
		b.fails(abi.EKIND, abi.SysMMIOMap, h, mmioVA, 0, abi.PageSize)
	}
	// Nor is a window memory.
	d := s.driver()
	for _, rights := range []abi.Rights{abi.RightRead, abi.RightRead | abi.RightWrite, abi.RightRead | abi.RightExec} {
		d.fails(abi.EKIND, abi.SysVMOMap, d.window, mmioVA, 0, abi.PageSize, uint64(rights))
	}
	d.fails(abi.EKIND, abi.SysVMORead, d.window, 0, msgVA, 8)
	d.fails(abi.EKIND, abi.SysVMOWrite, d.window, 0, msgVA, 8)
	s.check()
}

func TestRejectMMIOOutsideWindow(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	for _, r := range [][2]uint64{
		{abi.PageSize, abi.PageSize}, {64 << 10, abi.PageSize}, {0, 2 * abi.PageSize}, {0, 0}, {abi.PageSize, 0},
		{^uint64(abi.PageSize - 1), abi.PageSize}, {0, ^uint64(abi.PageSize - 1)}, {1 << 63, 1 << 63},
	} {
		d.fails(abi.EINVAL, abi.SysMMIOMap, d.window, mmioVA, r[0], r[1])
	}
	// Nor outside of the area for mappings.
	for _, va := range []uint64{abi.PageSize, 0x1000_1000, abi.ImageBase, abi.MapBase - abi.PageSize, abi.MapEnd, abi.HeapBase, abi.StartPage, abi.UserEnd, ^uint64(abi.PageSize - 1)} {
		d.fails(abi.EINVAL, abi.SysMMIOMap, d.window, va, 0, abi.PageSize)
	}
	s.check()
}

func TestRejectMMIOInsufficientRights(t *testing.T) {
	for _, rights := range []abi.Rights{0, abi.RightRead, abi.RightWrite, abi.RightManage | abi.RightGrant, abi.RightRead | abi.RightManage} {
		s := newSim(t)
		q, _ := s.spawn()
		h := s.give(s.root, s.root.must(abi.SysMMIOCreate, hDevices, 0), rights, 0, q)
		q.fails(abi.EPERM, abi.SysMMIOMap, h, mmioVA, 0, abi.PageSize)
		s.check()
	}
}

// Registers are mapped readable and writable. There is no way to ask for more, and
// executing them faults.
func TestRejectMMIOExec(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	// What stands in the registers of other calls where rights are.
	va := d.must(abi.SysMMIOMap, d.window, 0, 0, abi.PageSize, uint64(abi.AllRights), uint64(sv39.X), ^uint64(0))
	if e := d.leafAfterTouch(va); e.Perm() != sv39.U|sv39.R|sv39.W {
		t.Errorf("mapped with %#x", e.Perm())
	}
	if d.access(va, sv39.X) || d.alive() || d.faultCause != hart.CauseFetchPage {
		t.Errorf("executed: alive %v, cause %d", d.alive(), d.faultCause)
	}
	if name, at, found := s.FindWX(); found {
		t.Errorf("%s has %#x writable and executable", name, at)
	}
	s.check()
}

func TestRejectMMIOUnalignedVA(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	for _, off := range []uint64{1, 8, abi.PageSize / 2, abi.PageSize - 1} {
		d.fails(abi.EINVAL, abi.SysMMIOMap, d.window, mmioVA+off, 0, abi.PageSize)
	}
	s.check()
}

func TestRejectMMIOUnalignedOffset(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	h := s.give(s.root, s.root.must(abi.SysMMIOCreate, hDevices, 1), abi.RightRead|abi.RightWrite, 0, q)
	for _, off := range []uint64{1, 8, abi.PageSize - 1, abi.PageSize + 1} {
		q.fails(abi.EINVAL, abi.SysMMIOMap, h, mmioVA, off, abi.PageSize)
		q.fails(abi.EINVAL, abi.SysMMIOMap, h, mmioVA, 0, off)
	}
	s.check()
}

func TestRejectMMIOOverlapSameVA(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	h := s.give(s.root, s.root.must(abi.SysMMIOCreate, hDevices, 1), abi.RightRead|abi.RightWrite, 0, q)
	v := q.must(abi.SysVMOCreate, 4*abi.PageSize)
	q.must(abi.SysMMIOMap, h, mmioVA, 0, 2*abi.PageSize)
	before := q.leafAfterTouch(mmioVA)
	for _, va := range []uint64{mmioVA, mmioVA + abi.PageSize, mmioVA - abi.PageSize} {
		q.fails(abi.EOVERLAP, abi.SysMMIOMap, h, va, 0, 2*abi.PageSize)
		q.fails(abi.EOVERLAP, abi.SysVMOMap, v, va, 0, 2*abi.PageSize, uint64(abi.RightRead))
	}
	if q.space.Lookup(mmioVA) != before {
		t.Error("a refused mapping changed the page table")
	}
	q.must(abi.SysVMOMap, v, mmioVA+4*abi.PageSize, 0, abi.PageSize, uint64(abi.RightRead))
	q.fails(abi.EOVERLAP, abi.SysMMIOMap, h, mmioVA+3*abi.PageSize, 0, 2*abi.PageSize)
	s.check()
}

// The kernel does not touch registers for a process.
func TestRejectMMIOAsBuffer(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	console := s.give(s.root, hConsole, abi.RightWrite, 0, d.proc)
	va := d.must(abi.SysMMIOMap, d.window, 0, 0, abi.PageSize)
	v := d.must(abi.SysVMOCreate, abi.PageSize)
	ep := d.must(abi.SysEndpointCreate, 4, abi.MaxMessage)
	for range 2 { // before the page was touched, and after
		d.fails(abi.EFAULT, abi.SysConsoleWrite, console, va, 8)
		d.fails(abi.EFAULT, abi.SysVMORead, v, 0, va, 8)
		d.fails(abi.EFAULT, abi.SysVMOWrite, v, 0, va, 8)
		d.leafAfterTouch(va)
	}
	// A message that lies there does not arrive.
	d.trap(abi.SysCall, &regs{A: [7]uint64{ep, 100 | abi.FlagNoWait, 5, 0, 0, va, 0}})
	d.wait(ep, 1)
	d.reply(5, abi.EFAULT)
	s.check()
}

// A window exists once, and whoever it was given to last has it.
func TestMMIOHasOneOwner(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	other, _ := s.spawn()
	rw := abi.RightRead | abi.RightWrite
	s.root.fails(abi.EBUSY, abi.SysMMIOCreate, hDevices, 0)
	s.root.fails(abi.EBUSY, abi.SysCapCopy, d.rootWindow, uint64(rw))
	s.root.fails(abi.EBUSY, abi.SysMMIOMap, d.rootWindow, 0, 0, abi.PageSize)
	s.root.fails(abi.EBUSY, abi.SysDMACreate, d.rootWindow, abi.PageSize)
	s.root.fails(abi.EBUSY, abi.SysMMIORelease, d.rootWindow)
	s.check()
	// Closed, it falls back.
	va := d.must(abi.SysMMIOMap, d.window, 0, 0, abi.PageSize)
	d.leafAfterTouch(va)
	d.must(abi.SysCapClose, d.window)
	if d.space.Lookup(va) != 0 || d.regionOf(va) != nil {
		t.Error("mapped after close")
	}
	s.check()
	at := s.root.must(abi.SysMMIOMap, d.rootWindow, 0, 0, abi.PageSize)
	s.root.fails(abi.EBUSY, abi.SysCapCopy, d.rootWindow, uint64(rw)) // first unmap
	s.root.must(abi.SysUnmap, at, abi.PageSize)
	h := s.give(s.root, d.rootWindow, rw|abi.RightGrant, 0, other)
	// And on, and back.
	onward := s.give(other, h, rw, 0, d.proc)
	other.fails(abi.EBUSY, abi.SysMMIOMap, h, 0, 0, abi.PageSize)
	d.must(abi.SysMMIOMap, onward, 0, 0, abi.PageSize)
	s.check()
	// The one in the middle ends; the window stays where it is.
	other.must(abi.SysCapClose, h)
	d.fails(abi.EOVERLAP, abi.SysMMIOMap, onward, d.regions[d.numRegions-1].start, 0, abi.PageSize)
	s.root.fails(abi.EBUSY, abi.SysMMIOMap, d.rootWindow, 0, 0, abi.PageSize)
	s.check()
	s.root.must(abi.SysCapClose, d.rootWindow)
	s.root.fails(abi.EBUSY, abi.SysMMIOCreate, hDevices, 0)
	d.must(abi.SysExit)
	s.root.must(abi.SysMMIOCreate, hDevices, 0)
	s.check()
	s.Shutdown()
	s.allBack()
}

// Whoever has the devices can take everything back, and what was derived from a
// window goes with it: out of the page table, and out of the TLB.
func TestMMIORevoke(t *testing.T) {
	for _, from := range []string{"window", "devices"} {
		s := newSim(t)
		d := s.driver()
		a, b := d.must(abi.SysMMIOMap, d.window, 0, 0, abi.PageSize), d.must(abi.SysMMIOMap, d.window, 0, 0, abi.PageSize)
		d.leafAfterTouch(a)
		d.leafAfterTouch(b)
		d.must(abi.SysIRQBind, d.irq, d.note, lineBit)
		h, want := d.rootWindow, uint64(1)
		if from == "devices" {
			h, want = hDevices, 4
		}
		if n := s.root.must(abi.SysCapRevoke, h); n != want {
			t.Errorf("%s: %d revoked, want %d", from, n, want)
		}
		s.check() // compares TLB and page tables
		d.fails(abi.EBADF, abi.SysMMIOMap, d.window, 0, 0, abi.PageSize)
		if (s.plic.enabled[1]) != (from == "window") {
			t.Errorf("%s: interrupt enabled %v", from, s.plic.enabled[1])
		}
		if d.access(a, sv39.R) || d.alive() {
			t.Errorf("%s: registers are there after revoke", from)
		}
		s.check()
	}
}

// A window moves with a message, and cannot while it is mapped.
func TestMMIOMoves(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	w := s.root.must(abi.SysMMIOCreate, hDevices, 0)
	h := s.give(s.root, w, abi.RightRead|abi.RightWrite|abi.RightGrant, 0, c)
	va := c.must(abi.SysMMIOMap, h, 0, 0, abi.PageSize)
	for _, num := range []uint64{abi.SysCall, abi.SysSend} {
		c.trap(num, &regs{A: [7]uint64{ep, 8, 1, 0, h}})
		if errno := refusal(c.main.Frame.X[hart.A0]); errno != abi.EBUSY {
			t.Errorf("moved while it was mapped: %v", errno)
		}
	}
	c.must(abi.SysUnmap, va, abi.PageSize)
	v.wait(recv, 1)
	c.callCap(ep, 2, h, 0)
	moved := v.request(1).moved
	v.must(abi.SysMMIOMap, moved, mmioVA, 0, abi.PageSize)
	v.leafAfterTouch(mmioVA)
	s.check()
	// Nobody receives it: it ends with the message, and the root has it again.
	s2 := newSim(t)
	c, v, ep, recv = s2.pair()
	w = s2.root.must(abi.SysMMIOCreate, hDevices, 0)
	h = s2.give(s2.root, w, abi.RightRead|abi.RightWrite|abi.RightGrant, 0, c)
	c.must(abi.SysSend, ep, 0, 0, 0, h)
	s2.root.fails(abi.EBUSY, abi.SysMMIOMap, w, 0, 0, abi.PageSize)
	v.must(abi.SysCapClose, recv)
	s2.root.must(abi.SysMMIOMap, w, 0, 0, abi.PageSize)
	s2.check()
}

// A spawn that fails gives nothing away.
func TestMMIOSpawnFails(t *testing.T) {
	s := newSim(t)
	w := s.root.must(abi.SysMMIOCreate, hDevices, 0)
	rw := abi.RightRead | abi.RightWrite
	cap := abi.SpawnCap{Handle: abi.Handle(w), Rights: rw}
	if e := refusal(s.spawnSpec(s.spec(cap, abi.SpawnCap{Handle: abi.Handle(bogus)}))); e != abi.EBADF {
		t.Errorf("spawn: %v", e)
	}
	if e := refusal(s.spawnSpec(s.spec(cap, cap))); e != abi.EBUSY {
		t.Errorf("spawn with a window twice: %v", e)
	}
	s.check()
	s.root.must(abi.SysMMIOMap, w, mmioVA, 0, abi.PageSize)
	s.root.must(abi.SysUnmap, mmioVA, abi.PageSize)
	q, _ := s.spawn(cap)
	q.must(abi.SysMMIOMap, uint64(abi.BootHandle(0)), 0, 0, abi.PageSize)
	s.check()
}

func TestDeviceInfo(t *testing.T) {
	s := newSim(t)
	for i, d := range simDevices {
		kind := s.root.must(abi.SysDeviceInfo, hDevices, uint64(i))
		x := &s.root.main.Frame.X
		if kind != uint64(d.Kind) || x[hart.A1] != uint64(d.Base) || x[hart.A2] != d.Size || x[hart.A3] != uint64(d.IRQ) || x[hart.A4]|x[hart.A5] != 0 {
			t.Errorf("device %d: %x", i, x[hart.A0:hart.A6])
		}
	}
	for _, i := range []uint64{uint64(len(simDevices)), maxDevices, 1 << 32, ^uint64(0)} {
		s.root.fails(abi.ENOENT, abi.SysDeviceInfo, hDevices, i)
		s.root.fails(abi.ENOENT, abi.SysMMIOCreate, hDevices, i)
		s.root.fails(abi.ENOENT, abi.SysIRQCreate, hDevices, i)
	}
	s.root.fails(abi.ENOENT, abi.SysIRQCreate, hDevices, 2) // it has none
	s.root.must(abi.SysMMIOCreate, hDevices, 0)
	s.root.must(abi.SysDeviceInfo, hDevices, 0)
	if got := s.root.main.Frame.X[hart.A4]; got != abi.DeviceWindow {
		t.Errorf("state %#x", got)
	}
	s.root.must(abi.SysIRQCreate, hDevices, 0)
	s.root.must(abi.SysDeviceInfo, hDevices, 0)
	if got := s.root.main.Frame.X[hart.A4]; got != abi.DeviceWindow|abi.DeviceIRQ {
		t.Errorf("state %#x", got)
	}
	// Nobody else makes anything of them.
	q, _ := s.spawn()
	for h := range uint64(300) {
		for _, num := range []uint64{abi.SysDeviceInfo, abi.SysMMIOCreate, abi.SysIRQCreate} {
			q.fails(abi.EBADF, num, 1<<32|h, 0)
		}
	}
	s.check()
}

// What is not a device of its own is refused before any process exists: memory,
// what the kernel uses itself, and what two devices share.
func TestRejectDevices(t *testing.T) {
	page := func(at mem.PA) Device { return Device{Kind: abi.DeviceVirtIO, Base: at, Size: abi.PageSize} }
	many := make([]Device, maxDevices+1)
	for i := range many {
		many[i] = page(mem.PA(0x3000_0000 + i*abi.PageSize))
	}
	s := newSim(t)
	// The sim's kernel maps nothing; this one maps what a board's does.
	var tables mem.Account
	s.pool.Open(&tables, 32)
	rw := sv39.Perm(sv39.R | sv39.W)
	root, err := sv39.BuildKernel(func() (mem.PA, bool) { return s.pool.Take(&tables) }, []sv39.Region{
		{Range: mem.Range{Start: 0x10_0000, End: 0x10_1000}, Perm: rw},
		{Range: mem.Range{Start: 0xc00_0000, End: 0xc60_0000}, Perm: rw},
		{Range: mem.Range{Start: 0x1000_0000, End: 0x1000_1000}, Perm: rw},
		{Range: mem.Range{Start: 0x8020_0000, End: 0xc000_0000}, Perm: rw},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		devices []Device
		want    string
	}{
		{"RAM", []Device{page(0x8800_0000)}, "uses"},
		{"the end of RAM", []Device{page(0xbfff_f000)}, "uses"},
		{"the console", []Device{page(0x1000_0000)}, "uses"},
		{"the interrupt controller", []Device{page(0xc20_1000)}, "uses"},
		{"the power-off device", []Device{page(0x10_0000)}, "uses"},
		{"a device and the console", []Device{{Base: 0xfff_f000, Size: 3 * abi.PageSize}}, "uses"},
		{"nothing", []Device{{Base: 0x1000_1000}}, "whole pages"},
		{"part of a page", []Device{{Base: 0x1000_1000, Size: 0x200}}, "whole pages"},
		{"not at a page", []Device{{Base: 0x1000_1200, Size: abi.PageSize}}, "whole pages"},
		{"above the addresses", []Device{{Base: 1<<56 - abi.PageSize, Size: 2 * abi.PageSize}}, "above"},
		{"far above", []Device{{Base: 1 << 60, Size: abi.PageSize}}, "above"},
		{"wrapping", []Device{{Base: 0x1000_1000, Size: ^uint64(abi.PageSize - 1)}}, "above"},
		{"twice", []Device{page(0x1000_1000), page(0x1000_1000)}, "shares registers"},
		{"overlapping", []Device{page(0x1000_2000), {Base: 0x1000_1000, Size: 2 * abi.PageSize}}, "shares registers"},
		{"shared interrupt", []Device{{Base: 0x1000_1000, Size: abi.PageSize, IRQ: 3}, {Base: 0x1000_2000, Size: abi.PageSize, IRQ: 3}}, "shares interrupt"},
		{"no such interrupt", []Device{{Base: 0x1000_1000, Size: abi.PageSize, IRQ: maxSource + 1}}, "no interrupt source"},
		{"too many", many, "more than"},
		{"good ones", simDevices, ""},
		{"as many as there may be", many[:maxDevices], ""},
	} {
		k := New(Config{Pool: s.pool, KernelRoot: root, Devices: c.devices, Controller: &s.plic})
		err := k.addDevices()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	k := New(Config{Pool: s.pool, KernelRoot: root, Devices: simDevices})
	if err := k.addDevices(); err == nil || !strings.Contains(err.Error(), "no interrupt source") {
		t.Errorf("interrupts without a controller: %v", err)
	}
}
