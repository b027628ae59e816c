//go:build tamago && riscv64

#include "textflag.h"

// func call(ext Extension, function, a0, a1, a2, a3, a4 uint64) (err Error, value uint64)
//
// The firmware preserves every register but a0 and a1.
TEXT ·call(SB),NOSPLIT,$0-72
	MOV	ext+0(FP), A7
	MOV	function+8(FP), A6
	MOV	a0+16(FP), A0
	MOV	a1+24(FP), A1
	MOV	a2+32(FP), A2
	MOV	a3+40(FP), A3
	MOV	a4+48(FP), A4
	ECALL
	MOV	A0, err+56(FP)
	MOV	A1, value+64(FP)
	RET
