//go:build tamago

#include "textflag.h"

#define SYS_FUTEX_WAIT 47

// func sleeperEntry() uint64
TEXT ·sleeperEntry(SB),NOSPLIT,$0-8
	MOV	$·sleeper(SB), X5
	MOV	X5, ret+0(FP)
	RET

// A thread that sleeps on the first word of the start page, which nobody wakes.
TEXT ·sleeper(SB),NOSPLIT|NOFRAME,$0
again:
	MOV	$0x3f00000000, X10
	MOVWU	(X10), X11
	MOV	X0, X12
	MOV	$SYS_FUTEX_WAIT, X17
	ECALL
	JMP	again
