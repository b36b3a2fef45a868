package hostile

import (
	"fmt"
	"math"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// openFiles is how many files this process may open.
func openFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(l.Cur, math.MaxInt32))
}

// limitFiles lets the running process open files up to number free of those it has, and gives a function that restores its limit.
func (n *node) limitFiles(t *testing.T) (restore func()) {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	set := func(l, old *syscall.Rlimit) {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(n.cmd.Process.Pid), syscall.RLIMIT_NOFILE,
			uintptr(unsafe.Pointer(l)), uintptr(unsafe.Pointer(old)), 0, 0)
		if errno != 0 {
			t.Fatalf("prlimit: %v", errno)
		}
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	now := syscall.Rlimit{Cur: uint64(len(open)), Max: old.Max}
	set(&now, &old)
	return func() { set(&old, nil) }
}
