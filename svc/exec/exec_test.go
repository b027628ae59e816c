package exec

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

func sample() *Request {
	return &Request{Name: "demo.hello", File: "child-hello", Frames: 512, Flags: FlagHold, QoS: abi.NewQoS(abi.Idle, 7, 1), Args: []string{"hello", "", "x"}, Env: []string{"A=1", "B="}}
}

func TestRejectRequest(t *testing.T) {
	long := strings.Repeat("x", MaxString)
	for _, tt := range []struct {
		name   string
		change func(r *Request)
		want   ipc.Status
	}{
		{"good", func(r *Request) {}, ipc.StatusOK},
		{"longest", func(r *Request) { r.Name, r.Args, r.Frames = long[:MaxName], []string{long}, MaxFrames }, ipc.StatusOK},
		{"memory", func(r *Request) { r.File, r.Length = "", MaxProgram }, ipc.StatusOK},
		{"no name", func(r *Request) { r.Name = "" }, ipc.StatusInvalidArgs},
		{"name in capitals", func(r *Request) { r.Name = "Hello" }, ipc.StatusInvalidArgs},
		{"name with a line", func(r *Request) { r.Name = "a\nSELFTEST:" }, ipc.StatusInvalidArgs},
		{"long name", func(r *Request) { r.Name = long[:MaxName+1] }, ipc.StatusOverLimit},
		{"file with a path", func(r *Request) { r.File = "../policy" }, ipc.StatusInvalidArgs},
		{"long file", func(r *Request) { r.File = long[:MaxFile+1] }, ipc.StatusOverLimit},
		{"neither file nor memory", func(r *Request) { r.File = "" }, ipc.StatusInvalidArgs},
		{"file and memory", func(r *Request) { r.Length = 1 }, ipc.StatusInvalidArgs},
		{"large program", func(r *Request) { r.File, r.Length = "", MaxProgram+1 }, ipc.StatusOverLimit},
		{"large budget", func(r *Request) { r.Frames = MaxFrames + 1 }, ipc.StatusOverLimit},
		{"unknown flag", func(r *Request) { r.Flags = flags + 1 }, ipc.StatusInvalidArgs},
		{"many arguments", func(r *Request) { r.Args = make([]string, MaxStrings+1) }, ipc.StatusOverLimit},
		{"many variables", func(r *Request) { r.Env = strings.Split(strings.Repeat("A=1 ", MaxStrings+1), " ")[:MaxStrings+1] }, ipc.StatusOverLimit},
		{"NUL", func(r *Request) { r.Args[0] = "a\x00b" }, ipc.StatusInvalidArgs},
		{"no value", func(r *Request) { r.Env[0] = "A" }, ipc.StatusInvalidArgs},
		{"no key", func(r *Request) { r.Env[0] = "=1" }, ipc.StatusInvalidArgs},
	} {
		r := sample()
		tt.change(r)
		if got := r.Check(); got != tt.want {
			t.Errorf("%s: Check = %v, want %v", tt.name, got, tt.want)
		}
		var d Request
		if got := d.Decode(r.Append(nil)); got != tt.want {
			t.Errorf("%s: Decode = %v, want %v", tt.name, got, tt.want)
		}
	}
	good := sample().Append(nil)
	var d Request
	for n := range good {
		if got := d.Decode(good[:n]); got != ipc.StatusMalformed {
			t.Errorf("cut at %d: %v", n, got)
		}
	}
	if got := d.Decode(append(good, 0)); got != ipc.StatusMalformed {
		t.Errorf("a byte behind: %v", got)
	}
	var s Session
	r := sample()
	r.Name = ""
	if _, _, err := s.Spawn(t.Context(), r, Program{}); err != ipc.StatusInvalidArgs {
		t.Errorf("the client sends a bad request: %v", err)
	}
}

// A child's name and the prefix fit into what the kernel takes, and no reason's status
// is that of another thing.
func TestReasons(t *testing.T) {
	if len(Prefix)+MaxName != abi.MaxName {
		t.Errorf("names of %d bytes", len(Prefix)+MaxName)
	}
	want := []string{"unknown", "oom", "cap-table-full", "endpoint-quota", "map-failed", "invalid-payload", "denied-by-policy", "name-in-use"}
	for i, token := range want {
		r, ok := ReasonOf(Reason(i).Status())
		if !ok || r != Reason(i) || r.String() != token {
			t.Errorf("reason %d: %v, %v", i, r, ok)
		}
	}
	for _, err := range []error{nil, errors.New("x"), ipc.StatusDenied, Reason(len(want)).Status(), ipc.ErrClosed} {
		if r, ok := ReasonOf(err); ok {
			t.Errorf("%v is the reason %v", err, r)
		}
	}
}

func TestEnd(t *testing.T) {
	e := End{ID: 1, PID: 2, Status: abi.ExitFault, Cause: 15, PC: 3, Addr: ^uint64(0)}
	b := e.Append(nil)
	var d End
	if !d.Decode(b) || d != e || len(b) > ipc.MaxInlinePayload {
		t.Errorf("%+v, %d bytes", d, len(b))
	}
	if d.Decode(b[1:]) || d.Decode(append(b, 0)) {
		t.Error("accepts another length")
	}
}

// FuzzRequest gives the decoder any bytes: what it accepts is within the limits and
// encodes to the same bytes.
func FuzzRequest(f *testing.F) {
	f.Add(sample().Append(nil))
	f.Add((&Request{Name: "a", Length: 5}).Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		if r.Decode(b) != ipc.StatusOK {
			return
		}
		if status := r.Check(); status != ipc.StatusOK {
			t.Errorf("accepted, and Check says %v", status)
		}
		if got := r.Append(nil); !bytes.Equal(got, b) {
			t.Errorf("%x decodes to %+v, which encodes to %x", b, r, got)
		}
	})
}
