package client

import (
	"runtime"
	"testing"
	"time"
)

// awaitOpen waits until n calls are open.
func awaitOpen(t *testing.T, c *Client, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		c.mu.Lock()
		have := len(c.open)
		c.mu.Unlock()
		if have == n {
			return
		}
	}
	t.Fatalf("never %d calls open", n)
}
