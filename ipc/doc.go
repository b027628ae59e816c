// Package ipc is how Go code in a process speaks to the kernel and to other
// processes: a typed client and server over the calls of package
// nexus.internal/ipc/abi.
//
// # Frames
//
// Every message of every service is one frame: a header of 16 bytes and up to
// [MaxPayload] bytes of payload. All integers are little-endian.
//
//	0  u16 magic    which protocol; two ASCII letters
//	2  u8  version  of the protocol
//	3  u8  kind     0 request, 1 reply
//	4  u16 op       what is asked; echoed in the reply
//	6  u16 status   0 in requests; a [Status] in replies
//	8  u32 nonce    chosen by the caller, echoed in the reply
//	12 u32 length   bytes of payload; must equal what follows
//
// A frame of up to 64 bytes travels in registers, so 48 bytes of payload cost no
// copy through memory. Longer ones go through [Buffer]s.
//
// # Invariants
//
//   - Nothing is truncated. What does not fit is refused, on the side that sees it.
//   - Identity comes from the kernel ([Request.SenderService], [Request.Badge]),
//     never from a payload.
//   - A capability that arrives and that nobody takes is closed.
//   - A call and a request reuse their memory: on the way of a call nothing is
//     allocated, and buffers given to the kernel are on the heap, where Go does
//     not move them.
//   - The rights of a capability are part of its Go type and only shrink. The
//     kernel checks them again.
//
// # Where the kernel is
//
// On GOOS=tamago the functions of seam_tamago_unsafe.go call the runtime, with
// nothing in between. Everywhere else a [Process] carries a [Kernel], and
// package ipctest has one that runs inside a Go test.
package ipc
