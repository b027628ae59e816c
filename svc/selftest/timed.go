package selftest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/timer"
	"nexus.internal/svc/wire"
)

// timedProofs take timed, and a board with a clock.
var timedProofs = []proof{
	{"timed coalesce", timedCoalesce},
	{"timed limits", timedLimits},
	{"timed sleep", timedSleep},
	{"timed clocks", timedClocks},
}

// timers opens a session with timed.
func (t *tester) timers(ctx context.Context) (*timer.Session, error) {
	c, err := t.timed.Client(ctx)
	if err != nil {
		return nil, err
	}
	return timer.Open(ctx, t.env.Process, c)
}

// fired is a timer of the proof below.
type fired struct {
	id        uint32
	due, woke int64
}

// timedCoalesce: timers are due at the end of their window, none fires before that, those
// of one window fire in one wake-up, and all come in order.
func timedCoalesce(ctx context.Context, t *tester) error {
	// Far enough ahead that all are there before the first is due, however slow the machine.
	for ahead := 4 * timer.Window(abi.Idle); ; ahead *= 2 {
		s, err := t.timers(ctx)
		if err != nil {
			return err
		}
		now := t.env.Process.Now() + ahead
		base := now - now%timer.Window(abi.Idle)
		timers, err := t.registered(ctx, s, base)
		inTime := t.env.Process.Now() < base
		if err == nil && inTime {
			err = t.fire(ctx, s, timers)
		}
		if err = errors.Join(err, s.Close(ctx)); err != nil || inTime {
			return err
		}
	}
}

// registered returns timers that are due behind base, in this order, two by two in one
// wake-up.
func (t *tester) registered(ctx context.Context, s *timer.Session, base int64) (timers []fired, err error) {
	for _, w := range []struct {
		class      abi.Class
		ahead, due int64
	}{
		{abi.PerfBurst, 400_001, 400_001},
		{abi.PerfBurst, 400_001, 400_001},
		{abi.Interactive, 100_000, 1_000_000},
		{abi.Interactive, 1_000_000, 1_000_000},
		{abi.Normal, 1, 4_000_000},
		{abi.Normal, 3_999_999, 4_000_000},
		{abi.Idle, 100, 8_000_000},
		{abi.Idle, 7_500_000, 8_000_000},
	} {
		id, due, err := s.Register(ctx, w.class, base+w.ahead)
		if err != nil {
			return nil, fmt.Errorf("%v, %d ahead: %w", w.class, w.ahead, err)
		}
		if err := want(fmt.Sprintf("time when %v, %d ahead, is due", w.class, w.ahead), due-base, w.due); err != nil {
			return nil, err
		}
		timers = append(timers, fired{id: id, due: due})
	}
	canceled, _, err := s.Register(ctx, abi.PerfBurst, base)
	if err != nil {
		return nil, err
	}
	if err := s.Cancel(ctx, canceled); err != nil {
		return nil, fmt.Errorf("cancel: %w", err)
	}
	return timers, nil
}

// fire waits until the timers have fired and verifies how.
func (t *tester) fire(ctx context.Context, s *timer.Session, timers []fired) error {
	var order []uint32
	for len(order) < len(timers) {
		woke, ids, err := s.Next(ctx)
		if err != nil {
			return err
		}
		if now := t.env.Process.Now(); woke > now {
			return fmt.Errorf("fired at %d, which is after %d", woke, now)
		}
		for _, id := range ids {
			i := slices.IndexFunc(timers, func(f fired) bool { return f.id == id })
			if i < 0 || timers[i].woke != 0 || woke < timers[i].due {
				return fmt.Errorf("timer %d fired at %d; timers are %+v", id, woke, timers)
			}
			timers[i].woke = woke
		}
		order = append(order, ids...)
	}
	for i, f := range timers {
		if order[i] != f.id {
			return fmt.Errorf("fired in the order %d; timers are %+v", order, timers)
		}
		if i%2 == 1 && f.woke != timers[i-1].woke {
			return fmt.Errorf("two wake-ups for one window: %+v", timers)
		}
	}
	return nil
}

