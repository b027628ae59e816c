// Abidoc writes docs/syscalls.md, the reference of the contract between kernel
// and processes, from the source of package ipc/abi: the table of calls, the
// constants with their comments, and the layout of structures. It also brings the
// table of docs/performance.md up to the committed baseline of cmd/bench. After a
// change of either:
//
//	go generate ./cmd/abidoc
//
// Its tests fail when one of them is stale, and hold all documents to the tree:
// links lead somewhere, and files, make targets and commands that are named exist.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run . -root ../..

func main() {
	root := flag.String("root", ".", "top of the source tree")
	flag.Parse()
	if err := generate(*root); err != nil {
		fmt.Fprintln(os.Stderr, "abidoc:", err)
		os.Exit(1)
	}
}

// output is the reference, from the top of the tree.
const output = "docs/syscalls.md"

func generate(root string) error {
	text, err := reference(filepath.Join(root, "ipc/abi"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, output), text, 0o644); err != nil {
		return err
	}
	table, err := figures(root)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(filepath.Join(root, performance))
	if err != nil {
		return err
	}
	if text, err = splice(old, table); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, performance), text, 0o644)
}
