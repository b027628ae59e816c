package core

import (
	"bytes"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

func TestDMA(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	before, limit := s.pool.Free(), d.acct.Limit()
	h := d.must(abi.SysDMACreate, d.window, 3*abi.PageSize-5)
	if kind, rights, _ := d.info(h); kind != abi.KindVMO || rights != abi.RightRead|abi.RightWrite|abi.RightGrant|abi.RightDMA || d.main.Frame.X[hart.A3] != 3*abi.PageSize {
		t.Errorf("kind %d, rights %#x, %d bytes", kind, rights, d.main.Frame.X[hart.A3])
	}
	if s.pool.Free() != before-3 || d.acct.Limit() != limit-3 {
		t.Errorf("%d frames taken, %d of the budget", before-s.pool.Free(), limit-d.acct.Limit())
	}
	s.check()
	pa := d.physical(h)
	buf := mem.Bytes(pa, 3*abi.PageSize)
	if bytes.ContainsFunc(buf, func(r rune) bool { return r != 0 }) {
		t.Error("not zeroed")
	}
	// What the process writes is where the device reads, and the other way round,
	// however the process gets there.
	va := d.must(abi.SysVMOMap, h, 0, 0, 3*abi.PageSize, uint64(abi.RightRead|abi.RightWrite))
	data := elftest.Pattern(3, 3*abi.PageSize)
	d.write(va, data)
	if !bytes.Equal(buf, data) {
		t.Error("the device reads something else")
	}
	copy(buf[abi.PageSize-4:], "from the device")
	if got := d.read(va+abi.PageSize-4, 15); string(got) != "from the device" {
		t.Errorf("read %q", got)
	}
	d.must(abi.SysVMORead, h, abi.PageSize-4, msgVA, 15)
	if got := d.read(msgVA, 15); string(got) != "from the device" {
		t.Errorf("vmo_read %q", got)
	}
	d.must(abi.SysVMOWrite, h, 2*abi.PageSize-4, msgVA, 15)
	if got := buf[2*abi.PageSize-4:][:15]; string(got) != "from the device" {
		t.Errorf("vmo_write %q", got)
	}
	for i := range uint64(3) {
		d.access(va+i*abi.PageSize, sv39.W)
		if e := d.space.Lookup(va + i*abi.PageSize); e.Addr() != pa+mem.PA(i*abi.PageSize) || e&sv39.Device != 0 {
			t.Errorf("page %d is %#x", i, uint64(e))
		}
	}
	s.check()
	// It stays as long as it is mapped, and returns whole.
	d.must(abi.SysCapClose, h)
	if s.pool.Free() > before {
		t.Error("returned while mapped")
	}
	d.must(abi.SysUnmap, va, 3*abi.PageSize)
	if d.acct.Limit() != limit || d.numVMOs != 0 {
		t.Errorf("budget %d of %d, %d objects", d.acct.Limit(), limit, d.numVMOs)
	}
	s.check()
	s.Shutdown()
	s.allBack()
}

// The address is for those who have the right, which a copy has only on request.
func TestRejectDMAAddress(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	other, _ := s.spawn()
	h := d.must(abi.SysDMACreate, d.window, abi.PageSize)
	without := d.must(abi.SysCapCopy, h, uint64(abi.AllRights&^(abi.RightDMA|abi.RightRecv|abi.RightWait|abi.RightSend|abi.RightSignal|abi.RightExec|abi.RightManage)))
	d.fails(abi.EPERM, abi.SysDMAAddress, without)
	theirs := s.give(d.proc, h, abi.RightRead|abi.RightWrite, 0, other)
	other.fails(abi.EPERM, abi.SysDMAAddress, theirs)
	d.fails(abi.EPERM, abi.SysCapCopy, without, uint64(abi.RightDMA)) // it cannot come back
	d.fails(abi.EPERM, abi.SysDMAAddress, d.must(abi.SysVMOCreate, abi.PageSize))
	d.fails(abi.EKIND, abi.SysDMAAddress, d.window)
	d.fails(abi.EBADF, abi.SysDMAAddress, bogus)
	granted := s.give(d.proc, h, abi.RightRead|abi.RightDMA, 0, other)
	if other.physical(granted) != d.physical(h) {
		t.Error("addresses differ")
	}
	s.check()
}

// Buffers of a driver that is gone wait until the device, which may still write to
// them, was reset.
func TestDMAKeptBack(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(s *sim, d driver, bufs []uint64)
		gone bool // at once, because the driver was in charge
	}{
		{"closed by the driver", func(s *sim, d driver, bufs []uint64) {
			for _, h := range bufs {
				d.must(abi.SysCapClose, h)
			}
		}, true},
		{"exit", func(s *sim, d driver, _ []uint64) { d.must(abi.SysExit) }, false},
		{"kill", func(s *sim, d driver, _ []uint64) { s.root.must(abi.SysProcessKill, d.process) }, false},
		{"window closed first", func(s *sim, d driver, bufs []uint64) {
			d.must(abi.SysCapClose, d.window)
			for _, h := range bufs {
				d.must(abi.SysCapClose, h)
			}
		}, false},
		{"window revoked", func(s *sim, d driver, bufs []uint64) {
			s.root.must(abi.SysCapRevoke, d.rootWindow)
			for _, h := range bufs {
				d.must(abi.SysCapClose, h)
			}
		}, false},
		{"mapped at the end", func(s *sim, d driver, bufs []uint64) {
			d.must(abi.SysVMOMap, bufs[0], 0, 0, abi.PageSize, uint64(abi.RightRead))
			d.must(abi.SysExit)
		}, false},
	} {
		s := newSim(t)
		unreserved := s.pool.Unreserved()
		d := s.driver()
		d.must(abi.SysVMOCreate, abi.PageSize) // ordinary memory is never kept back
		bufs := []uint64{d.must(abi.SysDMACreate, d.window, 2*abi.PageSize), d.must(abi.SysDMACreate, d.window, abi.PageSize)}
		first := d.physical(bufs[0])
		d.schedule()
		c.end(s, d, bufs)
		s.check()
		s.root.must(abi.SysDeviceInfo, hDevices, 0)
		want := uint64(3)
		if c.gone {
			want = 0
		}
		if got := s.root.main.Frame.X[hart.A5]; got != want {
			t.Errorf("%s: %d frames kept back, want %d", c.name, got, want)
		}
		// Nobody gets them: all frames there are, without those.
		if !c.gone {
			var all mem.Account
			s.pool.Open(&all, s.pool.Unreserved())
			var held []mem.PA
			for pa, ok := s.pool.Take(&all); ok; pa, ok = s.pool.Take(&all) {
				if pa >= first && pa < first+2*abi.PageSize {
					t.Errorf("%s: a frame that the device may write to was given out", c.name)
				}
				held = append(held, pa)
			}
			for _, pa := range held {
				s.pool.Give(&all, pa)
			}
			s.pool.Close(&all)
		}
		if d.alive() {
			s.root.must(abi.SysProcessKill, d.process)
		}
		if got := s.root.must(abi.SysMMIORelease, d.rootWindow); got != want {
			t.Errorf("%s: %d frames released, want %d", c.name, got, want)
		}
		s.check()
		s.root.must(abi.SysCapClose, d.process)
		if s.pool.Unreserved() != unreserved {
			t.Errorf("%s: %d frames unreserved, %d before", c.name, s.pool.Unreserved(), unreserved)
		}
		s.Shutdown()
		s.allBack()
	}
}

// A buffer that somebody still uses when the device is reset returns like other
// memory.
func TestDMAAfterReset(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	other, _ := s.spawn()
	h := d.must(abi.SysDMACreate, d.window, abi.PageSize)
	theirs := s.give(d.proc, h, abi.RightRead, 0, other)
	d.must(abi.SysExit)
	if got := s.root.must(abi.SysMMIORelease, d.rootWindow); got != 0 {
		t.Errorf("%d frames released that are in use", got)
	}
	s.check()
	before := s.pool.Free()
	other.must(abi.SysCapClose, theirs)
	if s.pool.Free() != before+1 {
		t.Error("the buffer did not return")
	}
	s.check()
	// The end of the system needs no reset.
	h = s.root.must(abi.SysDMACreate, d.rootWindow, abi.PageSize)
	s.root.must(abi.SysCapClose, d.rootWindow)
	s.root.must(abi.SysCapClose, h)
	s.root.must(abi.SysDeviceInfo, hDevices, 0)
	if s.root.main.Frame.X[hart.A5] != 1 {
		t.Error("not kept back")
	}
	s.Shutdown()
	s.allBack()
}
