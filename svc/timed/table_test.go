package timed

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/timer"
	"pgregory.net/rapid"
)

// check verifies that the parts of a table agree with each other.
func (t *table) check() error {
	n, sessions := 0, 0
	for service, o := range t.owners {
		sleeps := 0
		for i, e := range t.queue {
			if e.place != i {
				return fmt.Errorf("entry %d believes to be at %d", i, e.place)
			}
			if e.owner == o && e.id == 0 {
				sleeps++
			}
		}
		if o.service != service || o.sleeps != sleeps || o.session == 0 && (sleeps == 0 || len(o.timers) != 0) {
			return fmt.Errorf("service %d: %+v with %d sleeps", service, o, sleeps)
		}
		for id, e := range o.timers {
			if e.id != id || id == 0 || e.owner != o || (e.place < 0) != slices.Contains(o.fired, e) {
				return fmt.Errorf("timer %d of %d: %+v", id, service, e)
			}
		}
		if o.session != 0 {
			sessions++
		}
		if len(o.timers)+sleeps > timer.MaxTimers {
			return fmt.Errorf("service %d has %d timers and %d sleeps", service, len(o.timers), sleeps)
		}
		n += len(o.timers) + sleeps
	}
	if t.n != n || t.sessions != sessions || n > timer.MaxTotal || sessions > timer.MaxSessions {
		return fmt.Errorf("%d entries of %d, %d sessions of %d", t.n, n, t.sessions, sessions)
	}
	return nil
}

// model is the table written as simply as can be.
type model struct {
	timers   []modelTimer // in the order in which they were added
	sessions map[uint64]bool
}

type modelTimer struct {
	service uint64
	id      uint32 // 0: a sleep
	due     int64
	woke    int64 // -1: not yet
}

func (m *model) count(service uint64) (n int) {
	for _, t := range m.timers {
		if t.service == service {
			n++
		}
	}
	return n
}

func (m *model) room(service uint64) bool {
	return m.count(service) < timer.MaxTimers && len(m.timers) < timer.MaxTotal
}

