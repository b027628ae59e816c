package kselftest

// The archive of a test image has an entry with small programs in machine code,
// which cmd/kselftest writes: things that a Go linker would not link. Each lies in
// a slot of its own.
const (
	// ProgramMagic is in the padding of the identification of the first program, so
	// that the entry is found among the others.
	ProgramMagic = "kselft"
	MagicOffset  = 9

	ProgramSlot = 4 << 12 // bytes from one program to the next
)

// The programs, by slot. Those from FirstBad on are not ones that the kernel loads.
const (
	ProgramExit = iota // exits with ExitStatus
	ProgramPark        // waits for ever
	ProgramWX          // has a segment that is writable and executable
	ProgramMagicless
	ProgramMachine // for another processor
	ProgramDynamic // wants dynamic linking
	ProgramKernel  // has a segment at a kernel address
	ProgramOverlap // has two segments on one page
	ProgramEntry   // begins outside of its text
	ProgramStack   // wants an executable stack
	ProgramEmpty   // has nothing to load
	Programs       // number of programs

	FirstBad = ProgramWX
)

// ExitStatus is how the program ProgramExit ends.
const ExitStatus = 42
