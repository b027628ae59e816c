package crash

// Report is a text on its way to the console and to a record. What does not fit in
// the record still goes to the console.
type Report struct {
	Print func(byte) // one byte to the console
	Buf   []byte     // of the record
	N     int        // bytes in Buf
}

// Byte writes one byte.
func (r *Report) Byte(c byte) {
	r.Print(c)
	if r.N < len(r.Buf) {
		r.Buf[r.N] = c
		r.N++
	}
}

// Text writes s.
func (r *Report) Text(s string) {
	for i := 0; i < len(s); i++ {
		r.Byte(s[i])
	}
}

// Bytes writes b.
func (r *Report) Bytes(b []byte) {
	for _, c := range b {
		r.Byte(c)
	}
}

// Hex writes all 16 digits of v.
func (r *Report) Hex(v uint64) {
	r.Text("0x")
	for shift := 60; shift >= 0; shift -= 4 {
		r.Byte("0123456789abcdef"[v>>shift&15])
	}
}

// Dec writes v in decimal.
func (r *Report) Dec(v uint64) {
	var digits [20]byte
	i := len(digits)
	for {
		i--
		digits[i] = byte('0' + v%10)
		if v /= 10; v == 0 {
			break
		}
	}
	r.Bytes(digits[i:])
}

// registers are the names of x1 to x31 in the calling convention.
var registers = [32]string{"", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
	"a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "g", "t3", "t4", "t5", "t6"}

// Registers writes x1 to x31, four in a line. g is x27, s11 elsewhere.
func (r *Report) Registers(x *[32]uint64) {
	for i := 1; i < len(x); i++ {
		for range 4 - len(registers[i]) {
			r.Byte(' ')
		}
		r.Text(registers[i])
		r.Byte(' ')
		r.Hex(x[i])
		if i%4 == 0 || i == len(x)-1 {
			r.Byte('\n')
		}
	}
}
