//go:build tamago && riscv64

#include "textflag.h"
#include "go_asm.h"

// sstatus bits (privileged specification, "Supervisor Status Register")
#define SSTATUS_FS    (3<<13)
// sie and sip bits: supervisor software, timer and external interrupts
#define SIE_SSIE      (1<<1)
#define SIE_STIE      (1<<5)
#define SIE_SEIE      (1<<9)

#define SRET WORD $0x10200073
#define WFI  WORD $0x10500073
#define SFENCE_ALL  WORD $0x12000073

#define R(n) (Frame_X+8*n)

// func Init()
TEXT ·Init(SB),NOSPLIT|NOFRAME,$0
	MOV	$·trap(SB), X5
	CSRRW	X5, STVEC, X0
	CSRRW	X0, SSCRATCH, X0
	MOV	$(SIE_STIE|SIE_SSIE|SIE_SEIE), X5
	CSRRS	X5, SIE, X0
	RET

// Where a started hart begins: paging off, its id in a0, its Entry in a1.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	MOV	Entry_SATP(X11), X5
	CSRRW	X5, SATP, X0
	SFENCE_ALL
	MOV	Entry_SP(X11), X2
	MOV	Entry_G(X11), g
	MOV	$7, X5
	CSRRW	X5, SCOUNTEREN, X0	// U-mode reads time, as on the boot hart
	MOV	Entry_Index(X11), X5
	ADD	$-16, X2
	MOV	X5, 8(X2)
	CALL	·Init(SB)
	CALL	·FPOff(SB)
	CALL	·started(SB)
stop2:
	WFI
	JMP	stop2

// func EntryPC() uint64
TEXT ·EntryPC(SB),NOSPLIT|NOFRAME,$0-8
	MOV	$·entry(SB), X5
	MOV	X5, ret+0(FP)
	RET

// func TakeInterrupt() bool
TEXT ·TakeInterrupt(SB),NOSPLIT|NOFRAME,$0-1
	MOV	$SIE_SSIE, X5
	CSRRC	X5, SIP, X6
	AND	X5, X6
	SNEZ	X6, X6
	MOVB	X6, ret+0(FP)
	RET

// func Mask()
TEXT ·Mask(SB),NOSPLIT|NOFRAME,$0
	CSRRW	X0, SIE, X0
	RET

// func Enter(f, from *Frame)
//
// sscratch holds the frame while U-mode runs and zero while the kernel does, so
// that the vector can tell a fault of the kernel from a trap of a thread.
TEXT ·Enter(SB),NOSPLIT|NOFRAME,$0-16
	MOV	f+0(FP), X10
	MOV	from+8(FP), X12
	MOV	X2, Frame_ksp(X10)
	MOV	X1, Frame_kra(X10)
	MOV	g, Frame_kg(X10)
	CSRRW	X10, SSCRATCH, X0
	MOV	Frame_SATP(X10), X5
	CSRRS	X0, SATP, X6
	BEQ	X5, X6, mapped		// writing satp costs far more than reading it
	CSRRW	X5, SATP, X0
mapped:
	MOV	R(0)(X10), X5
	CSRRW	X5, SEPC, X0
	MOV	Frame_Status(X10), X5
	CSRRW	X5, SSTATUS, X0
	MOV	Frame_Full(X10), X6
	MOV	R(1)(X10), X1
	MOV	R(2)(X10), X2
	MOV	R(3)(X10), X3
	MOV	R(4)(X10), TP
	MOV	R(18)(X12), X18
	MOV	R(19)(X12), X19
	MOV	R(20)(X12), X20
	MOV	R(21)(X12), X21
	MOV	R(22)(X12), X22
	MOV	R(23)(X12), X23
	MOV	R(24)(X12), X24
	MOV	R(25)(X12), X25
	MOV	R(11)(X10), X11
	MOV	R(12)(X10), X12
	MOV	R(13)(X10), X13
	MOV	R(14)(X10), X14
	MOV	R(15)(X10), X15
	MOV	R(16)(X10), X16
	MOV	R(17)(X10), X17
	MOV	R(27)(X10), g
	BNE	X6, X0, full
	// Return from a system call: the registers that the ABI does not preserve
	// leave the kernel as zero.
	MOV	X0, X5
	MOV	X0, X7
	MOV	X0, X8
	MOV	X0, X9
	MOV	X0, X26
	MOV	X0, X28
	MOV	X0, X29
	MOV	X0, X30
	MOV	X0, X31
	MOV	R(10)(X10), X10
	SRET
