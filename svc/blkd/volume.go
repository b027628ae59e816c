package blkd

import (
	"context"

	"nexus.internal/ipc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/wire"
)

// volume is a partition that somebody may hold.
type volume struct {
	partition
	gate   policy.Gate
	buffer memory   // made for the first holder
	holder *session // nil before the first
}

// session is the time in which one process holds a partition.
type session struct {
	volume    *volume
	badge     uint64 // of its endpoint
	service   uint64 // of the holder
	pending   int    // requests under way
	numbered  uint64 // requests so far
	ended     bool
	drained   chan struct{} // closed when it has ended and nothing is under way
	drains    []drain
	bufferOut bool // the buffer was handed out
}

// drain is somebody who waits until the requests up to a number are done.
type drain struct {
	upTo  uint64
	reply ipc.Pending
}

// public answers who wants a partition.
func (s *server) public(ctx context.Context, q *ipc.Request) {
	if q.Op != blk.OpOpen {
		q.Reply(ipc.StatusUnsupported, nil)
		return
	}
	d := wire.Read(q.Payload())
	name := string(d.String8())
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	v, status := s.find(name)
	if status == ipc.StatusOK {
		status = v.gate.Check(ctx, q.SenderService)
	}
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	for {
		wait, status := s.take(v, q)
		if status != ipc.StatusOK {
			q.Reply(status, nil)
		}
		if wait == nil {
			return
		}
		// The device answers, or is reset: this ends. Somebody else may come first.
		select {
		case <-wait:
		case <-ctx.Done():
			return
		}
	}
}

// find returns the volume of that name.
func (s *server) find(name string) (*volume, ipc.Status) {
	if s.why != nil {
		return nil, blk.StatusNoDisk
	}
	for _, v := range s.volumes {
		if v.name == name {
			return v, ipc.StatusOK
		}
	}
	return nil, ipc.StatusNotFound
}

// take answers q with the volume, or returns what to wait for first. It ends the session
// of the holder before, if that was the same service. The kernel gives a service id to
// one live process at a time, so that holder is dead, or asks itself. The holder of
// another service may be alive.
func (s *server) take(v *volume, q *ipc.Request) (wait chan struct{}, status ipc.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := v.holder; h != nil {
		if h.service != q.SenderService {
			return nil, ipc.StatusUnavailable
		}
		h.ended = true
		if h.pending > 0 {
			return h.drained, ipc.StatusOK
		}
	}
	s.hand(v, q)
	return nil, ipc.StatusOK
}

// hand gives the volume, for which nothing is under way, to the sender of q.
func (s *server) hand(v *volume, q *ipc.Request) {
	generation := uint64(1)
	if v.holder != nil {
		generation += v.holder.badge >> badgeShift
	}
	if v.buffer.bytes == nil {
		m, err := newMemory(s.window, blk.BufferSize)
		if err != nil {
			s.env.Log.Error("no buffer", "partition", v.name, "err", err)
			q.Reply(ipc.StatusInternal, nil)
			return
		}
		v.buffer = m
	}
	if v.holder != nil {
		clear(v.buffer.bytes)
	}
	badge := generation<<badgeShift | s.place(v)
	ep, err := ipc.DeriveSendGrant(s.parts, badge)
	if err != nil {
		s.env.Log.Error("no endpoint", "partition", v.name, "err", err)
		q.Reply(ipc.StatusInternal, nil)
		return
	}
	v.holder = &session{volume: v, badge: badge, service: q.SenderService, drained: make(chan struct{})}
	info := blk.Info{Sectors: v.count, MaxSectors: s.disk.maxSectors, MaxDiscard: s.disk.maxDiscard, ReadOnly: s.disk.readOnly}
	q.ReplyCap(ipc.StatusOK, info.Append(q.Inline()), ipc.MoveSend(ep))
}

// badgeShift divides a badge: below it is the number of the volume, from 1 on, above how
// often that was opened.
const badgeShift = 8

func (s *server) place(v *volume) uint64 {
	for i, w := range s.volumes {
		if v == w {
			return uint64(i) + 1
		}
	}
	return 0
}

// session returns the session whose endpoint has this badge, if it lasts.
func (s *server) session(badge uint64) *session {
	i := badge & (1<<badgeShift - 1)
	if i == 0 || i > uint64(len(s.volumes)) {
		return nil
	}
	h := s.volumes[i-1].holder
	if h == nil || h.ended || h.badge != badge {
		return nil
	}
	return h
}

