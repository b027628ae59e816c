// Package selftest is the service "selftest-client": it proves from outside, as an
// ordinary service without special powers, that the others do what they say. Each
// proof ends in one line on the console, "SELFTEST: <name> ok", said only after the
// effect was observed. The first proof that fails says "SELFTEST: <name> FAIL:
// <reason>" and ends the run with status 1.
//
// The order of the lines is that of the ladder in test/qemu.
package selftest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/control"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/keystore"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/state"
	"nexus.internal/svc/timer"
)

// patience bounds each proof: generous, because a machine under emulation may be
// slow, but a proof that hangs must end the run with its name.
const patience = 30 * time.Second

// proof is one line of the ladder.
type proof struct {
	name string
	run  func(ctx context.Context, t *tester) error
}

// said is what the proof says when it holds: its name, and ok unless that is in it.
func (p *proof) said() string {
	if p.name == statefsRejected {
		return p.name
	}
	return p.name + " ok"
}

// errFirstBoot is the result of a proof that takes what an earlier boot of the machine
// has left on the disk, when there was none. It is no proof, and nothing is said.
var errFirstBoot = errors.New("the first boot on this disk")

// tester is what proofs share.
type tester struct {
	env       *svc.Env
	policyd   *svc.Remote
	logd      *svc.Remote
	execd     *svc.Remote
	session   *exec.Session // with execd, from the first proof that needs one
	policy    policy.Client
	journal   journal.Client
	self      uint64         // own service id
	mark      uint64         // id of the newest journal record when the audited questions began
	base      *control.Usage // of the system, before the first attack
	disk      *blk.Disk      // the partition of this service
	keystored *svc.Remote
	timed     *svc.Remote                  // nil in a system without it
	device    [keystore.PublicKeySize]byte // its key
	state     state.Client
	boots     uint64 // of earlier machines on this disk

	date     time.Time // of power-on, by the board's clock
	patience time.Duration
	loop     *loop
}

// Main is the service. The argument "clock=2006-01-02T15:04:05Z" says what the board's clock
// said at power-on and adds the proofs about that, "exec" adds the proofs of execd, "timed"
// those of timed, "rng" those of rngd, "disk" those that take a disk, "mortal" those that
// take the service of that name, "restarts=40" the one in which a service dies so often,
// "drive" those that take a device that works, "attacks" runs hostile services, and
// "attacks=a,b" only these; "patience=2s" bounds each proof otherwise.
func Main(ctx context.Context, env *svc.Env) error {
	if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
		return err
	}
	t := &tester{
		env:       env,
		policyd:   env.Dial("policyd", policy.Protocol),
		logd:      env.Dial("logd", journal.Protocol),
		execd:     env.Dial(execdName, exec.Protocol),
		keystored: env.Dial(keystoredName, keystore.Protocol),
		self:      env.Process.Start().ServiceID,

		patience: patience,
	}
	t.state = state.Client{To: env.Dial("statefsd", state.Protocol), Process: env.Process}
	t.policy, t.journal = policy.Client{To: t.policyd}, journal.Client{To: t.logd}
	var clocks, keys, classes, timeds, entropies, deviceKeys, disks, programs, lives, readers, parallel, drives, restarts, attacks []proof
	if runtime.GOMAXPROCS(0) > 1 {
		parallel = parallelProofs
	}
	for _, arg := range env.Args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "clock":
			var err error
			if t.date, err = time.Parse(time.RFC3339, value); err != nil {
				return fmt.Errorf("argument %q: %w", arg, err)
			}
			clocks = clockProofs
		case "exec":
			classes, programs, lives = []proof{{"qos", qos}}, execProofs, lifeProofs
		case "mortal":
			readers, restarts = readerProofs, restartProofs
		case "restarts":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return fmt.Errorf("argument %q: %w", arg, err)
			}
			restarts = append(restarts, proof{"service endurance", func(ctx context.Context, t *tester) error {
				return serviceEndurance(ctx, t, uint32(n))
			}})
		case "disk":
			keys, deviceKeys, disks = keyProofs, deviceKeyProofs, slices.Concat(diskProofs, lastingKeyProofs, stateProofs)
		case "timed":
			t.timed, timeds = env.Dial("timed", timer.Protocol), timedProofs
		case "rng":
			entropies = rngProofs
		case "drive":
			drives = []proof{{"irq dma", irqDMA}}
		case "attacks":
			attacks = attackProofs(value)
		case "patience":
			var err error
			if t.patience, err = time.ParseDuration(value); err != nil {
				return fmt.Errorf("argument %q: %w", arg, err)
			}
		default:
			return fmt.Errorf("unknown argument %q", arg)
		}
	}
	for _, p := range slices.Concat(clocks, keys, classes, timeds, entropies, deviceKeys, policyProofs, disks, programs, logProofs, readers, ipcProofs, parallel, drives, restarts, lives, attacks) {
		err := t.prove(ctx, p)
		if err == errFirstBoot || err == errGoodDisk {
			continue
		}
		if err != nil {
			env.Say("SELFTEST: %s FAIL: %v", p.name, err)
			return svc.Exit(1)
		}
		env.Say("SELFTEST: %s", p.said())
	}
	env.Say("SELFTEST: end")
	return nil
}

func (t *tester) prove(ctx context.Context, p proof) error {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	return p.run(ctx, t)
}

// want is an error unless got is want.
func want[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

// routed proves that init gave this service a capability to another one that has a badge
// and lets it send and nothing else, and that the other answers on it by its protocol.
func routed(ctx context.Context, to *svc.Remote) error {
	c, err := to.Client(ctx)
	if err != nil {
		return err
	}
	info, err := c.Endpoint().Info()
	if err != nil {
		return err
	}
	if info.Badge == 0 || info.Rights != abi.RightSend {
		return fmt.Errorf("the capability is %+v", info)
	}
	_, err = c.Call(ctx, 0x50, nil, nil)
	return want("status of an unknown operation", err, error(ipc.StatusUnsupported))
}

// logger returns a logger into the journal and a function that waits until what it
// logged is there.
func (t *tester) logger(ctx context.Context) (*slog.Logger, func(context.Context) error) {
	h := journal.NewHandler(t.env.Name, slog.LevelInfo, nil)
	go h.Run(ctx, t.journal)
	return slog.New(h), h.Sync
}
