// Package soak lets processes do anything, for a long time, on all harts at once. It
// is the root process of an image of its own, which cmd/soak bakes, boots and judges,
// and has two parts:
//
//   - The fuzzer: several processes make system calls with arguments that are mostly
//     good, in random order: they create objects, give each other capabilities to them,
//     call and answer each other, start threads and processes, and kill them. All of
//     it follows from a seed, but for how the processes interleave.
//   - The wake-ups: processes and threads take turns, millions of times, each with its
//     own way to wake the other: calls, notifications, futexes. They count along, so
//     that a wake-up that is lost, or comes twice, ends the run.
//
// Afterwards everything must be back: frames, processes, capabilities, calls.
//
// The root process gives work, watches that all of its children get on, and replaces
// those that end. A child that makes no call for [patience] is stuck, and the run fails.
// Everything here is raw system calls, and no process has a garbage collector or a
// second goroutine, so that nothing but the kernel schedules.
package soak
