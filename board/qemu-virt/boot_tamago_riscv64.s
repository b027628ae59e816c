//go:build tamago && riscv64 && !nexusproc

// The first instructions of the kernel, and how it ends. Nothing here but the
// functions with arguments uses a stack.

#include "textflag.h"
#include "go_asm.h"

// Not known to the assembler.
#define WFI	WORD	$0x10500073

// Bits of sstatus and sie (privileged specification, "Supervisor CSRs").
#define SSTATUS_SIE	2
#define SSTATUS_FS	(3<<13)
#define SSTATUS_FS_INITIAL	(1<<13)
#define SIE_STIE	(1<<5)

// Fields of the boot header ("Boot image header in RISC-V Linux").
#define HEADER_SIZE	16
#define HEADER_MAGIC	48
#define MAGIC		0x5643534952	// "RISCV"

// cpuinit is where the image starts, by way of the runtime's entry: S-mode, no
// paging, hart id in a0, device tree in a1.
TEXT cpuinit(SB),NOSPLIT|NOFRAME,$0
	CSRRCI	$SSTATUS_SIE, SSTATUS, ZERO
	CSRRW	ZERO, SIE, ZERO
	MOV	$trap<>(SB), T0
	CSRRW	T0, STVEC, ZERO
	// Go code uses floating point.
	MOV	$SSTATUS_FS, T0
	CSRRC	T0, SSTATUS, ZERO
	MOV	$SSTATUS_FS_INITIAL, T0
	CSRRS	T0, SSTATUS, ZERO
	CSRRW	ZERO, FCSR, ZERO
	// One hart boots. Another one comes here only because the firmware lost where it
	// was to start: it stops, and is started again.
	MOV	$·booted(SB), T0
	MOV	$1, T1
	AMOSWAPW	T1, (T0), T1
	BNE	T1, ZERO, second
	MOV	A0, ·bootHart(SB)
	MOV	A1, ·bootTree(SB)

	// The boot header says where the image ends. The kernel's bss is part of it.
	MOV	$const_RAMStart, S2
	MOV	HEADER_MAGIC(S2), T0
	MOV	$MAGIC, T1
	BNE	T0, T1, image
	MOV	HEADER_SIZE(S2), S3
	MOV	$const_maxImage, T0
	BLTU	T0, S3, image
	SLL	$(64-12), S3, T0
	BNE	T0, ZERO, image
	ADD	S2, S3
	MOV	$runtime·end(SB), T0
	BLTU	S3, T0, image

	MOV	S2, runtime∕goos·RamStart(SB)
	MOV	S3, runtime∕goos·Bloc(SB)
	MOV	$(const_goRAM-const_stackSize-const_guardSize), T0
	ADD	S3, T0
	MOV	T0, ·heapEnd(SB)
	SUB	S2, T0
	MOV	T0, runtime∕goos·RamSize(SB)
	MOV	$const_goRAM, T0
	ADD	S3, T0, X2
	MOV	ZERO, X1
	JMP	_rt0_tamago_start(SB)

second:
	MOV	$0x48534d, A7	// HSM
	MOV	$1, A6		// stop
	ECALL
	JMP	second

image:
	MOV	·uart(SB), T0
	MOV	·textImage(SB), A0
	MOV	·textImage+8(SB), A1
	CALL	puts<>(SB)
	MOV	$const_statusImage, A0
	JMP	halt<>(SB)

// trap reports an exception of the kernel until it installs its own vector.
TEXT trap<>(SB),NOSPLIT|NOFRAME,$0
	// Without a console or a power-off device the report traps in turn.
	MOV	$last<>(SB), T0
	CSRRW	T0, STVEC, ZERO
	MOV	X1, S5
	CSRRS	ZERO, SCAUSE, S2
	CSRRS	ZERO, SEPC, S3
	CSRRS	ZERO, STVAL, S4
	MOV	·uart(SB), T0
	MOV	·textCause(SB), A0
	MOV	·textCause+8(SB), A1
	CALL	puts<>(SB)
	MOV	S2, A2
	CALL	hex<>(SB)
	MOV	·textPC(SB), A0
	MOV	·textPC+8(SB), A1
	CALL	puts<>(SB)
	MOV	S3, A2
	CALL	hex<>(SB)
	MOV	·textAddr(SB), A0
	MOV	·textAddr+8(SB), A1
	CALL	puts<>(SB)
	MOV	S4, A2
	CALL	hex<>(SB)
	MOV	·textRA(SB), A0
	MOV	·textRA+8(SB), A1
	CALL	puts<>(SB)
	MOV	S5, A2
	CALL	hex<>(SB)
	MOV	·textEnd(SB), A0
	MOV	·textEnd+8(SB), A1
	CALL	puts<>(SB)
	MOV	$const_statusTrap, A0
	JMP	halt<>(SB)

