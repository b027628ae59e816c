//go:build tamago && riscv64

package soak

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Fuzzers, and the budget of each in frames.
const (
	fuzzers    = 10
	fuzzFrames = 1000
	poolSize   = 40
)

// fuzzing lets fuzzers do what they like, with what they have given each other.
func (t *tester) fuzzing() (string, error) {
	target := number("SOAK_CALLS", 100_000)
	rng := newRandom(t.seed, 0)
	var pool [poolSize]uint64
	put := func(h uint64) {
		p := &pool[rng.n(poolSize)]
		if *p != 0 {
			try(abi.SysCapClose, *p)
		}
		*p = h
	}
	answer := func(q *request) {
		if q.moved != 0 {
			put(q.moved)
		}
		copied := uint64(0)
		if h := pool[rng.n(poolSize)]; h != 0 {
			r := ipc.Regs{A: [8]uint64{h}}
			if raw.Trap(abi.SysCapInfo, &r); int64(r.A[0]) >= 0 {
				copied, _ = try(abi.SysCapCopy, h, r.A[1]&^uint64(abi.RightRecv|abi.RightWait))
			}
		}
		if int64(copied) <= 0 {
			copied = 0
		}
		if _, errno := try(abi.SysReply, q.right, abi.FlagNoWait, 0, 0, copied); errno != abi.OK && copied != 0 {
			try(abi.SysCapClose, copied)
		}
	}
	begin := func(i int) error {
		c := &child{frames: fuzzFrames, args: []string{"soak", "fuzz", strconv.Itoa(i), strconv.FormatUint(t.seed*1000003+uint64(t.names), 10)}}
		c.caps = []abi.SpawnCap{{Handle: abi.Handle(spawnCap), Rights: abi.RightManage}, {Handle: abi.Handle(programs), Rights: abi.RightRead | abi.RightExec}}
		if err := t.start(i, c); err != nil {
			return err
		}
		// So that they kill and watch each other.
		if h, errno := try(abi.SysCapCopy, c.handle, uint64(abi.RightRead|abi.RightManage|abi.RightGrant)); errno == abi.OK {
			put(h)
		}
		return nil
	}
	var statuses [4]int // by themselves, killed, faults, out of memory
	done := false
	gone := func(i int, c *child, status int64) error {
		switch status {
		case 0:
			statuses[0]++
		case abi.ExitKilled:
			statuses[1]++
		case abi.ExitFault, exitFault:
			statuses[2]++
		case abi.ExitNoMem:
			statuses[3]++
		default:
			return fmt.Errorf("a fuzzer ended with %d", status)
		}
		if done {
			return nil
		}
		return begin(i)
	}
	for i := range fuzzers {
		if err := begin(i); err != nil {
			return "", err
		}
	}
	for t.made() < target {
		if err := t.step(answer, gone); err != nil {
			return "", err
		}
	}
	made := t.made()
	done = true
	for i, c := range t.children {
		if c != nil && i%2 == 0 {
			try(abi.SysProcessKill, c.handle)
		}
	}
	atomic.StoreUint64(&t.board.stop, 1)
	for t.alive() {
		if err := t.step(answer, gone); err != nil {
			return "", err
		}
	}
	for _, h := range pool {
		if h != 0 {
			try(abi.SysCapClose, h)
		}
	}
	return fmt.Sprintf("%d system calls, %d fuzzers: %d ended, %d killed, %d faults, %d out of memory", made, fuzzers+t.ended, statuses[0], statuses[1], statuses[2], statuses[3]), nil
}
