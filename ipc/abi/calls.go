package abi

// System-call numbers, in a7.
const (
	SysNop = iota
	SysExit
	SysYield
	SysWait
	SysCall
	SysReply
	SysSend
	SysCancel
	SysNotify
	SysEndpointCreate
	SysNotificationCreate
	SysTimerCreate
	SysTimerSet
	SysCapCopy
	SysCapClose
	SysCapRevoke
	SysCapInfo
	SysVMOCreate
	SysVMOMap
	SysUnmap
	SysVMORead
	SysVMOWrite
	SysSpawn
	SysProcessKill
	SysProcessInfo
	SysProcessWatch
	SysConsoleWrite
	SysFaultHandler
	SysFaultDone
	SysSystemInfo
	SysVMOProtect
	SysVMOSeal
	SysVMOResize
	SysDeviceInfo
	SysMMIOCreate
	SysMMIOMap
	SysMMIORelease
	SysIRQCreate
	SysIRQBind
	SysIRQAck
	SysDMACreate
	SysDMAAddress
	SysVMOExec
	SysThreadCreate
	SysThreadExit
	SysThreadJoin
	SysThreadSelf
	SysFutexWait
	SysFutexWake
	SysFlightRead
	SysProcessQoS
	SysCount // number of system calls
)

// CallDoc describes one system call. The reference in docs/syscalls.md is
// generated from [Calls].
type CallDoc struct {
	Number  int
	Name    string
	Args    string
	Returns string
	Errors  []Errno
	Doc     string
}

