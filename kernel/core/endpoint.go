package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// endpoint is where requests arrive.
type endpoint struct {
	owner  uint32 // serving process, 0 if the entry is free
	gen    uint32 // of the entry; capabilities with another name an endpoint that is gone
	next   uint32 // endpoints of the owner, or free list
	prev   uint32
	ready  uint32 // next in the owner's list of armed endpoints with requests
	onList bool

	depth  uint32
	count  uint32
	maxLen uint64
	queue  callList

	armed  uint32  // gen if the next request is delivered, else 0
	taker  *Thread // that armed it
	cookie uint64  // of the accept
	buffer uint64  // receive buffer of the accept
}

func (k *Kernel) sysEndpointCreate(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
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
	*e = endpoint{gen: e.gen, owner: p.id, depth: uint32(depth), maxLen: maxLen, next: p.endpoints}
	if p.endpoints != 0 {
		k.endpoints[p.endpoints].prev = i
	}
	p.endpoints = i
	p.numEPs++
	c := k.newCap(p, abi.KindEndpoint, i, abi.RightSend|abi.RightRecv|abi.RightGrant, 0, 0)
	k.caps[c].gen = e.gen
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}

// closeEndpoint ends an endpoint: queued requests end for their callers with
// ECLOSED, and capabilities that still name it are of no use any more.
func (k *Kernel) closeEndpoint(i uint32) {
	e := &k.endpoints[i]
	s := &k.procs[e.owner]
	k.unlistEndpoint(s, i)
	for e.queue.head != 0 {
		c := e.queue.head
		k.removeCall(&e.queue, c)
		e.count--
		k.undonate(&k.calls[c], s)
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
	e.owner, e.armed, e.prev = 0, 0, 0
	if e.gen == maxObjectGen {
		return // this entry is used up
	}
	e.gen++
	e.next = k.freeEPs
	k.freeEPs = i
}
