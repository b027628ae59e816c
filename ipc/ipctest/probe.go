//go:build !tamago

package ipctest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// Share derives a capability of from and puts it into the table of to, which on
// the target only a message or a spawn does.
func Share(from, to *Process, h abi.Handle, rights abi.Rights, badge uint64) (ipc.Any, error) {
	from.k.mu.Lock()
	defer from.k.mu.Unlock()
	c, e := from.get(uint64(h), abi.KindNone, rights|abi.RightGrant)
	if e != abi.OK {
		return ipc.Any{}, ipc.FromErrno(e)
	}
	n := c.derive(rights, badge)
	nh := to.install(n)
	if nh == 0 {
		n.drop()
		return ipc.Any{}, ipc.ErrNoSpace
	}
	return to.Self().Adopt(nh), nil
}

// Caps returns the number of capabilities of p.
func Caps(p *Process) (n int) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	for _, s := range p.caps {
		if s.c != nil {
			n++
		}
	}
	return n
}

// Slots returns the number of event slots of p.
func Slots(p *Process) int {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	return len(p.slots)
}

// echo answers every call of up to 64 bytes with its own message.
type echo struct{ ipc.Kernel }

func (echo) SlotNew() uint64 { return 1 }

func (echo) Syscall(num uint64, r *ipc.Regs, mem []byte) {
	r.A[0], r.A[1] = uint64(abi.KindEndpoint), uint64(abi.RightSend)
}

func (echo) IPC(key, num uint64, r *ipc.Regs, send, recv *ipc.Buffer) {
	r.A = [8]uint64{abi.EventReply, r.A[2], 0, 0, 0, r.A[1]}
	r.Data[0] |= 1 << 24 // kind: reply
}

// EchoEndpoint returns an endpoint whose every message of up to 64 bytes comes
// back at once, with nothing behind it: for measuring what package ipc itself costs.
func EchoEndpoint() ipc.Endpoint[ipc.Send] {
	e, err := ipc.NewProcess(echo{}).Adopt(1).Send()
	if err != nil {
		panic(err) // echo says what Send wants to hear
	}
	return e
}

// Run runs m as the program of a process made by [Kernel.Boot].
func (p *Process) Run(m Main) { p.run(m) }

// Shutdown ends every process, as killed.
func (k *Kernel) Shutdown() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.procs {
		p.exit(abi.ExitKilled)
	}
}

// Find returns the live process of that name, or nil.
func (k *Kernel) Find(name string) *Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.procs {
		if p.name == name {
			return p
		}
	}
	return nil
}

// Steal puts a capability of from into the table of to, as it is: what no kernel
// does, for seeing what happens then.
func Steal(from, to *Process, h abi.Handle) (ipc.Any, error) {
	from.k.mu.Lock()
	defer from.k.mu.Unlock()
	c, e := from.get(uint64(h), abi.KindNone, 0)
	if e != abi.OK {
		return ipc.Any{}, ipc.FromErrno(e)
	}
	return to.Self().Adopt(to.install(c.derive(c.rights, c.badge))), nil
}
