//go:build !linux

package loadtest

import "os/exec"

// dieWithUs: other systems have no such service.
func dieWithUs(*exec.Cmd) {}
