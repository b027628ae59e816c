// Package hostile is services that attack: the kernel, other services, and the
// limits of the system. Each runs as an ordinary process with nothing but the
// control endpoint, does the worst it can, and reports by its exit status whether
// anything got through. That status is only half of the proof: package selftest
// looks from outside at what the attack did to everybody else.
//
// The attacks never hold back because something is dangerous to the machine they
// run on; under a kernel with a hole they will break it.
package hostile

import (
	"context"
	"errors"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
)

// Exit statuses of an attack.
const (
	Held    = 65 // every attempt was refused; not 0, which an attack could end with by accident
	Through = 66 // something was not
	Unknown = 67 // no such attack

	DiedDriving = 73 // of a driver that dies while its device works
)

// attack is one way to try it. A nil error says that everything was refused.
type attack func(ctx context.Context, a *attacker) error

// attacker is what attacks have: an ordinary process.
type attacker struct {
	env *svc.Env
	p   ipc.Process
}

// named is an attack and what it is called. Lists of them are constants: every
// service is in one binary, and would pay for a map that is filled at the start.
type named struct {
	name string
	run  attack
}

// anywhere are the attacks that need no particular machine.
var anywhere = [...]named{
	{"forged-identity", forgedIdentity},
	{"handles", handles},
	{"widening", widening},
	{"classes", classes},
	{"entropy", entropy},
	{"disk", disk},
	{"keys", keys},
	{"state", keep},
	{"timers", timers},
	{"flood", flood},
	{"flood-pair", floodCalls},
	{"handle-exhaustion", handleExhaustion},
	{"vmo-exhaustion", vmoExhaustion},
	{"fork-bomb", forkBomb},
	{"syscall-fuzz", syscallFuzz},
	{"frame-fuzz", frameFuzz},
	{"spinner", spinner},
	{"die-calling", dieCalling},
	{"die-serving", dieServing},
}

// find returns the attack of that name, or nil.
func find(name string) attack {
	for _, list := range [][]named{anywhere[:], here[:]} {
		for _, n := range list {
			if n.name == name {
				return n.run
			}
		}
	}
	return nil
}

// Main is the service. The last argument names the attack.
func Main(ctx context.Context, env *svc.Env) error {
	f := find(env.Args[len(env.Args)-1])
	if f == nil {
		return svc.Exit(Unknown)
	}
	err := f(ctx, &attacker{env, env.Process})
	var exit svc.Exit
	if errors.As(err, &exit) {
		return exit
	}
	if err != nil {
		env.Say("[ERROR %s] %v", env.Name, err)
		return svc.Exit(Through)
	}
	return svc.Exit(Held)
}

// syscall performs a raw system call and returns a0 and the errno in it.
func (a *attacker) syscall(num uint64, args ...uint64) (uint64, abi.Errno) {
	var r ipc.Regs
	copy(r.A[:7], args)
	a.p.Syscall(num, &r)
	if v := int64(r.A[0]); v < 0 {
		return 0, abi.Errno(-v)
	}
	return r.A[0], abi.OK
}

// refused is an error unless the call was refused with one of the numbers.
func refused(what string, got abi.Errno, want ...abi.Errno) error {
	for _, w := range want {
		if got == w {
			return nil
		}
	}
	return fmt.Errorf("%s: %v, want one of %v", what, got, want)
}

// control is the handle that the process starts with.
var control = uint64(abi.BootHandle(0))
