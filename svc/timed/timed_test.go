//go:build !tamago

package timed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/svctest"
	"nexus.internal/svc/timed"
	"nexus.internal/svc/timer"
	"nexus.internal/svc/wire"
)

// client is what the tests have.
type client struct {
	timer.Client
	env    *svc.Env
	to     *svc.Remote
	booted chan *svctest.System // once
}

// open opens a session.
func (c *client) open(ctx context.Context) (*timer.Session, error) {
	ic, err := c.to.Client(ctx)
	if err != nil {
		return nil, err
	}
	return timer.Open(ctx, c.env.Process, ic)
}

// work is what a client does. The test fails if it returns an error.
type work func(ctx context.Context, c *client) error

// system boots init, policyd, logd, timed, and a client for each work.
func system(t *testing.T, works ...work) {
	t.Helper()
	service := func(name string, calls ...manifest.Call) manifest.Service {
		return manifest.Service{Name: name, Program: name, Frames: 1024, Ready: 5 * time.Second, Console: true, Calls: calls}
	}
	m := &manifest.Manifest{Version: manifest.Version, Services: []manifest.Service{
		service("policyd", manifest.Call{Name: "logd", Lazy: true}), service("logd", manifest.Call{Name: "policyd"}),
		service("timed", manifest.Call{Name: "logd"}),
	}}
	rules := map[string][]string{"init": {"ipc.core", "policy.delegate"}, "policyd": {"ipc.core"}, "logd": {"ipc.core", "policy.delegate"}, "timed": {"ipc.core"}}
	table := svc.Table{"policyd": policyd.Main, "logd": logd.Main, "timed": timed.Main}
	results, booted := make(chan error), make(chan *svctest.System, len(works))
	for i, w := range works {
		name := fmt.Sprintf("client%d", i)
		m.Services = append(m.Services, service(name, manifest.Call{Name: "timed"}, manifest.Call{Name: "logd"}))
		rules[name] = []string{"ipc.core", "log.read"}
		table[name] = func(ctx context.Context, env *svc.Env) error {
			if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
				return err
			}
			to := env.Dial("timed", timer.Protocol)
			results <- w(ctx, &client{timer.Client{To: to}, env, to, booted})
			return nil
		}
	}
	sys := svctest.Boot(t, m, rules, table)
	for range works {
		booted <- sys
	}
	for range works {
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a client does not end")
		}
	}
}

// Timers fire in order, none early, and those of one window in one wake-up.
func TestCoalesce(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		// Far enough ahead that all are there before the first is due, however busy the machine.
		for ahead := int64(32e6); ; ahead *= 2 {
			s, err := c.open(ctx)
			if err != nil {
				return err
			}
			base := (c.env.Process.Now() + ahead) / 8e6 * 8e6
			dues := map[uint32]int64{}
			var want []uint32
			for _, w := range []struct {
				class      abi.Class
				ahead, due int64
			}{{abi.PerfBurst, 1, 1}, {abi.Normal, 3e6, 4e6}, {abi.Normal, 1, 4e6}, {abi.Normal, 2e6, 4e6}, {abi.Idle, 1, 8e6}} {
				id, due, err := s.Register(ctx, w.class, base+w.ahead)
				if err != nil || due != base+w.due {
					return fmt.Errorf("%v, %d ahead: due %d, %v; want %d", w.class, w.ahead, due, err, base+w.due)
				}
				dues[id] = due
				want = append(want, id)
			}
			if c.env.Process.Now() >= base {
				if err := s.Close(ctx); err != nil {
					return err
				}
				continue
			}
			woken := map[uint32]int64{}
			var got []uint32
			for len(got) < len(want) {
				woke, ids, err := s.Next(ctx)
				if err != nil {
					return err
				}
				for _, id := range ids {
					if woke < dues[id] {
						return fmt.Errorf("timer %d woke at %d, due at %d", id, woke, dues[id])
					}
					woken[id] = woke
				}
				got = append(got, ids...)
			}
			if !slices.Equal(got, want) || woken[want[1]] != woken[want[2]] || woken[want[2]] != woken[want[3]] {
				return fmt.Errorf("fired %d at %v, want %d and those of a window together", got, woken, want)
			}
			return s.Close(ctx)
		}
	})
}

