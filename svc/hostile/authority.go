package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/blk"
	ctl "nexus.internal/svc/control"
	"nexus.internal/svc/keystore"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/rng"
	"nexus.internal/svc/wire"
)

// forgedIdentity claims to be others, in every place where a claim could be made.
func forgedIdentity(ctx context.Context, a *attacker) error {
	// The kernel says who we are, whatever the payload says.
	for _, name := range []string{"init", "policyd", "selftest-client"} {
		var resp [20]byte
		if _, err := a.env.Control.Call(ctx, ctl.OpWhoAmI, wire.AppendU64(nil, manifest.ServiceID(name)), resp[:]); err != nil {
			return fmt.Errorf("who am I: %w", err)
		}
		d := wire.Read(resp[:])
		if id := d.U64(); id != a.p.Start().ServiceID || id == manifest.ServiceID(name) {
			return fmt.Errorf("init takes us for %016x", id)
		}
	}
	// Another badge on the control endpoint would make us another child.
	for badge := uint64(0); badge < 8; badge++ {
		_, errno := a.syscall(abi.SysCapCopy, control, uint64(abi.RightSend), badge)
		if err := refused("a copy of the control endpoint with another badge", errno, abi.EPERM); err != nil {
			return err
		}
	}
	if _, _, err := a.env.Control.Spawner(ctx); !errors.Is(err, ipc.StatusDenied) {
		return fmt.Errorf("the right to create processes: %v", err)
	}
	for _, name := range []string{"child-exit0", "programs", "policy", ""} {
		if _, err := a.env.Control.File(ctx, name); !errors.Is(err, ipc.StatusDenied) {
			return fmt.Errorf("file %q: %v", name, err)
		}
	}
	for _, name := range []string{"policyd", "logd", "execd", "init", "selftest-client"} {
		if _, err := a.env.Control.Connect(ctx, name); !errors.Is(err, ipc.StatusDenied) {
			return fmt.Errorf("connecting to %s: %v", name, err)
		}
	}
	if _, err := a.env.Control.Usage(ctx); !errors.Is(err, ipc.StatusDenied) {
		return fmt.Errorf("usage: %v", err)
	}
	if _, err := a.env.Control.End(ctx, "hostile-peer", true); !errors.Is(err, ipc.StatusDenied) {
		return fmt.Errorf("killing a peer: %v", err)
	}
	return nil
}

// deviceCalls are the calls on devices.
var deviceCalls = [...]uint64{abi.SysDeviceInfo, abi.SysMMIOCreate, abi.SysMMIOMap, abi.SysMMIORelease, abi.SysIRQCreate, abi.SysIRQBind, abi.SysIRQAck, abi.SysDMACreate, abi.SysDMAAddress}

