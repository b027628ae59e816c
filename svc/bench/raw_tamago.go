//go:build tamago && riscv64

package bench

// In assembly.

func rawNop(n int)
func rawYield(n int)
func rawCall(n int, ep, meta, send, recv uint64) uint64
func rawServe(ep, meta, send, recv uint64) uint64
func rawCallCap(n int, ep, cap uint64) uint64
func rawServeCap(ep uint64) uint64
func rawNotify(n int, notification uint64) uint64
func rawMapUnmap(n int, vmo uint64) uint64
func rawSpin(n int)
func rawIRQ(n int, clock, irq uint64) uint64
func threadEntry() uint64

//go:noescape
func rawTurns(n int, pair *[2]uint32)

func rawIdle(spawn uint64) uint64
