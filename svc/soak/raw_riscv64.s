//go:build tamago && riscv64

#include "textflag.h"

// A system call preserves ra, sp, gp, tp and g; all other registers are scratch.
// Numbers are those of package abi.

#define SYS_EXIT        1
#define SYS_FAULT_DONE  28
#define SYS_THREAD_EXIT 44
#define SYS_FUTEX_WAIT  47
#define SYS_FUTEX_WAKE  48

// func entries(a *[3]uint64)
//
// Addresses of what the kernel enters: a script, the other side of the futexes, the
// fault handler.
TEXT ·entries(SB),NOSPLIT,$0-8
	MOV	a+0(FP), X5
	MOV	$·runScript(SB), X6
	MOV	X6, 0(X5)
	MOV	$·answerFutex(SB), X6
	MOV	X6, 8(X5)
	MOV	$·endOfSlice(SB), X6
	MOV	X6, 16(X5)
	RET

// A thread that makes the system calls of the script at g, round after round. It has
// neither a stack nor a goroutine. Layouts are those of script and op.
TEXT ·runScript(SB),NOSPLIT|NOFRAME,$0
	MOV	0(g), X3	// rounds left
round:
	MOV	8(g), X1	// calls left in this round
	ADD	$24, g, TP	// the call
next:
	MOV	72(TP), X5
	BNE	X5, X0, same	// a0 is what the last one returned
	MOV	8(TP), X10
same:
	MOV	16(TP), X11
	MOV	24(TP), X12
	MOV	32(TP), X13
	MOV	40(TP), X14
	MOV	48(TP), X15
	MOV	56(TP), X16
	MOV	64(TP), X26
	MOV	0(TP), X17
	ECALL
	MOV	16(g), X5
	MOV	$1, X6
	AMOADDD	X6, (X5), X0
	ADD	$80, TP
	ADD	$-1, X1
	BNE	X1, X0, next
	ADD	$-1, X3
	BNE	X3, X0, round
	FENCE
	MOV	X0, 0(g)	// the script is free
	MOV	X0, X10
	MOV	$SYS_THREAD_EXIT, X17
	ECALL
	WORD	$0

// A thread that waits until one word counts on, then counts the other on, and wakes
// who waits there. Layout is that of futexes, at g.
TEXT ·answerFutex(SB),NOSPLIT|NOFRAME,$0
	MOV	$0, X3		// turns
turn:
	MOV	16(g), X5
	BEQ	X3, X5, done
	ADD	$1, X3
look:
	MOVWU	0(g), X5
	BEQ	X5, X3, answer
	MOV	X5, X11
	MOV	g, X10
	RDTIME	X6
	MOV	24(g), X7	// patience in ticks
	ADD	X7, X6
	MOV	32(g), X7	// nanoseconds per tick
	MUL	X7, X6, X12
	MOV	$SYS_FUTEX_WAIT, X17
	ECALL
	MOV	$-11, X5	// ETIMEDOUT
	BNE	X10, X5, look
	MOV	$1, X5
	MOV	X5, 40(g)	// lost
	JMP	done
answer:
	MOV	48(g), X5	// a moment, which makes the other wait at other places
	AND	X3, X5
moment:
	BEQ	X5, X0, go
	ADD	$-1, X5
	JMP	moment
go:
	FENCE
	MOVW	X3, 8(g)
	ADD	$8, g, X10
	MOV	$1, X11
	MOV	$SYS_FUTEX_WAKE, X17
	ECALL
	MOV	$2, X5
	BLTU	X10, X5, turn
	MOV	$2, X5
	MOV	X5, 40(g)	// woke more than there are
done:
	MOV	X0, X10
	MOV	$SYS_THREAD_EXIT, X17
	ECALL
	WORD	$0

// The fault handler of a fuzzer: the end of a slice goes on where it was, anything
// else ends the process.
TEXT ·endOfSlice(SB),NOSPLIT|NOFRAME,$0
	BGE	X10, X0, fault
	MOV	$1, X10
	MOV	X0, X11
	MOV	$SYS_FAULT_DONE, X17
	ECALL
fault:
	MOV	$73, X10	// exitFault
	MOV	$SYS_EXIT, X17
	ECALL
	WORD	$0