// Calls is the table of all system calls, in the order of their numbers.
var Calls = [...]CallDoc{
	{SysNop, "nop", "", "0", nil, "Does nothing: the floor of the cost of a system call."},
	{SysExit, "exit", "a0 status", "does not return", nil, "Ends the process. Its threads, memory, capabilities and queues return to their pools; calls that it had taken end for their callers with ECLOSED."},
	{SysYield, "yield", "", "0", nil, "Lets another runnable process of the same class run."},
	{SysWait, "wait", "a1 flags, a2 accept: endpoint or 0, a3 deadline, a6 receive buffer of MaxMessage bytes, s10 cookie of the accept", "an event", []Errno{EBADF, EKIND, EPERM, EFAULT, EBUSY},
		"Waits for the next event of the process: an ended call, a request on an armed endpoint, a notification, a cancellation. A non-zero accept arms that endpoint for one request; it stays armed until the request has been delivered. One thread of a process waits at a time, here, in call or in reply: for a second one that is EBUSY."},
	{SysCall, "call", "a0 endpoint, a1 length and flags, a2 cookie, a3 deadline of the call, a4 capability to move or 0, a5 message if longer than MaxInline, a6 reply buffer of MaxMessage bytes or 0, s2-s9 message up to MaxInline, s10 deadline of the wait", "an event", []Errno{EBADF, EKIND, EPERM, EFAULT, EMSGSIZE, EAGAIN, ENOSPC, ECLOSED, EBUSY},
		"Sends a request and waits for the next event of the process, normally its reply; with FlagNoWait it does not wait, see there. The kernel matches replies to calls by the cookie, which the caller chooses and must not reuse while the call is outstanding. A message in memory must stay unchanged until the event. The reply event ends a call with 0, ECLOSED (the server died or closed the endpoint), ETIMEDOUT, ECANCELED, EFAULT (the message is not in the caller's memory), EMSGSIZE (the server gave no good buffer for it) or EPEERNOSPACE (the server has no room for the capability, which then stays with the caller)."},
	{SysReply, "reply", "a0 reply right, a1 length and flags, a2 accept: endpoint or 0, a3 deadline of the wait, a4 capability to move or 0, a5 message if longer than MaxInline, a6 receive buffer, s2-s9 message up to MaxInline, s10 cookie of the accept", "an event", []Errno{EBADF, EKIND, EPERM, EFAULT, EMSGSIZE, EPEERNOSPACE, ENOENT, EBUSY},
		"Answers a request and waits like wait; with FlagNoWait it answers, arms the accepted endpoint and returns 0, without an event. ENOENT: the caller is gone or gave up, or was answered already; the reply is dropped. After any other error the right is still good. EMSGSIZE also means that the caller gave no good buffer."},
	{SysSend, "send", "a0 endpoint, a1 length <= MaxInline and FlagDropGrant, a4 capability to move or 0, s2-s9 message", "0", []Errno{EBADF, EKIND, EPERM, EMSGSIZE, EAGAIN, ECLOSED, EPEERNOSPACE, EBUSY},
		"Queues a one-way message without waiting. A full queue refuses it. A capability takes its place in the table of the receiver at once, and ends with the message if the endpoint closes before that is received."},
	{SysCancel, "cancel", "a2 cookie", "0", []Errno{ENOENT}, "Gives up an outstanding call. Its event is a reply with ECANCELED; a server that had taken it gets a cancel event."},
	{SysNotify, "notify", "a0 notification, a1 bits", "0", []Errno{EBADF, EKIND, EPERM, ECLOSED}, "Sets bits of a notification, waking its process."},
	{SysEndpointCreate, "endpoint_create", "a0 depth 1..256, a1 longest message 0..MaxMessage", "handle", []Errno{EINVAL, ENOSPC}, "Creates an endpoint with all rights that the caller serves."},
	{SysNotificationCreate, "notification_create", "a0 key", "handle", []Errno{ENOSPC}, "Creates a notification whose bits are delivered to the caller as events with this key."},
	{SysTimerCreate, "timer_create", "a0 notification, a1 bits", "handle", []Errno{EBADF, EKIND, EPERM, ENOSPC, EINVAL, ECLOSED}, "Creates a timer that sets the bits when it fires."},
	{SysTimerSet, "timer_set", "a0 timer, a1 deadline or 0", "0", []Errno{EBADF, EKIND}, "Arms the timer for one firing; 0 disarms it."},
	{SysCapCopy, "cap_copy", "a0 handle, a1 rights, a2 badge or 0", "handle", []Errno{EBADF, EPERM, EINVAL, ENOSPC, EBUSY}, "Derives a capability with a subset of the rights. EBUSY: it is one that has one owner, see mmio_create, and is in use or was given on already. An endpoint capability without a badge may be given one; a badge cannot be changed."},
	{SysCapClose, "cap_close", "a0 handle", "0", []Errno{EBADF}, "Drops a capability. What was derived from it stays valid under its parent. Closing the last capability to an object ends the object; a process ends with ExitKilled, and one that another hart runs does so when that enters the kernel. Closing a receive right closes the endpoint, and ends what is queued there; requests already received can still be answered."},
	{SysCapRevoke, "cap_revoke", "a0 handle", "number of capabilities revoked", []Errno{EBADF}, "Removes every capability derived from this one, directly or not, in every process."},
	{SysCapInfo, "cap_info", "a0 handle", "a0 kind, a1 rights, a2 badge, a3 size of a VMO or window in bytes, a4 1 if nobody can write the VMO any more", []Errno{EBADF}, "Tells what a handle names."},
	{SysVMOCreate, "vmo_create", "a0 bytes", "handle", []Errno{EINVAL, ENOMEM, ENOSPC}, "Creates a memory object of zeroed pages, charged to the caller."},
	{SysVMOMap, "vmo_map", "a0 VMO, a1 address or 0, a2 offset, a3 length, a4 rights to map with", "address", []Errno{EBADF, EKIND, EPERM, EINVAL, EWX, EOVERLAP, ENOSPC, ESEALED}, "Maps part of a VMO into the caller, whose budget pays for page tables. Of the pages that the object has already, some are mapped at once as far as the budget goes, up to 512 entries of a page or, where object, address and memory allow, of 2 MiB; the others when they are touched. Where the kernel chooses the address of 2 MiB or more, it is a multiple of that. A sealed VMO is not mapped writable."},
	{SysUnmap, "unmap", "a0 address, a1 length", "0", []Errno{EINVAL, ENOENT}, "Removes one mapping made by vmo_map."},
	{SysVMORead, "vmo_read", "a0 VMO, a1 offset, a2 buffer, a3 length", "0", []Errno{EBADF, EKIND, EPERM, EINVAL, EFAULT}, "Copies out of a VMO."},
	{SysVMOWrite, "vmo_write", "a0 VMO, a1 offset, a2 buffer, a3 length", "0", []Errno{EBADF, EKIND, EPERM, EINVAL, EFAULT, ESEALED}, "Copies into a VMO that is not sealed."},
	{SysSpawn, "spawn", "a0 spawn capability, a1 *SpawnSpec", "a0 process handle, a1 pid", []Errno{EBADF, EKIND, EPERM, EFAULT, EINVAL, EELF, EWX, EEXIST, ENOMEM, ENOSPC, EBUSY}, "Creates a process from an ELF in a VMO. On an error nothing remains."},
	{SysProcessKill, "process_kill", "a0 process", "0", []Errno{EBADF, EKIND, EPERM, ENOENT}, "Ends a process with ExitKilled. When it returns, the process has ended, also if another hart was running it: its name, its memory and all that it had are free."},
	{SysProcessInfo, "process_info", "a0 process, or 0 for the caller", "a0 1 if it lives, a1 exit status, a2 pid, a3 frames used, a4 frame budget, a5 scause, a6 pc, a7 address of the fault that ended it, s2 capabilities, s3 mappings, s4 page faults that gave it a page, s5 threads, s6 VMOs, s7 timers, s8 endpoints, s9 notifications", []Errno{EBADF, EKIND, EPERM}, "Tells the state of a process and what it uses of its quotas. The frames of a VMO count in the VMO, not here: creating it moves them out of the budget."},
	{SysProcessWatch, "process_watch", "a0 process, a1 notification, a2 bits", "0", []Errno{EBADF, EKIND, EPERM, EBUSY, EINVAL, ECLOSED}, "Sets the bits when the process ends; at once if it has. A process has one watcher, until the notification of that ends."},
	{SysConsoleWrite, "console_write", "a0 console, a1 buffer, a2 length", "bytes written", []Errno{EBADF, EKIND, EPERM, EFAULT, EINVAL}, "Writes to the console, at most MaxMessage bytes, in one piece."},
	{SysFaultHandler, "fault_handler", "a0 address, 0 removes it, a1 flags", "0", []Errno{EINVAL}, "Sets where the process continues after an exception, with a0 scause, a1 stval, a2 pc and all other registers as they were. A second exception before fault_done ends the process. With FaultSlices in a1 the process also continues there when it has run for a time slice, with a0 scause of the timer interrupt, a1 sp, a2 pc."},
	{SysFaultDone, "fault_done", "a0 0, or 1 after the end of a time slice, a1 pc or 0, a2 sp, a3 ra", "0; with a0 = 1 all registers as they were", []Errno{EINVAL}, "Says that the fault handler has saved what it was given. With a0 = 1 the process continues what the end of its time slice interrupted; if a1 is not 0, with that pc, sp and ra."},
	{SysSystemInfo, "system_info", "a0 spawn capability", "a0 frames in all, a1 free, a2 unreserved, a3 live processes, a4 capabilities in use, a5 calls in use, a6 context switches, a7 replies dropped, s2 nanoseconds that harts were idle, s3 set of the harts that are up, by index, s4 index of the one that runs the caller, s5 interrupts between harts that were requested, s6 of these sent, s7 of these trapped, s8 of these acknowledged, s9 threads that an idle hart took from another", []Errno{EBADF, EKIND, EPERM}, "Counts what is in use in the whole system."},
	{SysVMOProtect, "vmo_protect", "a0 VMO, a1 rights, a2 address, a3 length", "0", []Errno{EBADF, EKIND, EPERM, EINVAL, EWX, ENOENT, ESEALED}, "Changes the rights of one mapping of this VMO made by vmo_map, to any that the capability has now. The range must be the whole mapping."},
	{SysVMOSeal, "vmo_seal", "a0 VMO", "0", []Errno{EBADF, EKIND, EPERM, EINVAL}, "Ends writing to a VMO for everybody and for ever, with the right to write it: mappings in all processes become read-only before the call returns, and its size stays. Sealing it again changes nothing. EINVAL: a DMA buffer, which its device can write."},
	{SysVMOResize, "vmo_resize", "a0 VMO, a1 bytes", "0", []Errno{EBADF, EKIND, EPERM, EINVAL, ENOMEM, EBUSY, ESEALED}, "Changes the size of a VMO, with the right to write it; only its creator may, whose budget grows or shrinks with it. New pages are zero. EINVAL for a DMA buffer, whose pages stay where they are. A page that anybody has a mapping of is not taken away: that is EBUSY, and nothing changes."},
	{SysDeviceInfo, "device_info", "a0 devices, a1 index from 0", "a0 kind, a1 physical address, a2 bytes, a3 interrupt source or 0, a4 state, a5 frames kept back until mmio_release", []Errno{EBADF, EKIND, EPERM, ENOENT},
		"Describes one of the devices that the device tree names and that processes may have. ENOENT: there are no more. Memory, the interrupt controller and devices that the kernel itself uses are not among them."},
	{SysMMIOCreate, "mmio_create", "a0 devices, a1 index", "handle", []Errno{EBADF, EKIND, EPERM, ENOENT, EBUSY, ENOSPC},
		"Creates the window on the registers of a device, with the rights read, write, manage and grant. A window exists once: EBUSY as long as any capability to it does. It has one owner, who may use it: the last one that it was given to. A copy takes it from the holder it was made from, until the copy ends; a window that is mapped can be neither copied nor moved (EBUSY). When the owner's capability ends, whether closed, revoked or with its process, its mappings end with it."},
	{SysMMIOMap, "mmio_map", "a0 window, a1 address or 0, a2 offset, a3 length", "address", []Errno{EBADF, EKIND, EPERM, EINVAL, EOVERLAP, ENOSPC, EBUSY},
		"Maps part of a window into its owner, readable and writable and never executable. Needs the rights read and write. EBUSY: another capability, made from this one, has the window. EINVAL: not whole pages inside of the window. The kernel does not read or write such memory for a process: as a buffer of a system call it gives EFAULT. unmap removes the mapping."},
	{SysMMIORelease, "mmio_release", "a0 window", "frames released", []Errno{EBADF, EKIND, EPERM, EBUSY},
		"Says, by the owner of a window with the right manage, that its device was reset and accesses no memory any more. DMA buffers of processes that ended or lost the window are kept back until then."},
	{SysIRQCreate, "irq_create", "a0 devices, a1 index", "handle", []Errno{EBADF, EKIND, EPERM, ENOENT, EBUSY, ENOSPC},
		"Creates the capability to the interrupt of a device, with the rights manage and grant. ENOENT: no such device, or it has no interrupt of its own. As for a window there is one at a time, and one owner; while it is bound it can be neither copied nor moved (EBUSY). When the owner's capability ends, the line is masked."},
	{SysIRQBind, "irq_bind", "a0 interrupt, a1 notification or 0, a2 bits", "0", []Errno{EBADF, EKIND, EPERM, EINVAL, ECLOSED, EBUSY},
		"Lets an interrupt set bits of a notification, in place of what it was bound to. The line is unmasked, unless it waits for irq_ack. Without a notification the line is masked and nothing is outstanding. An interrupt that was latched before arrives at once. EBUSY: another capability, made from this one, has the interrupt."},
	{SysIRQAck, "irq_ack", "a0 interrupt", "0", []Errno{EBADF, EKIND, EPERM, ENOENT, EBUSY},
		"Unmasks an interrupt that has arrived: it is masked from its arrival until here, so that a line that stays raised costs its owner's time and nobody else's. ENOENT: none has arrived."},
	{SysDMACreate, "dma_create", "a0 window, a1 bytes <= MaxDMA", "handle", []Errno{EBADF, EKIND, EPERM, EINVAL, ENOMEM, ENOSPC, EFRAG, EBUSY},
		"Creates a DMA buffer for the device of a window: a memory object whose zeroed pages are there from the start, stay where they are and lie together in physical memory, charged to the caller. Only the owner of a window with the right write can have one. Its frames return to the pool at once if the caller closes it while it has the window, else when the device has been reset: see mmio_release."},
	{SysDMAAddress, "dma_address", "a0 DMA buffer", "physical address", []Errno{EBADF, EKIND, EPERM}, "Tells where a DMA buffer is, for the device. Needs the right DMA, which dma_create gives and a copy has only if it was asked for."},
	{SysVMOExec, "vmo_exec", "a0 spawn capability, a1 VMO", "handle", []Errno{EBADF, EKIND, EPERM, EWRITABLE, ENOSPC},
		"Derives, from a capability to read a VMO that nobody can write any more, one to read and execute it, so that spawn takes it as a program. It is the only way to that right beside the programs of the boot image, and takes the right to create processes. The new capability can be given away if the other one can, and ends with it at the latest. EWRITABLE: the VMO is not sealed."},
	{SysThreadCreate, "thread_create", "a0 pc, a1 sp, a2 value of its a0, a3 value of its s11", "number", []Errno{EINVAL, ENOSPC}, "Starts a thread of the process, at most MaxThreads at a time. Its number is never used for another; that of the first thread is 0."},
	{SysThreadExit, "thread_exit", "a0 address of a 32-bit word or 0", "does not return", []Errno{EINVAL, EFAULT}, "Ends the thread, which has left its stack for good when the word becomes 0 and who waits on it as a futex is woken. With the last thread the process ends, with status 0."},
	{SysThreadJoin, "thread_join", "a0 number, a1 deadline", "0", []Errno{EINVAL, ENOENT, ETIMEDOUT}, "Waits until a thread of the process has ended. ENOENT: there never was one of that number. EINVAL: it is the caller."},
	{SysThreadSelf, "thread_self", "", "number", nil, "Tells the number of the calling thread."},
	{SysFutexWait, "futex_wait", "a0 address of a 32-bit word, a1 value, a2 deadline", "0", []Errno{EINVAL, EFAULT, EAGAIN, ETIMEDOUT}, "Waits until another thread of the process wakes who waits on the word, if it has that value; else EAGAIN. No wake-up that follows a change of the word is lost."},
	{SysFutexWake, "futex_wake", "a0 address of a 32-bit word, a1 threads", "threads woken", []Errno{EINVAL}, "Wakes those that wait on a word, at most a1 of them, in the order in which they came."},
	{SysFlightRead, "flight_read", "a0 spawn capability, a1 hart, a2 buffer of FlightSize * 8 bytes", "a0 events copied, a1 events of this hart since power-on", []Errno{EBADF, EKIND, EPERM, EINVAL, EFAULT},
		"Copies the flight recorder of a hart: the last things that it did, the oldest first, in words as FlightEvent says. Who has the right manage on the spawn capability may see what all processes do. EINVAL: no such hart."},
	{SysProcessQoS, "process_qos", "a0 process, or 0 for the caller, a1 QoS, 0 to ask only", "the QoS before", []Errno{EBADF, EKIND, EPERM, EINVAL, ENOENT},
		"Tells and changes how a process shares the harts; its threads go where they belong before the call returns. Of another process it takes the right read to ask and manage to change. A process changes itself only downwards: nothing of it may grow, else EPERM. EINVAL: not a QoS, or no hart of its set is there. ENOENT: the process has ended."},
}

