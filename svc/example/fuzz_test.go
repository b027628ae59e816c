package example

import (
	"bytes"
	"testing"

	"nexus.internal/ipc"
)

// FuzzRequest gives the decoder any bytes: what it accepts is within the limits
// and encodes to the same bytes.
func FuzzRequest(f *testing.F) {
	f.Add(uint16(OpAdd), []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x06apples"))
	f.Add(uint16(OpGet), []byte("\x06apples"))
	f.Add(uint16(OpGet), []byte("\xffapples"))
	f.Add(uint16(0), []byte{})
	f.Fuzz(func(t *testing.T, op uint16, payload []byte) {
		var r request
		if r.decode(op, payload) != ipc.StatusOK {
			return
		}
		if len(r.name) < 1 || len(r.name) > MaxName {
			t.Errorf("accepted a name of %d bytes", len(r.name))
		}
		if got := r.append(nil); !bytes.Equal(got, payload) {
			t.Errorf("%x decodes to %+v, which encodes to %x", payload, r, got)
		}
	})
}
