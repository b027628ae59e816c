//go:build tamago && riscv64

#include "textflag.h"

#define SYS_FAULT_HANDLER 27
#define SYS_FAULT_DONE    28

// A system call preserves ra, sp, gp, tp and g (X27) only; all other registers are
// scratch for assembly in Go.

// The probes touch memory with a fault handler of their own, which returns from
// the probe. They have no frame, so that sp and ra mean the same in both.

// func probeLoad(addr uint64) (cause, tval uint64)
TEXT ·probeLoad(SB),NOSPLIT|NOFRAME,$0-24
	MOV	$·probeFault(SB), X10
	MOV	X0, X11
	MOV	$SYS_FAULT_HANDLER, X17
	ECALL
	MOV	addr+0(FP), X5
	MOVBU	(X5), X6
	JMP	·probeDone(SB)

// func probeStore(addr uint64) (cause, tval uint64)
//
// Stores a zero byte.
TEXT ·probeStore(SB),NOSPLIT|NOFRAME,$0-24
	MOV	$·probeFault(SB), X10
	MOV	X0, X11
	MOV	$SYS_FAULT_HANDLER, X17
	ECALL
	MOV	addr+0(FP), X5
	MOVB	X0, (X5)
	JMP	·probeDone(SB)

// func probeCount(addr uint64) (cause, tval uint64)
//
// Counts the word at addr up until that faults, without a system call.
TEXT ·probeCount(SB),NOSPLIT|NOFRAME,$0-24
	MOV	$·probeFault(SB), X10
	MOV	X0, X11
	MOV	$SYS_FAULT_HANDLER, X17
	ECALL
	MOV	addr+0(FP), X5
count:
	MOV	(X5), X6
	ADD	$1, X6
	MOV	X6, (X5)
	JMP	count

// func probeCall(addr uint64) (cause, tval uint64)
//
// Calls what is at addr. ra waits in the place of the second result.
TEXT ·probeCall(SB),NOSPLIT|NOFRAME,$0-24
	MOV	X1, 24(X2)
	MOV	$·probeCallFault(SB), X10
	MOV	X0, X11
	MOV	$SYS_FAULT_HANDLER, X17
	ECALL
	MOV	addr+0(FP), X5
	JALR	X1, (X5)
	MOV	24(X2), X1
	JMP	·probeDone(SB)

TEXT ·probeDone(SB),NOSPLIT|NOFRAME,$0-24
	MOV	X0, X10
	MOV	X0, X11
	MOV	$SYS_FAULT_HANDLER, X17
	ECALL
	MOV	X0, 16(X2)
	MOV	X0, 24(X2)
	RET

TEXT ·probeCallFault(SB),NOSPLIT|NOFRAME,$0-24
	MOV	24(X2), X1
	JMP	·probeFault(SB)

// Entered by the kernel with a0 = scause and a1 = stval.
TEXT ·probeFault(SB),NOSPLIT|NOFRAME,$0-24
	MOV	X10, 16(X2)
	MOV	X11, 24(X2)
	MOV	X0, X10
	MOV	X0, X11
	MOV	$SYS_FAULT_DONE, X17
	ECALL
	MOV	X0, X10
	MOV	X0, X11
	MOV	$SYS_FAULT_HANDLER, X17
	ECALL
	RET

// The ways to fault. Each symbol is the address of the instruction that does it,
// with the address to touch in X5.

// func fault(at, addr uint64)
TEXT ·fault(SB),NOSPLIT|NOFRAME,$0-16
	MOV	at+0(FP), X6
	MOV	addr+8(FP), X5
	JMP	(X6)

TEXT ·illegalAt(SB),NOSPLIT|NOFRAME,$0
	WORD	$0
	RET

TEXT ·breakAt(SB),NOSPLIT|NOFRAME,$0
	EBREAK
	RET

TEXT ·loadAt(SB),NOSPLIT|NOFRAME,$0
	MOV	(X5), X6
	RET

TEXT ·storeAt(SB),NOSPLIT|NOFRAME,$0
	MOV	X0, (X5)
	RET

TEXT ·jumpAt(SB),NOSPLIT|NOFRAME,$0
	JMP	(X5)

TEXT ·misalignedAt(SB),NOSPLIT|NOFRAME,$0
	LRD	(X5), X6
	RET

// func faultAddresses(a *[6]uint64)
TEXT ·faultAddresses(SB),NOSPLIT,$0-8
	MOV	a+0(FP), X5
	MOV	$·illegalAt(SB), X6
	MOV	X6, 0(X5)
	MOV	$·breakAt(SB), X6
	MOV	X6, 8(X5)
	MOV	$·loadAt(SB), X6
	MOV	X6, 16(X5)
	MOV	$·storeAt(SB), X6
	MOV	X6, 24(X5)
	MOV	$·jumpAt(SB), X6
	MOV	X6, 32(X5)
	MOV	$·misalignedAt(SB), X6
	MOV	X6, 40(X5)
	RET