// handles uses handles that were never given to this process, that it no longer
// has, and that belong to others.
func handles(_ context.Context, a *attacker) error {
	// Guessed: every table index, with the first generations. Only the control
	// endpoint, and the console where there is one, is ours.
	calls := append(deviceCalls[:], abi.SysCapInfo, abi.SysCapClose, abi.SysCapRevoke, abi.SysSend, abi.SysNotify, abi.SysProcessKill, abi.SysSpawn, abi.SysSystemInfo, abi.SysFlightRead)
	ours := map[uint64]bool{control: true, uint64(a.p.Start().Console): true}
	for gen := range uint64(16) {
		for i := range uint64(300) {
			h := gen<<32 | i
			if ours[h] {
				continue
			}
			for _, num := range calls {
				if h == 0 && num == abi.SysProcessInfo {
					continue
				}
				if _, errno := a.syscall(num, h); errno != abi.EBADF {
					return fmt.Errorf("call %d with guessed handle %#x: %v", num, h, errno)
				}
			}
		}
	}
	// Guessed reply rights: answering other people's calls.
	for _, shift := range []uint{0, 13, 32} {
		for i := range uint64(1 << 12) {
			h := uint64(abi.ReplyBit) | i>>8<<shift | i
			if _, errno := a.syscall(abi.SysReply, h, abi.FlagNoWait); errno != abi.EBADF && errno != abi.ENOENT {
				return fmt.Errorf("guessed reply right %#x: %v", h, errno)
			}
		}
	}
	// Stale: closed handles stay invalid when their table entry is used again.
	var stale []uint64
	for range 64 {
		h, errno := a.syscall(abi.SysEndpointCreate, 1, 64)
		if errno != abi.OK {
			return fmt.Errorf("endpoint: %v", errno)
		}
		if _, errno := a.syscall(abi.SysCapClose, h); errno != abi.OK {
			return fmt.Errorf("close: %v", errno)
		}
		stale = append(stale, h)
	}
	live, _ := a.syscall(abi.SysEndpointCreate, 1, 64)
	for _, h := range stale {
		if h == live {
			return fmt.Errorf("handle %#x was given out twice", h)
		}
		if _, errno := a.syscall(abi.SysCapInfo, h); errno != abi.EBADF {
			return fmt.Errorf("stale handle %#x: %v", h, errno)
		}
	}
	_, errno := a.syscall(abi.SysCapClose, live)
	return refused("closing the live one", errno, abi.OK)
}

// widening tries to get more out of a capability than it has.
func widening(_ context.Context, a *attacker) error {
	for r := abi.Rights(1); r <= abi.AllRights; r++ {
		_, errno := a.syscall(abi.SysCapCopy, control, uint64(r))
		if err := refused(fmt.Sprintf("the control endpoint with rights %#x", r), errno, abi.EPERM, abi.EINVAL); err != nil {
			return err
		}
	}
	_, errno := a.syscall(abi.SysCapCopy, control, uint64(abi.AllRights)+1)
	if err := refused("rights that do not exist", errno, abi.EPERM, abi.EINVAL); err != nil {
		return err
	}
	// The receive right of init's endpoint is not ours: no request of others.
	_, errno = a.syscall(abi.SysWait, 0, abi.FlagNoWait, control)
	if err := refused("receiving from the control endpoint", errno, abi.EPERM); err != nil {
		return err
	}
	v, err := a.p.NewVMO(abi.PageSize)
	if err != nil {
		return err
	}
	defer v.Close()
	ro, err := ipc.DeriveReadGrant(v)
	if err != nil {
		return err
	}
	defer ro.Close()
	h := uint64(ro.Handle())
	for r := abi.Rights(1); r <= abi.AllRights; r++ {
		want := []abi.Errno{abi.EPERM, abi.EINVAL}
		if r&^(abi.RightRead|abi.RightGrant) == 0 {
			want = []abi.Errno{abi.OK}
		}
		c, errno := a.syscall(abi.SysCapCopy, h, uint64(r))
		if err := refused(fmt.Sprintf("read-only memory with rights %#x", r), errno, want...); err != nil {
			return err
		}
		if errno == abi.OK {
			a.syscall(abi.SysCapClose, c)
		}
	}
	for _, r := range []abi.Rights{abi.RightWrite, abi.RightExec, abi.RightRead | abi.RightWrite, abi.RightRead | abi.RightExec} {
		_, errno := a.syscall(abi.SysVMOMap, h, 0, 0, abi.PageSize, uint64(r))
		if err := refused(fmt.Sprintf("mapping read-only memory with rights %#x", r), errno, abi.EPERM, abi.EINVAL); err != nil {
			return err
		}
	}
	full := uint64(v.Handle())
	_, errno = a.syscall(abi.SysVMOMap, full, 0, 0, abi.PageSize, uint64(abi.RightRead|abi.RightWrite|abi.RightExec))
	if err := refused("mapping memory writable and executable", errno, abi.EWX, abi.EPERM); err != nil {
		return err
	}
	_, errno = a.syscall(abi.SysVMOMap, full, 0, 0, abi.PageSize, uint64(abi.RightRead|abi.RightExec))
	if err := refused("mapping own memory executable", errno, abi.EPERM); err != nil {
		return err
	}
	// Where a mapping may not be: the kernel, the program, the heap, the stack.
	for _, at := range []uint64{abi.PageSize, 0x8020_0000, abi.ImageBase, abi.HeapBase, abi.StackTop - abi.PageSize, abi.StartPage, abi.UserEnd, 1 << 38, ^uint64(abi.PageSize - 1)} {
		_, errno := a.syscall(abi.SysVMOMap, full, at, 0, abi.PageSize, uint64(abi.RightRead|abi.RightWrite))
		if err := refused(fmt.Sprintf("mapping at %#x", at), errno, abi.EINVAL, abi.EOVERLAP); err != nil {
			return err
		}
	}
	return a.narrowed(v, h)
}

