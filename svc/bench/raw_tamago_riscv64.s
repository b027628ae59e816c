//go:build tamago && riscv64

#include "textflag.h"

// The loops below use the kernel without the runtime, to measure the kernel
// alone. A system call preserves ra, sp, gp, tp and g; arguments are loaded anew
// each time. Numbers and layouts are those of package abi.

#define SYS_NOP   0
#define SYS_YIELD 2
#define SYS_WAIT  3
#define SYS_CALL  4
#define SYS_REPLY 5
#define SYS_NOTIFY 8
#define SYS_VMO_MAP 18
#define SYS_UNMAP 19
#define SYS_IRQ_ACK 39
#define EVENT_NOTIFY 3

// Registers of the Goldfish clock. Reading the low half of the time takes the high
// half along; writing the low half of the alarm arms it.
#define RTC_TIME       0x00
#define RTC_ALARM_LOW  0x08
#define RTC_ALARM_HIGH 0x0c
#define RTC_ENABLE     0x10
#define RTC_CLEAR      0x1c

// RTC_NOW puts the nanoseconds of the clock at X9 into X11; X12 is lost.
#define RTC_NOW \
	MOVWU	RTC_TIME(X9), X11	\
	MOVWU	RTC_TIME+4(X9), X12	\
	SLL	$32, X12		\
	OR	X12, X11
#define READ_WRITE 48
#define EVENT_REQUEST 2
#define SYS_THREAD_EXIT 44
#define SYS_FUTEX_WAIT 47
#define SYS_FUTEX_WAKE 48

// func rawNop(n int)
TEXT ·rawNop(SB),NOSPLIT,$8-8
	MOV	n+0(FP), X5
loop:
	MOV	X5, 8(X2)
	MOV	$SYS_NOP, X17
	ECALL
	MOV	8(X2), X5
	ADD	$-1, X5
	BNE	X5, X0, loop
	RET

// func rawYield(n int)
TEXT ·rawYield(SB),NOSPLIT,$8-8
	MOV	n+0(FP), X5
loop:
	MOV	X5, 8(X2)
	MOV	$SYS_YIELD, X17
	ECALL
	MOV	8(X2), X5
	ADD	$-1, X5
	BNE	X5, X0, loop
	RET

// func rawCall(n int, ep, meta, send, recv uint64) uint64
//
// Makes n calls of the given length and returns the kind of the first event that
// is not a reply, 1 if all are.
TEXT ·rawCall(SB),NOSPLIT,$8-48
	MOV	n+0(FP), X5
loop:
	MOV	X5, 8(X2)
	MOV	ep+8(FP), X10
	MOV	meta+16(FP), X11
	MOV	$1, X12
	MOV	X0, X13
	MOV	X0, X14
	MOV	send+24(FP), X15
	MOV	recv+32(FP), X16
	MOV	X0, X26
	MOV	$SYS_CALL, X17
	ECALL
	MOV	$1, X6
	BNE	X10, X6, out
	MOV	8(X2), X5
	ADD	$-1, X5
	BNE	X5, X0, loop
out:
	MOV	X10, ret+40(FP)
	RET

// func rawServe(ep, meta, send, recv uint64) uint64
//
// Answers requests on ep until one has the length 0, whose reply right it returns.
TEXT ·rawServe(SB),NOSPLIT,$0-40
	MOV	X0, X11
	MOV	ep+0(FP), X12
	MOV	X0, X13
	MOV	recv+24(FP), X16
	MOV	$2, X26
	MOV	$SYS_WAIT, X17
	ECALL
loop:
	SLL	$32, X15
	BEQ	X15, X0, out
	MOV	X14, X10
	MOV	meta+8(FP), X11
	MOV	ep+0(FP), X12
	MOV	X0, X13
	MOV	X0, X14
	MOV	send+16(FP), X15
	MOV	recv+24(FP), X16
	MOV	$2, X26
	MOV	$SYS_REPLY, X17
	ECALL
	JMP	loop
