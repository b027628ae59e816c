//go:build !tamago

package ipc_test

import (
	"encoding/binary"
	"testing"

	"nexus.internal/ipc"
)

// Whatever bytes arrive, the server answers with a frame, and goes on.
func FuzzServer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("bad"))
	f.Add(ipc.AppendFrame(nil, echoProto, opEcho, 1, []byte("hello")))
	f.Add(ipc.AppendFrame(nil, echoProto, opEcho, 1, make([]byte, 100)))
	r := newRig(f, 1)
	call, err := r.dial(f, 1).NewCall()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > 4096 {
			return
		}
		if len(frame) >= 6 {
			switch binary.LittleEndian.Uint16(frame[4:]) {
			case opBlock, opDetach, opSlow: // these wait for the test
				return
			}
		}
		got, err := call.Raw(bg, frame)
		if err != nil || len(got) < ipc.HeaderSize || got[0] != 'E' || got[1] != 'C' || got[3] != 1 {
			t.Fatalf("%x: reply %x, %v", frame, got, err)
		}
		if n := binary.LittleEndian.Uint32(got[12:]); int(n) != len(got)-ipc.HeaderSize {
			t.Fatalf("%x: reply says %d bytes and has %d", frame, n, len(got)-ipc.HeaderSize)
		}
		if _, err := call.Do(bg, opEcho, []byte("fine")); err != nil {
			t.Fatal(err)
		}
	})
}