// keys asks keystored for everything that there is, in every shape, and for what another
// service keeps, by names that would lead there if they were paths.
func keys(ctx context.Context, a *attacker) error {
	r := a.env.Dial("keystored", keystore.Protocol)
	names := []string{"n", "../n", "0000000000000000/n", "root", "identity", "provisioned", "statefs", strings.Repeat("x", 255)}
	for op := range uint16(32) {
		payloads := [][]byte{nil, {0}, make([]byte, 8), make([]byte, 108), make([]byte, ipc.MaxPayload)}
		for _, name := range names {
			payloads = append(payloads, wire.AppendString8(nil, name), append(wire.AppendString8(nil, name), make([]byte, 40)...))
		}
		for _, payload := range payloads {
			resp := make([]byte, 512)
			n, err := r.Call(ctx, op, payload, resp)
			if _, status := err.(ipc.Status); !status || n != 0 || !bytes.Equal(resp, make([]byte, len(resp))) {
				return fmt.Errorf("operation %d of keystored with %d bytes: %d bytes, %v", op, len(payload), n, err)
			}
		}
	}
	return nil
}

// entropy asks for what it may not have, again and again, in every size.
func entropy(ctx context.Context, a *attacker) error {
	c := rng.Client{To: a.env.Dial("rngd", rng.Protocol)}
	for n := 1; n <= rng.MaxBytes; n *= 2 {
		b := make([]byte, n)
		if err := c.Read(ctx, b); !errors.Is(err, ipc.StatusDenied) {
			return fmt.Errorf("%d bytes of entropy: %v", n, err)
		}
		if !bytes.Equal(b, make([]byte, n)) {
			return fmt.Errorf("%d bytes of entropy came with the denial", n)
		}
	}
	return nil
}

// disk asks for partitions that it may not have, in ways that are requests and in ways that
// are none, and makes requests to a partition where there is none.
func disk(ctx context.Context, a *attacker) error {
	c, err := a.env.Dial("blkd", blk.Protocol).Client(ctx)
	if err != nil {
		return err
	}
	for range 50 {
		for _, name := range []string{"keys", "state", "test"} {
			if _, err := blk.Open(ctx, c, name); !errors.Is(err, ipc.StatusDenied) {
				return fmt.Errorf("partition %s: %v", name, err)
			}
		}
	}
	for op := range uint16(16) {
		for _, payload := range [][]byte{nil, {4}, {4, 'k', 'e', 'y'}, append([]byte{4}, "keys\x00"...), (&blk.Transfer{Count: 1}).Append(nil), bytes.Repeat([]byte{255}, ipc.MaxInlinePayload)} {
			call, err := c.NewCall()
			if err != nil {
				return err
			}
			_, err = call.DoSmall(ctx, op, payload)
			got := call.Take()
			call.Close()
			if err == nil || got.Valid() {
				return fmt.Errorf("operation %d with %x: %v, and a capability: %v", op, payload, err, got.Valid())
			}
		}
	}
	return nil
}