// puts writes the A1 bytes at A0 to the 16550 at T0. It changes A0, A1, T1, T2.
// Its transmit FIFO takes 16 bytes each time that it reports itself empty. The
// registers are strongly ordered I/O memory, which needs no fences.
TEXT puts<>(SB),NOSPLIT|NOFRAME,$0
batch:
	BEQ	A1, ZERO, done
wait:
	MOVBU	const_uartLSR(T0), T1
	AND	$const_lsrTHRE, T1
	BEQ	T1, ZERO, wait
	MOV	$const_uartFIFO, T2
	BGEU	A1, T2, full
	MOV	A1, T2
full:
	SUB	T2, A1
fill:
	MOVBU	(A0), T1
	MOVB	T1, (T0)
	ADD	$1, A0
	ADD	$-1, T2
	BNE	T2, ZERO, fill
	JMP	batch
done:
	RET

// hex writes the 16 digits of A2 to the 16550 at T0. It changes A0 to A3, T1 and
// T2.
TEXT hex<>(SB),NOSPLIT|NOFRAME,$0
	MOV	$60, A3
	MOV	·digits(SB), A0
wait:
	MOVBU	const_uartLSR(T0), T1
	AND	$const_lsrTHRE, T1
	BEQ	T1, ZERO, wait
digit:
	SRL	A3, A2, T1
	AND	$15, T1
	ADD	A0, T1
	MOVBU	(T1), T1
	MOVB	T1, (T0)
	ADD	$-4, A3
	BGE	A3, ZERO, digit
	RET

// halt ends the machine with status A0: by the finisher device, else by the
// firmware.
TEXT halt<>(SB),NOSPLIT|NOFRAME,$0
	MOV	·finisher(SB), T0
	BEQ	T0, ZERO, firmware
	MOV	$const_finisherPass, T1
	BEQ	A0, ZERO, write
	SLL	$16, A0, T1
	MOV	$const_finisherFail, T2
	OR	T2, T1
write:
	FENCE
	MOVW	T1, (T0)
firmware:
	JMP	last<>(SB)

// last asks the firmware for a shutdown because of a failure, which is all that
// is left to do.
TEXT last<>(SB),NOSPLIT|NOFRAME,$0
	MOV	$0x53525354, A7	// SRST
	MOV	ZERO, A6
	MOV	ZERO, A0
	MOV	$1, A1
	ECALL
stop:
	WFI
	JMP	stop

// func finish(status uint32)
TEXT ·finish(SB),NOSPLIT|NOFRAME,$0-4
	MOVWU	status+0(FP), A0
	JMP	halt<>(SB)

// func write(p *byte, n int)
TEXT ·write(SB),NOSPLIT,$8-16
	MOV	p+0(FP), A0
	MOV	n+8(FP), A1
	MOV	·uart(SB), T0
	CALL	puts<>(SB)
	RET

// func enableFIFO()
TEXT ·enableFIFO(SB),NOSPLIT|NOFRAME,$0
	MOV	·uart(SB), T0
	MOV	$const_fcrEnable, T1
	MOVB	T1, const_uartFCR(T0)
	RET

// func ticks() uint64
TEXT ·ticks(SB),NOSPLIT|NOFRAME,$0-8
	RDTIME	T0
	MOV	T0, ret+0(FP)
	RET

// func waitTimer()
TEXT ·waitTimer(SB),NOSPLIT|NOFRAME,$0
	MOV	$SIE_STIE, T0
	CSRRW	T0, SIE, T1
	WFI
	CSRRW	T1, SIE, ZERO
	RET
