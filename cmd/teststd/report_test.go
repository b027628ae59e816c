package main

import (
	"strings"
	"testing"
)

const events = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestX"}
{"Action":"output","Package":"a","Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"output","Package":"a","Test":"TestX","Output":"    x_test.go:12: no such: thing\n"}
{"Action":"output","Package":"a","Test":"TestX","Output":"--- SKIP: TestX (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestX","Elapsed":0}
{"Action":"output","Package":"a","Test":"TestY","Output":"=== RUN   TestY\n"}
{"Action":"output","Package":"a","Test":"TestY","Output":"--- PASS: TestY (0.00s)\n"}
{"Action":"pass","Package":"a","Test":"TestY","Elapsed":0}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"pass","Package":"a","Elapsed":1.5}
go: a warning
{"Action":"output","Package":"b","Test":"TestZ","Output":"=== RUN   TestZ\n"}
{"Action":"output","Package":"b","Test":"TestZ","Output":"    z_test.go:3: wrong\n"}
{"Action":"fail","Package":"b","Test":"TestZ","Elapsed":0}
{"Action":"output","Package":"b","Output":"FAIL\n"}
{"Action":"fail","Package":"b","Elapsed":2}
{"ImportPath":"c [c.test]","Action":"build-output","Output":"c.go:1: syntax error\n"}
{"ImportPath":"c [c.test]","Action":"build-fail"}
{"Action":"fail","Package":"c","Elapsed":0,"FailedBuild":"c [c.test]"}
`

func TestReport(t *testing.T) {
	var b strings.Builder
	r := newReport(&b, false)
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	want := `skip	a	TestX: no such: thing
ok  	a	1.500s
go: a warning
=== RUN   TestZ
    z_test.go:3: wrong
FAIL
FAIL	b	2.000s
c.go:1: syntax error
FAIL	c	0.000s [build failed]
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	if r.ok != 1 || r.failed != 2 || r.skipped != 1 {
		t.Errorf("%d ok, %d failed, %d skipped", r.ok, r.failed, r.skipped)
	}
}

func TestReason(t *testing.T) {
	for _, c := range []struct{ output, want string }{
		{"=== RUN   TestA\n    a_test.go:3: why: so\n--- SKIP: TestA (0.00s)\n", "why: so"},
		{"=== RUN   TestA\n    a_test.go:3: \n--- SKIP: TestA (0.00s)\n", "no reason given"},
		{"=== RUN   TestA\nplain words\n\n", "plain words"},
		{"", "no reason given"},
	} {
		if got := reason(strings.SplitAfter(c.output, "\n")); got != c.want {
			t.Errorf("reason(%q) = %q, want %q", c.output, got, c.want)
		}
	}
}
