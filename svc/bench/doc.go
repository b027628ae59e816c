// Package bench measures what the operations of the kernel and of the runtime
// cost. Run as the root process of an image of its own, under QEMU's -icount, it
// prints one line per benchmark:
//
//	bench: NAME N insns
//
// Guest time then advances by one nanosecond per instruction, so the figures are
// instruction counts and repeat exactly. cmd/bench boots it and compares them with
// the committed baseline; docs/performance.md says what each figure means.
package bench
