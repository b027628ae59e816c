package core

import (
	"bytes"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

const rw = uint64(abi.RightRead | abi.RightWrite)

func TestVMOReadWrite(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	h := v.must(abi.SysVMOCreate, 3*abi.PageSize-5)
	if v.must(abi.SysCapInfo, h) != uint64(abi.KindVMO) || v.main.Frame.X[hart.A3] != 3*abi.PageSize {
		t.Errorf("size %d", v.main.Frame.X[hart.A3])
	}
	data := elftest.Pattern(3, 5000)
	v.write(msgVA, data)
	v.must(abi.SysVMOWrite, h, 4000, msgVA, 5000)
	s.check()
	v.must(abi.SysVMORead, h, 3990, recvVA, 5020)
	got := v.read(recvVA, 5020)
	if !bytes.Equal(got[10:5010], data) || !bytes.Equal(got[:10], make([]byte, 10)) || !bytes.Equal(got[5010:], make([]byte, 10)) {
		t.Error("contents differ")
	}
	s.check()
	// Reading pages that nobody wrote does not bring them into being.
	big := v.must(abi.SysVMOCreate, 20*abi.PageSize)
	free := s.pool.Free()
	v.must(abi.SysVMORead, big, 10*abi.PageSize, recvVA, 5000)
	if s.pool.Free() != free {
		t.Errorf("reading took %d frames", free-s.pool.Free())
	}
	s.check()
}

func TestMap(t *testing.T) {
	s := newSim(t)
	a, _ := s.spawn()
	b, _ := s.spawn()
	h := a.must(abi.SysVMOCreate, 4*abi.PageSize)
	ro := s.give(a, h, abi.RightRead, 0, b)
	va := a.must(abi.SysVMOMap, h, 0, 0, 4*abi.PageSize, rw)
	vb := b.must(abi.SysVMOMap, ro, 0, abi.PageSize, 2*abi.PageSize, uint64(abi.RightRead))
	if va != abi.MapBase || vb != abi.MapBase {
		t.Errorf("mapped at %#x and %#x", va, vb)
	}
	second := a.must(abi.SysVMOMap, h, 0, 0, abi.PageSize, uint64(abi.RightRead))
	if second != va+4*abi.PageSize {
		t.Errorf("second mapping at %#x", second)
	}
	s.check()
	if !a.access(va+abi.PageSize+9, sv39.W) || !a.access(second, sv39.R) || !b.access(vb, sv39.R) {
		t.Fatal("no access")
	}
	a.write(va+abi.PageSize+9, []byte("shared"))
	if got := b.read(vb+9, 6); string(got) != "shared" {
		t.Errorf("read %q", got)
	}
	s.check()
	// Unmapping takes the page away at once, in page table and TLB.
	a.fails(abi.ENOENT, abi.SysUnmap, va, abi.PageSize)
	a.fails(abi.ENOENT, abi.SysUnmap, va+abi.PageSize, 3*abi.PageSize)
	a.must(abi.SysUnmap, va, 4*abi.PageSize)
	a.must(abi.SysUnmap, second, abi.PageSize)
	s.check()
	a.fails(abi.ENOENT, abi.SysUnmap, va, 4*abi.PageSize)
	// The creator's capability goes; the object lives in b's mapping.
	a.must(abi.SysCapRevoke, h)
	a.must(abi.SysCapClose, h)
	s.check()
	if got := b.read(vb+9, 6); string(got) != "shared" {
		t.Errorf("read %q", got)
	}
	if a.access(va, sv39.R) || a.alive() {
		t.Error("access after unmap")
	}
	s.check()
	b.must(abi.SysUnmap, vb, 2*abi.PageSize)
	s.check()
	// A large mapping is fenced as a whole.
	c, _ := s.spawn()
	h = c.must(abi.SysVMOCreate, 20*abi.PageSize)
	va = c.must(abi.SysVMOMap, h, abi.MapBase+abi.PageSize*3, 0, 20*abi.PageSize, rw)
	for i := range uint64(20) {
		c.access(va+i*abi.PageSize, sv39.W)
	}
	c.must(abi.SysUnmap, va, 20*abi.PageSize)
	if len(s.tlbOf(c)) != 0 {
		t.Errorf("%d pages in the TLB", len(s.tlbOf(c)))
	}
	s.check()
}

// tlbOf returns the pages that the TLBs hold for q.
func (s *sim) tlbOf(q proc) (pages []uint64) {
	for k := range s.tlb {
		if k.asid == q.asid {
			pages = append(pages, k.page)
		}
	}
	return pages
}

// The budget of an object comes from its creator and goes back there, or to
// nobody if that has ended.
func TestVMOBudget(t *testing.T) {
	s := newSim(t)
	a, ah := s.spawn()
	b, _ := s.spawn()
	const pages = 30
	limit, unreserved := a.acct.Limit(), s.pool.Unreserved()
	h := a.must(abi.SysVMOCreate, pages*abi.PageSize)
	if got := limit - a.acct.Limit(); got != vmoFrames(pages*abi.PageSize) || got != pages+2 {
		t.Errorf("object of %d pages costs %d frames", pages, got)
	}
	a.fails(abi.ENOMEM, abi.SysVMOCreate, childBudget*abi.PageSize)
	a.must(abi.SysCapClose, h)
	if a.acct.Limit() != limit || s.pool.Unreserved() != unreserved || a.numVMOs != 0 {
		t.Errorf("budget %d after, %d before", a.acct.Limit(), limit)
	}
	s.check()
	// The creator dies first.
	h = a.must(abi.SysVMOCreate, pages*abi.PageSize)
	bh := s.give(a, h, abi.RightRead|abi.RightWrite, 0, b)
	va := b.must(abi.SysVMOMap, bh, 0, 0, pages*abi.PageSize, rw)
	b.access(va, sv39.W)
	s.root.must(abi.SysProcessKill, ah)
	s.check()
	for i := range uint64(pages) {
		if !b.access(va+i*abi.PageSize, sv39.W) { // reserved to the last page
			t.Fatal("page refused")
		}
	}
	s.check()
	b.must(abi.SysCapClose, bh)
	s.check()
	b.must(abi.SysUnmap, va, pages*abi.PageSize)
	s.check()
	if got := s.pool.Unreserved(); got != unreserved+childBudget {
		t.Errorf("%d frames unreserved, want %d", got, unreserved+childBudget)
	}
	// The last holder dies with it mapped.
	bh = b.must(abi.SysVMOCreate, pages*abi.PageSize)
	va = b.must(abi.SysVMOMap, bh, 0, 0, pages*abi.PageSize, rw)
	b.access(va, sv39.W)
	b.sys(abi.SysExit, 0)
	s.check()
}

func TestDemandPages(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	hello := elftest.Hello()
	text, rodata, data := hello.Segments[1], hello.Segments[2], hello.Segments[3]
	dirty := abi.HeapBase + uint64(0x40000)
	for _, va := range []uint64{dirty, abi.StackTop - 8, abi.StackTop - abi.StackSize} {
		if !v.access(va, sv39.W) || v.read(va, 1)[0] != 0 {
			t.Errorf("%#x: not zero", va)
		}
	}
	v.write(dirty, bytes.Repeat([]byte{0xff}, abi.PageSize))
	if !v.access(text.VA, sv39.X) || !bytes.Equal(v.read(text.VA, 6000), text.Data) || !bytes.Equal(v.read(rodata.VA, 4096), rodata.Data) {
		t.Error("text or read-only data differ")
	}
	want := make([]byte, 4*4096-100)
	copy(want, data.Data)
	if !v.access(data.VA, sv39.R) || !bytes.Equal(v.read(data.VA, len(want)), want) {
		t.Error("data differ")
	}
	v.write(data.VA, []byte("changed"))
	s.check()
	// The next process has data and zeroes of its own, out of the same frames.
	w, _ := s.spawn()
	if !bytes.Equal(w.read(data.VA, len(want)), want) {
		t.Error("data of another process")
	}
	v.sys(abi.SysExit, 0)
	x, _ := s.spawn()
	for i := range uint64(8) {
		if b := x.read(dirty+i*abi.PageSize, abi.PageSize); !bytes.Equal(b, make([]byte, abi.PageSize)) {
			t.Error("memory of another process")
		}
	}
	s.check()
}

func TestBadAccess(t *testing.T) {
	hello := elftest.Hello()
	tests := []struct {
		name string
		va   uint64
		need sv39.Perm
	}{
		{"nothing", 0, sv39.R},
		{"kernel memory", 0x8020_0000, sv39.R},
		{"write to text", hello.Segments[1].VA, sv39.W},
		{"write to read-only data", hello.Segments[2].VA, sv39.W},
		{"write to the start page", abi.StartPage, sv39.W},
		{"execute data", hello.Segments[3].VA, sv39.X},
		{"execute heap", abi.HeapBase, sv39.X},
		{"execute stack", abi.StackTop - 8, sv39.X},
		{"guard page", abi.StackTop - abi.StackSize - 1, sv39.W},
		{"above the stack", abi.StackTop, sv39.R},
		{"above user space", abi.UserEnd, sv39.R},
		{"not canonical", 1 << 63, sv39.R},
		{"last address", ^uint64(0), sv39.R},
		{"between mappings", abi.MapBase, sv39.R},
	}
	s := newSim(t)
	for _, tt := range tests {
		v, h := s.spawn()
		if v.access(tt.va, tt.need) || v.alive() {
			t.Errorf("%s: access", tt.name)
		}
		s.root.must(abi.SysProcessInfo, h)
		if x := s.root.main.Frame.X; int64(x[hart.A1]) != abi.ExitFault || x[hart.A7] != tt.va || x[hart.A5] < hart.CauseFetchPage {
			t.Errorf("%s: status %d, cause %d, address %#x", tt.name, int64(x[hart.A1]), x[hart.A5], x[hart.A7])
		}
		s.root.must(abi.SysCapClose, h)
		s.check()
	}
}

func TestFaultHandler(t *testing.T) {
	s := newSim(t)
	v, h := s.spawn()
	handler := elftest.Hello().Entry + 64
	v.fails(abi.EINVAL, abi.SysFaultHandler, 8)
	v.fails(abi.EINVAL, abi.SysFaultHandler, abi.UserEnd)
	v.must(abi.SysFaultHandler, handler)
	v.schedule()
	x := &v.main.Frame.X
	x[0], x[hart.SP], x[hart.A3] = 0x100011234, 0x1234, 77
	v.fault(hart.CauseLoadPage, 0x18)
	if !v.alive() || x[0] != handler || x[hart.A0] != hart.CauseLoadPage || x[hart.A1] != 0x18 || x[hart.A2] != 0x100011234 || x[hart.SP] != 0x1234 || x[hart.A3] != 77 || v.main.Frame.Full == 0 {
		t.Fatalf("registers %x", x)
	}
	if !v.access(abi.HeapBase+0x70000, sv39.W) {
		t.Error("the handler may touch memory")
	}
	v.must(abi.SysFaultDone)
	v.fault(hart.CauseBreakpoint, 0)
	if !v.alive() {
		t.Fatal("second exception after fault_done")
	}
	v.fault(hart.CauseBreakpoint, 0)
	if v.alive() {
		t.Error("exception in the handler survived")
	}
	s.root.must(abi.SysProcessInfo, h)
	if x := s.root.main.Frame.X; int64(x[hart.A1]) != abi.ExitFault || x[hart.A5] != hart.CauseBreakpoint || x[hart.A6] != handler {
		t.Errorf("status %d, cause %d, pc %#x", int64(x[hart.A1]), x[hart.A5], x[hart.A6])
	}
	// Removed again.
	w, _ := s.spawn()
	w.must(abi.SysFaultHandler, handler)
	w.must(abi.SysFaultHandler, 0)
	w.fault(hart.CauseBreakpoint, 0)
	if w.alive() {
		t.Error("exception without a handler survived")
	}
	s.check()
}

// The page that a budget cannot pay for ends the process, and a system call that
// needs one is refused.
func TestRejectOverBudget(t *testing.T) {
	s := newSim(t)
	v, h := s.spawn()
	v.must(abi.SysFaultHandler, elftest.Hello().Entry)
	va := uint64(abi.HeapBase)
	for v.acct.Used() < v.acct.Limit() {
		if !v.access(va, sv39.W) {
			t.Fatal("page within the budget refused")
		}
		va += abi.PageSize
	}
	s.check()
	// A page that is there costs nothing, whatever the hart remembers of it.
	v.fault(hart.CauseStorePage, abi.HeapBase)
	if !v.alive() {
		t.Fatal("ended by a stale translation")
	}
	v.fails(abi.ENOMEM, abi.SysVMOCreate, 1)
	v.fails(abi.EFAULT, abi.SysConsoleWrite, s.give(s.root, hConsole, abi.RightWrite, 0, v), va, 1)
	s.check()
	if v.access(va, sv39.W) || v.alive() {
		t.Error("page over the budget")
	}
	s.root.must(abi.SysProcessInfo, h)
	if status := int64(s.root.main.Frame.X[hart.A1]); status != abi.ExitNoMem {
		t.Errorf("status %d", status)
	}
	s.check()
}
