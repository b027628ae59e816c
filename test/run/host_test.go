package main

import (
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"noise of A\n"}
{"Action":"run","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"B went wrong\n"}
{"Action":"fail","Package":"p","Test":"TestB/sub"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p","Elapsed":1}
{"Action":"pass","Package":"q","Test":"FuzzQ"}
{"Action":"pass","Package":"q","Elapsed":0.5}
{"ImportPath":"r","Action":"build-output","Output":"r.go:1: does not compile\n"}
{"ImportPath":"r","Action":"build-fail"}
{"Action":"fail","Package":"r","Elapsed":0,"FailedBuild":"r"}
{"Action":"skip","Package":"s","Elapsed":0}
plain words
`
	var out strings.Builder
	got, err := count(strings.NewReader(events), &out)
	if err != nil || got != (tally{passed: 2, failed: 2}) {
		t.Errorf("count = %+v, %v", got, err)
	}
	for _, want := range []string{"B went wrong\n", "FAIL\tp\t1.0s\n", "ok  \tq\t0.5s\n", "r.go:1: does not compile\n", "FAIL\tr\t", "plain words\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the report:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "noise of A") {
		t.Errorf("output of a test that passed:\n%s", out.String())
	}
}

func TestUsage(t *testing.T) {
	t.Setenv("RUN_PHASE", "no-such-phase")
	for _, args := range [][]string{nil, {"everything"}, {"os", "-no-such-flag"}, {"os", "more"}, {"os"}, {"all"}} {
		if got := run(t.Context(), args); got != 2 {
			t.Errorf("run %q = %d, want 2", args, got)
		}
	}
}
