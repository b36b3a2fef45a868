//go:build unix

package command

import "syscall"

// openFiles is how many files this process may open; Go has raised the soft limit to the hard one.
func openFiles() (uint64, bool) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, false
	}
	return uint64(l.Cur), true
}
