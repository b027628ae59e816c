//go:build tamago && riscv64

package kernel

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/crash"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
)

// statusFault is the exit status of a machine whose kernel faulted.
const statusFault = 102

// Memory that a report needs, in bytes: the unwinder of the runtime takes some
// kilobytes of stack, and what it prints at most fits in a record.
const (
	faultStackSize = 32 << 10
	traceSize      = 8 << 10
)

var (
	faultStack [faultStackSize]byte
	traceText  [traceSize]byte
)

// faults is what the kernel does when it fails itself: see package crash.
type faults struct {
	l       *loop
	m       *Machine
	options crash.Options
	record  []byte
	report  crash.Report
	g       any // keeps the g of a report
}

// init reads the boot arguments, and shows and clears what the boot before left. A
// boot that finds a record provokes nothing: it would never come to an end.
//
// From then on an exception of the kernel ends in a report on each hart that runs
// hart.Init.
func (f *faults) init(l *loop) {
	m := l.m
	f.l, f.m = l, m
	var bad string
	f.options, bad = crash.ParseOptions(m.Args)
	if bad != "" {
		print("kernel: boot argument ignored: ", bad, "\n")
	}
	f.record = mem.Bytes(m.Record.Start, int(m.Record.End-m.Record.Start))
	text, err := crash.Open(f.record)
	switch err {
	case nil:
		f.options.Fault = ""
		print("crash: the kernel failed before this boot; its record of ", len(text), " bytes:\n")
		crash.Show(text, m.Console)
		print("crash: end of record\n")
	case crash.ErrNone:
	default:
		print("crash: record dropped: ", err.Error(), "\n")
	}
	crash.Clear(f.record)
	f.report = crash.Report{Print: m.Printk, Buf: crash.Text(f.record)}
	end := stackEnd(faultStack[:])
	g, at := hartG(end-faultStackSize, end)
	f.g = g
	hart.OnFault(f.fault, f.again, uint64(end), at)
}

// endByFault makes a Go panic end in a report: the runtime has printed one already,
// but with neither registers nor record. It needs the trap vector.
func endByFault(int32) { hart.Break() }

// fault writes the report. Each part is sealed before the next, which may find
// something broken, begins.
func (f *faults) fault(x *hart.Frame) {
	r := &f.report
	r.Text("\nkernel: PANIC: exception scause=")
	r.Hex(x.Cause)
	r.Text(" pc=")
	r.Hex(x.X[0])
	r.Text(" stval=")
	r.Hex(x.Tval)
	r.Text(" sp=")
	r.Hex(x.X[hart.SP])
	r.Text(" ra=")
	r.Hex(x.X[hart.RA])
	r.Text("\nsstatus=")
	r.Hex(x.Status)
	r.Text(" satp=")
	r.Hex(x.SATP)
	r.Text("\n")
	r.Registers(&x.X)
	crash.Seal(f.record, r.N)
	i := f.hart(x.X[gRegister])
	f.where(i)
	crash.Seal(f.record, r.N)
	if i >= 0 {
		r.Text("traceback:\n")
		n := traceback(x.X[0], x.X[hart.SP], x.X[hart.RA], x.X[gRegister], traceText[:])
		r.Bytes(traceText[:n])
		crash.Seal(f.record, r.N)
	}
	for i := range f.l.cpus {
		f.flight(i)
	}
	f.end()
}

// flight writes the flight recorder of hart i, the last event last.
func (f *faults) flight(i int) {
	r := &f.report
	r.Text("flight recorder of hart ")
	r.Dec(uint64(i))
	for n := 0; ; n++ {
		e, ok := f.l.kernel.FlightEvent(i, n)
		if !ok {
			break
		}
		if n%eventsPerLine == 0 {
			r.Byte('\n')
		}
		r.Text(e.Kind().String())
		r.Byte(' ')
		if e.Kind() == abi.FlightTick {
			r.Dec(uint64(e.Time()))
		} else {
			r.Dec(e.A())
			r.Byte(' ')
			r.Dec(e.B())
		}
		r.Byte(';')
	}
	r.Byte('\n')
}

// eventsPerLine keeps the lines of a record below the length that Show splits.
const eventsPerLine = 10

// gRegister is the register that holds Go's g.
const gRegister = hart.S11

// hart returns the index of the hart that runs on the g at an address, -1 if none
// does.
func (f *faults) hart(g uint64) int {
	for i := range f.l.cpus {
		if f.l.cpus[i].gAt == g {
			return i
		}
	}
	return -1
}

// where writes which hart faulted and what it was running.
func (f *faults) where(i int) {
	r := &f.report
	if i < 0 {
		r.Text("hart unknown: no hart runs on this g\n")
		return
	}
	r.Text("hart ")
	r.Dec(uint64(i))
	if name, pid, ok := f.l.kernel.RunningOn(i); ok {
		r.Text(", process ")
		r.Dec(pid)
		r.Text(" ")
		r.Bytes(name)
	} else {
		r.Text(", idle")
	}
	r.Text("\n")
}

// again goes on after a fault in the report.
func (f *faults) again() {
	f.report.Text("\nkernel: the report faulted in turn\n")
	f.end()
}

// end finishes the record and does what the boot arguments say.
func (f *faults) end() {
	f.report.Text("kernel: end of the report\n")
	crash.Seal(f.record, f.report.N)
	switch f.options.OnFault {
	case crash.Halt:
		return // the hart waits for ever, with the locks that it has
	case crash.Reset:
		f.m.Reset()
	}
	f.m.PowerOff(statusFault)
}

// provoke fails on purpose if a boot argument asks for it. The hart loop calls it
// after a timer interrupt, when some process has been running.
func (f *faults) provoke() {
	switch f.options.Fault {
	case "load":
		mem.Bytes(mem.FrameSize/2, 1)[0]++ // the kernel maps nothing there
	case "index":
		f.record[len(f.record)+len(f.options.Fault)]++
	case "panic":
		panic("nexus.fault=panic")
	}
}
