package core

import (
	"bytes"
	"fmt"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/image"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// Boot creates the root process from the archive a, which lies at base and stays
// there. Its capabilities, from [abi.BootHandle] 0 on: spawn, console, and a
// memory object for each entry of the archive in directory order, executable if it
// is an ELF file, and last the devices.
func (k *Kernel) Boot(a *image.Archive, base mem.PA) error {
	if err := k.addDevices(); err != nil {
		return err
	}
	boot := image.Boot{}
	if e := a.Lookup(image.EntryBoot); e != nil {
		var err error
		if boot, err = image.ParseBoot(e.Data); err != nil {
			return err
		}
	}
	pr := program{
		name: []byte(a.Root), frames: a.RootFrames, size: a.Program().Size,
		args: boot.Args, argc: uint64(boot.Argc), env: boot.Env, envc: uint64(boot.Envc), qos: abi.DefaultQoS, seed: &k.spec.Seed,
	}
	var objects [image.MaxEntries]uint32
	for i, e := range a.Entries() {
		if objects[i] = k.imageVMO(base+mem.PA(e.Offset), pageUp(e.Size)); objects[i] == 0 {
			return fmt.Errorf("archive entry %q: no memory object left", e.Name)
		}
		if e.Name == image.EntryFiles {
			pr.files, pr.filesLen = objects[i], e.Size
		}
	}
	pr.vmo = objects[0]
	p, errno := k.create(&pr)
	if errno != abi.OK {
		return fmt.Errorf("root process %q of %d frames: %w", a.Root, a.RootFrames, errno)
	}
	k.root = p.id
	k.newCap(p, abi.KindSpawn, 0, abi.RightManage|abi.RightGrant, 0, 0)
	console := k.newCap(p, abi.KindConsole, 0, abi.RightWrite|abi.RightGrant, 0, 0)
	for i, e := range a.Entries() {
		rights := abi.RightRead | abi.RightGrant
		if bytes.HasPrefix(e.Data, []byte("\x7fELF")) {
			rights |= abi.RightExec
		}
		k.newCap(p, abi.KindVMO, objects[i], rights, 0, 0)
	}
	k.newCap(p, abi.KindDevices, 0, abi.RightManage|abi.RightGrant, 0, 0)
	k.start(p, k.handleFor(console), uint64(3+a.Count))
	return nil
}

// FindWX looks for a page that is writable and executable in the page tables of
// all live processes.
func (k *Kernel) FindWX() (name string, va uint64, found bool) {
	for i := range k.procs {
		p := &k.procs[i]
		if p.state != procLive {
			continue
		}
		if va, found := sv39.FindWX(p.space.Root); found {
			return p.Name(), va, true
		}
	}
	return "", 0, false
}

// Shutdown ends every process, when no other hart runs one any more. Afterwards
// all frames are free.
func (k *Kernel) Shutdown() {
	for i := range k.procs {
		p := &k.procs[i]
		if p.state != procLive {
			continue
		}
		threads := k.threadsOf(p)
		for i := range threads {
			if t := &threads[i]; t.state == threadRunning {
				k.harts[t.hart].cur, t.state = nil, threadHanded
			}
		}
		k.end(p, abi.ExitKilled)
	}
	for i := range k.devices {
		k.releaseKept(&k.devices[i])
	}
}
