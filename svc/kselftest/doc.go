// Package kselftest proves what the kernel promises, from outside, with processes:
// service name "kselftest". In the test image it is the root process; when all
// proofs hold it starts the root process of the system that is tested, gives it
// what the kernel would have given it, and ends with its status.
//
// A proof is a function of package-private type proof. It sees one effect happen,
// in this process and in children, then its marker is printed:
//
//	KSELFTEST: <marker>
//
// A proof that fails prints "KSELFTEST: <name> FAIL: <reason>" and ends the run.
//
// # How it works
//
// Everything here is raw system calls ([nexus.internal/ipc/abi]): the ipc library
// would wait, match events and close handles on its own, and the proofs are about
// exactly these. Children are puppets: a puppet makes the system call, or touches
// the memory, that the root process writes into a page that both share, and says
// so by a call. So a proof about several processes reads from top to bottom in one
// function.
//
// Invariants:
//
//   - After each proof all counters of the system are what they were before it, to
//     the frame; the runner compares them.
//   - Every wait has a deadline, so that a lost event is a FAIL and not a hang.
//   - No proof depends on how long something takes, only on order and on "not
//     before"; the machine below may stop at any time.
//   - No process here has a fault handler, so that a fault that no proof announced
//     ends the process, and with it the run.
package kselftest
