//go:build tamago

package hostile

// stubs are the instructions of the attack privileged.
var stubs = [...]struct {
	name string
	run  func()
}{
	{"csrr sstatus", readSstatus},
	{"csrw sstatus", writeSstatus},
	{"csrr sie", readSie},
	{"csrw sie", writeSie},
	{"csrr stvec", readStvec},
	{"csrw stvec", writeStvec},
	{"csrr scounteren", readScounteren},
	{"csrw scounteren", writeScounteren},
	{"csrr senvcfg", readSenvcfg},
	{"csrw senvcfg", writeSenvcfg},
	{"csrr sscratch", readSscratch},
	{"csrw sscratch", writeSscratch},
	{"csrr sepc", readSepc},
	{"csrw sepc", writeSepc},
	{"csrr scause", readScause},
	{"csrw scause", writeScause},
	{"csrr stval", readStval},
	{"csrw stval", writeStval},
	{"csrr sip", readSip},
	{"csrw sip", writeSip},
	{"csrr stimecmp", readStimecmp},
	{"csrw stimecmp", writeStimecmp},
	{"csrr satp", readSatp},
	{"csrw satp", writeSatp},
	{"csrr mstatus", readMstatus},
	{"csrw mstatus", writeMstatus},
	{"csrr misa", readMisa},
	{"csrw misa", writeMisa},
	{"csrr medeleg", readMedeleg},
	{"csrw medeleg", writeMedeleg},
	{"csrr mideleg", readMideleg},
	{"csrw mideleg", writeMideleg},
	{"csrr mie", readMie},
	{"csrw mie", writeMie},
	{"csrr mtvec", readMtvec},
	{"csrw mtvec", writeMtvec},
	{"csrr mcounteren", readMcounteren},
	{"csrw mcounteren", writeMcounteren},
	{"csrr menvcfg", readMenvcfg},
	{"csrw menvcfg", writeMenvcfg},
	{"csrr mscratch", readMscratch},
	{"csrw mscratch", writeMscratch},
	{"csrr mepc", readMepc},
	{"csrw mepc", writeMepc},
	{"csrr mcause", readMcause},
	{"csrw mcause", writeMcause},
	{"csrr mip", readMip},
	{"csrw mip", writeMip},
	{"csrr pmpcfg0", readPmpcfg0},
	{"csrw pmpcfg0", writePmpcfg0},
	{"csrr pmpaddr0", readPmpaddr0},
	{"csrw pmpaddr0", writePmpaddr0},
	{"csrr mhartid", readMhartid},
	{"csrr mvendorid", readMvendorid},
	{"csrr dcsr", readDcsr},
	{"csrw dcsr", writeDcsr},
	{"csrr tselect", readTselect},
	{"csrw tselect", writeTselect},
	{"sret", sretInsn},
	{"mret", mretInsn},
	{"wfi", wfiInsn},
	{"sfence.vma", sfence_vmaInsn},
	{"sinval.vma", sinval_vmaInsn},
	{"hfence.gvma", hfence_gvmaInsn},
	{"dret", dretInsn},
	{"csrw time", writeTime},
	{"csrw cycle", writeCycle},
	{"all zero", zeroInsn},
	{"all one", oneInsn},
}

// Bodies in privileged_riscv64.s.
func readSstatus()
func writeSstatus()
func readSie()
func writeSie()
func readStvec()
func writeStvec()
func readScounteren()
func writeScounteren()
func readSenvcfg()
func writeSenvcfg()
func readSscratch()
func writeSscratch()
func readSepc()
func writeSepc()
func readScause()
func writeScause()
func readStval()
func writeStval()
func readSip()
func writeSip()
func readStimecmp()
func writeStimecmp()
func readSatp()
func writeSatp()
func readMstatus()
func writeMstatus()
func readMisa()
func writeMisa()
func readMedeleg()
func writeMedeleg()
func readMideleg()
func writeMideleg()
func readMie()
func writeMie()
func readMtvec()
func writeMtvec()
func readMcounteren()
func writeMcounteren()
func readMenvcfg()
func writeMenvcfg()
func readMscratch()
func writeMscratch()
func readMepc()
func writeMepc()
func readMcause()
func writeMcause()
func readMip()
func writeMip()
func readPmpcfg0()
func writePmpcfg0()
func readPmpaddr0()
func writePmpaddr0()
func readMhartid()
func readMvendorid()
func readDcsr()
func writeDcsr()
func readTselect()
func writeTselect()
func sretInsn()
func mretInsn()
func wfiInsn()
func sfence_vmaInsn()
func sinval_vmaInsn()
func hfence_gvmaInsn()
func dretInsn()
func writeTime()
func writeCycle()
func zeroInsn()
func oneInsn()
