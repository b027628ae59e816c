package hostile

import (
	"context"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/timer"
)

// near is how far in front of its own timers, whose numbers only go up, the attack looks
// for those of others.
const near = 2 * timer.MaxTimers

// timers takes all the timers of timed that it can get, tries to cancel everybody else's,
// and begins again. It is killed with all it got.
func timers(ctx context.Context, a *attacker) error {
	c, err := a.env.Dial("timed", timer.Protocol).Client(ctx)
	if err != nil {
		return err
	}
	s, err := timer.Open(ctx, a.p, c)
	if err != nil {
		return err
	}
	if _, err := timer.Open(ctx, a.p, c); err != ipc.StatusInvalidArgs {
		return fmt.Errorf("a second session: %v", err)
	}
	for {
		var mine []uint32
		for {
			id, _, err := s.Register(ctx, abi.PerfBurst, 1<<62)
			if err == ipc.StatusOverLimit {
				break
			}
			if err != nil {
				return err
			}
			mine = append(mine, id)
		}
		if len(mine) != timer.MaxTimers {
			return fmt.Errorf("%d timers", len(mine))
		}
		own := map[uint32]bool{}
		for _, id := range mine {
			own[id] = true
		}
		for id := mine[0] - near; id != mine[timer.MaxTimers-1]+near; id++ {
			if own[id] {
				continue
			}
			if err := s.Cancel(ctx, id); err != ipc.StatusNotFound {
				return fmt.Errorf("timer %d of somebody else: %v", id, err)
			}
		}
		for _, id := range mine {
			if err := s.Cancel(ctx, id); err != nil {
				return fmt.Errorf("own timer %d: %w", id, err)
			}
		}
	}
}
