//go:build tamago && riscv64 && !nexusproc

package virt

import "unsafe"

// Registers of the 16550 (its data sheet, "Register Addresses"), one byte apart.
const (
	uartFCR   = 2    // FIFO control
	uartLSR   = 5    // line status
	fcrEnable = 1    // turns the FIFOs on
	lsrTHRE   = 0x20 // the transmit FIFO is empty
	uartFIFO  = 16   // bytes in the transmit FIFO
)

// What to write to the sifive,test device: QEMU then ends with status 0, or with
// the status in the upper half.
const (
	finisherPass = 0x5555
	finisherFail = 0x3333
)

// Addresses of the devices, those of every QEMU "virt" until Boot has read the
// tree. finisher is 0 if there is none.
var (
	uart     uintptr = 0x1000_0000
	finisher uintptr = 0x10_0000
)

// The texts of the report of an early exception.
var (
	textImage = "\nkernel: PANIC: not started by its boot header\n"
	textCause = "\nkernel: PANIC: early exception scause=0x"
	textPC    = " pc=0x"
	textAddr  = " stval=0x"
	textRA    = " ra=0x"
	textEnd   = "\n"
	digits    = "0123456789abcdef"
)

// In assembly.
//
//go:noescape
func write(p *byte, n int)
func enableFIFO()
func finish(status uint32)

// Console is the serial console, an io.Writer for the kernel.
type Console struct{}

// Write writes all of p as it is and returns its length; it never fails. It
// waits for the device, allocates nothing, and does not let other goroutines
// run, so what one call writes stays in one piece.
//
//go:nosplit
func (Console) Write(p []byte) (int, error) {
	write(unsafe.SliceData(p), len(p))
	return len(p), nil
}

// Print writes s to the console like [Console.Write].
//
//go:nosplit
func Print(s string) { write(unsafe.StringData(s), len(s)) }

// Printk writes one byte to the console. It works at any time, in the runtime's
// and the kernel's fault handling too.
//
//go:nosplit
func Printk(c byte) { write(&c, 1) }

// PowerOff ends the machine; QEMU exits with the status. A status outside of
// 0..255 counts as 255, so that no failure looks like success. Without the
// finisher device the firmware shuts down and the status is lost. It does not
// return, and works at any time.
//
//go:nosplit
func PowerOff(status int32) {
	if status < 0 || status > 255 {
		status = 255
	}
	finish(uint32(status))
}

// fatal reports why the kernel cannot go on and powers off.
func fatal(status int32, what string, why error) {
	Print("\nkernel: PANIC: ")
	Print(what)
	if why != nil {
		Print(": ")
		Print(why.Error())
	}
	Print("\n")
	PowerOff(status)
}
