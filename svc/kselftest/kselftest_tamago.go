//go:build tamago && riscv64

package kselftest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/raw"
)

// proof is one marker.
type proof struct {
	marker string // as it is printed
	run    func(*tester)
}

// proofs in the order of the ladder.
var proofs = []proof{
	{"as create ok", asCreate},
	{"vmo zero ok", vmoZero},
	{"userptr guard ok", userptrGuard},
	{"as map ok", asMap},
	{"spawn ok", spawned},
	{"w^x enforced", wxEnforced},
	{"mmio owner ok", mmioOwner},
	{"vmo seal ok", vmoSeal},
	{"vmo share ok", vmoShare},
	{"vmo exec ok", vmoExec},
	{"process usage ok", processUsage},
	{"ipc queue full ok", queueFull},
	{"ipc bytes full ok", bytesFull},
	{"ipc global bytes budget ok", serverQuota},
	{"ipc owner bytes budget ok", clientQuota},
	{"ipc recv waiter fifo ok", recvFIFO},
	{"ipc send waiter fifo ok", sendFIFO},
	{"ipc send unblock ok", sendUnblock},
	{"ipc endpoint quota ok", endpointQuota},
	{"ipc close wakes ok", closeWakes},
	{"ipc owner-exit wakes ok", ownerExitWakes},
	{"threads ok", threads},
	{"futex ok", futexes},
	{"revoke ok", revoke},
	{"stale handles ok", staleHandles},
	{"deadline ok", deadlines},
	{"timers ok", timers},
	{"spawn reasons ok", spawnReasons},
	{"resource sentinel ok", resourceSentinel},
	{"exit ok", exits},
	{"wait ok", waits},
	{"orphans ok", orphans},
	{"spawn rounds ok", spawnRounds},
	{"fault record ok", faultRecord},
	{"flight recorder ok", flightRecorder},
	{"preemption ok", preemption},
	{"fp state ok", fpState},
	{"test_reject_qos ok", rejectQoS},
	{"class donation ok", donation},
	{"class wake-up ok", wakeUp},
}

// rolePuppet in argument 1 makes a process a puppet. For the root process the
// arguments say what to start after the proofs.
const rolePuppet = "puppet"

// Main is the service. Arguments of the root process: name and budget in frames of
// the process to start after the proofs, and the arguments of that.
func Main(_ context.Context, env *svc.Env) error {
	if len(env.Args) > 1 && env.Args[1] == rolePuppet {
		puppet()
	}
	// The counts must not move because of this process. What is allocated here is
	// little, and nothing else runs.
	debug.SetGCPercent(-1)
	raw.Trap(abi.SysFaultHandler, new(ipc.Regs))
	if len(env.Args) < 3 {
		return errors.New("no process to start after the proofs")
	}
	frames, err := strconv.ParseUint(env.Args[2], 10, 32)
	if err != nil {
		return fmt.Errorf("budget of %s: %w", env.Args[1], err)
	}
	if err := prove(env); err != nil {
		return err
	}
	return hand(env.Args[1], frames, env.Args[3:])
}

// prove runs all proofs.
func prove(env *svc.Env) error {
	own := caller(self)
	t := &tester{programs: findPrograms()}
	if t.programs == 0 {
		return errors.New("the archive has no programs for the proofs")
	}
	t.orders = own.sys(abi.SysEndpointCreate, 64, 0)
	t.watch = own.sys(abi.SysNotificationCreate, watchKey)
	t.arm(t.orders, orderAccept, 0)
	first := t.counts()
	all := slices.Concat(proofs, mmioRejects())
	if harts() > 1 {
		all = slices.Concat(all, smpProofs)
	}
	for _, p := range all {
		reason := t.hold(p)
		if reason != "" {
			env.Say("KSELFTEST: %s FAIL: %s", strings.TrimSuffix(p.marker, " ok"), reason)
			return svc.Exit(1)
		}
		env.Say("KSELFTEST: %s", p.marker)
	}
	if diff := t.counts().differ(first); diff != "" {
		env.Say("KSELFTEST: proofs FAIL: after all of them: %s", diff)
		return svc.Exit(1)
	}
	closeAll(t.orders, t.watch)
	return nil
}