// A wake-up with more timers than one answer takes is told in several.
func TestManyTimers(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		s, err := c.open(ctx)
		if err != nil {
			return err
		}
		deadline := c.env.Process.Now() + 20e6
		for i := range timer.MaxTimers {
			if _, _, err := s.Register(ctx, abi.Idle, deadline); err != nil {
				return fmt.Errorf("timer %d: %w", i, err)
			}
		}
		if _, _, err := s.Register(ctx, abi.Idle, deadline); err != ipc.StatusOverLimit {
			return fmt.Errorf("one more: %v", err)
		}
		first, got := int64(0), 0
		for got < timer.MaxTimers {
			woke, ids, err := s.Next(ctx)
			if err != nil {
				return err
			}
			if first == 0 {
				first = woke
			}
			if want := min(timer.MaxFired, timer.MaxTimers-got); len(ids) != want || woke != first {
				return fmt.Errorf("%d timers at %d, want %d at %d", len(ids), woke, want, first)
			}
			got += len(ids)
		}
		return nil
	})
}

// A sleep ends when it is due, and blocks nobody, whoever else sleeps and however long.
func TestSleep(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		errs := make(chan error)
		start := c.env.Process.Now()
		for i := range timer.MaxTimers {
			deadline := start + int64(timer.MaxTimers-i)*1e6
			go func() {
				woke, err := c.Sleep(ctx, abi.PerfBurst, deadline)
				if err == nil && woke < deadline {
					err = fmt.Errorf("woke at %d, before %d", woke, deadline)
				}
				errs <- err
			}()
		}
		for range 10 {
			if _, err := c.Monotonic(ctx); err != nil {
				return err
			}
		}
		for range timer.MaxTimers {
			if err := <-errs; err != nil {
				return err
			}
		}
		if _, err := c.Sleep(ctx, abi.PerfBurst, c.env.Process.Now()+timer.MaxSleep+1e9); err != ipc.StatusOverLimit {
			return fmt.Errorf("a long sleep: %v", err)
		}
		before := c.env.Process.Now()
		if woke, err := c.Sleep(ctx, abi.PerfBurst, 1); err != nil || woke < before {
			return fmt.Errorf("a sleep that is over: woke at %d, %v", woke, err)
		}
		return nil
	})
}

// A call of Next is ended by the next one, and one that was given up takes nothing away.
func TestNext(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		s, err := c.open(ctx)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		_, _, err = s.Next(short)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("without timers: %v", err)
		}
		id, due, err := s.Register(ctx, abi.Interactive, c.env.Process.Now())
		if err != nil {
			return err
		}
		if _, err := c.Sleep(ctx, abi.PerfBurst, due); err != nil { // it has fired, and there was nobody to tell
			return err
		}
		woke, ids, err := s.Next(ctx)
		if err != nil || woke < due || !slices.Equal(ids, []uint32{id}) {
			return fmt.Errorf("after one that was given up: %d at %d, %v", ids, woke, err)
		}
		errs := make(chan error)
		for range 2 {
			go func() {
				_, _, err := s.Next(ctx)
				errs <- err
			}()
		}
		if err := <-errs; err != ipc.StatusUnavailable {
			return fmt.Errorf("the first of two: %v", err)
		}
		if err := s.Close(ctx); err != nil {
			return err
		}
		if err := <-errs; err != ipc.StatusNotFound {
			return fmt.Errorf("when the session ends: %v", err)
		}
		return nil
	})
}