full:
	MOV	R(5)(X10), X5
	MOV	R(6)(X10), X6
	MOV	R(7)(X10), X7
	MOV	R(8)(X10), X8
	MOV	R(9)(X10), X9
	MOV	R(26)(X10), X26
	MOV	R(28)(X10), X28
	MOV	R(29)(X10), X29
	MOV	R(30)(X10), X30
	MOV	R(31)(X10), X31
	MOV	R(10)(X10), X10
	SRET

// The trap vector: direct mode, so its address is 4-byte aligned. What a system
// call neither passes nor preserves is saved for the other traps only.
TEXT ·trap(SB),NOSPLIT|NOFRAME,$0
	CSRRW	X10, SSCRATCH, X10
	BEQ	X10, X0, fault
	MOV	X1, R(1)(X10)
	MOV	X2, R(2)(X10)
	MOV	X3, R(3)(X10)
	MOV	TP, R(4)(X10)
	MOV	X11, R(11)(X10)
	MOV	X12, R(12)(X10)
	MOV	X13, R(13)(X10)
	MOV	X14, R(14)(X10)
	MOV	X15, R(15)(X10)
	MOV	X16, R(16)(X10)
	MOV	X17, R(17)(X10)
	MOV	X18, R(18)(X10)
	MOV	X19, R(19)(X10)
	MOV	X20, R(20)(X10)
	MOV	X21, R(21)(X10)
	MOV	X22, R(22)(X10)
	MOV	X23, R(23)(X10)
	MOV	X24, R(24)(X10)
	MOV	X25, R(25)(X10)
	MOV	X26, R(26)(X10)
	MOV	g, R(27)(X10)
	CSRRW	X0, SSCRATCH, X11	// a0 of the thread; zero marks the kernel
	MOV	X11, R(10)(X10)
	MOV	$SSTATUS_FS, X11
	CSRRC	X11, SSTATUS, X12	// the unit is off for the kernel
	MOV	X12, Frame_Status(X10)
	CSRRS	X0, SEPC, X12
	CSRRS	X0, SCAUSE, X11
	ADD	$-const_CauseEcallU, X11, X13
	BNE	X13, X0, other
	ADD	$4, X12			// continue behind the ECALL
	MOV	X12, R(0)(X10)
	MOV	X0, Frame_Full(X10)
back:
	MOV	Frame_ksp(X10), X2
	MOV	Frame_kra(X10), X1
	MOV	Frame_kg(X10), g
	RET
other:
	MOV	X12, R(0)(X10)
	MOV	X11, Frame_Cause(X10)
	MOV	$1, X13
	MOV	X13, Frame_Full(X10)
	CSRRS	X0, STVAL, X11
	MOV	X11, Frame_Tval(X10)
	MOV	X5, R(5)(X10)
	MOV	X6, R(6)(X10)
	MOV	X7, R(7)(X10)
	MOV	X8, R(8)(X10)
	MOV	X9, R(9)(X10)
	MOV	X28, R(28)(X10)
	MOV	X29, R(29)(X10)
	MOV	X30, R(30)(X10)
	MOV	X31, R(31)(X10)
	JMP	back