// TestTable does random things to a table and to a model of it.
func TestTable(t *testing.T) {
	services := []uint64{1, 2, 3}
	classes := []abi.Class{abi.Idle, abi.Normal, abi.Interactive, abi.PerfBurst}
	rapid.Check(t, func(t *rapid.T) {
		tab, m, now := newTable(), &model{sessions: map[uint64]bool{}}, int64(1e9)
		pids := map[uint64]uint32{1: 1, 2: 1, 3: 1}
		draw := func() (uint64, *owner) {
			service := rapid.SampledFrom(services).Draw(t, "service")
			if !tab.meet(service, pids[service]) {
				t.Fatal("the living are the dead")
			}
			return service, tab.session(service)
		}
		ask := func() (abi.Class, uint64) {
			class := rapid.SampledFrom(classes).Draw(t, "class")
			return class, uint64(now + rapid.Int64Range(-1e7, 3e7).Draw(t, "ahead"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				service, _ := draw()
				want := ipc.StatusOK
				if m.sessions[service] {
					want = ipc.StatusInvalidArgs
				}
				if _, got := tab.open(service, pids[service]); got != want {
					t.Fatalf("%v, want %v", got, want)
				}
				m.sessions[service] = true
			},
			"close": func(t *rapid.T) {
				service, o := draw()
				if o == nil {
					t.Skip("no session")
				}
				tab.close(o, o.session)
				delete(m.sessions, service)
				m.timers = slices.DeleteFunc(m.timers, func(t modelTimer) bool { return t.service == service && t.id != 0 })
			},
			"die": func(t *rapid.T) {
				service, _ := draw()
				pids[service]++
				tab.meet(service, pids[service])
				delete(m.sessions, service)
				m.timers = slices.DeleteFunc(m.timers, func(t modelTimer) bool { return t.service == service })
				if tab.owners[service] != nil {
					t.Fatal("the dead have timers")
				}
			},
			"register": func(t *rapid.T) {
				service, o := draw()
				if o == nil {
					t.Skip("no session")
				}
				class, deadline := ask()
				e, status := tab.register(o, class, deadline)
				want := ipc.StatusOK
				if !m.room(service) {
					want = ipc.StatusOverLimit
				}
				if status != want {
					t.Fatalf("%v, want %v", status, want)
				}
				if status == ipc.StatusOK {
					due, _ := timer.Due(class, deadline)
					if e.due != due {
						t.Fatalf("due %d, want %d", e.due, due)
					}
					m.timers = append(m.timers, modelTimer{service, e.id, due, -1})
				}
			},
			"sleep": func(t *rapid.T) {
				service, _ := draw()
				class, deadline := ask()
				_, status := tab.sleep(service, pids[service], class, deadline, now)
				want := ipc.StatusOK
				if !m.room(service) {
					want = ipc.StatusOverLimit
				}
				if status != want {
					t.Fatalf("%v, want %v", status, want)
				}
				if status == ipc.StatusOK {
					due, _ := timer.Due(class, deadline)
					m.timers = append(m.timers, modelTimer{service, 0, due, -1})
				}
			},
			"cancel": func(t *rapid.T) {
				service, o := draw()
				if o == nil || len(m.timers) == 0 {
					t.Skip("nothing to cancel")
				}
				id := rapid.SampledFrom(m.timers).Draw(t, "timer").id
				at := slices.IndexFunc(m.timers, func(t modelTimer) bool { return t.service == service && t.id == id && id != 0 })
				want := ipc.StatusNotFound // of nobody, or of somebody else
				if at >= 0 {
					want = ipc.StatusOK
					m.timers = slices.Delete(m.timers, at, at+1)
				}
				if got := tab.cancel(o, id); got != want {
					t.Fatalf("%v, want %v", got, want)
				}
			},
			"fire": func(t *rapid.T) {
				now += rapid.Int64Range(0, 2e7).Draw(t, "step")
				var want, got []modelTimer
				for i := range m.timers {
					if mt := &m.timers[i]; mt.woke < 0 && mt.due <= now {
						mt.woke = now
						want = append(want, *mt)
					}
				}
				// In the order in which they are due; those of one time in the order in which they came.
				slices.SortStableFunc(want, func(a, b modelTimer) int { return cmp.Compare(a.due, b.due) })
				for e := tab.fire(now); e != nil; e = tab.fire(now) {
					got = append(got, modelTimer{e.owner.service, e.id, e.due, e.woke})
				}
				if !slices.Equal(got, want) {
					t.Fatalf("fired %v, want %v", got, want)
				}
				m.timers = slices.DeleteFunc(m.timers, func(t modelTimer) bool { return t.id == 0 && t.woke >= 0 })
			},
			"tell": func(t *rapid.T) {
				service, o := draw()
				if o == nil {
					t.Skip("no session")
				}
				var want []modelTimer // of the first wake-up
				for _, mt := range m.timers {
					if mt.service == service && mt.woke >= 0 {
						want = append(want, mt)
					}
				}
				slices.SortStableFunc(want, func(a, b modelTimer) int {
					return cmp.Or(cmp.Compare(a.woke, b.woke), cmp.Compare(a.due, b.due))
				})
				n := o.news()
				if (n == 0) != (len(want) == 0) || n > timer.MaxFired {
					t.Fatalf("%d of %d", n, len(want))
				}
				for i := range n {
					if o.fired[i].id != want[i].id || want[i].woke != want[0].woke {
						t.Fatalf("tells of %d, want %+v", o.fired[i].id, want[i])
					}
				}
				if n > 0 && n < timer.MaxFired && n < len(want) && want[n].woke == want[0].woke {
					t.Fatalf("%d of a wake-up, and there are more", n)
				}
				tab.told(o, n)
				for _, w := range want[:n] {
					m.timers = slices.DeleteFunc(m.timers, func(t modelTimer) bool { return t.id == w.id && t.service == service })
				}
			},
			"": func(t *rapid.T) {
				if err := tab.check(); err != nil {
					t.Fatal(err)
				}
				if tab.n != len(m.timers) {
					t.Fatalf("%d entries, want %d", tab.n, len(m.timers))
				}
				first := int64(math.MaxInt64)
				for _, mt := range m.timers {
					if mt.woke < 0 {
						first = min(first, mt.due)
					}
				}
				if due, ok := tab.due(); ok != (first != math.MaxInt64) || ok && due != first {
					t.Fatalf("next at %d, %v; want %d", due, ok, first)
				}
			},
		})
	})
}

