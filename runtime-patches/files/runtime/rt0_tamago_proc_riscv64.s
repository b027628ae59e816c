//go:build tamago && riscv64 && nexusproc

// Entry of a process, and of the exceptions that the kernel hands back to it.

#include "go_asm.h"
#include "textflag.h"

// The kernel starts a process here with the start page in a0 and sp at the top of
// its stack.
TEXT _rt0_riscv64_tamago(SB),NOSPLIT|NOFRAME,$0
	MOV	A0, runtime∕goos·Page(SB)
	MOV	ZERO, A0
	MOV	ZERO, A1
	JMP	runtime·rt0_go(SB)

// After an exception the process continues here with a0 = scause, a1 = stval,
// a2 = pc and all other registers as they were. A second exception before
// fault_done ends the process, so a bad stack pointer cannot loop.
//
// On the stack of a goroutine this becomes a call of sigpanic at the faulting
// instruction, in the form that tracebacks expect: ra saved below sp, and ra = pc
// unless pc is what was bad, when the caller in ra is the one to blame.
TEXT runtime·faultEntry(SB),NOSPLIT|NOFRAME,$0
	BLT	A0, ZERO, slice
	BEQ	g, ZERO, dead
	MOV	g_m(g), T0
	BEQ	T0, ZERO, dead
	MOV	m_curg(T0), T1
	BNE	T1, g, system
	MOVBU	g_throwsplit(g), T1
	BNE	T1, ZERO, system
	MOV	$runtime·abort(SB), T1
	BEQ	T1, A2, system

	MOVW	A0, g_sig(g)
	MOV	A0, g_sigcode0(g)
	MOV	A1, g_sigcode1(g)
	MOV	A2, g_sigpc(g)
	ADD	$-8, X2
	MOV	RA, 0(X2)
	MOV	$1, T1			// instruction access fault
	BEQ	T1, A0, push
	MOV	$12, T1			// instruction page fault
	BEQ	T1, A0, push
	MOV	A2, RA
push:
	MOV	ZERO, A0
	MOV	$const_sysFaultDone, A7
	ECALL
	MOV	$runtime·sigpanic<ABIInternal>(SB), T0
	JMP	(T0)

system:
	// The runtime itself failed, perhaps out of stack. The first thread reports on
	// the stack that is kept for crashes, once; another one gets out of its way.
	MOV	$runtime·faultRecord(SB), T1
claim:
	LRD	(T1), T2		// faultRegs.g
	BNE	T2, ZERO, second
	SCD	g, (T1), T2
	BNE	T2, ZERO, claim
	MOV	A0, faultRegs_cause(T1)
	MOV	A1, faultRegs_addr(T1)
	MOV	A2, faultRegs_pc(T1)
	MOV	X2, faultRegs_sp(T1)
	MOV	RA, faultRegs_lr(T1)
	MOV	ZERO, A0
	MOV	$const_sysFaultDone, A7
	ECALL
	MOV	runtime·faultCrashFn(SB), A0
	MOV	$runtime·switchToCrashStack0<ABIInternal>(SB), T0
	JMP	(T0)

slice:
	// The end of a time slice, not a fault: a0 = scause of an interrupt, a1 = sp,
	// a2 = pc. fault_done with a0 = 1 continues what was interrupted with all its
	// registers, but for pc, sp and ra if a1 is not zero.
	BEQ	g, ZERO, resume
	MOV	g_m(g), T0
	BEQ	T0, ZERO, resume
	MOV	m_curg(T0), T1
	BNE	T1, g, resume
	MOV	m_gsignal(T0), T1
	BEQ	T1, ZERO, resume
	MOV	g, A0
	MOV	RA, A3
	MOV	T1, g
	MOV	(g_stack+stack_hi)(g), X2
	ADD	$-48, X2		// the callee may spill its arguments above its frame
	CALL	runtime·preemptUpcall<ABIInternal>(SB)
	MOV	A2, A3
	MOV	A1, A2
	MOV	A0, A1
	MOV	$1, A0
	MOV	$const_sysFaultDone, A7
	ECALL
	JMP	0(PC)
resume:
	MOV	$1, A0
	MOV	ZERO, A1
	MOV	$const_sysFaultDone, A7
	ECALL
	JMP	0(PC)

second:
	MOV	g_m(T2), T2
	BEQ	T0, T2, dead
	MOV	ZERO, A0
	MOV	$const_sysThreadExit, A7
	ECALL
dead:
	MOV	$2, A0
	MOV	$const_sysExit, A7
	ECALL
	JMP	0(PC)
