package statefsd

import (
	"context"
	"errors"
	"strings"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/state"
	"nexus.internal/svc/statefs"
	"nexus.internal/svc/wire"
)

// list answers with a page of the keys that the sender may see.
func (s *server) list(r *request) {
	d := wire.Read(r.payload)
	prefix, after, limit := string(d.String8()), string(d.String8()), int(d.U16())
	namespace, _, whole, ok := state.CutPrefix(prefix)
	status := ipc.StatusOK
	switch {
	case !d.Done():
		status = ipc.StatusMalformed
	case !ok:
		status = state.StatusInvalidKey
	case limit == 0 || limit > state.MaxList:
		status = ipc.StatusOverLimit
	case whole:
		status = s.allowed(r, namespace, false)
	}
	store := s.reach(r, status)
	if store == nil {
		return
	}
	p := page{b: make([]byte, 1, 1024), left: limit}
	after, _ = strings.CutPrefix(after, state.Root)
	var err error
	if whole {
		err = p.add(store, prefix[len(state.Root):], after)
	} else {
		err = s.visible(r, &p, store, namespace, after)
	}
	if err != nil {
		s.failed(r, store, err)
		return
	}
	if p.more {
		p.b[0] = 1
	}
	r.reply(ipc.StatusOK, p.b)
}

// visible adds the keys of all namespaces that begin with a name and that the sender may
// read.
func (s *server) visible(r *request, p *page, store *statefs.Store, begin, after string) error {
	for _, g := range store.Groups(begin) {
		// All keys of the namespace come before what its name and the character behind the
		// slash would be.
		if p.more || g.Name+"0" <= after || s.allowed(r, g.Name, false) != ipc.StatusOK {
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
func (s *server) usage(r *request) {
	d := wire.Read(r.payload)
	namespace := string(d.String8())
	status := ipc.StatusOK
	switch {
	case !d.Done():
		status = ipc.StatusMalformed
	case !state.ValidNamespace(namespace):
		status = state.StatusInvalidKey
	default:
		status = s.allowed(r, namespace, false)
	}
	store := s.reach(r, status)
	if store == nil {
		return
	}
	bytes, keys := store.Quota()
	u := state.Usage{MaxKeys: uint32(keys), MaxBytes: bytes}
	for _, g := range store.Groups(namespace) {
		if g.Name == namespace {
			u.Keys, u.Bytes = uint32(g.Keys), g.Live
		}
	}
	r.reply(ipc.StatusOK, u.Append(nil))
}

// check answers with what a check of the whole store found.
func (s *server) check(r *request) {
	status := ipc.StatusMalformed
	if len(r.payload) == 0 {
		status = s.access.check(s.ctx, r.service, state.CheckCapability, "store")
	}
	store := s.reach(r, status)
	if store == nil {
		return
	}
	ctx := s.ctx
	if r.deadline != 0 {
		c, cancel := context.WithTimeout(ctx, time.Duration(r.deadline-s.env.Process.Now()))
		defer cancel()
		ctx = c
	}
	found, err := store.Check(ctx)
	if err != nil {
		if errors.Is(err, ctx.Err()) {
			err = statefs.ErrClosed
		}
		s.failed(r, store, err)
		return
	}
	report := state.Report{Generation: found.Generation, Keys: uint32(found.Keys), Findings: uint32(len(found.Findings))}
	if len(found.Findings) > 0 {
		report.First = found.Findings[0].String()
	}
	r.reply(ipc.StatusOK, report.Append(nil))
}
