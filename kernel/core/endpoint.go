package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

func (k *Kernel) sysEndpointCreate(p *Process) abi.Errno {
	x := &p.Frame.X
	depth, maxLen := x[hart.A0], x[hart.A1]
	if depth < 1 || depth > maxEndpointDepth || maxLen > abi.MaxMessage {
		return abi.EINVAL
	}
	if p.numEPs >= endpointsPerProcess || k.freeEPs == 0 || p.freeH == 0 {
		return abi.ENOSPC
	}
	i := k.freeEPs
	e := &k.endpoints[i]
	k.freeEPs = e.next
	*e = endpoint{owner: p.id, depth: uint32(depth), maxLen: maxLen, next: p.endpoints}
	if p.endpoints != 0 {
		k.endpoints[p.endpoints].prev = i
	}
	p.endpoints = i
	p.numEPs++
	c := k.newCap(p, abi.KindEndpoint, i, abi.RightSend|abi.RightRecv|abi.RightGrant, 0, 0)
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}

// closeEndpoint ends an endpoint for its server: queued requests end for their
// callers with ECLOSED, and later ones are refused. The table entry stays until
// no capability names it.
func (k *Kernel) closeEndpoint(i uint32) {
	e := &k.endpoints[i]
	s := &k.procs[e.owner]
	k.unlistEndpoint(s, i)
	for e.queue.head != 0 {
		c := e.queue.head
		k.removeCall(&e.queue, c)
		e.count--
		k.finish(c, abi.ECLOSED)
	}
	if e.prev != 0 {
		k.endpoints[e.prev].next = e.next
	} else {
		s.endpoints = e.next
	}
	if e.next != 0 {
		k.endpoints[e.next].prev = e.prev
	}
	s.numEPs--
	e.owner, e.armed = 0, false
	e.next, e.prev = 0, 0
	if e.refs == 0 {
		k.freeEndpoint(i)
	}
}

func (k *Kernel) releaseEndpoint(i uint32) {
	e := &k.endpoints[i]
	e.refs--
	if e.refs == 0 && e.owner == 0 {
		k.freeEndpoint(i)
	}
}

func (k *Kernel) freeEndpoint(i uint32) {
	k.endpoints[i].next = k.freeEPs
	k.freeEPs = i
}
