//go:build !linux

package hostile

import "testing"

// openFiles is not known here.
func openFiles() int { return 0 }

// limitFiles cannot be done to another process here.
func (n *node) limitFiles(t *testing.T) (restore func()) {
	t.Skip("needs prlimit")
	return nil
}
