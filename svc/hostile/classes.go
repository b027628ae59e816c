package hostile

import (
	"context"
	"fmt"

	"nexus.internal/ipc/abi"
)

// classes tries to get more of the harts: for itself, by every part of the word that says
// so, and of others, whom it has no capability to.
func classes(_ context.Context, a *attacker) error {
	own, errno := a.syscall(abi.SysProcessQoS)
	if errno != abi.OK {
		return fmt.Errorf("asking for its own: %v", errno)
	}
	q := abi.QoS(own)
	refusedQoS := func(to abi.QoS, want abi.Errno) error {
		_, errno := a.syscall(abi.SysProcessQoS, 0, uint64(to))
		if err := refused(fmt.Sprintf("changing itself to %#x", to), errno, want); err != nil {
			return err
		}
		if is, errno := a.syscall(abi.SysProcessQoS); errno != abi.OK || abi.QoS(is) != q {
			return fmt.Errorf("after asking for %#x it has %#x, %v, and had %#x", to, is, errno, q)
		}
		return nil
	}
	for bit := range 64 {
		want, to := abi.EINVAL, q^1<<bit
		if to.Within(q) || to == 0 {
			continue // which it may have
		}
		if to.Valid() {
			want = abi.EPERM
		}
		if err := refusedQoS(to, want); err != nil {
			return err
		}
	}
	for _, share := range []uint16{0, abi.MaxShare + 1, abi.MaxShare + 2, 1 << 10, 1<<15 | 1, 1<<16 - 1} {
		if err := refusedQoS(abi.NewQoS(abi.Idle, share, 1), abi.EINVAL); err != nil {
			return err
		}
	}
	for _, to := range []abi.QoS{abi.NewQoS(abi.Idle, 1, 0), abi.NewQoS(abi.Idle, 1, 1<<30), abi.NewQoS(abi.Idle, 1, 1<<31)} {
		if err := refusedQoS(to, abi.EINVAL); err != nil {
			return err
		}
	}
	for c := q.Class() + 1; c < abi.Classes; c++ {
		if err := refusedQoS(abi.NewQoS(c, 1, 1), abi.EPERM); err != nil {
			return err
		}
	}
	idle := uint64(abi.NewQoS(abi.Idle, 1, 1))
	for gen := range uint64(4) {
		for i := range uint64(300) {
			h, want := gen<<32|i, abi.EBADF
			if h == 0 || h == uint64(a.p.Start().Console) {
				continue
			}
			if h == control {
				want = abi.EKIND
			}
			for _, to := range []uint64{0, idle} {
				_, errno := a.syscall(abi.SysProcessQoS, h, to)
				if err := refused(fmt.Sprintf("process_qos of %#x", h), errno, want); err != nil {
					return err
				}
			}
		}
	}
	// Once it has gone down it stays there.
	if _, errno := a.syscall(abi.SysProcessQoS, 0, idle); errno != abi.OK {
		return fmt.Errorf("going down: %v", errno)
	}
	q = abi.QoS(idle)
	return refusedQoS(abi.QoS(own), abi.EPERM)
}