// func holdFP(want, got *[33]uint64, mine, other *uint64, turns, until, end uint64) uint64
//
// Loads f0 to f31 and fcsr from want, then counts in mine and watches the count of
// another process, without a system call, until that has moved on turns times and
// the time CSR is at until, and after each time compares the registers. Returns 0 if
// they held, 1 + the number of the first that did not, or 100 if the time CSR came to
// end before.
TEXT ·holdFP(SB),NOSPLIT,$0-64
	MOV	want+0(FP), X10
	MOV	mine+16(FP), X12
	MOV	other+24(FP), X13
	MOV	turns+32(FP), X14
	MOV	end+48(FP), X15
	MOV	until+40(FP), X9
	MOVD	0(X10), F0
	MOVD	8(X10), F1
	MOVD	16(X10), F2
	MOVD	24(X10), F3
	MOVD	32(X10), F4
	MOVD	40(X10), F5
	MOVD	48(X10), F6
	MOVD	56(X10), F7
	MOVD	64(X10), F8
	MOVD	72(X10), F9
	MOVD	80(X10), F10
	MOVD	88(X10), F11
	MOVD	96(X10), F12
	MOVD	104(X10), F13
	MOVD	112(X10), F14
	MOVD	120(X10), F15
	MOVD	128(X10), F16
	MOVD	136(X10), F17
	MOVD	144(X10), F18
	MOVD	152(X10), F19
	MOVD	160(X10), F20
	MOVD	168(X10), F21
	MOVD	176(X10), F22
	MOVD	184(X10), F23
	MOVD	192(X10), F24
	MOVD	200(X10), F25
	MOVD	208(X10), F26
	MOVD	216(X10), F27
	MOVD	224(X10), F28
	MOVD	232(X10), F29
	MOVD	240(X10), F30
	MOVD	248(X10), F31
	MOV	256(X10), X5
	WORD	$0x00329073		// fscsr x5
	MOV	(X13), X16		// the count of the other that was seen last
watch:
	MOV	(X12), X5
	ADD	$1, X5
	MOV	X5, (X12)
	RDTIME	X5
	BGEU	X5, X15, late
	MOV	(X13), X5
	BEQ	X5, X16, watch
	MOV	X5, X16
	MOV	got+8(FP), X11
	MOVD	F0, 0(X11)
	MOVD	F1, 8(X11)
	MOVD	F2, 16(X11)
	MOVD	F3, 24(X11)
	MOVD	F4, 32(X11)
	MOVD	F5, 40(X11)
	MOVD	F6, 48(X11)
	MOVD	F7, 56(X11)
	MOVD	F8, 64(X11)
	MOVD	F9, 72(X11)
	MOVD	F10, 80(X11)
	MOVD	F11, 88(X11)
	MOVD	F12, 96(X11)
	MOVD	F13, 104(X11)
	MOVD	F14, 112(X11)
	MOVD	F15, 120(X11)
	MOVD	F16, 128(X11)
	MOVD	F17, 136(X11)
	MOVD	F18, 144(X11)
	MOVD	F19, 152(X11)
	MOVD	F20, 160(X11)
	MOVD	F21, 168(X11)
	MOVD	F22, 176(X11)
	MOVD	F23, 184(X11)
	MOVD	F24, 192(X11)
	MOVD	F25, 200(X11)
	MOVD	F26, 208(X11)
	MOVD	F27, 216(X11)
	MOVD	F28, 224(X11)
	MOVD	F29, 232(X11)
	MOVD	F30, 240(X11)
	MOVD	F31, 248(X11)
	WORD	$0x003022f3		// frcsr x5
	MOV	X5, 256(X11)
	MOV	X0, X7			// compare
	MOV	X10, X8
compare:
	MOV	(X8), X5
	MOV	(X11), X6
	ADD	$1, X7
	BNE	X5, X6, differs
	ADD	$8, X8
	ADD	$8, X11
	MOV	$33, X5
	BNE	X7, X5, compare
	BEQ	X14, X0, enough
	ADD	$-1, X14
	BNE	X14, X0, watch
enough:
	RDTIME	X5
	BLTU	X5, X9, watch
	MOV	X0, X7
differs:
	MOV	X7, ret+56(FP)
	WORD	$0x00301073		// fscsr x0: rounding as Go has it
	RET
late:
	MOV	$100, X7
	JMP	differs