fault:
	// The kernel itself faulted. The first hart to do so reports it, and the others
	// stop: swapping the gate's own address into it tells which this is.
	MOV	$·faultGate(SB), X10
	AMOSWAPD	X10, (X10), X10
	BNE	X10, X0, stop
	MOV	$·faultFrame(SB), X10
	MOV	X1, R(1)(X10)
	MOV	X2, R(2)(X10)
	MOV	X3, R(3)(X10)
	MOV	TP, R(4)(X10)
	MOV	X5, R(5)(X10)
	MOV	X6, R(6)(X10)
	MOV	X7, R(7)(X10)
	MOV	X8, R(8)(X10)
	MOV	X9, R(9)(X10)
	MOV	X11, R(11)(X10)
	MOV	X12, R(12)(X10)
	MOV	X13, R(13)(X10)
	MOV	X14, R(14)(X10)
	MOV	X15, R(15)(X10)
	MOV	X16, R(16)(X10)
	MOV	X17, R(17)(X10)
	MOV	X18, R(18)(X10)
	MOV	X19, R(19)(X10)
	MOV	X20, R(20)(X10)
	MOV	X21, R(21)(X10)
	MOV	X22, R(22)(X10)
	MOV	X23, R(23)(X10)
	MOV	X24, R(24)(X10)
	MOV	X25, R(25)(X10)
	MOV	X26, R(26)(X10)
	MOV	g, R(27)(X10)
	MOV	X28, R(28)(X10)
	MOV	X29, R(29)(X10)
	MOV	X30, R(30)(X10)
	MOV	X31, R(31)(X10)
	CSRRW	X0, SSCRATCH, X11	// the kernel's a0
	MOV	X11, R(10)(X10)
	CSRRS	X0, SEPC, X11
	MOV	X11, R(0)(X10)
	CSRRS	X0, SCAUSE, X11
	MOV	X11, Frame_Cause(X10)
	CSRRS	X0, STVAL, X11
	MOV	X11, Frame_Tval(X10)
	CSRRS	X0, SSTATUS, X11
	MOV	X11, Frame_Status(X10)
	CSRRS	X0, SATP, X11
	MOV	X11, Frame_SATP(X10)
	MOV	$·faultAgain(SB), X5
	CSRRW	X5, STVEC, X0
	// The kernel's stack may be what is broken, so the report has one of its own,
	// and a g for it.
	MOV	·faultG(SB), g
	MOV	·faultSP(SB), X2
	CALL	·kernelFault(SB)
stop:
	CSRRW	X0, SIE, X0
	WFI
	JMP	stop

// faultAgain is the vector while a fault is reported.
TEXT ·faultAgain(SB),NOSPLIT|NOFRAME,$0
	MOV	$·faultStop(SB), X5
	CSRRW	X5, STVEC, X0
	MOV	·faultG(SB), g
	MOV	·faultSP(SB), X2
	CALL	·kernelFaultAgain(SB)
	JMP	·faultStop(SB)

TEXT ·faultStop(SB),NOSPLIT|NOFRAME,$0
	CSRRW	X0, SIE, X0
again:
	WFI
	JMP	again

// func Break()
TEXT ·Break(SB),NOSPLIT|NOFRAME,$0
	EBREAK
	RET

// func G() uint64
TEXT ·G(SB),NOSPLIT|NOFRAME,$0-8
	MOV	g, ret+0(FP)
	RET

// func SetSATP(satp uint64)
TEXT ·SetSATP(SB),NOSPLIT|NOFRAME,$0-8
	MOV	satp+0(FP), X5
	CSRRW	X5, SATP, X0
	RET

// func SATP() uint64
TEXT ·SATP(SB),NOSPLIT|NOFRAME,$0-8
	CSRRS	X0, SATP, X5
	MOV	X5, ret+0(FP)
	RET

// func FenceASID(asid uint64)
TEXT ·FenceASID(SB),NOSPLIT|NOFRAME,$0-8
	MOV	asid+0(FP), X5
	WORD	$0x12500073		// sfence.vma x0, x5
	RET

// func FencePage(va, asid uint64)
TEXT ·FencePage(SB),NOSPLIT|NOFRAME,$0-16
	MOV	va+0(FP), X6
	MOV	asid+8(FP), X5
	WORD	$0x12530073		// sfence.vma x6, x5
	RET

// func FenceAll()
TEXT ·FenceAll(SB),NOSPLIT|NOFRAME,$0
	SFENCE_ALL
	RET

// func FenceCode()
TEXT ·FenceCode(SB),NOSPLIT|NOFRAME,$0
	WORD	$0x0000100f		// fence.i
	RET

// func Wait()
TEXT ·Wait(SB),NOSPLIT|NOFRAME,$0
	WFI
	RET

// func Time() uint64
TEXT ·Time(SB),NOSPLIT|NOFRAME,$0-8
	RDTIME	X5
	MOV	X5, ret+0(FP)
	RET

// func SetTimeCompare(t uint64)
TEXT ·SetTimeCompare(SB),NOSPLIT|NOFRAME,$0-8
	MOV	t+0(FP), X5
	CSRRW	X5, STIMECMP, X0
	RET

// func FPOff()
TEXT ·FPOff(SB),NOSPLIT|NOFRAME,$0
	MOV	$SSTATUS_FS, X5
	CSRRC	X5, SSTATUS, X0
	RET

// func FPOn()
TEXT ·FPOn(SB),NOSPLIT|NOFRAME,$0
	MOV	$SSTATUS_FS, X5
	CSRRS	X5, SSTATUS, X0
	RET

