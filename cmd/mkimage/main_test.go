package main

import (
	"encoding/hex"
	"os"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/test/tinykernel"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mkimage": main})
}

// The scripts run the real main, each in a folder of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			if err := os.WriteFile(env.WorkDir+"/kernel.elf", tinykernel.ELF("hello\n", 0), 0o600); err != nil {
				return err
			}
			for _, name := range []string{"/services.elf", "/disks.elf"} {
				if err := os.WriteFile(env.WorkDir+name, elftest.Hello().Build(), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"flip": flip,
		},
	})
}

// flip FILE OFFSET changes one bit of a byte of a file. The offset may be negative:
// from the end.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip file offset")
	}
	file := ts.MkAbs(args[0])
	b, err := os.ReadFile(file)
	ts.Check(err)
	off, err := strconv.ParseInt(args[1], 0, 64)
	ts.Check(err)
	if off < 0 {
		off += int64(len(b))
	}
	b[off] ^= 1
	ts.Logf("%s at %#x is now %s", args[0], off, hex.EncodeToString(b[off:off+1]))
	ts.Check(os.WriteFile(file, b, 0o600))
}
