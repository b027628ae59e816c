package statefsd

import (
	"nexus.internal/ipc"
	"nexus.internal/svc/state"
	"nexus.internal/svc/statefs"
	"nexus.internal/svc/wire"
)

// put gives a key a value.
func (s *server) put(r *request) {
	d := wire.Read(r.payload)
	key, namespace, status := s.key(r, d.String8(), true)
	if status != ipc.StatusOK {
		r.reply(status, nil)
		return
	}
	value, done, status := s.body(r, &d)
	if status != ipc.StatusOK {
		r.reply(status, nil)
		return
	}
	defer done()
	var t statefs.Txn
	if s.sealed[namespace] {
		t.PutSealed(key, value)
	} else {
		t.Put(key, value)
	}
	s.make(r, &t)
}

// body returns what is behind the head of a request: the rest of its payload, or what is
// in its VMO. The caller calls done when it needs it no longer.
func (s *server) body(r *request, d *wire.Reader) (b []byte, done func(), status ipc.Status) {
	memory := r.take()
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
func (s *server) make(r *request, t *statefs.Txn) {
	store := s.reach(r, ipc.StatusOK)
	if store == nil {
		return
	}
	version, err := store.Commit(t)
	if err != nil {
		s.failed(r, store, err)
		return
	}
	var b [8]byte
	r.reply(ipc.StatusOK, wire.AppendU64(b[:0], version))
}

// delete removes a key.
func (s *server) delete(r *request) {
	d := wire.Read(r.payload)
	key, _, status := s.key(r, d.String8(), true)
	if !d.Done() {
		status = ipc.StatusMalformed
	}
	if status != ipc.StatusOK {
		r.reply(status, nil)
		return
	}
	var t statefs.Txn
	t.Delete(key)
	s.make(r, &t)
}

// commit makes a transaction, all of whose keys the sender may write, or read if they are
// only expected to have a version.
func (s *server) commit(r *request) {
	d := wire.Read(r.payload)
	b, done, status := s.body(r, &d)
	if status != ipc.StatusOK {
		r.reply(status, nil)
		return
	}
	defer done()
	var t statefs.Txn
	status = state.DecodeTxn(b, func(kind byte, name string, version uint64, value []byte) ipc.Status {
		if t.Len() == statefs.MaxOps {
			return ipc.StatusOverLimit
		}
		key, namespace, status := s.key(r, []byte(name), kind != state.KindExpect)
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
		r.reply(status, nil)
		return
	}
	s.make(r, &t)
}

// get answers with a value.
func (s *server) get(r *request) {
	d := wire.Read(r.payload)
	key, _, status := s.key(r, d.String8(), false)
	if !d.Done() {
		status = ipc.StatusMalformed
	}
	store := s.reach(r, status)
	if store == nil {
		return
	}
	if r.op == state.OpFetch {
		s.fetch(r, store, key)
		return
	}
	const head = 8
	n, err := store.Length(key)
	switch {
	case err != nil:
		s.failed(r, store, err)
		return
	case n > ipc.MaxPayload-head:
		r.reply(state.StatusLarge, wire.AppendU32(nil, uint32(n)))
		return
	}
	b, version, err := store.Get(make([]byte, head, head+n), key)
	if err != nil {
		s.failed(r, store, err)
		return
	}
	wire.AppendU64(b[:0], version)
	r.reply(ipc.StatusOK, b) // if it has grown in between, that is StatusTooLarge
}

// fetch answers with a value in the sender's memory.
func (s *server) fetch(r *request, store *statefs.Store, key string) {
	v, err := r.take().Writable()
	if err != nil {
		r.reply(ipc.StatusInvalidArgs, nil)
		return
	}
	defer v.Close()
	s.long <- struct{}{}
	defer func() { <-s.long }()
	b, version, err := store.Get(nil, key)
	if err != nil {
		s.failed(r, store, err)
		return
	}
	info, err := v.Info()
	switch {
	case err == nil && info.Size < uint64(len(b)):
		r.reply(state.StatusLarge, wire.AppendU32(nil, uint32(len(b))))
	case err != nil || ipc.WriteVMO(v, 0, b) != nil:
		r.reply(ipc.StatusInvalidArgs, nil)
	default:
		r.reply(ipc.StatusOK, wire.AppendU32(wire.AppendU64(nil, version), uint32(len(b))))
	}
}
