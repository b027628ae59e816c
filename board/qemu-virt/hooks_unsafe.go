//go:build tamago && riscv64 && !nexusproc

package virt

import (
	"math/rand/v2"
	_ "unsafe" // for go:linkname

	"nexus.internal/board/qemu-virt/fdt"
	"nexus.internal/board/qemu-virt/sbi"
)

// The hooks of package runtime/goos; cpuinit sets its variables RamStart, RamSize
// and Bloc. Package initialisation has not run when they are first called, so
// they rely on nothing but statically initialised variables.

// tickNS is the length of a tick of the time CSR in ns.
var tickNS uint64 = 100

// In assembly.
func ticks() uint64
func waitTimer()

// hwinit0 runs on g0 before the heap exists: the last moment before the runtime
// writes to memory of which the tree might be a part.
//
//go:linkname hwinit0 runtime/goos.Hwinit0
func hwinit0() {
	enableFIFO()
	blob, err := tree()
	if err != nil {
		fatal(statusTree, "device tree", err)
	}
	seed, fault := fdt.Seed(blob)
	if fault != 0 {
		fatal(statusTree, "device tree", fault)
	}
	if len(seed) < seedSize {
		fatal(statusEntropy, "no entropy: /chosen/rng-seed is missing or shorter than 32 bytes", nil)
	}
	seedGenerator(seed)
}

//go:linkname hwinit1 runtime/goos.Hwinit1
func hwinit1() {}

// seedSize is what the generator takes, in bytes.
const seedSize = 32

// generator is ChaCha8 as the runtime's own generator uses it.
var generator rand.ChaCha8

// seedGenerator seeds the generator with all of seed, which it wipes: nobody who
// later reads that memory learns the state. A seed is taken to be uniformly
// random, so folding what exceeds the first 32 bytes into them loses nothing that
// 32 bytes can hold.
func seedGenerator(seed []byte) {
	var key [seedSize]byte
	for i, b := range seed {
		key[i%seedSize] ^= b
	}
	clear(seed)
	generator.Seed(key)
	clear(key[:])
}

// initRNG has nothing left to do: hwinit0 has seeded the generator.
//
//go:linkname initRNG runtime/goos.InitRNG
func initRNG() {}

// Random fills b from the generator that the firmware's entropy has seeded. It
// never fails: without entropy the kernel does not start. It is for one goroutine
// at a time.
func Random(b []byte) { generator.Read(b) }

//go:linkname getRandomData runtime/goos.GetRandomData
func getRandomData(b []byte) { Random(b) }

//go:linkname nanotime runtime/goos.Nanotime
//go:nosplit
func nanotime() int64 {
	// The runtime takes 0 for a broken clock.
	return max(int64(ticks()*tickNS), 1)
}

//go:linkname printk runtime/goos.Printk
//go:nosplit
func printk(c byte) { Printk(c) }

//go:linkname exit runtime/goos.Exit
var exit func(int32) = PowerOff

// OnExit makes the runtime end the kernel through f, after a Go panic for one.
func OnExit(f func(status int32)) { exit = f }

//go:linkname idle runtime/goos.Idle
var idle func(int64) = wait

// wait lets the hart sleep until the runtime's next timer is due. The kernel's
// own goroutine never blocks once it runs processes; before that, nothing but a
// timer could make a blocked one continue.
func wait(until int64) {
	const forever = 1<<63 - 1
	if until == 0 || until == forever {
		fatal(statusBlocked, "every goroutine of the kernel is blocked", nil)
	}
	if err := sbi.SetTimer(uint64(until)/tickNS + 1); err != sbi.Success {
		return // the scheduler polls
	}
	waitTimer()
}
