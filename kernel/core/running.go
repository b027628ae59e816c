package core

// RunningOn returns the name and the id of the process that hart i runs, for the
// report of a fault of the kernel: it takes no lock and allocates nothing.
func (k *Kernel) RunningOn(i int) (name []byte, pid uint64, ok bool) {
	h := &k.harts[i]
	if h.cur == 0 {
		return nil, 0, false
	}
	p := k.threads[h.cur].proc
	return p.name[:p.nameN], p.pid, true
}
