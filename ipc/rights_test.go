//go:build !tamago

package ipc_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// checker type-checks programs against the source of package ipc.
type checker struct {
	fset *token.FileSet
	std  types.Importer
	pkgs map[string]*types.Package
}

func (c *checker) Import(path string) (*types.Package, error) {
	if p := c.pkgs[path]; p != nil {
		return p, nil
	}
	return c.std.Import(path)
}

func (c *checker) load(t *testing.T, path, dir string) {
	bp, err := build.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range bp.GoFiles {
		f, err := parser.ParseFile(c.fset, filepath.Join(dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	conf := types.Config{Importer: c}
	p, err := conf.Check(path, c.fset, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.pkgs[path] = p
}

func (c *checker) check(t *testing.T, body string) error {
	src := "package p\nimport . \"nexus.internal/ipc\"\n" + body
	f, err := parser.ParseFile(c.fset, "p.go", src, 0)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	conf := types.Config{Importer: c}
	_, err = conf.Check("p", c.fset, []*ast.File{f}, nil)
	return err
}

// Using a right that is there compiles; using one that is not there does not.
func TestRightsAreTypes(t *testing.T) {
	fset := token.NewFileSet()
	c := &checker{fset, importer.ForCompiler(fset, "source", nil), map[string]*types.Package{}}
	c.load(t, "nexus.internal/ipc/abi", "abi")
	c.load(t, "nexus.internal/ipc", ".")

	good := []string{
		"func f(e Endpoint[Serve]) Endpoint[Send] { return NarrowSend(e) }",
		"func f(e Endpoint[Serve]) Endpoint[SendGrant] { return NarrowSendGrant(e) }",
		"func f(e Endpoint[SendGrant]) Endpoint[Send] { return NarrowSend(e) }",
		"func f(e Endpoint[SendGrant]) (Endpoint[Send], error) { return DeriveSend(e, 1) }",
		"func f(e Endpoint[Serve]) *Server { return NewServer(e, Protocol{}, 1, nil) }",
		"func f(e Endpoint[Send]) *Client { return NewClient(e, Protocol{}) }",
		"func f(v VMO[Full]) VMO[Read] { return NarrowRead(v) }",
		"func f(v VMO[ReadWrite]) error { return WriteVMO(v, 0, nil) }",
		"func f(s Spawner, v VMO[Full]) (VMO[ReadExec], error) { return Program(s, v) }",
		"func f(n Notification[Listen]) Notification[Signal] { return NarrowSignal(n) }",
		"func f(n Notification[Signal]) error { return Set(n, 1) }",
		"func f(m MMIO[Own]) (MMIO[DriveGrant], error) { return DeriveMMIO(m) }",
		"func f(m MMIO[Drive]) (DMA, error) { return NewDMA(m, 1) }",
		"func f(d DMA) (uint64, error) { return Address(d) }",
		"func f(d DMA) (VMO[Read], error) { return DeriveRead(d) }",
		"func f(q IRQ[Drive], n Notification[Signal]) error { return Bind(q, n, 1) }",
	}
	for _, s := range good {
		if err := c.check(t, s); err != nil {
			t.Errorf("does not compile, but should: %s\n%v", s, err)
		}
	}
	bad := []struct{ body, says string }{
		{"func f(e Endpoint[Send]) Endpoint[SendGrant] { return NarrowSendGrant(e) }", "Send does not satisfy"},
		{"func f(e Endpoint[Send]) Endpoint[SendGrant] { return e }", "cannot use e"},
		{"func f(e Endpoint[Send]) Endpoint[SendGrant] { return Endpoint[SendGrant](e) }", "cannot convert"},
		{"func f(e Endpoint[Send]) (Endpoint[Send], error) { return DeriveSend(e, 1) }", "Send does not satisfy"},
		{"func f(e Endpoint[SendGrant]) *Server { return NewServer(e, Protocol{}, 1, nil) }", "cannot use e"},
		{"func f(e Endpoint[Send]) Movable { return MoveSend(e) }", "Send does not satisfy"},
		{"func f(e Endpoint[Send]) Endpoint[Serve] { return Endpoint[Serve]{e.ref} }", "ref"},
		{"func f(v VMO[Read]) error { return WriteVMO(v, 0, nil) }", "Read does not satisfy"},
		{"func f(v VMO[ReadGrant]) ([]byte, error) { return MapWritable(v, 0, 1) }", "ReadGrant does not satisfy"},
		{"func f(v VMO[ReadWrite]) Movable { return MoveVMO(v) }", "ReadWrite does not satisfy"},
		{"func f(v VMO[Read]) VMO[ReadWrite] { return NarrowReadWrite(v) }", "Read does not satisfy"},
		{"func f(v VMO[ReadExec]) Movable { return MoveVMO(v) }", "ReadExec does not satisfy"},
		{"func f(v VMO[Full]) SpawnSpec { return SpawnSpec{Program: v} }", "cannot use v"},
		{"import \"context\"\nfunc f(n Notification[Signal]) { WaitBits(context.Background(), n) }", "cannot use n"},
		{"func f(n Notification[Signal]) Notification[Listen] { return Notification[Listen](n) }", "cannot convert"},
		{"func f(c Any) Spawner { return Spawner(c) }", "cannot convert"},
		{"func f(c Any) Movable { return Movable(c) }", "cannot convert"},
		{"func f(m MMIO[Drive]) Movable { return MoveMMIO(m) }", "Drive does not satisfy"},
		{"func f(m MMIO[DriveGrant]) { Release(m) }", "cannot use m"},
		{"func f(m MMIO[Drive]) MMIO[Own] { return MMIO[Own](m) }", "cannot convert"},
		{"func f(v VMO[Full]) { Address(v) }", "cannot use v"},
		{"func f(q IRQ[Drive]) (IRQ[DriveGrant], error) { return DeriveIRQ(q) }", "Drive does not satisfy"},
		{"func f(c Any) Devices { return Devices(c) }", "cannot convert"},
		{"func f(v VMO[Read]) *Client { return NewClient(v, Protocol{}) }", "does not match"},
	}
	for _, tt := range bad {
		err := c.check(t, tt.body)
		if err == nil {
			t.Errorf("compiles, but should not: %s", tt.body)
		} else if !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s\nis refused because of: %v\nnot because of %q", tt.body, err, tt.says)
		}
	}
}
