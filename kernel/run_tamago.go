//go:build tamago && riscv64

package kernel

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"nexus.internal/kernel/core"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/image"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// Exit statuses of the machine that are not the root process's.
const (
	exitBoot  = 100 // the root process could not be started
	exitCheck = 101 // a check at the end of the run failed
)

// Run boots the system and does not return.
func Run(m *Machine) {
	// The kernel allocates while it boots and never again, so there is nothing to
	// collect.
	debug.SetGCPercent(-1)
	l, archive, err := boot(m)
	if err != nil {
		bootFailed(m, err)
	}
	l.faults.init(l)
	print("neuron vers. ", Version, " - One OS. Many Devices.\n")
	if m.WallNS == 0 {
		print("kernel: no clock on this board: time counts from 1970-01-01 at power-on\n")
	}
	l.startOthers() // first, since a process is told how many harts there are
	if err := l.kernel.Boot(archive, m.Archive.Start); err != nil {
		bootFailed(m, err)
	}
	var before, after runtime.MemStats
	run := l.cpus[0].run
	runtime.ReadMemStats(&before)
	// From here on the floating-point unit is the processes'. The kernel must not
	// touch it: an allocation, for one, would trap.
	hart.Init()
	m.OnExit(endByFault)
	hart.FPOff()
	systemstack(run)
	l.stopOthers()
	hart.FPOn() // ReadMemStats computes with floats
	status, _ := l.kernel.Ended()
	runtime.ReadMemStats(&after)
	if !l.check(&before, &after) && status == 0 {
		status = exitCheck
	}
	m.PowerOff(int32(status))
}

// bootFailed ends a machine that has nothing to run.
func bootFailed(m *Machine, err error) {
	print("kernel: PANIC: boot: ", err.Error(), "\n")
	m.PowerOff(exitBoot)
}

// loop is what the hart loops share.
type loop struct {
	m      *Machine
	kernel *core.Kernel
	root   mem.PA
	pool   *mem.Pool
	free   int // frames free before the first process
	tickNS int64
	stacks []mem.Range // of the other harts

	smp  bool  // more than one hart runs: the kernel needs locks
	cpus []cpu // the boot hart first

	faults faults
}

// boot makes the kernel, with no process in it yet, and returns the archive that the
// first one comes from.
func boot(m *Machine) (*loop, *image.Archive, error) {
	regions, stacks := carveStacks(m)
	pool, err := mem.NewPool(m.Free)
	if err != nil {
		return nil, nil, fmt.Errorf("page frames: %w", err)
	}
	var tables mem.Account // the kernel's own page tables
	if !pool.Open(&tables, maxKernelTables) {
		return nil, nil, fmt.Errorf("page tables: %d frames free, %d needed", pool.Free(), maxKernelTables)
	}
	root, err := sv39.BuildKernel(func() (mem.PA, bool) { return pool.Take(&tables) }, regions)
	if err != nil {
		return nil, nil, err
	}
	pool.Close(&tables)
	hart.SetSATP(kernelSATP(root))
	hart.FenceAll()

	raw := mem.Bytes(m.Archive.Start, int(m.Archive.End-m.Archive.Start))
	a, err := image.Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	l := &loop{m: m, root: root, pool: pool, free: pool.Free(), tickNS: int64(m.TickNS), stacks: stacks}
	l.kernel = core.New(core.Config{
		Pool: pool, KernelRoot: root, Console: m.Console, Now: l.now, TickNS: m.TickNS, WallNS: m.WallNS, Seed: m.Seed,
		FencePage: hart.FencePage, FenceSpace: l.fenceSpace, FenceOthers: l.fenceOthers, FenceCode: l.fenceCode, Interrupt: l.interrupt, FP: fpu{},
		Devices: m.Devices, Controller: m.Controller,
	})
	clear(m.Seed[:])
	return l, a, nil
}

// maxKernelTables is enough for the tables of 4 GiB in leaves of 2 MiB with a
// few ranges of 4 KiB leaves.
const maxKernelTables = 64

func (l *loop) now() int64 { return int64(hart.Time()) * l.tickNS }

// Fields of satp (privileged specification, "Supervisor Address Translation and
// Protection Register").
const (
	satpSv39  = 8 << 60
	asidShift = 44
	asidMask  = 1<<16 - 1
)

// kernelSATP is the kernel's own address space, which no process uses: ASID 0.
func kernelSATP(root mem.PA) uint64 { return satpSv39 | uint64(root)>>12 }

// fpu is the floating-point unit of this hart.
type fpu struct{}

func (fpu) Save(s *hart.FPState) { hart.FPSave(s) }
func (fpu) Load(s *hart.FPState) { hart.FPLoad(s) }

// check proves, at the end of a run, what must have held all along, and says so.
func (l *loop) check(before, after *runtime.MemStats) bool {
	ok := l.verdict("w^x walk", l.checkWX())
	ok = l.verdict("kernel heap static", checkHeap(before, after)) && ok
	l.kernel.Shutdown()
	return l.verdict("frames returned", l.checkFrames()) && ok
}

func (l *loop) verdict(name string, err error) bool {
	if err != nil {
		print("KSELFTEST: ", name, " FAIL: ", err.Error(), "\n")
		return false
	}
	print("KSELFTEST: ", name, " ok\n")
	return true
}

func (l *loop) checkWX() error {
	if va, found := sv39.FindWX(l.root); found {
		return fmt.Errorf("kernel page %#x is writable and executable", va)
	}
	if name, va, found := l.kernel.FindWX(); found {
		return fmt.Errorf("page %#x of %s is writable and executable", va, name)
	}
	return nil
}

func checkHeap(before, after *runtime.MemStats) error {
	if n := after.Mallocs - before.Mallocs; n != 0 {
		return fmt.Errorf("%d allocations since boot", n)
	}
	if n := after.Sys - before.Sys; n != 0 {
		return fmt.Errorf("the Go heap took %d bytes since boot", n)
	}
	return nil
}

func (l *loop) checkFrames() error {
	if n := l.pool.Free(); n != l.free {
		return fmt.Errorf("%d frames free, %d before the first process", n, l.free)
	}
	return nil
}
