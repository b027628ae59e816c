//go:build tamago && riscv64 && !nexusproc

// Entry of a program on a board (GOOSPKG names the hooks). The board's CPUInit
// runs without a stack, sets one up and comes back through _rt0_tamago_start.

#include "textflag.h"

// The first instruction of the program.
TEXT _rt0_riscv64_tamago(SB),NOSPLIT|NOFRAME,$0
	JMP	runtime∕goos·CPUInit(SB)

// Where CPUInit continues, with SP at the top of at least 64 KiB of stack. There
// are no arguments: argc and argv are zero.
TEXT _rt0_tamago_start(SB),NOSPLIT|NOFRAME,$0
	MOV	ZERO, A0
	MOV	ZERO, A1
	JMP	runtime·rt0_go(SB)