// opened returns the session of a process.
func opened(t *testing.T, tab *table, service uint64) *owner {
	t.Helper()
	if !tab.meet(service, 1) {
		t.Fatal("not met")
	}
	o, status := tab.open(service, 1)
	if status != ipc.StatusOK {
		t.Fatal(status)
	}
	return o
}

func TestRejectTimerOfOwnerOverLimit(t *testing.T) {
	tab := newTable()
	a, b := opened(t, tab, 1), opened(t, tab, 2)
	for i := range timer.MaxTimers - 1 {
		if _, status := tab.register(a, abi.Idle, 1e9); status != ipc.StatusOK {
			t.Fatalf("timer %d: %v", i, status)
		}
	}
	if _, status := tab.sleep(1, 1, abi.Idle, 1e9, 0); status != ipc.StatusOK {
		t.Fatalf("a sleep: %v", status)
	}
	if _, status := tab.register(a, abi.Idle, 1e9); status != ipc.StatusOverLimit {
		t.Errorf("one more timer: %v", status)
	}
	if _, status := tab.sleep(1, 1, abi.Idle, 1e9, 0); status != ipc.StatusOverLimit {
		t.Errorf("one more sleep: %v", status)
	}
	if _, status := tab.register(b, abi.Idle, 1e9); status != ipc.StatusOK {
		t.Errorf("a timer of somebody else: %v", status)
	}
	// One that fired counts until its owner has been told.
	for tab.fire(1e9) != nil {
	}
	if _, status := tab.register(a, abi.Idle, 1e9); status != ipc.StatusOK {
		t.Errorf("when a sleep is over: %v", status)
	}
	if _, status := tab.register(a, abi.Idle, 1e9); status != ipc.StatusOverLimit {
		t.Errorf("%d timers that were not told, and one more: %v", len(a.fired), status)
	}
	tab.told(a, 1)
	if _, status := tab.register(a, abi.Idle, 1e9); status != ipc.StatusOK {
		t.Errorf("when one was told: %v", status)
	}
}

func TestRejectTimerOverTotal(t *testing.T) {
	tab := newTable()
	for service := uint64(1); service <= timer.MaxTotal/timer.MaxTimers; service++ {
		o := opened(t, tab, service)
		for range timer.MaxTimers {
			if _, status := tab.register(o, abi.PerfBurst, 1e9); status != ipc.StatusOK {
				t.Fatal(status)
			}
		}
	}
	last := opened(t, tab, 1000)
	if _, status := tab.register(last, abi.PerfBurst, 1e9); status != ipc.StatusOverLimit {
		t.Errorf("timer: %v", status)
	}
	if _, status := tab.sleep(1001, 1, abi.PerfBurst, 1e9, 0); status != ipc.StatusOverLimit || tab.owners[1001] != nil {
		t.Errorf("sleep: %v, and the sleeper is kept: %v", status, tab.owners[1001] != nil)
	}
	tab.close(tab.owners[1], tab.owners[1].session)
	if _, status := tab.register(last, abi.PerfBurst, 1e9); status != ipc.StatusOK {
		t.Errorf("when a session has ended: %v", status)
	}
	if err := tab.check(); err != nil {
		t.Error(err)
	}
}

func TestRejectSession(t *testing.T) {
	tab := newTable()
	for service := range uint64(timer.MaxSessions) {
		opened(t, tab, service)
	}
	if _, status := tab.open(7, 1); status != ipc.StatusInvalidArgs {
		t.Errorf("a second one: %v", status)
	}
	if _, status := tab.open(1000, 1); status != ipc.StatusOverLimit {
		t.Errorf("one too many: %v", status)
	}
	tab.close(tab.owners[7], tab.owners[7].session)
	if _, status := tab.open(1000, 1); status != ipc.StatusOK {
		t.Errorf("when one has ended: %v", status)
	}
}

