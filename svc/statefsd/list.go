package statefsd

import (
	"errors"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/svc/state"
	"nexus.internal/svc/statefs"
	"nexus.internal/svc/wire"
)

// list answers with a page of the keys that the sender may see.
func (s *server) list(q *ipc.Request) {
	d := wire.Read(q.Payload())
	prefix, after, limit := string(d.String8()), string(d.String8()), int(d.U16())
	namespace, _, whole, ok := state.CutPrefix(prefix)
	switch {
	case !d.Done():
		q.Reply(ipc.StatusMalformed, nil)
		return
	case !ok:
		q.Reply(state.StatusInvalidKey, nil)
		return
	case limit == 0 || limit > state.MaxList:
		q.Reply(ipc.StatusOverLimit, nil)
		return
	}
	if whole {
		if status := s.allowed(q, namespace, false); status != ipc.StatusOK {
			q.Reply(status, nil)
			return
		}
	}
	store, err := s.store.get(s.ctx)
	if err != nil {
		q.Reply(state.StatusNoStore, nil)
		return
	}
	p := page{b: append(q.Large(), 0), left: limit}
	after, _ = strings.CutPrefix(after, state.Root)
	if whole {
		err = p.add(store, prefix[len(state.Root):], after)
	} else {
		err = s.visible(q, &p, store, namespace, after)
	}
	if err != nil {
		s.answer(q, store, err)
		return
	}
	if p.more {
		p.b[0] = 1
	}
	q.Reply(ipc.StatusOK, p.b)
}

// visible adds the keys of all namespaces that begin with a name and that the sender may
// read.
func (s *server) visible(q *ipc.Request, p *page, store *statefs.Store, begin, after string) error {
	for _, g := range store.Groups(begin) {
		// All keys of the namespace come before what its name and the character behind the
		// slash would be.
		if p.more || g.Name+"0" <= after || s.allowed(q, g.Name, false) != ipc.StatusOK {
			continue
		}
		if err := p.add(store, g.Name+"/", after); err != nil {
			return err
		}
	}
	return nil
}

// page is a reply of list that is being made.
type page struct {
	b    []byte
	left int
	more bool
}

// listed is how many keys the store is asked for at once.
const listed = 64

// add adds keys that begin with prefix, behind after, as far as they go into the reply.
func (p *page) add(store *statefs.Store, prefix, after string) error {
	for {
		items, err := store.List(prefix, after, listed)
		if err != nil {
			return err
		}
		for _, i := range items {
			item := state.Item{Key: state.Root + i.Key, Version: i.Version, Length: i.Length}
			if p.left == 0 || len(p.b)+8+4+1+len(item.Key) > ipc.MaxPayload {
				p.more = true
				return nil
			}
			p.b = item.Append(p.b)
			p.left--
			after = i.Key
		}
		if len(items) < listed {
			return nil
		}
	}
}

// usage answers with what a namespace has.
func (s *server) usage(q *ipc.Request) {
	d := wire.Read(q.Payload())
	namespace := string(d.String8())
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	if !state.ValidNamespace(namespace) {
		q.Reply(state.StatusInvalidKey, nil)
		return
	}
	if status := s.allowed(q, namespace, false); status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	store, err := s.store.get(s.ctx)
	if err != nil {
		q.Reply(state.StatusNoStore, nil)
		return
	}
	bytes, keys := store.Quota()
	u := state.Usage{MaxKeys: uint32(keys), MaxBytes: bytes}
	for _, g := range store.Groups(namespace) {
		if g.Name == namespace {
			u.Keys, u.Bytes = uint32(g.Keys), g.Live
		}
	}
	q.Reply(ipc.StatusOK, u.Append(q.Inline()))
}

// check answers with what a check of the whole store found.
func (s *server) check(q *ipc.Request) {
	if len(q.Payload()) != 0 {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	if status := s.access.check(s.ctx, q.SenderService, state.CheckCapability, "store"); status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	store, err := s.store.get(s.ctx)
	if err != nil {
		q.Reply(state.StatusNoStore, nil)
		return
	}
	ctx, cancel := q.Context(s.ctx)
	defer cancel()
	found, err := store.Check(ctx)
	if err != nil {
		if errors.Is(err, ctx.Err()) {
			err = statefs.ErrClosed
		}
		s.answer(q, store, err)
		return
	}
	r := state.Report{Generation: found.Generation, Keys: uint32(found.Keys), Findings: uint32(len(found.Findings))}
	if len(found.Findings) > 0 {
		r.First = found.Findings[0].String()
	}
	q.Reply(ipc.StatusOK, r.Append(q.Large()))
}
