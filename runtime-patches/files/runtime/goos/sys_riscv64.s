//go:build tamago && riscv64

// System calls. The kernel preserves ra, sp, gp, tp and s11 (Go's g) and clears
// everything else, so arguments are read again from the stack afterwards.

#include "textflag.h"

// func Syscall(num uint64, r *Regs)
TEXT ·Syscall(SB),NOSPLIT,$0-16
	MOV	num+0(FP), X17
	MOV	r+8(FP), X5
	MOV	(0*8)(X5), X10
	MOV	(1*8)(X5), X11
	MOV	(2*8)(X5), X12
	MOV	(3*8)(X5), X13
	MOV	(4*8)(X5), X14
	MOV	(5*8)(X5), X15
	MOV	(6*8)(X5), X16
	MOV	(8*8)(X5), X26
	MOV	(9*8)(X5), X18
	MOV	(10*8)(X5), X19
	MOV	(11*8)(X5), X20
	MOV	(12*8)(X5), X21
	MOV	(13*8)(X5), X22
	MOV	(14*8)(X5), X23
	MOV	(15*8)(X5), X24
	MOV	(16*8)(X5), X25
	ECALL
	MOV	r+8(FP), X5
	MOV	X10, (0*8)(X5)
	MOV	X11, (1*8)(X5)
	MOV	X12, (2*8)(X5)
	MOV	X13, (3*8)(X5)
	MOV	X14, (4*8)(X5)
	MOV	X15, (5*8)(X5)
	MOV	X16, (6*8)(X5)
	MOV	X17, (7*8)(X5)
	MOV	X18, (9*8)(X5)
	MOV	X19, (10*8)(X5)
	MOV	X20, (11*8)(X5)
	MOV	X21, (12*8)(X5)
	MOV	X22, (13*8)(X5)
	MOV	X23, (14*8)(X5)
	MOV	X24, (15*8)(X5)
	MOV	X25, (16*8)(X5)
	RET

// func Syscall3(num, a0, a1, a2 uint64) int64
TEXT ·Syscall3(SB),NOSPLIT,$0-40
	MOV	num+0(FP), X17
	MOV	a0+8(FP), X10
	MOV	a1+16(FP), X11
	MOV	a2+24(FP), X12
	ECALL
	MOV	X10, ret+32(FP)
	RET

// func Ticks() int64
TEXT ·Ticks(SB),NOSPLIT,$0-8
	RDTIME	X10
	MOV	X10, ret+0(FP)
	RET