// timedLimits: requests that say what cannot be, one timer too many, and a cancel of what
// is not there get each a status of its own; decisions are on record.
func timedLimits(ctx context.Context, t *tester) error {
	s, err := t.timers(ctx)
	if err != nil {
		return err
	}
	later := t.env.Process.Now() + int64(time.Hour)
	var ids []uint32
	for i := range timer.MaxTimers {
		id, _, err := s.Register(ctx, abi.Idle, later)
		if err != nil {
			return fmt.Errorf("timer %d: %w", i, err)
		}
		ids = append(ids, id)
	}
	refused := func(what string, status ipc.Status, op uint16, payload []byte) error {
		_, err := t.timed.Call(ctx, op, payload, make([]byte, ipc.MaxInlinePayload))
		return want("status of "+what, err, error(status))
	}
	ask := func(class byte, deadline int64) []byte { return wire.AppendU64([]byte{class}, uint64(deadline)) }
	for _, w := range []struct {
		what    string
		status  ipc.Status
		op      uint16
		payload []byte
	}{
		{"one timer more", ipc.StatusOverLimit, timer.OpRegister, ask(0, later)},
		{"a sleep beside them", ipc.StatusOverLimit, timer.OpSleep, ask(0, 1)},
		{"a class that is none", ipc.StatusInvalidArgs, timer.OpRegister, ask(0xff, later)},
		{"a time that is none", ipc.StatusInvalidArgs, timer.OpRegister, ask(3, -1)},
		{"half a request", ipc.StatusMalformed, timer.OpRegister, ask(0, later)[:5]},
		{"a timer that is not there", ipc.StatusNotFound, timer.OpCancel, wire.AppendU32(nil, ids[len(ids)-1]+1)},
		{"a second session", ipc.StatusInvalidArgs, timer.OpOpen, nil},
		{"an unknown operation", ipc.StatusUnsupported, 0x50, nil},
	} {
		if err := refused(w.what, w.status, w.op, w.payload); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if err := s.Cancel(ctx, id); err != nil {
			return fmt.Errorf("cancel %d: %w", id, err)
		}
	}
	if err := want("status of a second cancel", s.Cancel(ctx, ids[0]), error(ipc.StatusNotFound)); err != nil {
		return err
	}
	if _, _, err := s.Register(ctx, abi.Idle, later); err != nil {
		return fmt.Errorf("a timer when there is room again: %w", err)
	}
	if err := s.Close(ctx); err != nil {
		return err
	}
	if err := refused("a long sleep", ipc.StatusOverLimit, timer.OpSleep, ask(3, later)); err != nil {
		return err
	}
	if err := refused("a timer without a session", ipc.StatusNotFound, timer.OpRegister, ask(0, later)); err != nil {
		return err
	}
	for _, end := range []string{"allow reason=applied", "deny reason=over_limit", "deny reason=invalid_args", "deny reason=malformed"} {
		line := "audit register decision=" + end
		_, err := t.journal.Find(ctx, 0, func(e *journal.Entry) bool {
			return e.Service == manifest.ServiceID("timed") && e.Text == line
		})
		if err != nil {
			return fmt.Errorf("no %q: %w", line, err)
		}
	}
	return nil
}

// timedSleep: a sleep ends when it is due and not before, and while somebody sleeps for
// long, others are answered.
func timedSleep(ctx context.Context, t *tester) error {
	c := timer.Client{To: t.timed}
	for _, class := range []abi.Class{abi.Idle, abi.Normal, abi.Interactive, abi.PerfBurst} {
		deadline := t.env.Process.Now() + int64(2100*time.Microsecond)
		due, _ := timer.Due(class, uint64(deadline))
		woke, err := c.Sleep(ctx, class, deadline)
		if err != nil {
			return fmt.Errorf("%v: %w", class, err)
		}
		if now := t.env.Process.Now(); woke < due || now < woke {
			return fmt.Errorf("%v: woke at %d, due at %d, and it is %d", class, woke, due, now)
		}
	}
	long, cancel := context.WithCancel(ctx)
	defer cancel()
	slept := make(chan error, 1)
	start := t.env.Process.Now()
	go func() {
		_, err := c.Sleep(long, abi.PerfBurst, start+timer.MaxSleep)
		slept <- err
	}()
	const others = 20
	for range others {
		if _, err := c.Sleep(ctx, abi.PerfBurst, t.env.Process.Now()+int64(time.Millisecond)); err != nil {
			return err
		}
	}
	select {
	case err := <-slept:
		if t.env.Process.Now() < start+timer.MaxSleep {
			return fmt.Errorf("the long sleep ended early: %v", err)
		}
		return fmt.Errorf("%d sleeps of 1 ms took longer than one of %d ns", others, timer.MaxSleep)
	default:
		return nil
	}
}

// timedClocks: the clocks that timed tells are those that everybody has.
func timedClocks(ctx context.Context, t *tester) error {
	c := timer.Client{To: t.timed}
	zero := t.env.Process.Start().WallNS
	for range 100 {
		before, early := t.env.Process.Now(), time.Now()
		now, err := c.Monotonic(ctx)
		if err != nil {
			return err
		}
		wall, mono, err := c.Wall(ctx)
		if err != nil {
			return err
		}
		after, late := t.env.Process.Now(), time.Now()
		if now < before || mono < now || after < mono {
			return fmt.Errorf("times %d, %d, %d, %d", before, now, mono, after)
		}
		if err := want("wall clock at power-on", wall.UnixNano()-mono, zero); err != nil {
			return err
		}
		if wall.Before(early.Round(0)) || wall.After(late.Round(0)) {
			return fmt.Errorf("wall clocks %v, %v, %v", early, wall, late)
		}
	}
	return nil
}

// timersUnderAttack registers timers while somebody else takes all that he can get and
// tries to cancel them: each is told of. That there is somebody shows in the numbers.
func timersUnderAttack(ctx context.Context, t *tester) error {
	s, err := t.timers(ctx)
	if err != nil {
		return err
	}
	last := uint32(0)
	for rounds := 0; rounds < pings; {
		id, due, err := s.Register(ctx, abi.Normal, t.env.Process.Now())
		if err != nil {
			return fmt.Errorf("timer %d: %w", rounds, err)
		}
		woke, ids, err := s.Next(ctx)
		if err != nil || woke < due || !slices.Equal(ids, []uint32{id}) {
			return fmt.Errorf("timer %d, due at %d: %d at %d, %v", id, due, ids, woke, err)
		}
		if last != 0 && id > last+1 {
			rounds++
		}
		last = id
	}
	return errors.Join(s.Close(ctx), t.answers(ctx))
}
