package hostile

import (
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// narrowed tries to get back what a mapping or a seal took away: from v with all
// rights, and from ro, a capability to it that can only read.
func (a *attacker) narrowed(v ipc.VMO[ipc.Full], ro uint64) error {
	const read, write = uint64(abi.RightRead), uint64(abi.RightRead | abi.RightWrite)
	full := uint64(v.Handle())
	at, errno := a.syscall(abi.SysVMOMap, ro, 0, 0, abi.PageSize, read)
	if errno != abi.OK {
		return fmt.Errorf("mapping: %v", errno)
	}
	other, err := a.p.NewVMO(abi.PageSize)
	if err != nil {
		return err
	}
	defer other.Close()
	tries := []struct {
		what string
		num  uint64
		args []uint64
		want abi.Errno
	}{
		{"protect with a capability that can only read", abi.SysVMOProtect, []uint64{ro, write, at, abi.PageSize}, abi.EPERM},
		{"protect with a capability to another object", abi.SysVMOProtect, []uint64{uint64(other.Handle()), write, at, abi.PageSize}, abi.ENOENT},
		{"protect to writable and executable", abi.SysVMOProtect, []uint64{full, write | uint64(abi.RightExec), at, abi.PageSize}, abi.EWX},
		{"protect to executable", abi.SysVMOProtect, []uint64{full, read | uint64(abi.RightExec), at, abi.PageSize}, abi.EPERM},
		{"protect of the program", abi.SysVMOProtect, []uint64{full, write, abi.ImageBase, abi.PageSize}, abi.ENOENT},
		{"protect of the kernel", abi.SysVMOProtect, []uint64{full, write, 0x8020_0000, abi.PageSize}, abi.ENOENT},
		{"protect of everything", abi.SysVMOProtect, []uint64{full, write, 0, ^uint64(abi.PageSize - 1)}, abi.ENOENT},
		{"seal with a capability that can only read", abi.SysVMOSeal, []uint64{ro}, abi.EPERM},
		{"resize with a capability that can only read", abi.SysVMOResize, []uint64{ro, abi.PageSize}, abi.EPERM},
		{"resize to nothing", abi.SysVMOResize, []uint64{full, 0}, abi.EINVAL},
		{"resize to more than there is", abi.SysVMOResize, []uint64{full, ^uint64(0)}, abi.EINVAL},
		{"resize over the budget", abi.SysVMOResize, []uint64{full, 1 << 29}, abi.ENOMEM},
		{"executing what can be written, without the right to create processes", abi.SysVMOExec, []uint64{control, full}, abi.EKIND},
		{"seal", abi.SysVMOSeal, []uint64{full}, abi.OK},
		{"sealing again", abi.SysVMOSeal, []uint64{full}, abi.OK},
		{"executing sealed memory, with the control endpoint", abi.SysVMOExec, []uint64{control, full}, abi.EKIND},
		{"executing sealed memory, with itself", abi.SysVMOExec, []uint64{full, full}, abi.EKIND},
		{"executing sealed memory, with nothing", abi.SysVMOExec, []uint64{0, full}, abi.EBADF},
		{"mapping sealed memory executable", abi.SysVMOMap, []uint64{full, 0, 0, abi.PageSize, read | uint64(abi.RightExec)}, abi.EPERM},
		{"copying sealed memory with the right to execute", abi.SysCapCopy, []uint64{full, read | uint64(abi.RightExec)}, abi.EPERM},
		{"protect of sealed memory", abi.SysVMOProtect, []uint64{full, write, at, abi.PageSize}, abi.ESEALED},
		{"mapping sealed memory writable", abi.SysVMOMap, []uint64{full, 0, 0, abi.PageSize, write}, abi.ESEALED},
		{"writing sealed memory", abi.SysVMOWrite, []uint64{full, 0, at, 8}, abi.ESEALED},
		{"resize of sealed memory", abi.SysVMOResize, []uint64{full, 2 * abi.PageSize}, abi.ESEALED},
		{"reading into sealed memory", abi.SysVMORead, []uint64{full, 0, at, 8}, abi.EFAULT},
	}
	for _, t := range tries {
		_, errno := a.syscall(t.num, t.args...)
		if err := refused(t.what, errno, t.want); err != nil {
			return err
		}
	}
	if _, errno := a.syscall(abi.SysUnmap, at, abi.PageSize); errno != abi.OK {
		return fmt.Errorf("unmapping: %v", errno)
	}
	return nil
}
