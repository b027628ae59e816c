//go:build tamago && riscv64

#include "textflag.h"

// A system call preserves ra, sp, gp, tp and g (X27) only; all other registers are
// scratch for assembly in Go.

// func Trap(num uint64, r *ipc.Regs)
TEXT ·Trap(SB),NOSPLIT,$8-16
	MOV	r+8(FP), X5
	MOV	X5, 8(X2)
	MOV	0(X5), X10
	MOV	8(X5), X11
	MOV	16(X5), X12
	MOV	24(X5), X13
	MOV	32(X5), X14
	MOV	40(X5), X15
	MOV	48(X5), X16
	MOV	64(X5), X26
	MOV	72(X5), X18
	MOV	80(X5), X19
	MOV	88(X5), X20
	MOV	96(X5), X21
	MOV	104(X5), X22
	MOV	112(X5), X23
	MOV	120(X5), X24
	MOV	128(X5), X25
	MOV	num+0(FP), X17
	ECALL
	MOV	8(X2), X5
	MOV	X10, 0(X5)
	MOV	X11, 8(X5)
	MOV	X12, 16(X5)
	MOV	X13, 24(X5)
	MOV	X14, 32(X5)
	MOV	X15, 40(X5)
	MOV	X16, 48(X5)
	MOV	X17, 56(X5)
	MOV	X18, 72(X5)
	MOV	X19, 80(X5)
	MOV	X20, 88(X5)
	MOV	X21, 96(X5)
	MOV	X22, 104(X5)
	MOV	X23, 112(X5)
	MOV	X24, 120(X5)
	MOV	X25, 128(X5)
	RET

// func Sys(num uint64, a *[8]uint64)
TEXT ·Sys(SB),NOSPLIT,$8-16
	MOV	a+8(FP), X5
	MOV	X5, 8(X2)
	MOV	0(X5), X10
	MOV	8(X5), X11
	MOV	16(X5), X12
	MOV	24(X5), X13
	MOV	32(X5), X14
	MOV	40(X5), X15
	MOV	48(X5), X16
	MOV	num+0(FP), X17
	MOV	X0, X26
	ECALL
	MOV	8(X2), X5
	MOV	X10, 0(X5)
	MOV	X11, 8(X5)
	MOV	X12, 16(X5)
	MOV	X13, 24(X5)
	MOV	X14, 32(X5)
	MOV	X15, 40(X5)
	MOV	X16, 48(X5)
	MOV	X17, 56(X5)
	RET

// func Ticks() uint64
TEXT ·Ticks(SB),NOSPLIT,$0-8
	RDTIME	X5
	MOV	X5, ret+0(FP)
	RET
