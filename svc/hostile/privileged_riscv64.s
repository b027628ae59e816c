//go:build tamago

#include "textflag.h"

// One function for each instruction that user mode may not execute: the
// instruction, then a return. Instructions are given as words, because the assembler
// does not know most of them. The list in privileged.go has the same order.

// csrr sstatus
TEXT ·readSstatus(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x100022f3
	RET

// csrw sstatus
TEXT ·writeSstatus(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x10001073
	RET

// csrr sie
TEXT ·readSie(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x104022f3
	RET

// csrw sie
TEXT ·writeSie(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x10401073
	RET

// csrr stvec
TEXT ·readStvec(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x105022f3
	RET

// csrw stvec
TEXT ·writeStvec(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x10501073
	RET

// csrr scounteren
TEXT ·readScounteren(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x106022f3
	RET

// csrw scounteren
TEXT ·writeScounteren(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x10601073
	RET

// csrr senvcfg
TEXT ·readSenvcfg(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x10a022f3
	RET

// csrw senvcfg
TEXT ·writeSenvcfg(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x10a01073
	RET

// csrr sscratch
TEXT ·readSscratch(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x140022f3
	RET

// csrw sscratch
TEXT ·writeSscratch(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x14001073
	RET

// csrr sepc
TEXT ·readSepc(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x141022f3
	RET

// csrw sepc
TEXT ·writeSepc(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x14101073
	RET

// csrr scause
TEXT ·readScause(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x142022f3
	RET

// csrw scause
TEXT ·writeScause(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x14201073
	RET

// csrr stval
TEXT ·readStval(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x143022f3
	RET

// csrw stval
TEXT ·writeStval(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x14301073
	RET

// csrr sip
TEXT ·readSip(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x144022f3
	RET

// csrw sip
TEXT ·writeSip(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x14401073
	RET

// csrr stimecmp
TEXT ·readStimecmp(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x14d022f3
	RET

// csrw stimecmp
TEXT ·writeStimecmp(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x14d01073
	RET

// csrr satp
TEXT ·readSatp(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x180022f3
	RET

// csrw satp
TEXT ·writeSatp(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x18001073
	RET

// csrr mstatus
TEXT ·readMstatus(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x300022f3
	RET

// csrw mstatus
TEXT ·writeMstatus(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30001073
	RET

// csrr misa
TEXT ·readMisa(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x301022f3
	RET

// csrw misa
TEXT ·writeMisa(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30101073
	RET

// csrr medeleg
TEXT ·readMedeleg(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x302022f3
	RET

// csrw medeleg
TEXT ·writeMedeleg(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30201073
	RET

// csrr mideleg
TEXT ·readMideleg(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x303022f3
	RET

// csrw mideleg
TEXT ·writeMideleg(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30301073
	RET

// csrr mie
TEXT ·readMie(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x304022f3
	RET

// csrw mie
TEXT ·writeMie(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30401073
	RET

// csrr mtvec
TEXT ·readMtvec(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x305022f3
	RET

// csrw mtvec
TEXT ·writeMtvec(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30501073
	RET

// csrr mcounteren
TEXT ·readMcounteren(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x306022f3
	RET

// csrw mcounteren
TEXT ·writeMcounteren(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30601073
	RET

// csrr menvcfg
TEXT ·readMenvcfg(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30a022f3
	RET

// csrw menvcfg
TEXT ·writeMenvcfg(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30a01073
	RET

// csrr mscratch
TEXT ·readMscratch(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x340022f3
	RET

// csrw mscratch
TEXT ·writeMscratch(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x34001073
	RET

// csrr mepc
TEXT ·readMepc(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x341022f3
	RET

// csrw mepc
TEXT ·writeMepc(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x34101073
	RET

// csrr mcause
TEXT ·readMcause(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x342022f3
	RET

// csrw mcause
TEXT ·writeMcause(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x34201073
	RET

// csrr mip
TEXT ·readMip(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x344022f3
	RET

// csrw mip
TEXT ·writeMip(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x34401073
	RET

// csrr pmpcfg0
TEXT ·readPmpcfg0(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x3a0022f3
	RET

// csrw pmpcfg0
TEXT ·writePmpcfg0(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x3a001073
	RET

// csrr pmpaddr0
TEXT ·readPmpaddr0(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x3b0022f3
	RET

// csrw pmpaddr0
TEXT ·writePmpaddr0(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x3b001073
	RET

// csrr mhartid
TEXT ·readMhartid(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0xf14022f3
	RET

// csrr mvendorid
TEXT ·readMvendorid(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0xf11022f3
	RET

// csrr dcsr
TEXT ·readDcsr(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x7b0022f3
	RET

// csrw dcsr
TEXT ·writeDcsr(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x7b001073
	RET

// csrr tselect
TEXT ·readTselect(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x7a0022f3
	RET

// csrw tselect
TEXT ·writeTselect(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x7a001073
	RET

// sret
TEXT ·sretInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x10200073
	RET

// mret
TEXT ·mretInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x30200073
	RET

// wfi
TEXT ·wfiInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x10500073
	RET

// sfence.vma
TEXT ·sfence_vmaInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x12000073
	RET

// sinval.vma
TEXT ·sinval_vmaInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x16000073
	RET

// hfence.gvma
TEXT ·hfence_gvmaInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x62000073
	RET

// dret
TEXT ·dretInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x7b200073
	RET

// csrw time
TEXT ·writeTime(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0xc0101073
	RET

// csrw cycle
TEXT ·writeCycle(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0xc0001073
	RET

// all zero
TEXT ·zeroInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0x00000000
	RET

// all one
TEXT ·oneInsn(SB), NOSPLIT|NOFRAME, $0-0
	WORD	$0xffffffff
	RET

