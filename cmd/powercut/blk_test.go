package main

import "testing"

func TestBlkLoad(t *testing.T) {
	l := blkLoad()
	for _, line := range []string{"cut: found 0 0", "cut: found 1 0", "cut: start", "cut: acked 0 1", "cut: acked 1 1", "cut: acked 0 2", "anything", "[ERROR policyd] audit",
		"cut: found 0 2", "cut: found 1 2", "cut: acked 1 3"} {
		if err := l.Line(0, line); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	for _, line := range []string{"cut: found 0 1", "cut: found 0 4", "cut: acked 0 2", "cut: acked 0 4", "[ERROR blkd] no", "a FAIL", "panic: no"} {
		if err := l.Line(1, line); err == nil {
			t.Errorf("%q is fine", line)
		}
	}
}
