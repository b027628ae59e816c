// Package core is the logic of the kernel: processes, capabilities, endpoints,
// calls, notifications, timers, memory objects, the scheduler and the system
// calls that act on them. It is mechanism only; it knows no service and no board,
// and it touches no CSR, so all of it runs under go test on any machine.
//
// # Invariants
//
//   - Nothing is allocated after [New]. Every object lives in a fixed table and
//     refers to others by index; index 0 is "none". What could outlive an object
//     (a handle, a reply right) carries a generation. Where the direct path of
//     direct.go would compute an address, there is a pointer to the table entry,
//     and the generation is compared as for an index.
//   - Tables are sized so that the quotas of all processes fit together: one
//     process can spend its own quota and nobody else's.
//   - A system call either does what it says or returns an error and leaves
//     everything as it was.
//   - One hart runs the kernel at a time; no function here is safe for
//     concurrent use.
//
// The hart loop runs the frame of the current thread until a trap and hands the trap to
// [Kernel.Trap]; whatever that decides is in [Hart.Current] afterwards.
//
// Functions that most system calls pass do not look whether there is stack left
// (go:nosplit): a hart's stack has a fixed size with a guard page below.
package core