// A process is told of its own timers only, and cancels no others.
func TestRejectCancelByOthers(t *testing.T) {
	id, tried := make(chan uint32), make(chan struct{})
	system(t, func(ctx context.Context, c *client) error {
		s, err := c.open(ctx)
		if err != nil {
			return err
		}
		n, _, err := s.Register(ctx, abi.Normal, c.env.Process.Now()+50e6)
		if err != nil {
			return err
		}
		gone, _, err := s.Register(ctx, abi.PerfBurst, c.env.Process.Now()+1e6)
		if err != nil {
			return err
		}
		if err := s.Cancel(ctx, gone); err != nil {
			return err
		}
		id <- n
		<-tried
		if _, ids, err := s.Next(ctx); err != nil || !slices.Equal(ids, []uint32{n}) {
			return fmt.Errorf("fired: %d, %v; want %d", ids, err, n)
		}
		if err := s.Cancel(ctx, n); err != ipc.StatusNotFound {
			return fmt.Errorf("cancelling what was told: %v", err)
		}
		return nil
	}, func(ctx context.Context, c *client) error {
		defer close(tried)
		n := <-id
		s, err := c.open(ctx)
		if err != nil {
			return err
		}
		if err := s.Cancel(ctx, n); err != ipc.StatusNotFound {
			return fmt.Errorf("somebody else's timer: %v", err)
		}
		return nil
	})
}

// When a process has ended, what it had is free for others: sixteen take all there is, and
// the next one finds room.
func TestOwnerDeath(t *testing.T) {
	const owners = timer.MaxTotal / timer.MaxTimers
	taken := make(chan struct{}, owners)
	full := make(chan struct{})
	var works []work
	for range owners {
		works = append(works, func(ctx context.Context, c *client) error {
			s, err := c.open(ctx)
			if err != nil {
				return err
			}
			for range timer.MaxTimers {
				if _, _, err := s.Register(ctx, abi.Idle, 1<<62); err != nil {
					return err
				}
			}
			taken <- struct{}{}
			<-full
			return nil // and the process ends
		})
	}
	works = append(works, func(ctx context.Context, c *client) error {
		s, err := c.open(ctx)
		if err != nil {
			return err
		}
		for range owners {
			<-taken
		}
		if _, _, err := s.Register(ctx, abi.Idle, 1); err != ipc.StatusOverLimit {
			return fmt.Errorf("a timer more than there can be: %v", err)
		}
		if _, err := c.Sleep(ctx, abi.Idle, 1); err != ipc.StatusOverLimit {
			return fmt.Errorf("a sleep more than there can be: %v", err)
		}
		close(full)
		// timed is told of each end in its own time.
		for {
			_, _, err := s.Register(ctx, abi.Idle, 1)
			if err != ipc.StatusOverLimit {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	})
	system(t, works...)
}

// Who waits for no answer asks for nothing.
func TestRejectOneWay(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		s, err := c.open(ctx)
		if err != nil {
			return err
		}
		id, _, err := s.Register(ctx, abi.Normal, c.env.Process.Now()+20e6)
		if err != nil {
			return err
		}
		ic, err := c.to.Client(ctx)
		if err != nil {
			return err
		}
		for op, payload := range map[uint16][]byte{timer.OpCancel: wire.AppendU32(nil, id), timer.OpClose: nil, timer.OpNext: nil} {
			if err := ic.Notice(op, payload); err != nil {
				return err
			}
		}
		if _, err := c.Monotonic(ctx); err != nil { // it has come to those
			return err
		}
		if _, ids, err := s.Next(ctx); err != nil || !slices.Equal(ids, []uint32{id}) {
			return fmt.Errorf("fired %d, %v; want %d", ids, err, id)
		}
		return nil
	})
}