func TestRejectSleepTooLong(t *testing.T) {
	tab := newTable()
	const now = 5e9
	if _, status := tab.sleep(1, 1, abi.PerfBurst, now+timer.MaxSleep+1, now); status != ipc.StatusOverLimit || len(tab.owners) != 0 {
		t.Errorf("%v, %d owners", status, len(tab.owners))
	}
	if _, status := tab.sleep(1, 1, abi.Idle, now+timer.MaxSleep, now); status != ipc.StatusOK {
		t.Errorf("the longest sleep: %v", status)
	}
}

func TestRejectClass(t *testing.T) {
	tab := newTable()
	o := opened(t, tab, 1)
	if _, status := tab.register(o, 0xff, 1); status != ipc.StatusInvalidArgs {
		t.Errorf("timer: %v", status)
	}
	if _, status := tab.sleep(1, 1, abi.PerfBurst+1, 1, 0); status != ipc.StatusInvalidArgs {
		t.Errorf("sleep: %v", status)
	}
}

// Who cancels somebody else's timer is told that there is none, and there is.
func TestRejectCancelOfOthers(t *testing.T) {
	tab := newTable()
	a, b := opened(t, tab, 1), opened(t, tab, 2)
	e, _ := tab.register(a, abi.Normal, 10)
	if status := tab.cancel(b, e.id); status != ipc.StatusNotFound {
		t.Errorf("%v", status)
	}
	if tab.fire(4e6) != e || a.news() != 1 || b.news() != 0 {
		t.Error("the timer does not fire, or for somebody else")
	}
	if status := tab.cancel(b, e.id); status != ipc.StatusNotFound {
		t.Errorf("when it has fired: %v", status)
	}
	if status := tab.cancel(a, e.id); status != ipc.StatusOK || a.news() != 0 {
		t.Errorf("its owner: %v, tells of %d", status, a.news())
	}
	if status := tab.cancel(a, e.id); status != ipc.StatusNotFound {
		t.Errorf("twice: %v", status)
	}
}

// A request of a process that has been replaced changes nothing for the one that lives.
func TestRejectTheDead(t *testing.T) {
	tab := newTable()
	tab.meet(1, 5)
	o, _ := tab.open(1, 5)
	tab.register(o, abi.Idle, 1)
	if tab.meet(1, 4) || tab.n != 1 {
		t.Error("an older process counts")
	}
	if !tab.meet(1, 6) || tab.n != 0 || tab.sessions != 0 || len(tab.owners) != 0 {
		t.Error("what the last process had is still there")
	}
}

// The end of a session is noticed at any time later, and must not be taken for another's.
func TestSessionEndsOnce(t *testing.T) {
	tab := newTable()
	o := opened(t, tab, 1)
	first := o.session
	tab.register(o, abi.Idle, 1)
	tab.sleep(1, 1, abi.Idle, 1, 0) // so that the owner stays
	if !tab.close(o, first) || tab.close(o, first) || tab.session(1) != nil || tab.n != 1 {
		t.Errorf("closed once: %d entries", tab.n)
	}
	if again := opened(t, tab, 1); again != o {
		t.Error("another owner")
	}
	if tab.close(o, first) || tab.session(1) != o || tab.sessions != 1 {
		t.Error("the end of an old session ends a new one")
	}
}

// Numbers of timers start at 1, never repeat among those of a session, and skip 0.
func TestIDs(t *testing.T) {
	tab := newTable()
	o := opened(t, tab, 1)
	first, _ := tab.register(o, abi.Idle, 1)
	tab.lastID = math.MaxUint32 - 1
	second, _ := tab.register(o, abi.Idle, 1)
	third, _ := tab.register(o, abi.Idle, 1)
	if first.id != 1 || second.id != math.MaxUint32 || third.id != 2 {
		t.Errorf("%d, %d, %d", first.id, second.id, third.id)
	}
}
