package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// A hart that does not have the kernel to itself hands over between processes that are
// at home on it, as the general path would, and touches nothing else.
func TestDirectAtHome(t *testing.T) {
	for _, tt := range []struct {
		name string
		home bool
		edit func(s *sim, c, v proc, x *[32]uint64)
	}{
		{"both at home", true, func(s *sim, c, v proc, x *[32]uint64) {}},
		{"server elsewhere", false, func(s *sim, c, v proc, x *[32]uint64) { v.main.hart = 1 }},
		{"client with two threads", false, func(s *sim, c, v proc, x *[32]uint64) { c.numThreads = 2 }},
		{"server with two threads", false, func(s *sim, c, v proc, x *[32]uint64) { v.numThreads = 2 }},
		{"client is doomed", false, func(s *sim, c, v proc, x *[32]uint64) { c.doomed = true }},
		{"system has ended", false, func(s *sim, c, v proc, x *[32]uint64) { s.ended = true }},
		{"deadline of the call", false, func(s *sim, c, v proc, x *[32]uint64) { x[hart.A3] = uint64(s.clock + 100) }},
		{"deadline of the wait", false, func(s *sim, c, v proc, x *[32]uint64) { x[hart.S10] = uint64(s.clock + 100) }},
		{"floating-point registers of another thread", false, func(s *sim, c, v proc, x *[32]uint64) {
			s.root.main.Frame.Status |= statusFS
			s.h.fpOwner = s.root.main.id
		}},
		{"another call", false, func(s *sim, c, v proc, x *[32]uint64) { x[hart.A7] = abi.SysYield }},
	} {
		for _, num := range []uint64{abi.SysCall, abi.SysReply} {
			if num == abi.SysReply && tt.name == "deadline of the wait" {
				continue // it is in another register there
			}
			s := newSim(t)
			c, v, ep, recv := s.pair()
			v.wait(recv, 5)
			r := regs{A: [7]uint64{ep, 8, 42}, Data: [8]uint64{7, 6, 5}}
			from, to := c, v
			if num == abi.SysReply {
				c.call(ep, 42)
				from, to = v, c
				r.A = [7]uint64{v.request(5).right, 8, recv}
			}
			from.schedule()
			x := &from.main.Frame.X
			copy(x[hart.A0:], r.A[:])
			x[hart.A7], x[hart.S10] = num, r.S10
			copy(x[hart.S2:], r.Data[:])
			from.main.Frame.Full = 0
			tt.edit(s, from, to, x)
			before, n := *to.main, s.h.flight.n
			next := s.DirectAtHome(s.h, from.main)
			if !tt.home {
				if next != nil || *to.main != before || from.main.state != threadRunning || s.h.flight.n != n {
					t.Errorf("%s, call %d: handed over", tt.name, num)
				}
				continue
			}
			if next != to.main || s.Current() != to.main || from.main.state != threadWaiting {
				t.Fatalf("%s, call %d: not handed over", tt.name, num)
			}
			s.check()
			if num == abi.SysCall && to.request(5).data[1] != 6 || num == abi.SysReply && to.reply(42, abi.OK).data[1] != 6 {
				t.Errorf("%s, call %d: message %v", tt.name, num, to.event().data)
			}
		}
	}
}