// func FPSave(s *FPState)
TEXT ·FPSave(SB),NOSPLIT|NOFRAME,$0-8
	MOV	s+0(FP), X10
	MOV	$SSTATUS_FS, X5
	CSRRS	X5, SSTATUS, X0
	MOVD	F0, (FPState_F+0)(X10)
	MOVD	F1, (FPState_F+8)(X10)
	MOVD	F2, (FPState_F+16)(X10)
	MOVD	F3, (FPState_F+24)(X10)
	MOVD	F4, (FPState_F+32)(X10)
	MOVD	F5, (FPState_F+40)(X10)
	MOVD	F6, (FPState_F+48)(X10)
	MOVD	F7, (FPState_F+56)(X10)
	MOVD	F8, (FPState_F+64)(X10)
	MOVD	F9, (FPState_F+72)(X10)
	MOVD	F10, (FPState_F+80)(X10)
	MOVD	F11, (FPState_F+88)(X10)
	MOVD	F12, (FPState_F+96)(X10)
	MOVD	F13, (FPState_F+104)(X10)
	MOVD	F14, (FPState_F+112)(X10)
	MOVD	F15, (FPState_F+120)(X10)
	MOVD	F16, (FPState_F+128)(X10)
	MOVD	F17, (FPState_F+136)(X10)
	MOVD	F18, (FPState_F+144)(X10)
	MOVD	F19, (FPState_F+152)(X10)
	MOVD	F20, (FPState_F+160)(X10)
	MOVD	F21, (FPState_F+168)(X10)
	MOVD	F22, (FPState_F+176)(X10)
	MOVD	F23, (FPState_F+184)(X10)
	MOVD	F24, (FPState_F+192)(X10)
	MOVD	F25, (FPState_F+200)(X10)
	MOVD	F26, (FPState_F+208)(X10)
	MOVD	F27, (FPState_F+216)(X10)
	MOVD	F28, (FPState_F+224)(X10)
	MOVD	F29, (FPState_F+232)(X10)
	MOVD	F30, (FPState_F+240)(X10)
	MOVD	F31, (FPState_F+248)(X10)
	WORD	$0x003022f3		// frcsr x5
	MOV	X5, FPState_FCSR(X10)
	JMP	·FPOff(SB)

// func FPLoad(s *FPState)
TEXT ·FPLoad(SB),NOSPLIT|NOFRAME,$0-8
	MOV	s+0(FP), X10
	MOV	$SSTATUS_FS, X5
	CSRRS	X5, SSTATUS, X0
	MOVD	(FPState_F+0)(X10), F0
	MOVD	(FPState_F+8)(X10), F1
	MOVD	(FPState_F+16)(X10), F2
	MOVD	(FPState_F+24)(X10), F3
	MOVD	(FPState_F+32)(X10), F4
	MOVD	(FPState_F+40)(X10), F5
	MOVD	(FPState_F+48)(X10), F6
	MOVD	(FPState_F+56)(X10), F7
	MOVD	(FPState_F+64)(X10), F8
	MOVD	(FPState_F+72)(X10), F9
	MOVD	(FPState_F+80)(X10), F10
	MOVD	(FPState_F+88)(X10), F11
	MOVD	(FPState_F+96)(X10), F12
	MOVD	(FPState_F+104)(X10), F13
	MOVD	(FPState_F+112)(X10), F14
	MOVD	(FPState_F+120)(X10), F15
	MOVD	(FPState_F+128)(X10), F16
	MOVD	(FPState_F+136)(X10), F17
	MOVD	(FPState_F+144)(X10), F18
	MOVD	(FPState_F+152)(X10), F19
	MOVD	(FPState_F+160)(X10), F20
	MOVD	(FPState_F+168)(X10), F21
	MOVD	(FPState_F+176)(X10), F22
	MOVD	(FPState_F+184)(X10), F23
	MOVD	(FPState_F+192)(X10), F24
	MOVD	(FPState_F+200)(X10), F25
	MOVD	(FPState_F+208)(X10), F26
	MOVD	(FPState_F+216)(X10), F27
	MOVD	(FPState_F+224)(X10), F28
	MOVD	(FPState_F+232)(X10), F29
	MOVD	(FPState_F+240)(X10), F30
	MOVD	(FPState_F+248)(X10), F31
	MOV	FPState_FCSR(X10), X5
	WORD	$0x00329073		// fscsr x5
	JMP	·FPOff(SB)
