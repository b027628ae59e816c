// Package abi is the contract between the Nexus kernel and its processes:
// system-call numbers, register layouts, error numbers, limits and the memory
// layout of a process. Both sides import it, and it imports nothing, so the two
// cannot disagree.
//
// # Registers
//
// A system call is an ECALL from U-mode with its number in a7. Arguments are in
// a0 to a6 and s10, results in a0 to a7. Messages of up to [MaxInline] bytes
// travel in the eight payload registers s2 to s9. The kernel preserves ra, sp,
// gp, tp and s11 (Go's g). Every other register is zero afterwards, so that no
// call leaks what another process or the kernel computed. A call that fails
// returns a negative [Errno] in a0.
//
// Times are nanoseconds since power-on as int64; as a deadline, 0 means none.
package abi

// Version is stamped into images and start pages. A kernel refuses programs of
// another version, because nothing here is negotiated at run time.
const Version = 1

// Errno is an error number as it appears, negated, in a0.
type Errno int64

// The refusals of the kernel. Each cause has a number of its own.
const (
	OK           Errno = 0
	EPERM        Errno = 1  // the capability lacks the right that the call needs
	EBADF        Errno = 2  // no such handle, or a stale one
	EKIND        Errno = 3  // the handle names an object of another kind
	EINVAL       Errno = 4  // an argument is out of its range
	EFAULT       Errno = 5  // a pointer does not name accessible memory of the caller
	ENOSYS       Errno = 6  // no such system call
	ENOMEM       Errno = 7  // the caller's frame budget is spent
	ENOSPC       Errno = 8  // a table or quota of the caller is full
	EAGAIN       Errno = 9  // the queue is full, nothing was sent; or the word has another value, nobody waits
	EMSGSIZE     Errno = 10 // the message is larger than the receiver's buffer or the limit
	ETIMEDOUT    Errno = 11 // the deadline passed
	ECLOSED      Errno = 12 // the peer died or the endpoint was closed
	ECANCELED    Errno = 13 // the caller gave the call up
	EEXIST       Errno = 14 // a live process has this service id
	EOVERLAP     Errno = 15 // the address range is already mapped
	EWX          Errno = 16 // a mapping may not be writable and executable
	EELF         Errno = 17 // the program is not an ELF that the loader accepts
	EBUSY        Errno = 18 // the object is in use in a way that excludes the call
	ENOENT       Errno = 19 // nothing there: no call outstanding, no such child
	EPEERNOSPACE Errno = 20 // the receiver has no free capability slot
	ESEALED      Errno = 21 // the memory object is sealed: nobody can change it any more
	EFRAG        Errno = 22 // no free memory lies together in that length; it may later
	EWRITABLE    Errno = 23 // the memory object can still be written
)

// Limits of the ABI.
const (
	MaxInline    = 64       // bytes of a message in registers
	MaxMessage   = 8 << 10  // bytes of a message that the kernel copies; more goes in a VMO
	MaxName      = 32       // bytes of a service name
	MaxSpawnCaps = 16       // capabilities handed over at spawn
	MaxThreads   = 16       // threads of a process
	MaxBootData  = 16 << 10 // bytes of arguments, environment and boot data at spawn
	MaxDMA       = 1 << 20  // bytes of one DMA buffer, which the kernel zeroes in one go
	PageSize     = 4096
)

// Handle names a capability in the table of the process that uses it: slot
// index in the low 32 bits, generation of the slot in the bits above. Bit 62
// marks a reply right, whose other bits are the kernel's business. Zero is never
// valid. A handle of a closed capability is stale for ever.
type Handle uint64

// ReplyBit marks a handle as a one-shot reply right. It is bound to the process
// that received the request: it can be used once by REPLY, and be neither copied
// nor moved, so that the kernel always knows who owes an answer and can give
// ECLOSED in its place.
const ReplyBit Handle = 1 << 62

// BootHandle returns the handle of the i-th capability given at spawn: a new
// process finds them in the order in which its parent listed them.
func BootHandle(i int) Handle { return Handle(1)<<32 | Handle(i+1) }

// Rights of a capability. They only ever shrink.
type Rights uint32

// The rights, and the kinds they apply to.
const (
	RightSend   Rights = 1 << iota // endpoint: call and send
	RightRecv                      // endpoint: receive; never copied, so an endpoint has one server
	RightSignal                    // notification: set bits
	RightWait                      // notification: receive its bits as events
	RightRead                      // VMO: map readable, read; process: query; window: map, with RightWrite
	RightWrite                     // VMO: map writable, write; console: write; window: have DMA buffers
	RightExec                      // VMO: map executable
	RightManage                    // process: kill, give memory; spawn: create processes; timer: set; devices: query, create; window: release; interrupt: bind, acknowledge
	RightGrant                     // any kind: copy, and move in a message
	RightDMA                       // VMO: ask for the physical address; only a DMA buffer has it
)

// AllRights is every right there is.
const AllRights = RightDMA<<1 - 1

// Kind of a capability.
type Kind uint8

// The kinds. A kind is never reused for another.
const (
	KindNone Kind = iota
	KindEndpoint
	KindNotification
	KindVMO
	KindProcess
	KindSpawn
	KindTimer
	KindConsole
	KindDevices // the devices that the device tree names: to create windows and interrupts
	KindMMIO    // window on the registers of one device
	KindIRQ     // interrupt line of one device
	KindCount   // number of kinds
)

// DeviceKind says what a device is, as far as the device tree knows.
type DeviceKind uint64

// The kinds of devices.
const (
	DeviceVirtIO DeviceKind = 1 // virtio-mmio slot; its registers tell which device is in it, if any
	DeviceRTC    DeviceKind = 2 // Goldfish clock: nanoseconds since 1970, and an alarm
)

