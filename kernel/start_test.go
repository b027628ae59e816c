package kernel

import (
	"errors"
	"testing"
)

// firmware starts one hart, as told by the test: each start goes as the next of fates.
type firmware struct {
	fates  []string
	starts int
	clock  int64
	left   int // steps until the hart is where it is going
}

var errRefused = errors.New("refused")

func (f *firmware) fate() string { return f.fates[min(f.starts, len(f.fates))-1] }

func (f *firmware) start() error {
	f.starts++
	f.left = 5
	if f.fate() == "refused" {
		return errRefused
	}
	return nil
}

// now lets time pass.
func (f *firmware) now() int64 {
	f.clock += startTimeoutNS / 100
	f.left--
	return f.clock
}

func (f *firmware) up() bool      { return f.left <= 0 && f.fate() == "comes" }
func (f *firmware) stopped() bool { return f.left <= 0 && f.fate() == "lost" }

func TestBringUp(t *testing.T) {
	for _, tt := range []struct {
		fates  []string
		want   error
		starts int
	}{
		{[]string{"comes"}, nil, 1},
		{[]string{"lost", "comes"}, nil, 2},
		{[]string{"lost", "lost", "comes"}, nil, maxStarts},
		{[]string{"lost"}, errLost, maxStarts},
		{[]string{"refused"}, errRefused, 1},
		{[]string{"lost", "refused"}, errRefused, 2},
		{[]string{"nothing"}, errAbsent, 1},
		{[]string{"lost", "nothing"}, errAbsent, 2},
	} {
		f := &firmware{fates: tt.fates}
		if err := bringUp(f.start, f.up, f.stopped, f.now); err != tt.want || f.starts != tt.starts {
			t.Errorf("%v: %v after %d starts, want %v after %d", tt.fates, err, f.starts, tt.want, tt.starts)
		}
		if f.clock > 2*startTimeoutNS {
			t.Errorf("%v: it took %d ns", tt.fates, f.clock)
		}
	}
}