func TestRejectWithoutSession(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		for op, payload := range map[uint16][]byte{
			timer.OpRegister: wire.AppendU64([]byte{0}, 1), timer.OpCancel: {1, 0, 0, 0}, timer.OpNext: nil, timer.OpClose: nil,
		} {
			if _, err := c.to.Call(ctx, op, payload, make([]byte, 48)); err != ipc.StatusNotFound {
				return fmt.Errorf("operation %d: %v", op, err)
			}
		}
		if _, err := c.to.Call(ctx, timer.OpOpen, nil, nil); err != ipc.StatusInvalidArgs {
			return fmt.Errorf("a session without an end: %v", err)
		}
		s, err := c.open(ctx)
		if err != nil {
			return err
		}
		if _, err := c.open(ctx); err != ipc.StatusInvalidArgs {
			return fmt.Errorf("a second session: %v", err)
		}
		if err := s.Close(ctx); err != nil {
			return err
		}
		if _, _, err := s.Register(ctx, abi.Idle, 1); err != ipc.StatusNotFound {
			return fmt.Errorf("when it has ended: %v", err)
		}
		if s, err = c.open(ctx); err != nil {
			return fmt.Errorf("another one: %w", err)
		}
		_, _, err = s.Register(ctx, abi.Idle, 1) // the end of the first session is not the second's
		return err
	})
}

// What the client refuses, or cannot say, the server must refuse as well.
func TestRejectRequests(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		if _, err := c.open(ctx); err != nil {
			return err
		}
		for _, r := range []struct {
			op      uint16
			payload []byte
			want    ipc.Status
		}{
			{timer.OpRegister, nil, ipc.StatusMalformed},
			{timer.OpRegister, wire.AppendU64([]byte{0xff}, 1), ipc.StatusInvalidArgs},
			{timer.OpRegister, wire.AppendU64([]byte{0}, 1<<63-1), ipc.StatusInvalidArgs},
			{timer.OpRegister, bytes.Repeat([]byte{1}, 49), ipc.StatusMalformed},
			{timer.OpSleep, wire.AppendU64([]byte{4}, 1), ipc.StatusInvalidArgs},
			{timer.OpCancel, []byte{1}, ipc.StatusMalformed},
			{99, nil, ipc.StatusUnsupported},
		} {
			_, err := c.to.Call(ctx, r.op, r.payload, make([]byte, 48))
			if errors.Is(err, ipc.ErrTooLarge) && len(r.payload) > 48 {
				continue // the endpoint takes no such messages
			}
			if err != error(r.want) {
				return fmt.Errorf("operation %d with %x: %v, want %v", r.op, r.payload, err, r.want)
			}
		}
		// Each kind of decision is on record, once.
		logd := journal.Client{To: c.env.Dial("logd", journal.Protocol)}
		e, err := logd.Find(ctx, 0, func(e *journal.Entry) bool {
			return e.Scope == "timed" && e.Text == "audit register decision=deny reason=invalid_args"
		})
		if err != nil || e.Service != manifest.ServiceID("timed") {
			return fmt.Errorf("audit %+v, %v", e, err)
		}
		return nil
	})
}

// Everybody has the same two clocks.
func TestClocks(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		last := int64(0)
		for range 100 {
			before := c.env.Process.Now()
			now, err := c.Monotonic(ctx)
			if err != nil || now < before || now < last {
				return fmt.Errorf("%d after %d and %d, %v", now, before, last, err)
			}
			wall, mono, err := c.Wall(ctx)
			if err != nil || mono < now || wall.UnixNano()-mono != c.env.Process.Start().WallNS {
				return fmt.Errorf("wall clock %v at %d after %d, %v", wall, mono, now, err)
			}
			last = mono
		}
		return nil
	})
}

// On a board without a clock nobody is told a wall-clock time that is none.
func TestRejectWallWithoutClock(t *testing.T) {
	system(t, func(ctx context.Context, c *client) error {
		(<-c.booted).Kernel.TakeClock()
		if wall, _, err := c.Wall(ctx); err != ipc.StatusUnavailable {
			return fmt.Errorf("%v, %v", wall, err)
		}
		_, err := c.Monotonic(ctx)
		return err
	})
}
