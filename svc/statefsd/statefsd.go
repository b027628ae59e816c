// Package statefsd serves the store of the system, package statefs, to whoever may use
// it: see package state for the language.
//
// Invariants:
//
//   - Who asks is the service that the kernel names. In the namespace of its own name it
//     may do what it likes, within a quota; for every other one policyd is asked, for each
//     service, namespace and direction, and no answer is a no.
//   - StatusOK for a change says that it is on the disk. There is no store but the one on
//     the disk: without it everybody gets an error.
//   - A list shows no key of a namespace that its reader may not read.
//   - Everything that a client can make grow has a limit, and takes nothing from another
//     client's: namespaces have quotas, memory for long values is taken for few requests
//     at a time, and watches are counted.
package statefsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/state"
	"nexus.internal/svc/statefs"
	"nexus.internal/svc/wire"
)

const (
	// depth bounds the requests that wait for a worker.
	depth = 64
	// workers is how many changes can share a flush.
	workers = ipc.MaxWorkers
	// maxLong bounds the requests with values that come or go in a VMO: of each there is a
	// copy in memory, and of a change what is encrypted of it.
	maxLong = 2
)

// server is the service.
type server struct {
	env    *svc.Env
	ctx    context.Context
	log    *slog.Logger
	access access
	store  keeper
	sealed map[string]bool // namespaces whose values are encrypted
	long   chan struct{}   // holds a token for each request with a long value
	watch  watches
}

// Serve is the service, with a store that open opens, when it is started and again when
// the disk has failed. The arguments of the service name what is encrypted:
// sealed=<namespace>.
func Serve(ctx context.Context, env *svc.Env, open func(context.Context) (*statefs.Store, error)) error {
	h := journal.NewHandler(env.Name, slog.LevelInfo, env.ConsoleHandler(slog.LevelWarn))
	s := &server{env: env, ctx: ctx, log: slog.New(h), sealed: map[string]bool{}, long: make(chan struct{}, maxLong)}
	for _, a := range env.Args {
		var namespace string
		if n, err := fmt.Sscanf(a, "sealed=%s", &namespace); n == 1 && err == nil {
			s.sealed[namespace] = true
		}
	}
	s.access = access{policy: policy.Client{To: env.Dial("policyd", policy.Protocol)}, now: env.Process.Now, log: slog.New(h.WithScope("statefsd.audit"))}
	s.store = keeper{open: open, now: env.Process.Now, log: s.log}
	go h.Run(ctx, journal.Client{To: env.Dial("logd", journal.Protocol)})
	ep, err := env.Process.NewEndpoint(depth, abi.MaxMessage)
	if err != nil {
		return err
	}
	if _, err := s.store.get(ctx); err != nil {
		env.Say("statefsd: no store: %v", err)
	}
	return env.Serve(ctx, ipc.NewServer(ep, state.Protocol, workers, s.handle), ep)
}

// handle answers a request.
func (s *server) handle(q *ipc.Request) {
	switch q.Op {
	case state.OpPut:
		s.put(q)
	case state.OpGet:
		s.get(q)
	case state.OpDelete:
		s.delete(q)
	case state.OpCommit:
		s.commit(q)
	case state.OpList:
		s.list(q)
	case state.OpWatch:
		s.startWatch(q)
	case state.OpUsage:
		s.usage(q)
	case state.OpCheck:
		s.check(q)
	default:
		q.Reply(ipc.StatusUnsupported, nil)
	}
}

// allowed returns StatusOK if the sender may read, or write, a namespace.
func (s *server) allowed(q *ipc.Request, namespace string, write bool) ipc.Status {
	if manifest.ServiceID(namespace) == q.SenderService {
		return ipc.StatusOK
	}
	capability := state.ReadCapability(namespace)
	if write {
		capability = state.WriteCapability(namespace)
	}
	return s.access.check(s.ctx, q.SenderService, capability, namespace)
}

// key decodes the one key of a request and returns it as the store has it, if the sender
// may read or write it.
func (s *server) key(q *ipc.Request, b []byte, write bool) (key, namespace string, status ipc.Status) {
	key = string(b)
	namespace, _, ok := state.CutKey(key)
	if !ok {
		return "", "", state.StatusInvalidKey
	}
	return key[len(state.Root):], namespace, s.allowed(q, namespace, write)
}

// reply answers with the version that a change has.
func reply(q *ipc.Request, version uint64) {
	q.Reply(ipc.StatusOK, wire.AppendU64(q.Inline(), version))
}

// answer answers with what went wrong in the store.
func (s *server) answer(q *ipc.Request, store *statefs.Store, err error) {
	if errors.Is(err, errGone) || store.Info().Stopped != nil {
		s.store.drop(store, err)
	}
	q.Reply(statusOf(err), nil)
}

// statusOf returns the status for an error of the store.
func statusOf(err error) ipc.Status {
	for _, c := range []struct {
		err    error
		status ipc.Status
	}{
		{statefs.ErrNotFound, ipc.StatusNotFound},
		{statefs.ErrConflict, state.StatusConflict},
		{statefs.ErrQuota, state.StatusQuota},
		{statefs.ErrFull, state.StatusFull},
		{statefs.ErrTooManyKeys, state.StatusFull},
		{statefs.ErrTooLarge, state.StatusTooLong},
		{statefs.ErrInvalidKey, state.StatusInvalidKey},
		{statefs.ErrMissed, state.StatusMissed},
		{statefs.ErrIntegrity, state.StatusIntegrity},
		{statefs.ErrCorrupt, state.StatusCorrupt},
		{statefs.ErrStopped, state.StatusDevice},
		{statefs.ErrDevice, state.StatusDevice},
	} {
		if errors.Is(err, c.err) {
			return c.status
		}
	}
	return ipc.StatusInternal
}

