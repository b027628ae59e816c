//go:build tamago && riscv64

#include "textflag.h"

#define SYS_WAIT          3
#define SYS_THREAD_EXIT   44
#define SYS_FUTEX_WAIT    47
#define SYS_FUTEX_WAKE    48

// Threads without a runtime. Register g, which a system call preserves, holds the
// address of a block: see threadBlock.
#define RESULT 0
#define COUNT  8
#define STOP   16
#define LOCK   24
#define GONE   32
#define TURN   40

#define FENCE  WORD $0x0ff0000f

// func threadEntries(a *[6]uint64)
TEXT ·threadEntries(SB),NOSPLIT,$0-8
	MOV	a+0(FP), X5
	MOV	$·threadSpin(SB), X6
	MOV	X6, 0(X5)
	MOV	$·threadSleep(SB), X6
	MOV	X6, 8(X5)
	MOV	$·threadEvent(SB), X6
	MOV	X6, 16(X5)
	MOV	$·threadFault(SB), X6
	MOV	X6, 24(X5)
	MOV	$·threadTurns(SB), X6
	MOV	X6, 32(X5)
	MOV	$·threadFutexTurns(SB), X6
	MOV	X6, 40(X5)
	RET

// Counts until it is told to stop.
TEXT ·threadSpin(SB),NOSPLIT|NOFRAME,$0
again:
	MOV	COUNT(g), X5
	ADD	$1, X5
	MOV	X5, COUNT(g)
	MOV	STOP(g), X6
	BEQ	X6, X0, again
	JMP	·threadEnd(SB)

// Waits on the word while that is 0, once.
TEXT ·threadSleep(SB),NOSPLIT|NOFRAME,$0
	ADD	$LOCK, g, X10
	MOV	X0, X11
	MOV	X0, X12
	MOV	$SYS_FUTEX_WAIT, X17
	ECALL
	MOV	X10, RESULT(g)
	JMP	·threadEnd(SB)

// Waits for an event of the process when it is told to stop.
TEXT ·threadEvent(SB),NOSPLIT|NOFRAME,$0
again:
	MOV	STOP(g), X6
	BEQ	X6, X0, again
	MOV	X0, X11
	MOV	X0, X12
	MOV	X0, X13
	MOV	$SYS_WAIT, X17
	ECALL
	MOV	X10, RESULT(g)
	JMP	·threadEnd(SB)

// Loads from address 8.
TEXT ·threadFault(SB),NOSPLIT|NOFRAME,$0
	MOV	8(X0), X5
	JMP	·threadEnd(SB)

// Makes an odd turn even, without a system call, until it is told to stop.
TEXT ·threadTurns(SB),NOSPLIT|NOFRAME,$0
again:
	FENCE
	MOV	STOP(g), X6
	BNE	X6, X0, done
	MOV	TURN(g), X5
	AND	$1, X5, X6
	BEQ	X6, X0, again
	ADD	$1, X5
	MOV	X5, TURN(g)
	JMP	again
done:
	JMP	·threadEnd(SB)

// Makes the word 0 whenever it is not, and sleeps while it is, until it is told to
// stop.
TEXT ·threadFutexTurns(SB),NOSPLIT|NOFRAME,$0
again:
	FENCE
	MOV	STOP(g), X6
	BNE	X6, X0, done
	MOVWU	LOCK(g), X5
	BNE	X5, X0, mine
	ADD	$LOCK, g, X10
	MOV	X0, X11
	MOV	X0, X12
	MOV	$SYS_FUTEX_WAIT, X17
	ECALL
	JMP	again
mine:
	MOV	COUNT(g), X5
	ADD	$1, X5
	MOV	X5, COUNT(g)
	MOVW	X0, LOCK(g)
	FENCE
	ADD	$LOCK, g, X10
	MOV	$1, X11
	MOV	$SYS_FUTEX_WAKE, X17
	ECALL
	JMP	again
done:
	JMP	·threadEnd(SB)

TEXT ·threadEnd(SB),NOSPLIT|NOFRAME,$0
	ADD	$GONE, g, X10
	MOV	$SYS_THREAD_EXIT, X17
	ECALL
	EBREAK
