package core

import (
	"bytes"
	"encoding/binary"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

func TestBoot(t *testing.T) {
	s := newSim(t)
	p := s.root
	x := p.main.Frame.X
	if x[hart.A0] != abi.StartPage || x[hart.SP] != abi.StackTop || x[0] != elftest.Hello().Entry || p.main.Frame.Full == 0 {
		t.Errorf("registers at entry: %x", x)
	}
	le := binary.LittleEndian
	var st abi.Start
	copy(startBytes(&st), p.read(abi.StartPage, len(startBytes(&st))))
	if st.Magic != abi.StartMagic || st.Version != abi.Version || st.PID != p.pid || st.ServiceID != ServiceID([]byte("root")) ||
		st.Argc != 2 || st.Envc != 1 || st.TickNS != 100 || st.WallNS != simWall || st.NumCaps != 6 || st.Console != hConsole || st.Seed == [32]byte{} ||
		st.HeapStart != abi.HeapBase || st.HeapEnd != abi.HeapBase+rootBudget*abi.PageSize+heapSlack || st.BornNS != s.clock {
		t.Errorf("start page: %+v", st)
	}
	if got := p.read(st.ArgsPtr, 8); string(got) != "root\x00-v\x00" {
		t.Errorf("arguments %q", got)
	}
	if got := p.read(st.EnvPtr, 4); string(got) != "A=1\x00" {
		t.Errorf("environment %q", got)
	}
	if got := p.read(st.FilesPtr, 5000); !bytes.Equal(got, elftest.Pattern(9, 5000)) || st.FilesLen != 5000 {
		t.Error("initial files differ")
	}
	for i, kind := range []abi.Kind{abi.KindSpawn, abi.KindConsole, abi.KindVMO, abi.KindVMO, abi.KindVMO, abi.KindDevices} {
		if got := p.must(abi.SysCapInfo, uint64(abi.BootHandle(i))); got != uint64(kind) {
			t.Errorf("boot capability %d is of kind %d, want %d", i, got, kind)
		}
	}
	if le.Uint64(p.read(elftest.Hello().Entry, 8)) != le.Uint64(elftest.Pattern(1, 8)) {
		t.Error("text differs")
	}
	if p.access(elftest.Hello().Entry, sv39.W) || p.alive() {
		t.Error("text is writable")
	}
	if status, ended := s.Ended(); !ended || status != abi.ExitFault {
		t.Errorf("ended %v, status %d", ended, status)
	}
	if want := "kernel: fault: root pid=1 scause=15 pc=0x100011000 addr=0x100011000\n"; string(s.console) != want {
		t.Errorf("console %q, want %q", s.console, want)
	}
	if s.pool.Free() != s.free {
		t.Errorf("%d frames free, %d before", s.pool.Free(), s.free)
	}
}
