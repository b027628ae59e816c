package timer

import (
	"bytes"
	"context"
	"math"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/wire"
	"pgregory.net/rapid"
)

func TestDue(t *testing.T) {
	for _, tt := range []struct {
		class         abi.Class
		deadline, due int64
	}{
		{abi.Idle, 0, 0}, {abi.Idle, 1, 8e6}, {abi.Idle, 8e6, 8e6}, {abi.Idle, 8e6 + 1, 16e6},
		{abi.Normal, 20_500_000, 24e6}, {abi.Normal, 24e6, 24e6},
		{abi.Interactive, 21_100_000, 22e6}, {abi.Interactive, 22_000_001, 23e6},
		{abi.PerfBurst, 21_100_001, 21_100_001}, {abi.PerfBurst, math.MaxInt64, math.MaxInt64},
	} {
		if due, ok := Due(tt.class, uint64(tt.deadline)); due != tt.due || !ok {
			t.Errorf("%v %d: due %d, %v; want %d", tt.class, tt.deadline, due, ok, tt.due)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		class := rapid.SampledFrom([]abi.Class{abi.Idle, abi.Normal, abi.Interactive, abi.PerfBurst}).Draw(t, "class")
		deadline := rapid.Uint64Range(0, math.MaxInt64-8e6).Draw(t, "deadline")
		due, ok := Due(class, deadline)
		w := Window(class)
		if early := uint64(due) < deadline; !ok || early || w == 0 && uint64(due) != deadline ||
			w != 0 && (due%w != 0 || uint64(due)-deadline >= uint64(w)) {
			t.Fatalf("due %d, %v", due, ok)
		}
	})
}

func TestRejectRequest(t *testing.T) {
	good := (&Request{Class: abi.Normal, Deadline: 5}).Append(nil, OpRegister)
	with := func(class byte, deadline uint64) []byte { return wire.AppendU64([]byte{class}, deadline) }
	for _, tt := range []struct {
		name    string
		op      uint16
		payload []byte
		want    ipc.Status
	}{
		{"good", OpRegister, good, ipc.StatusOK},
		{"good sleep", OpSleep, good, ipc.StatusOK},
		{"last time", OpSleep, with(3, math.MaxInt64), ipc.StatusOK},
		{"cut", OpRegister, good[:8], ipc.StatusMalformed},
		{"a byte behind", OpSleep, append(bytes.Clone(good), 0), ipc.StatusMalformed},
		{"nothing", OpRegister, nil, ipc.StatusMalformed},
		{"class that is none", OpRegister, with(4, 5), ipc.StatusInvalidArgs},
		{"class 255", OpSleep, with(255, 5), ipc.StatusInvalidArgs},
		{"time that is none", OpRegister, with(3, 1<<63), ipc.StatusInvalidArgs},
		{"all ones", OpSleep, with(3, math.MaxUint64), ipc.StatusInvalidArgs},
		{"window beyond the end of time", OpRegister, with(0, math.MaxInt64), ipc.StatusInvalidArgs},
		{"short id", OpCancel, []byte{1, 2, 3}, ipc.StatusMalformed},
		{"open with a payload", OpOpen, []byte{0}, ipc.StatusMalformed},
		{"next with a payload", OpNext, []byte{0}, ipc.StatusMalformed},
		{"wall with a payload", OpWall, []byte{0}, ipc.StatusMalformed},
		{"no operation", 0, nil, ipc.StatusUnsupported},
		{"unknown operation", OpClose + 1, nil, ipc.StatusUnsupported},
	} {
		var r Request
		if got := r.Decode(tt.op, tt.payload); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// FuzzRequest gives the decoder any bytes: what it accepts has a class and a time, and
// encodes to the same bytes.
func FuzzRequest(f *testing.F) {
	f.Add(uint16(OpRegister), (&Request{Class: abi.Idle, Deadline: 77}).Append(nil, OpRegister))
	f.Add(uint16(OpSleep), (&Request{Class: abi.PerfBurst, Deadline: math.MaxUint64}).Append(nil, OpSleep))
	f.Add(uint16(OpCancel), (&Request{ID: 9}).Append(nil, OpCancel))
	f.Add(uint16(OpNext), []byte{})
	f.Fuzz(func(t *testing.T, op uint16, b []byte) {
		var r Request
		if r.Decode(op, b) != ipc.StatusOK {
			return
		}
		if due, ok := Due(r.Class, r.Deadline); !ok || due < 0 {
			t.Errorf("accepted, and due at %d, %v", due, ok)
		}
		if got := r.Append(nil, op); !bytes.Equal(got, b) {
			t.Errorf("%x decodes to %+v, which encodes to %x", b, r, got)
		}
	})
}

// reply is a server that answers everything alike.
type reply []byte

func (r reply) Call(_ context.Context, _ uint16, _, resp []byte) (int, error) {
	return copy(resp, r), nil
}

// A client believes no reply that is not one.
func TestRejectReply(t *testing.T) {
	c := Client{To: reply{1, 2, 3}}
	if _, err := c.Sleep(t.Context(), abi.Normal, 1); err != ipc.ErrProtocol {
		t.Errorf("sleep: %v", err)
	}
	if _, err := c.Monotonic(t.Context()); err != ipc.ErrProtocol {
		t.Errorf("monotonic: %v", err)
	}
	if _, _, err := c.Wall(t.Context()); err != ipc.ErrProtocol {
		t.Errorf("wall: %v", err)
	}
}