// SpawnSpec is the argument of spawn, in the caller's memory, little-endian.
type SpawnSpec struct {
	NamePtr  uint64 // service name, 1..MaxName bytes
	NameLen  uint64
	ELF      Handle // VMO with RightRead and RightExec
	ELFOff   uint64 // page aligned
	ELFLen   uint64
	Frames   uint64 // budget, reserved as a whole
	BootPtr  uint64 // ArgsLen + EnvLen + DataLen bytes, at most MaxBootData
	Argc     uint64 // number of NUL-terminated strings in the first ArgsLen bytes
	ArgsLen  uint64
	Envc     uint64 // the same for the EnvLen bytes behind them
	EnvLen   uint64
	DataLen  uint64 // boot data behind those
	Files    Handle // VMO to map read-only as initial files, or 0; needs RightRead
	FilesLen uint64
	Console  uint64   // 1 + index in Caps of the console for fd 1 and 2, or 0
	QoS      QoS      // 0: DefaultQoS
	Seed     [32]byte // entropy for the child; the kernel mixes it with its own
	NumCaps  uint64   // 0..MaxSpawnCaps
	Caps     [MaxSpawnCaps]SpawnCap
}

// SpawnCap is a capability that a parent derives for its child.
type SpawnCap struct {
	Handle Handle // needs RightGrant
	Rights Rights
	_      uint32
	Badge  uint64
}
