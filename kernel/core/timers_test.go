package core

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"nexus.internal/ipc/abi"
)

// liveTimer is a timer of a simulated process.
type liveTimer struct {
	q      proc
	handle uint64
	*timer
	want int64 // when it must fire, 0 if it must not
}

func (l *liveTimer) set(due int64) {
	l.q.must(abi.SysTimerSet, l.handle, uint64(due))
	l.want = due
}

// liveTimers makes n timers in as many processes as that takes.
func liveTimers(s *sim, n int) (all []*liveTimer) {
	for len(all) < n {
		q, _ := s.spawn()
		note := q.must(abi.SysNotificationCreate, 1)
		for i := 0; i < timersPerProcess && len(all) < n; i++ {
			h := q.must(abi.SysTimerCreate, note, 1<<(i%64))
			tm := &s.timers[s.caps[s.lookup(q.Process, h)].obj]
			all = append(all, &liveTimer{q: q, handle: h, timer: tm})
		}
	}
	return all
}

// moved runs op and returns how many entries of the heap are elsewhere afterwards.
func (s *sim) moved(op func()) (n int) {
	before := s.h.deadline.pos
	op()
	for i, at := range s.h.deadline.pos {
		if at != before[i] {
			n++
		}
	}
	return n
}

// Ten thousand timers fire in order, each when it is due and not before, also when
// they are set anew or disarmed meanwhile, and none is looked at for another: what is
// done with one moves as many entries as the heap has levels.
func TestTenThousandTimers(t *testing.T) {
	const count = 10_000
	s := newSim(t)
	r := rand.New(rand.NewPCG(1, 2))
	all := liveTimers(s, count)
	levels := bits.Len(maxDue)
	for _, l := range all {
		l.set(s.clock + 1_000_000 + r.Int64N(1_000_000_000))
	}
	if s.h.deadline.n < count {
		t.Fatalf("%d deadlines", s.h.deadline.n)
	}
	s.check()
	pending := func() []*liveTimer {
		p := slices.DeleteFunc(slices.Clone(all), func(l *liveTimer) bool { return l.want == 0 })
		slices.SortFunc(p, func(a, b *liveTimer) int { return int(a.want - b.want) })
		return p
	}
	queue := pending()
	for round := 0; len(queue) != 0; round++ {
		if round%100 == 0 {
			// Some are set anew, earlier or later, and some are disarmed.
			for _, i := range []int{r.IntN(len(queue)), r.IntN(len(queue)), r.IntN(len(queue))} {
				l, due := queue[i], int64(0)
				if r.IntN(3) != 0 {
					due = s.clock + 1 + r.Int64N(1_000_000_000)
				}
				if n := s.moved(func() { l.set(due) }); n > 2*levels {
					t.Fatalf("setting a timer moved %d of %d entries", n, s.h.deadline.n)
				}
			}
			queue = pending()
			continue
		}
		next := queue[0].want
		if first := s.h.deadline.first; first != next {
			t.Fatalf("first deadline %d, want %d", first, next)
		}
		fire := func() {
			s.clock = next
			s.Tick()
		}
		s.clock = next - 1
		s.Tick()
		if queue[0].due == 0 {
			t.Fatalf("a timer fired before %d", next)
		}
		if round%50 == 1 {
			if n := s.moved(fire); n > 2*levels {
				t.Fatalf("a tick moved %d of %d entries", n, s.h.deadline.n)
			}
		} else {
			fire()
		}
		for len(queue) != 0 && queue[0].want == next {
			if queue[0].due != 0 {
				t.Fatalf("a timer did not fire at %d", next)
			}
			queue[0].want = 0
			queue = queue[1:]
		}
		if len(queue) != 0 && queue[0].due == 0 {
			t.Fatalf("a timer for %d fired at %d", queue[0].want, next)
		}
	}
	for i, l := range all {
		if l.due != 0 {
			t.Fatalf("timer %d did not fire", i)
		}
	}
	s.check()
}

// However many are due at once, a tick handles some and the alarm calls for the next.
func TestManyDueAtOnce(t *testing.T) {
	const count = 5*duePerTick + 1
	s := newSim(t)
	all := liveTimers(s, count)
	due := s.clock + 10_000_000
	for _, l := range all {
		l.set(due)
	}
	s.clock = due
	for left := count; left > 0; {
		if at := s.Alarm(); at > s.clock {
			t.Fatalf("%d timers are left, alarm at %d", left, at)
		}
		s.Tick()
		left = max(0, left-duePerTick)
		armed := 0
		for _, l := range all {
			if l.due != 0 {
				armed++
			}
		}
		if armed != left {
			t.Fatalf("%d timers are left, want %d", armed, left)
		}
		s.check()
	}
	if at := s.Alarm(); at <= s.clock {
		t.Errorf("nothing is left, alarm at %d", at)
	}
}
