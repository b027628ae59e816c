//go:build tamago && riscv64 && !nexusproc

// os/signal.Relay is what interrupt handlers of the module's newer releases call
// with a signal number at 8(SP). It runs on whatever stack the interrupt hit and
// without a g, so it only sets bits.

#include "textflag.h"

// func Relay(sig uint32)
TEXT os∕signal·Relay(SB),NOSPLIT|NOFRAME,$0-8
	MOVWU	8(X2), T0
	MOV	$255, T1
	BLTU	T1, T0, done
	SRL	$5, T0, T1
	SLL	$2, T1
	MOV	$runtime·relayed(SB), T2
	ADD	T1, T2
	AND	$31, T0
	MOV	$1, T1
	SLL	T0, T1
	AMOORW	T1, (T2), ZERO
	MOV	$runtime·relayPending(SB), T2
	MOV	$1, T1
	AMOORW	T1, (T2), ZERO
done:
	RET