out:
	MOV	X14, ret+32(FP)
	RET

// func rawCallCap(n int, ep, cap uint64) uint64
//
// Makes n calls that move cap to the server and get it back. Returns like rawCall.
TEXT ·rawCallCap(SB),NOSPLIT,$16-32
	MOV	n+0(FP), X5
	MOV	cap+16(FP), X16
loop:
	MOV	X5, 8(X2)
	MOV	ep+8(FP), X10
	MOV	$64, X11
	MOV	$1, X12
	MOV	X0, X13
	MOV	X16, X14
	MOV	X0, X15
	MOV	X0, X16
	MOV	X0, X26
	MOV	$SYS_CALL, X17
	ECALL
	MOV	$1, X6
	BNE	X10, X6, out
	MOV	8(X2), X5
	ADD	$-1, X5
	BNE	X5, X0, loop
out:
	MOV	X10, ret+24(FP)
	RET

// func rawServeCap(ep uint64) uint64
//
// Like rawServe, and moves the capability of each request back.
TEXT ·rawServeCap(SB),NOSPLIT,$0-16
	MOV	X0, X11
	MOV	ep+0(FP), X12
	MOV	X0, X13
	MOV	X0, X16
	MOV	$2, X26
	MOV	$SYS_WAIT, X17
	ECALL
loop:
	SLL	$32, X15
	BEQ	X15, X0, out
	MOV	X14, X10
	MOV	$64, X11
	MOV	ep+0(FP), X12
	MOV	X0, X13
	MOV	X16, X14
	MOV	X0, X15
	MOV	X0, X16
	MOV	$2, X26
	MOV	$SYS_REPLY, X17
	ECALL
	JMP	loop
out:
	MOV	X14, ret+8(FP)
	RET

// func rawNotify(n int, notification uint64) uint64
//
// Sets a bit n times, and waits each time for a notification in return. Returns
// the kind of the first event that is none, 3 if all are.
TEXT ·rawNotify(SB),NOSPLIT,$8-24
	MOV	n+0(FP), X5
loop:
	MOV	X5, 8(X2)
	MOV	notification+8(FP), X10
	MOV	$1, X11
	MOV	$SYS_NOTIFY, X17
	ECALL
	MOV	X0, X11
	MOV	X0, X12
	MOV	X0, X13
	MOV	X0, X16
	MOV	$SYS_WAIT, X17
	ECALL
	MOV	$3, X6
	BNE	X10, X6, out
	MOV	8(X2), X5
	ADD	$-1, X5
	BNE	X5, X0, loop
out:
	MOV	X10, ret+16(FP)
	RET

// func rawMapUnmap(n int, vmo uint64) uint64
//
// Maps a page of a memory object where the kernel finds room, writes to it and unmaps
// it, n times. Returns what the last call did.
TEXT ·rawMapUnmap(SB),NOSPLIT,$8-24
	MOV	n+0(FP), X5
loop:
	MOV	X5, 8(X2)
	MOV	vmo+8(FP), X10
	MOV	X0, X11
	MOV	X0, X12
	MOV	$4096, X13
	MOV	$READ_WRITE, X14
	MOV	$SYS_VMO_MAP, X17
	ECALL
	BLT	X10, X0, out
	MOVB	X0, (X10)
	MOV	$4096, X11
	MOV	$SYS_UNMAP, X17
	ECALL
	BNE	X10, X0, out
	MOV	8(X2), X5
	ADD	$-1, X5
	BNE	X5, X0, loop
out:
	MOV	X10, ret+16(FP)
	RET

// func rawSpin(n int)
//
// Executes 2*n instructions.
TEXT ·rawSpin(SB),NOSPLIT,$0-8
	MOV	n+0(FP), X5
loop:
	ADD	$-1, X5
	BNE	X5, X0, loop
	RET

