package main

import (
	"testing"
	"time"

	"nexus.internal/test/qemu"
)

func TestJudge(t *testing.T) {
	good := []string{"OpenSBI v1.1", "soak: seed 1 on 4 harts", "kernel: fault: soak-3 pid=4", "soak: fuzz ok: 1", done, "KSELFTEST: frames returned ok"}
	for _, tt := range []struct {
		name  string
		lines []string
		end   qemu.End
		ok    bool
	}{
		{"good", good, qemu.End{}, true},
		{"without the end", good[:3], qemu.End{}, false},
		{"fails", append([]string{"soak: FAIL: calls: child 1 is stuck"}, good...), qemu.End{}, false},
		{"leaks", append([]string{"KSELFTEST: frames returned FAIL: 1"}, good...), qemu.End{}, false},
		{"panics", append([]string{"kernel: PANIC: scause 5"}, good...), qemu.End{}, false},
		{"crashes", append([]string{"fatal error: fault"}, good...), qemu.End{}, false},
		{"has a status", good, qemu.End{Status: 1}, false},
		{"takes too long", good, qemu.End{Timeout: time.Minute}, false},
	} {
		j := judge{}
		for _, line := range tt.lines {
			j.line(line)
		}
		if err := j.end(tt.end); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
