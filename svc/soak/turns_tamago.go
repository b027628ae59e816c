//go:build tamago && riscv64

package soak

import (
	"fmt"
	"strconv"

	"nexus.internal/ipc/abi"
)

// turnFrames is the budget of a child that takes turns.
const turnFrames = 800

// turns is how many turns each of the parts takes, all children together.
func turns() uint64 { return number("SOAK_TURNS", 20_000) }

// give answers a request with a capability, which moves.
func (t *tester) give(q *request, h uint64) {
	if _, errno := try(abi.SysReply, q.right, abi.FlagNoWait, 0, 0, h); errno != abi.OK && h != 0 {
		try(abi.SysCapClose, h)
	}
}

// finish waits until all children have ended as they should.
func (t *tester) finish(answer func(*request)) error {
	for t.alive() {
		if err := t.step(answer, t.left); err != nil {
			return err
		}
	}
	return nil
}

// left judges the end of a child.
func (t *tester) left(i int, c *child, status int64) error {
	switch status {
	case 0:
		return nil
	case abi.ExitKilled:
		if c.args[1] == "serve" && t.clients() == 0 {
			return nil
		}
	case exitLost:
		return fmt.Errorf("child %d (%v): a wake-up did not come", i, c.args)
	case exitTwice:
		return fmt.Errorf("child %d (%v): a wake-up came twice, or out of turn", i, c.args)
	}
	return fmt.Errorf("child %d (%v) ended with %d", i, c.args, status)
}

// clients returns how many children there are that nobody has to kill.
func (t *tester) clients() (n int) {
	for _, c := range t.children {
		if c != nil && c.args[1] != "serve" {
			n++
		}
	}
	return n
}

// calling lets clients call servers: more clients than harts, so that they wait for
// each other and are woken on other harts than their server's.
func (t *tester) calling() (string, error) {
	const servers, clients = 2, 3
	var at [servers]uint64
	ready := 0
	answer := func(q *request) {
		at[q.badge-1] = q.moved
		ready++
		t.give(q, 0)
	}
	for i := range servers {
		if err := t.start(i, &child{frames: turnFrames, args: []string{"soak", "serve", strconv.Itoa(i)}}); err != nil {
			return "", err
		}
	}
	for ready < servers {
		if err := t.step(answer, func(i int, _ *child, status int64) error { return fmt.Errorf("server %d ended with %d", i, status) }); err != nil {
			return "", err
		}
	}
	n := turns()
	for i := servers; i < servers*(1+clients); i++ {
		c := &child{frames: turnFrames, args: []string{"soak", "call", strconv.Itoa(i), strconv.FormatUint(n/(servers*clients), 10)}}
		c.caps = []abi.SpawnCap{{Handle: abi.Handle(at[i%servers]), Rights: abi.RightSend}}
		if err := t.start(i, c); err != nil {
			return "", err
		}
	}
	for t.clients() > 0 {
		if err := t.step(answer, t.left); err != nil {
			return "", err
		}
	}
	for i := range servers {
		try(abi.SysProcessKill, t.children[i].handle)
		try(abi.SysCapClose, at[i])
	}
	return fmt.Sprintf("%d", n), t.finish(answer)
}

// notifying lets pairs of processes wake each other by turns.
func (t *tester) notifying() (string, error) {
	return t.pairs(turns(), 3, func(int) abi.QoS { return abi.DefaultQoS })
}

// apart lets two processes wake each other that have a hart each, which nobody else gives
// work to: the root process keeps to another from here on. Where others are, a hart that
// misses a wake-up looks around again soon, or has its thread taken from it. Each turn
// wakes a hart that sleeps, which takes twenty times as long as a turn of the others, so
// that there are fewer.
func (t *tester) apart() (string, error) {
	const others = 2
	if t.harts <= others {
		return "left out, there are too few harts", nil
	}
	alone := func(hart int) abi.QoS { return abi.NewQoS(abi.Normal, abi.DefaultShare, 1<<hart) }
	if _, errno := try(abi.SysProcessQoS, 0, uint64(alone(0))); errno != abi.OK {
		return "", fmt.Errorf("keeping to a hart: %w", errno)
	}
	return t.pairs(turns()/20+10_000, 1, func(i int) abi.QoS { return alone(1 + i) })
}

// pairs lets pairs of processes wake each other n times together, process i with the QoS
// qos(i).
func (t *tester) pairs(n uint64, pairs int, qos func(i int) abi.QoS) (string, error) {
	first := make([]*request, pairs)
	answer := func(q *request) {
		p := (q.badge - 1) / 2
		if first[p] == nil {
			first[p] = q
			return
		}
		other := first[p].moved
		t.give(first[p], q.moved)
		t.give(q, other)
	}
	for i := range 2 * pairs {
		each := strconv.FormatUint(n/uint64(2*pairs), 10)
		err := t.start(i, &child{frames: turnFrames, qos: qos(i), args: []string{"soak", "notify", strconv.Itoa(i), strconv.Itoa(i ^ 1), strconv.Itoa(i & 1), each}})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d", n), t.finish(answer)
}

// futexing lets the two threads of some processes wake each other by turns.
func (t *tester) futexing() (string, error) {
	const processes = 3
	n := turns()
	for i := range processes {
		if err := t.start(i, &child{frames: turnFrames, args: []string{"soak", "futex", strconv.Itoa(i), strconv.FormatUint(n/(2*processes), 10)}}); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d", n), t.finish(func(q *request) { t.give(q, 0) })
}
