// Package qemu boots images in QEMU and holds what they print to a ladder of
// markers.
//
// A marker is a line that one side of the system prints after it has observed
// something. The ladder is data, ladder.toml: for each marker what it proves, who
// prints it, and its phase. The judge fails a run for anything that a working
// system would not do: a missing marker, one out of order or unknown, a second
// one, a line with FAIL, a panic, an exit status other than 0. There is one list,
// used both to stop early and to judge.
//
// A run has its own temporary folder and ends its own QEMU by its handle, so
// runs may go side by side. Nothing here knows how images are built.
package qemu