// request answers the holder of a partition, at once or when the device is done.
func (s *server) request(q *ipc.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.session(q.Badge)
	if h == nil {
		q.Reply(blk.StatusStale, nil)
		return
	}
	switch q.Op {
	case blk.OpRead, blk.OpWrite, blk.OpFlush, blk.OpDiscard:
		if status := s.begin(h, q); status != ipc.StatusOK {
			q.Reply(status, nil)
		}
	case blk.OpBuffer:
		s.giveBuffer(h, q)
	case blk.OpDrain:
		s.drain(h, q)
	default:
		q.Reply(ipc.StatusUnsupported, nil)
	}
}

// begin gives a request to the device. StatusOK: it was answered, or will be.
func (s *server) begin(h *session, q *ipc.Request) ipc.Status {
	r := request{done: s.done, owner: h, number: h.numbered + 1}
	if status := prepare(h.volume, s.disk, q.Op, q.Payload(), &r); status != ipc.StatusOK {
		return status
	}
	if h.pending == blk.MaxInFlight {
		return ipc.StatusOverLimit
	}
	if r.kind == typeFlush && !s.disk.flush {
		q.Reply(ipc.StatusOK, nil) // what the device has answered lasts
		return ipc.StatusOK
	}
	r.reply = q.Detach()
	if status := s.disk.start(&r); status != ipc.StatusOK {
		r.reply.Reply(status, nil)
		return ipc.StatusOK
	}
	h.numbered = r.number
	h.pending++
	return ipc.StatusOK
}

// prepare checks a request and finds out what it is for the device.
func prepare(v *volume, d *disk, op uint16, payload []byte, r *request) ipc.Status {
	switch op {
	case blk.OpRead:
		r.kind = typeRead
	case blk.OpWrite:
		r.kind = typeWrite
	case blk.OpDiscard:
		r.kind = typeDiscard
	case blk.OpFlush:
		r.kind = typeFlush
		if len(payload) != 0 {
			return ipc.StatusMalformed
		}
		return ipc.StatusOK
	}
	var t blk.Transfer
	if !t.Decode(payload) {
		return ipc.StatusMalformed
	}
	if op != blk.OpRead && d.readOnly {
		return blk.StatusReadOnly
	}
	if t.Count == 0 || t.Sector >= v.count || uint64(t.Count) > v.count-t.Sector {
		return blk.StatusRange
	}
	r.sector, r.count = v.first+t.Sector, t.Count
	if op == blk.OpDiscard {
		switch {
		case t.Offset != 0:
			return ipc.StatusInvalidArgs
		case d.maxDiscard == 0:
			return blk.StatusUnsupported
		case t.Count > d.maxDiscard:
			return ipc.StatusOverLimit
		}
		return ipc.StatusOK
	}
	switch {
	case t.Offset%sectorSize != 0:
		return blk.StatusAlign
	case t.Count > d.maxSectors:
		return ipc.StatusOverLimit
	case t.Offset > blk.BufferSize-t.Count*sectorSize:
		return blk.StatusRange
	}
	r.address = v.buffer.address + uint64(t.Offset)
	return ipc.StatusOK
}

// finished answers a request that the device is done with. The lock is held.
func (s *server) finished(r *request, status ipc.Status) {
	// Who has given up since hears nothing.
	r.reply.Reply(status, nil)
	h := r.owner
	h.pending--
	if h.ended && h.pending == 0 {
		close(h.drained)
	}
	if len(h.drains) > 0 {
		s.answerDrains(h)
	}
}

// giveBuffer hands out the buffer, to be mapped.
func (s *server) giveBuffer(h *session, q *ipc.Request) {
	if h.bufferOut {
		q.Reply(ipc.StatusInvalidArgs, nil)
		return
	}
	c, err := ipc.DeriveFull(h.volume.buffer.object)
	if err != nil {
		s.env.Log.Error("no buffer", "partition", h.volume.name, "err", err)
		q.Reply(ipc.StatusInternal, nil)
		return
	}
	h.bufferOut = true
	q.ReplyCap(ipc.StatusOK, nil, ipc.MoveVMO(c))
}

// drain answers when no request that the holder has made until now is under way.
func (s *server) drain(h *session, q *ipc.Request) {
	switch {
	case len(q.Payload()) != 0:
		q.Reply(ipc.StatusMalformed, nil)
	case h.pending == 0:
		q.Reply(ipc.StatusOK, nil)
	case len(h.drains) == blk.MaxInFlight:
		q.Reply(ipc.StatusOverLimit, nil)
	default:
		h.drains = append(h.drains, drain{h.numbered, q.Detach()})
	}
}

// answerDrains answers those for whom nothing is under way any more.
func (s *server) answerDrains(h *session) {
	oldest := s.disk.oldest(h)
	kept := h.drains[:0]
	for _, d := range h.drains {
		if d.upTo < oldest {
			d.reply.Reply(ipc.StatusOK, nil)
		} else {
			kept = append(kept, d)
		}
	}
	h.drains = kept
}
