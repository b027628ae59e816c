package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"testing"

	"nexus.internal/ipc/abi"
)

// TestABI holds the runtime's copy of the kernel ABI to the original, which the
// standard library cannot import.
func TestABI(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../runtime-patches/files/runtime/goos/abi.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{
		"SysExit": abi.SysExit, "SysYield": abi.SysYield, "SysWait": abi.SysWait, "SysCall": abi.SysCall, "SysReply": abi.SysReply,
		"SysNotify": abi.SysNotify, "SysNotificationCreate": abi.SysNotificationCreate,
		"SysThreadCreate": abi.SysThreadCreate, "SysThreadExit": abi.SysThreadExit, "SysThreadSelf": abi.SysThreadSelf,
		"SysFutexWait": abi.SysFutexWait, "SysFutexWake": abi.SysFutexWake, "MaxThreads": abi.MaxThreads,
		"SysProcessInfo": abi.SysProcessInfo, "SysConsoleWrite": abi.SysConsoleWrite, "SysFaultHandler": abi.SysFaultHandler, "SysFaultDone": abi.SysFaultDone,
		"EventNone": abi.EventNone, "EventReply": abi.EventReply, "EventRequest": abi.EventRequest,
		"EventNotify": abi.EventNotify, "EventCancel": abi.EventCancel,
		"EINVAL": uint64(abi.EINVAL), "EAGAIN": uint64(abi.EAGAIN), "ETIMEDOUT": uint64(abi.ETIMEDOUT), "MaxMessage": abi.MaxMessage, "StartMagic": abi.StartMagic, "Version": abi.Version,
		"FlagNoWait": abi.FlagNoWait,
	}
	start := reflect.TypeFor[abi.Start]()
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i >= len(n.Values) {
					continue
				}
				value, ok := constant(n.Values[i])
				if w, known := want[name.Name]; !known || !ok || value != w {
					t.Errorf("%s = %d, package abi says %d (known: %v)", name.Name, value, w, known)
				}
				delete(want, name.Name)
			}
		case *ast.TypeSpec:
			if n.Name.Name == "Start" {
				checkFields(t, n.Type.(*ast.StructType), start)
			}
		}
		return true
	})
	for name := range want {
		t.Errorf("%s is not in the runtime's copy", name)
	}
}

// checkFields compares names and types of a struct in source with a real one.
func checkFields(t *testing.T, have *ast.StructType, want reflect.Type) {
	t.Helper()
	var names []string
	for _, f := range have.Fields.List {
		for _, name := range f.Names {
			names = append(names, name.Name)
			wf, ok := want.FieldByName(name.Name)
			if !ok {
				t.Errorf("Start.%s does not exist in package abi", name.Name)
			} else if got := typeName(f.Type); got != wf.Type.String() {
				t.Errorf("Start.%s is %s, package abi says %s", name.Name, got, wf.Type)
			}
		}
	}
	for i := range want.NumField() {
		if i >= len(names) || names[i] != want.Field(i).Name {
			t.Errorf("field %d of Start must be %s", i, want.Field(i).Name)
		}
	}
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if e.Name == "byte" {
			return "uint8"
		}
		return e.Name
	case *ast.ArrayType:
		return "[" + e.Len.(*ast.BasicLit).Value + "]" + typeName(e.Elt)
	}
	return "?"
}

// constant evaluates the forms of constant that the file uses: n and n << n.
func constant(e ast.Expr) (uint64, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		v, err := strconv.ParseUint(e.Value, 0, 64)
		return v, err == nil
	case *ast.BinaryExpr:
		x, ok1 := constant(e.X)
		y, ok2 := constant(e.Y)
		return x << y, ok1 && ok2 && e.Op == token.SHL
	}
	return 0, false
}