// func rawIRQ(n int, clock, irq uint64) uint64
//
// Arms the alarm of the clock whose registers are at clock, waits for its interrupt
// and adds up how late the first instruction after the wait is, n times. Returns
// all ones if something else happens than the notification of an interrupt.
TEXT ·rawIRQ(SB),NOSPLIT,$24-32
	MOV	n+0(FP), X5
	MOV	X0, 16(X2)
loop:
	MOV	X5, 8(X2)
	MOV	clock+8(FP), X9
	MOV	$1, X10
	MOVW	X10, RTC_ENABLE(X9)
	RTC_NOW
	MOV	$20000, X10		// until the hart is idle, and then some
	ADD	X10, X11
	MOV	X11, 24(X2)
	SRL	$32, X11, X12
	MOVW	X12, RTC_ALARM_HIGH(X9)
	MOVW	X11, RTC_ALARM_LOW(X9)
	MOV	X0, X11
	MOV	X0, X12
	MOV	X0, X13
	MOV	X0, X16
	MOV	X0, X26
	MOV	$SYS_WAIT, X17
	ECALL
	MOV	clock+8(FP), X9
	RTC_NOW
	MOV	$EVENT_NOTIFY, X6
	BNE	X10, X6, bad
	MOV	24(X2), X12
	SUB	X12, X11
	MOV	16(X2), X12
	ADD	X12, X11
	MOV	X11, 16(X2)
	MOVW	X0, RTC_CLEAR(X9)
	MOV	irq+16(FP), X10
	MOV	$SYS_IRQ_ACK, X17
	ECALL
	BNE	X10, X0, bad
	MOV	8(X2), X5
	ADD	$-1, X5
	BNE	X5, X0, loop
	MOV	16(X2), X10
	MOV	X10, ret+24(FP)
	RET
bad:
	MOV	$-1, X10
	MOV	X10, ret+24(FP)
	RET

// func rawIdle(spawn uint64) uint64
//
// Returns how many nanoseconds the hart has been idle, from s2 of SYSTEM_INFO.
TEXT ·rawIdle(SB),NOSPLIT,$0-16
	MOV	spawn+0(FP), X10
	MOV	$29, X17
	ECALL
	MOV	X18, ret+8(FP)
	RET

// func threadEntry() uint64
TEXT ·threadEntry(SB),NOSPLIT,$0-8
	MOV	$·threadTurns(SB), X5
	MOV	X5, ret+0(FP)
	RET

// A thread without a runtime, whose g is the address of a pair of words: it sleeps
// while the first is 0, makes it 0, and wakes who sleeps on it. It ends when the
// second is not 0.
TEXT ·threadTurns(SB),NOSPLIT|NOFRAME,$0
sleep:
	MOV	g, X10
	MOV	X0, X11
	MOV	X0, X12
	MOV	$SYS_FUTEX_WAIT, X17
	ECALL
	MOVW	4(g), X5
	BNE	X5, X0, end
	MOVW	X0, (g)
	MOV	g, X10
	MOV	$1, X11
	MOV	$SYS_FUTEX_WAKE, X17
	ECALL
	JMP	sleep
end:
	MOV	X0, X10
	MOV	$SYS_THREAD_EXIT, X17
	ECALL
	EBREAK

// func rawTurns(n int, pair *[2]uint32)
//
// Takes n turns with threadTurns.
TEXT ·rawTurns(SB),NOSPLIT,$8-16
	MOV	n+0(FP), X5
turn:
	MOV	X5, 8(X2)
	MOV	pair+8(FP), X10
	MOV	$1, X11
	MOVW	X11, (X10)
	MOV	$SYS_FUTEX_WAKE, X17
	ECALL
	MOV	pair+8(FP), X10
	MOV	$1, X11
	MOV	X0, X12
	MOV	$SYS_FUTEX_WAIT, X17
	ECALL
	MOV	8(X2), X5
	ADD	$-1, X5
	BNE	X5, X0, turn
	RET
