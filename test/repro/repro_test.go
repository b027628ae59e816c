// Package repro tests that the same source gives the same images, byte for byte,
// whatever folder it is built in.
package repro

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"nexus.internal/test/scratch"
)

func TestSameBytes(t *testing.T) {
	const root = "../.."
	if _, err := os.Stat(filepath.Join(root, "build/toolchain/bin/go")); err != nil {
		t.Skip("the toolchain is not built; make toolchain builds it")
	}
	images := []string{"nexus.img", "nexus-test.img"}
	var first [][]byte
	for range 2 {
		tree, err := scratch.Copy(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tree.Remove() })
		if err := tree.Build(context.Background()); err != nil {
			t.Fatal(err)
		}
		for i, name := range images {
			b, err := os.ReadFile(filepath.Join(tree.Dir, "build", name))
			if err != nil {
				t.Fatal(err)
			}
			if len(first) <= i {
				first = append(first, b)
			} else if !bytes.Equal(first[i], b) {
				t.Errorf("%s differs between two folders: %d and %d bytes", name, len(first[i]), len(b))
			}
		}
	}
}
