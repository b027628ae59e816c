//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// badAddress is an address that no system call may use.
type badAddress struct {
	at   uint64
	what string
}

// outside lists addresses at which 64 bytes and more are not in user space.
var outside = []badAddress{
	{8, "null"},
	{0x1000_0000, "device"},
	{0x8000_0000, "firmware"},
	{0x8021_0000, "kernel text"},
	{0x8300_0000, "kernel memory"},
	{abi.UserBase - 32, "into user space"},
	{abi.UserEnd - 32, "out of user space"},
	{abi.UserEnd, "past user space"},
	{1 << 38, "not canonical"},
	{1 << 63, "not canonical, highest bit"},
	{^uint64(0) - 31, "wrapping"},
	{^uint64(0), "last byte"},
}

// unmapped lists addresses of user space where nothing is.
var unmapped = []badAddress{
	{abi.UserBase, "below the program"},
	{abi.MapEnd - 8*abi.PageSize, "no mapping"},
	{abi.HeapEnd - 8*abi.PageSize, "past the heap"},
	{abi.StackTop - abi.StackSize - 8*abi.PageSize, "below the stack"},
	{abi.UserEnd - 8*abi.PageSize, "last pages"},
}

// unwritable returns addresses that can be read and not written.
func unwritable() []badAddress {
	var code [6]uint64
	faultAddresses(&code)
	return []badAddress{{code[0] &^ 7, "text"}, {abi.StartPage, "start page"}}
}

// userptrGuard: whatever address a system call is given, it reads and writes only
// what its caller could, and changes nothing if that is not there.
func userptrGuard(t *tester) {
	own := caller(self)
	v := own.sys(abi.SysVMOCreate, 2*abi.PageSize)
	vm := own.sys(abi.SysVMOMap, v, 0, 0, abi.PageSize, readWrite) // the page behind is not mapped
	buf := new([2 * abi.PageSize]byte)
	pattern(buf[:64], 1)
	own.sys(abi.SysVMOWrite, v, 0, raw.AddressOf(buf), 64)
	s := t.small("userptr", ProgramPark)
	before := t.counts()
	for _, b := range append(append([]badAddress{}, outside...), unmapped...) {
		own.refuse(abi.EFAULT, abi.SysConsoleWrite, console, b.at, 64)
		own.refuse(abi.EFAULT, abi.SysVMOWrite, v, 0, b.at, 64)
		own.refuse(abi.EFAULT, abi.SysVMORead, v, 0, b.at, 64)
		own.refuse(abi.EFAULT, abi.SysSpawn, spawnCap, b.at)
		t.spawnPointers(s, b)
		after := t.counts()
		check(after == before, "a refused pointer, %s, changed %+v to %+v", b.what, before, after)
	}
	for _, b := range unwritable() {
		own.refuse(abi.EFAULT, abi.SysVMORead, v, 0, b.at, 64)
	}
	// From a page that is there into one that is not.
	for _, at := range []uint64{vm + abi.PageSize - 8, vm + abi.PageSize - 1} {
		own.refuse(abi.EFAULT, abi.SysConsoleWrite, console, at, 64)
		own.refuse(abi.EFAULT, abi.SysVMOWrite, v, 0, at, 64)
		own.refuse(abi.EFAULT, abi.SysVMORead, v, 0, at, 64)
	}
	for _, b := range outside {
		if at := b.at &^ 7; at < abi.UserBase || at >= abi.UserEnd {
			own.refuse(abi.EINVAL, abi.SysFaultHandler, at)
		}
		page := b.at &^ (abi.PageSize - 1)
		if page != 0 {
			own.refuse(abi.EINVAL, abi.SysVMOMap, v, page, 0, abi.PageSize, readOnly)
		}
		own.refuse(abi.ENOENT, abi.SysUnmap, page, abi.PageSize)
	}
	clear(buf[:64])
	own.sys(abi.SysVMORead, v, 0, raw.AddressOf(buf), 64)
	check(hasPattern(buf[:64], 1), "a refused call changed the memory object")
	own.sys(abi.SysUnmap, vm, abi.PageSize)
	closeAll(v)

	ep := own.sys(abi.SysEndpointCreate, maxDepth, abi.MaxMessage)
	client := t.puppet(sendCap(ep))
	messagePointers(t, ep)
	bufferPointers(t, ep, client)
	replyPointers(t, ep, client)
	closeAll(ep)
}

// spawnPointers spawns with each pointer of the description bad.
func (t *tester) spawnPointers(s *spec, b badAddress) {
	for what, change := range []func(*abi.SpawnSpec){
		func(s *abi.SpawnSpec) { s.NamePtr, s.NameLen = b.at, abi.MaxName },
		func(s *abi.SpawnSpec) { s.BootPtr, s.Argc, s.ArgsLen = b.at, 1, 64 },
		func(s *abi.SpawnSpec) { s.BootPtr, s.DataLen = b.at, abi.MaxBootData },
	} {
		was := s.SpawnSpec
		change(&s.SpawnSpec)
		_, errno := t.trySpawn(s)
		s.SpawnSpec = was
		check(errno == abi.EFAULT, "spawn with pointer %d to %s, %#x: %v", what, b.what, b.at, errno)
	}
}

