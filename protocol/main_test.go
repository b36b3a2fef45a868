package protocol

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite testdata/golden and the examples of docs/PROTOCOL.md")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noAllocs fails the test when f allocates.
func noAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s: %v allocations, want none", what, n)
	}
}
