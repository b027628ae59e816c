package core

// RunningOn returns the name and the id of the process that hart i runs, for the
// report of a fault of the kernel: it takes no lock and allocates nothing.
func (k *Kernel) RunningOn(i int) (name []byte, pid uint64, ok bool) {
	t := k.harts[i].cur
	if t == nil {
		return nil, 0, false
	}
	p := t.proc
	return p.name[:p.nameN], p.pid, true
}