// put gives a key a value.
func (s *server) put(q *ipc.Request) {
	d := wire.Read(q.Payload())
	key, namespace, status := s.key(q, d.String8(), true)
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	value, done, status := s.body(q, &d)
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	defer done()
	var t statefs.Txn
	if s.sealed[namespace] {
		t.PutSealed(key, value)
	} else {
		t.Put(key, value)
	}
	s.make(q, &t)
}

// body returns what is behind the head of a request: the rest of its payload, or what is
// in its VMO. The caller calls done when it needs it no longer.
func (s *server) body(q *ipc.Request, d *wire.Reader) (b []byte, done func(), status ipc.Status) {
	memory := q.Take()
	if !memory.Valid() {
		if !d.OK() {
			return nil, nil, ipc.StatusMalformed
		}
		return d.Rest(), func() {}, ipc.StatusOK
	}
	v, err := memory.Memory()
	if err != nil {
		return nil, nil, ipc.StatusInvalidArgs
	}
	defer v.Close()
	n := d.U32()
	switch {
	case !d.Done():
		return nil, nil, ipc.StatusMalformed
	case n > state.MaxLarge:
		return nil, nil, state.StatusTooLong
	}
	s.long <- struct{}{}
	done = func() { <-s.long }
	// A copy of its own: what it is checked as is what is written, whoever can still
	// write to the VMO.
	b = make([]byte, n)
	if err := ipc.ReadVMO(v, 0, b); err != nil {
		done()
		return nil, nil, ipc.StatusInvalidArgs
	}
	return b, done, ipc.StatusOK
}

// make makes a transaction and answers.
func (s *server) make(q *ipc.Request, t *statefs.Txn) {
	store, err := s.store.get(s.ctx)
	if err != nil {
		q.Reply(state.StatusNoStore, nil)
		return
	}
	version, err := store.Commit(t)
	if err != nil {
		s.answer(q, store, err)
		return
	}
	reply(q, version)
}

// delete removes a key.
func (s *server) delete(q *ipc.Request) {
	d := wire.Read(q.Payload())
	key, _, status := s.key(q, d.String8(), true)
	if !d.Done() {
		status = ipc.StatusMalformed
	}
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	var t statefs.Txn
	t.Delete(key)
	s.make(q, &t)
}

// commit makes a transaction, all of whose keys the sender may write, or read if they are
// only expected to have a version.
func (s *server) commit(q *ipc.Request) {
	d := wire.Read(q.Payload())
	b, done, status := s.body(q, &d)
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	defer done()
	var t statefs.Txn
	status = state.DecodeTxn(b, func(kind byte, name string, version uint64, value []byte) ipc.Status {
		if t.Len() == statefs.MaxOps {
			return ipc.StatusOverLimit
		}
		key, namespace, status := s.key(q, []byte(name), kind != state.KindExpect)
		switch {
		case status != ipc.StatusOK:
		case kind == state.KindPut && s.sealed[namespace]:
			t.PutSealed(key, value)
		case kind == state.KindPut:
			t.Put(key, value)
		case kind == state.KindDelete:
			t.Delete(key)
		case kind == state.KindExpect:
			t.Expect(key, version)
		}
		return status
	})
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	s.make(q, &t)
}

// get answers with a value.
func (s *server) get(q *ipc.Request) {
	d := wire.Read(q.Payload())
	key, _, status := s.key(q, d.String8(), false)
	if !d.Done() {
		status = ipc.StatusMalformed
	}
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	store, err := s.store.get(s.ctx)
	if err != nil {
		q.Reply(state.StatusNoStore, nil)
		return
	}
	memory := q.Take()
	if memory.Valid() {
		s.getLong(q, store, key, memory)
		return
	}
	const head = 8
	if n, err := store.Length(key); err != nil {
		s.answer(q, store, err)
		return
	} else if n > ipc.MaxPayload-head {
		q.Reply(state.StatusLarge, wire.AppendU32(q.Inline(), uint32(n)))
		return
	}
	b := wire.AppendU64(q.Large(), 0)
	b, version, err := store.Get(b, key)
	if err != nil {
		s.answer(q, store, err)
		return
	}
	wire.AppendU64(b[:0], version)
	q.Reply(ipc.StatusOK, b) // if it has grown in between, it is StatusTooLarge
}

// getLong answers with a value in the sender's memory.
func (s *server) getLong(q *ipc.Request, store *statefs.Store, key string, memory ipc.Any) {
	v, err := memory.Writable()
	if err != nil {
		q.Reply(ipc.StatusInvalidArgs, nil)
		return
	}
	defer v.Close()
	s.long <- struct{}{}
	defer func() { <-s.long }()
	b, version, err := store.Get(nil, key)
	if err != nil {
		s.answer(q, store, err)
		return
	}
	info, err := v.Info()
	switch {
	case err == nil && info.Size < uint64(len(b)):
		q.Reply(state.StatusLarge, wire.AppendU32(q.Inline(), uint32(len(b))))
	case err != nil || ipc.WriteVMO(v, 0, b) != nil:
		q.Reply(ipc.StatusInvalidArgs, nil)
	default:
		q.Reply(ipc.StatusOK, wire.AppendU32(wire.AppendU64(q.Inline(), version), uint32(len(b))))
	}
}
