//go:build !tamago

package ipc_test

import (
	"io"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
)

func TestSealAndResize(t *testing.T) {
	p := ipctest.New(io.Discard).Boot("p").Self()
	v, err := p.NewVMO(100)
	if err != nil {
		t.Fatal(err)
	}
	if err := ipc.Resize(v, 3*abi.PageSize); err != nil {
		t.Fatal(err)
	}
	if err := ipc.WriteVMO(v, 2*abi.PageSize, []byte("late")); err != nil {
		t.Fatal(err)
	}
	b, err := ipc.MapWritable(v, 0, abi.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := ipc.ProtectRead(v, b); err != nil {
		t.Fatal(err)
	}
	if err := ipc.ProtectWrite(v, b); err != nil {
		t.Fatal(err)
	}
	if info, err := v.Info(); err != nil || info.Size != 3*abi.PageSize || info.Sealed {
		t.Fatalf("%+v, %v", info, err)
	}
	if err := ipc.Seal(v); err != nil {
		t.Fatal(err)
	}
	if info, err := v.Info(); err != nil || !info.Sealed {
		t.Fatalf("%+v, %v", info, err)
	}
	_, mapErr := ipc.MapWritable(v, 0, abi.PageSize)
	for what, err := range map[string]error{
		"write":   ipc.WriteVMO(v, 0, []byte("x")),
		"map":     mapErr,
		"protect": ipc.ProtectWrite(v, b),
		"resize":  ipc.Resize(v, 1),
	} {
		if err != ipc.ErrSealed {
			t.Errorf("%s: %v", what, err)
		}
	}
	var got [4]byte
	if err := ipc.ReadVMO(v, 2*abi.PageSize, got[:]); err != nil || string(got[:]) != "late" {
		t.Errorf("%q, %v", got, err)
	}
}