// hold runs one proof and returns why it does not hold, or "".
func (t *tester) hold(p proof) (reason string) {
	before := t.counts()
	defer func() {
		if e := recover(); e != nil {
			f, ok := e.(failure)
			if !ok {
				panic(e)
			}
			reason = string(f)
		}
	}()
	p.run(t)
	t.dropAll()
	return t.counts().differ(before)
}

// findPrograms returns the archive entry with the small programs, 0 if there is
// none.
func findPrograms() uint64 {
	b := new([16]byte)
	for i := 2; i < int(raw.StartPage().NumCaps); i++ {
		h := uint64(abi.BootHandle(i))
		if _, errno := caller(self).try(abi.SysVMORead, h, 0, raw.AddressOf(b), uint64(len(b))); errno == abi.OK &&
			string(b[MagicOffset:][:len(ProgramMagic)]) == ProgramMagic {
			return h
		}
	}
	return 0
}

// hand starts the root process of the system that is tested, with what the kernel
// would have given it, waits for its end and returns its status.
func hand(name string, frames uint64, args []string) error {
	own := caller(self)
	skip := findPrograms()
	var caps []abi.SpawnCap
	for i := range int(raw.StartPage().NumCaps) {
		h := abi.BootHandle(i)
		if uint64(h) != skip {
			info := self4(abi.SysCapInfo, uint64(h))
			caps = append(caps, abi.SpawnCap{Handle: h, Rights: abi.Rights(info[1])})
		}
	}
	if len(caps) > abi.MaxSpawnCaps {
		return fmt.Errorf("%d entries in the archive are too many to hand over", len(caps)-2)
	}
	s := newSpec(name, services, 0, self4(abi.SysCapInfo, services)[3], frames, nil, caps...)
	s.setBoot(args, os.Environ(), nil)
	s.Console = 2
	t := &tester{watch: own.sys(abi.SysNotificationCreate, watchKey)}
	p, errno := t.trySpawn(s)
	if errno != abi.OK {
		return fmt.Errorf("starting %s: %v", name, errno)
	}
	own.sys(abi.SysProcessWatch, p.handle, t.watch, 1)
	t.wait(0, 0, 0, 0)
	if status := int64(p.state()[1]); status != 0 {
		return svc.Exit(status)
	}
	return nil
}

// counts is what is in use in the system.
type counts struct {
	frames     uint64 // free ones, and those that this process and its children have touched
	unreserved uint64
	processes  uint64
	caps       uint64
	calls      uint64 // without those of puppets that wait for orders
	budget     uint64 // of this process
}

// counts returns what is in use. It is several system calls, and children run beside
// them: it is true when it comes out the same twice.
func (t *tester) counts() counts {
	c, again := t.sample(), t.sample()
	for end := now() + int64(patience); c != again; c, again = again, t.sample() {
		check(now() < end, "the counts of the system do not come to rest: %+v, then %+v", c, again)
		caller(self).sys(abi.SysYield)
	}
	return c
}

func (t *tester) sample() counts {
	info, me := self4(abi.SysSystemInfo, spawnCap), self4(abi.SysProcessInfo, 0)
	c := counts{frames: info[1] + me[3], unreserved: info[2], processes: info[3], caps: info[4], calls: info[5], budget: me[4]}
	for _, p := range t.children {
		c.frames += p.state()[3]
		if p.idle {
			c.calls--
		}
	}
	return c
}

// differ says what is not as it was, or "".
func (c counts) differ(was counts) string {
	if c == was {
		return ""
	}
	return fmt.Sprintf("not everything came back: %+v, was %+v", c, was)
}