// length of a message that does not fit into registers.
const longMessage = 100

// messagePointers sends messages that are not there.
func messagePointers(t *tester, ep uint64) {
	own := caller(self)
	server := t.puppet()
	there, here := server.endpoint(maxDepth, abi.MaxMessage)
	for _, b := range outside {
		own.refuse(abi.EFAULT, abi.SysCall, here, longMessage|abi.FlagNoWait, 1, 0, 0, b.at, 0)
		own.refuse(abi.EFAULT, abi.SysCall, here, 8|abi.FlagNoWait, 1, 0, 0, 0, b.at)
		own.refuse(abi.EFAULT, abi.SysWait, 0, abi.FlagNoWait, ep, 0, 0, 0, b.at)
	}
	// None of these waits has armed the endpoint.
	own.sys(abi.SysSend, ep, 8)
	t.nothing("after waits that were refused")
	t.receive(ep, 0)

	for _, b := range unmapped {
		server.start(0, abi.SysWait, ipc.Regs{A: [8]uint64{2: there, 6: server.in()}, S10: 5})
		own.event(abi.SysCall, ipc.Regs{A: [8]uint64{0: here, 1: longMessage | abi.FlagNoWait, 2: 3, 5: b.at}})
		r := t.expect(abi.EventReply)
		check(r.A[1] == 3 && abi.Errno(r.A[2]) == abi.EFAULT, "call with a message at %s: %v", b.what, abi.Errno(r.A[2]))
		// The server still waits, for a request that it can have.
		own.sys(abi.SysSend, here, 8)
		got := server.finish()
		check(got.A[0] == abi.EventRequest && got.A[5]&abi.MetaLen == 8, "the server got event %d with %d bytes", got.A[0], got.A[5]&abi.MetaLen)
	}
	closeAll(here)
}

// bufferPointers receives into buffers that are not there, or cannot be written.
func bufferPointers(t *tester, ep uint64, client *process) {
	for _, b := range append(unwritable(), unmapped...) {
		t.arm(ep, 77, b.at)
		client.start(0, abi.SysCall, ipc.Regs{A: [8]uint64{0: given(0), 1: longMessage, 2: 3, 5: client.out()}})
		got := client.finish()
		check(got.A[0] == abi.EventReply && abi.Errno(got.A[2]) == abi.EMSGSIZE, "call to a server with its buffer at %s: event %d, %v", b.what, got.A[0], abi.Errno(got.A[2]))
		t.nothing("a message for a buffer at " + b.what)
		caller(self).sys(abi.SysSend, ep, 8)
		r := t.expect(abi.EventRequest)
		check(r.A[1] == 77 && r.A[5]&abi.MetaLen == 8, "cookie %d and %d bytes after a message that did not fit", r.A[1], r.A[5]&abi.MetaLen)
	}
}

// replyPointers sends replies that are not there, and such to buffers that are not.
func replyPointers(t *tester, ep uint64, client *process) {
	own := caller(self)
	out := new([2 * abi.PageSize]byte)
	pattern(out[:longMessage], 9)
	for _, b := range append(append([]badAddress{}, outside...), unmapped...) {
		client.start(0, abi.SysCall, ipc.Regs{A: [8]uint64{0: given(0), 1: 8, 2: 3, 6: client.in()}})
		right := t.receive(ep, 0).A[4]
		own.refuse(abi.EFAULT, abi.SysReply, right, longMessage|abi.FlagNoWait, 0, 0, 0, b.at, 0)
		if b.at < abi.UserBase || b.at >= abi.UserEnd-32 {
			own.refuse(abi.EFAULT, abi.SysReply, right, 8|abi.FlagNoWait, ep, 0, 0, 0, b.at)
		}
		own.sys(abi.SysReply, right, longMessage|abi.FlagNoWait, 0, 0, 0, raw.AddressOf(out), 0)
		got := client.finish()
		check(got.A[0] == abi.EventReply && got.A[2] == 0 && got.A[5] == longMessage, "reply after one from %s: event %d, %v, %d bytes", b.what, got.A[0], abi.Errno(got.A[2]), got.A[5])
		check(client.do(opCheckIn, longMessage, 9)[0] == 1, "reply after one from %s holds something else", b.what)
	}
	for _, b := range append(unwritable(), unmapped...) {
		client.start(0, abi.SysCall, ipc.Regs{A: [8]uint64{0: given(0), 1: 8, 2: 3, 6: b.at}})
		right := t.receive(ep, 0).A[4]
		own.refuse(abi.EMSGSIZE, abi.SysReply, right, longMessage|abi.FlagNoWait, 0, 0, 0, raw.AddressOf(out), 0)
		own.sys(abi.SysReply, right, 8|abi.FlagNoWait)
		got := client.finish()
		check(got.A[0] == abi.EventReply && got.A[2] == 0 && got.A[5] == 8, "short reply to a client with its buffer at %s: event %d, %v", b.what, got.A[0], abi.Errno(got.A[2]))
	}
}
