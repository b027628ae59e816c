//go:build tamago && riscv64 && !nexusproc

// Command probe stands in for the kernel in the tests of package virt: it says
// what [virt.Boot] found, and then does what the boot arguments ask for.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	virt "nexus.internal/board/qemu-virt"
	"nexus.internal/board/qemu-virt/sbi"
)

func main() {
	m, err := virt.Boot()
	if err != nil {
		fmt.Println("probe: refused:", err)
		os.Exit(9)
	}
	// The test compares this between boots: the tree's entropy is in use.
	var random [8]byte
	virt.Random(random[:])
	fmt.Fprintf(virt.Console{}, "probe: ram=%#x harts=%d sstc=%v seed=%x random=%x\n",
		m.RAM[0].Size, len(m.Harts), m.Harts[0].Sstc, m.RNGSeed, random)
	if ends := uint64(m.Free[len(m.Free)-1].End); m.RAM[0].End() != ends {
		fmt.Printf("probe: free frames end at %#x\n", ends)
	}

	what, arg, _ := strings.Cut(m.Bootargs, "=")
	n, _ := strconv.ParseUint(arg, 0, 64)
	switch what {
	case "exit":
		os.Exit(int(int32(n)))
	case "store":
		*(*byte)(unsafe.Add(unsafe.Pointer(nil), n)) = 1
	case "wall":
		fmt.Println("probe: wall clock at 0:", m.WallNS)
	case "sbi":
		firmware()
	case "enter":
		enter(m.BootHart ^ 1)
	case "block":
		select {}
	case "panic":
		panic(what)
	}
}

// enter starts a hart at the entry of the image, where this one came from, and prints
// whether it has stopped.
func enter(id uint64) {
	err := sbi.HartStart(id, virt.RAMStart, 0)
	state, _ := sbi.HartStatus(id)
	for range 10_000_000 {
		if state == sbi.HartStopped {
			break
		}
		state, _ = sbi.HartStatus(id)
	}
	fmt.Printf("probe: second entry: %v, state %d\n", err, state)
}

// firmware prints the answers of the firmware to calls of each extension.
func firmware() {
	major, _ := sbi.SpecVersion()
	id, _ := sbi.Implementation()
	fmt.Printf("probe: version %d by %d, extension 1<<63: %v\n", major, id, sbi.Probe(1<<63))
	for _, ext := range []sbi.Extension{sbi.Timer, sbi.IPI, sbi.RFence, sbi.HSM, sbi.SRST} {
		fmt.Printf("probe: extension %#x: %v\n", uint64(ext), sbi.Probe(ext))
	}
	for id := range uint64(3) {
		state, err := sbi.HartStatus(id)
		fmt.Printf("probe: hart %d: state %d, %v\n", id, state, err)
	}
	fmt.Println("probe: hart start:", sbi.HartStart(2, virt.RAMStart, 0))
	fmt.Println("probe: ipi:", sbi.SendIPI(0, 0))
	fmt.Println("probe: fences:", sbi.RemoteFenceI(3, 0), sbi.RemoteFence(0, sbi.AllHarts, 0, ^uint64(0)), sbi.RemoteFenceASID(1, 0, 4096, 4096, 1))
	fmt.Println("probe: reset:", sbi.SystemReset(99, sbi.NoReason))
}
