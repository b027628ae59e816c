//go:build tamago && riscv64

package sbi

// call makes one call (chapter 3, "Binary Encoding"). It is in assembly.
//
//go:noescape
func call(ext Extension, function, a0, a1, a2, a3, a4 uint64) (err Error, value uint64)

// SpecVersion returns the version of the specification that the firmware
// implements (4.1).
//
//go:nosplit
func SpecVersion() (major, minor uint32) {
	_, v := call(Base, 0, 0, 0, 0, 0, 0)
	return uint32(v>>24) & 0x7f, uint32(v) & 0xffffff
}

// Implementation returns the number of the firmware's implementation, 1 being
// OpenSBI, and its version (4.2, 4.3).
//
//go:nosplit
func Implementation() (id, version uint64) {
	_, id = call(Base, 1, 0, 0, 0, 0, 0)
	_, version = call(Base, 2, 0, 0, 0, 0, 0)
	return id, version
}

// Probe tells whether the firmware has an extension (4.4).
//
//go:nosplit
func Probe(ext Extension) bool {
	err, v := call(Base, 3, uint64(ext), 0, 0, 0, 0)
	return err == Success && v != 0
}

// SetTimer makes a timer interrupt pending on the calling hart when the time CSR
// reaches t, and withdraws an earlier one (6.1). ^uint64(0) means never.
//
//go:nosplit
func SetTimer(t uint64) Error {
	err, _ := call(Timer, 0, t, 0, 0, 0, 0)
	return err
}

// SendIPI makes a software interrupt pending on the harts (7.1).
//
//go:nosplit
func SendIPI(mask, base uint64) Error {
	err, _ := call(IPI, 0, mask, base, 0, 0, 0)
	return err
}

// RemoteFenceI makes the harts execute FENCE.I (8.1).
//
//go:nosplit
func RemoteFenceI(mask, base uint64) Error {
	err, _ := call(RFence, 0, mask, base, 0, 0, 0)
	return err
}

// RemoteFence makes the harts execute SFENCE.VMA for the size bytes from virtual
// address start on, in all address spaces (8.2). The size ^uint64(0) means all
// addresses.
//
//go:nosplit
func RemoteFence(mask, base, start, size uint64) Error {
	err, _ := call(RFence, 1, mask, base, start, size, 0)
	return err
}

// RemoteFenceASID is like [RemoteFence] for one address space (8.3).
//
//go:nosplit
func RemoteFenceASID(mask, base, start, size, asid uint64) Error {
	err, _ := call(RFence, 2, mask, base, start, size, asid)
	return err
}

// HartStart starts a stopped hart at physical address entry, in S-mode without
// paging or interrupts, with its id in a0 and opaque in a1 (9.1). The hart may
// not be there yet when the call returns.
//
//go:nosplit
func HartStart(id, entry, opaque uint64) Error {
	err, _ := call(HSM, 0, id, entry, opaque, 0, 0)
	return err
}

// HartStop stops the calling hart (9.2). It returns only if that failed.
//
//go:nosplit
func HartStop() Error {
	err, _ := call(HSM, 1, 0, 0, 0, 0, 0)
	return err
}

// HartStatus returns the state of a hart, which may have changed since (9.3).
//
//go:nosplit
func HartStatus(id uint64) (HartState, Error) {
	err, state := call(HSM, 2, id, 0, 0, 0, 0)
	return HartState(state), err
}

// SystemReset resets or powers off the machine (10.1). It returns only if that
// failed.
//
//go:nosplit
func SystemReset(kind Reset, reason Reason) Error {
	err, _ := call(SRST, 0, uint64(kind), uint64(reason), 0, 0, 0)
	return err
}