// State of a device, bits in a4 of device_info.
const (
	DeviceWindow = 1 << 0 // a capability to its window exists
	DeviceIRQ    = 1 << 1 // a capability to its interrupt exists
)

// Flags in a1. CALL, SEND and REPLY take the length of the message in the low
// 32 bits of a1 and flags in the bits above; WAIT takes only flags.
const (
	// FlagNoWait returns without waiting. WAIT returns the event that is there, else
	// EventNone. CALL and REPLY leave events to a later WAIT and return 0, which is
	// EventNone; but a CALL may first run a server that waits for it, and if a call
	// of this process is answered meanwhile, return that reply as its event.
	FlagNoWait = 1 << 32
	// FlagDropGrant lets the moved capability of a CALL, SEND or REPLY arrive without
	// RightGrant, so that who gets it can pass it on to nobody. Moving it still takes
	// that right; if the message comes back, the capability does as it was.
	FlagDropGrant = 1 << 33
)

// FaultSlices, a flag of fault_handler, asks for the ends of time slices too, so that
// a runtime can schedule threads of its own.
const FaultSlices = 1

// MetaLen is the part of a meta word that holds the length.
const MetaLen = 1<<32 - 1

// Event kinds, in a0 of WAIT, and of CALL and REPLY unless FlagNoWait is given.
const (
	EventNone    = 0 // the deadline of the wait passed, or FlagNoWait found nothing
	EventReply   = 1 // an outstanding call ended: a1 cookie, a2 Errno (0 = replied), a5 length, a6 moved capability
	EventRequest = 2 // a1 cookie of the accept, a2 badge, a3 sender service id, a4 reply right (0: one-way send), a5 length | sender pid<<32, a6 moved capability, a7 deadline
	EventNotify  = 3 // a1 key of the notification, a2 the bits, which are now clear
	EventCancel  = 4 // the caller of a request gave up: a1 cookie of the accept, a4 reply right, now dead
)

// Exit statuses that the kernel itself gives a process.
const (
	ExitKilled = -1 // by PROCESS_KILL
	ExitFault  = -2 // by an exception without a handler
	ExitNoMem  = -3 // a demand-zero page could not be had within the budget
)

// Memory layout of a process. Everything below UserBase belongs to the kernel.
const (
	UserBase  = 1 << 32        // lowest user address
	ImageBase = UserBase       // programs are linked into ImageBase .. MapBase
	MapBase   = 0x08_0000_0000 // VMOs that the kernel places; 32 GiB
	MapEnd    = 0x10_0000_0000 // end of that area
	HeapBase  = 0x10_0000_0000 // demand-zero heap, longer than the frame budget
	HeapEnd   = 0x30_0000_0000 // no heap reaches this
	StackTop  = 0x3e_0000_0000 // initial stack pointer; the stack grows down from here
	StackSize = 128 << 10      // bytes; the page below is a guard
	StartPage = 0x3f_0000_0000 // start information, read-only
	UserEnd   = 0x3f_ffff_f000 // first address past user space
)

// StartMagic begins every start page: "NXSTART1", little-endian.
const StartMagic = 0x315452415453584e

// Start is the start page as the kernel lays it out, little-endian. Its address
// is in a0 at the entry of a process; sp is StackTop. Pointers are addresses in
// the process; strings are NUL-terminated.
type Start struct {
	Magic     uint64
	Version   uint64
	PID       uint64
	ServiceID uint64
	HeapStart uint64 // demand-zero memory, HeapStart <= HeapEnd, page aligned
	HeapEnd   uint64
	TickNS    uint64 // nanoseconds per tick of the time CSR
	WallNS    int64  // wall clock at time CSR 0 in ns since 1970; 0 if unknown
	ArgsPtr   uint64 // Argc strings
	Argc      uint64
	EnvPtr    uint64 // Envc strings "key=value"
	Envc      uint64
	DataPtr   uint64 // boot data: bytes that the parent chose, opaque to the kernel
	DataLen   uint64
	FilesPtr  uint64 // read-only initial files (a VMO mapped by the parent's wish), 0 if none
	FilesLen  uint64
	Console   uint64   // handle of the console for fd 1 and 2, 0 if none
	NumCaps   uint64   // capabilities given at spawn: BootHandle(0) .. BootHandle(NumCaps-1)
	Seed      [32]byte // entropy for the process's own generator; all zero is never valid
	BornNS    int64    // when the process was created, in ns since power-on
	Harts     uint64   // that run processes, as of then
}

// Error returns a short description, which the kernel and services share.
func (e Errno) Error() string {
	if e >= 0 && int(e) < len(errorTexts) && errorTexts[e] != "" {
		return errorTexts[e]
	}
	return "unknown error"
}

var errorTexts = [...]string{
	OK: "ok", EPERM: "right missing", EBADF: "bad handle", EKIND: "handle of another kind", EINVAL: "invalid argument",
	EFAULT: "bad address", ENOSYS: "no such system call", ENOMEM: "frame budget spent", ENOSPC: "table full",
	EAGAIN: "not now", EMSGSIZE: "message too long", ETIMEDOUT: "deadline passed", ECLOSED: "peer closed",
	ECANCELED: "canceled", EEXIST: "exists", EOVERLAP: "range in use", EWX: "writable and executable",
	EELF: "not an acceptable program", EBUSY: "busy", ENOENT: "not found", EPEERNOSPACE: "receiver's table full",
	ESEALED: "sealed",
	EFRAG:   "no memory in one piece", EWRITABLE: "not sealed",
}
