package core

import (
	"testing"

	"nexus.internal/ipc/abi"
)

// What a maker of processes gives is one of two things that the entropy of a child
// depends on, and that of every later process.
func TestSeedMixed(t *testing.T) {
	outputs := func(kernel, given [32]byte, pid uint64) [2][32]byte {
		d := drbg{kernel}
		first := d.next(pid, &given)
		return [2][32]byte{first, d.next(pid+1, new([32]byte))}
	}
	base := outputs([32]byte{1}, [32]byte{2}, 3)
	if again := outputs([32]byte{1}, [32]byte{2}, 3); again != base {
		t.Error("the same of everything is not the same")
	}
	last := [32]byte{31: 1}
	for name, got := range map[string][2][32]byte{
		"other given":               outputs([32]byte{1}, [32]byte{3}, 3),
		"other last byte given":     outputs([32]byte{1}, last, 3),
		"nothing given":             outputs([32]byte{1}, [32]byte{}, 3),
		"other kernel":              outputs([32]byte{4}, [32]byte{2}, 3),
		"other last byte of kernel": outputs(last, [32]byte{2}, 3),
		"other process":             outputs([32]byte{1}, [32]byte{2}, 4),
		"exchanged":                 outputs([32]byte{2}, [32]byte{1}, 3),
	} {
		if got[0] == base[0] || got[1] == base[1] || got[0] == got[1] {
			t.Errorf("%s: %x, base %x", name, got, base)
		}
	}
	d := drbg{[32]byte{1}}
	if out := d.next(3, &[32]byte{2}); out == d.state || d.state == [32]byte{1} || out == [32]byte{2} {
		t.Error("an output tells the state, or what was given")
	}
}

// The seed of a spec reaches the child mixed, and stays nowhere in the kernel.
func TestSpawnSeed(t *testing.T) {
	start := func(given [32]byte, spoil bool) (seed [32]byte, s *sim) {
		s = newSim(t)
		sp := s.spec()
		sp.Seed = given
		if spoil {
			sp.NamePtr = 0 // refused when all of the spec has been read
		}
		h := s.spawnSpec(sp)
		if s.Kernel.spec.Seed != [32]byte{} {
			t.Error("the seed stays in the kernel")
		}
		if spoil {
			if refusal(h) != abi.EFAULT {
				t.Errorf("%v, want EFAULT", refusal(h))
			}
			return seed, s
		}
		var st abi.Start
		copy(startBytes(&st), s.procOf(h).read(abi.StartPage, len(startBytes(&st))))
		return st.Seed, s
	}
	given := [32]byte{9, 31: 7}
	none, _ := start([32]byte{}, false)
	with, _ := start(given, false)
	again, _ := start(given, false)
	if with == none || with == given || with == [32]byte{} || with != again {
		t.Errorf("without %x, with %x and %x", none, with, again)
	}
	start(given, true)
}
