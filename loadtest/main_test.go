package loadtest

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// binaryDir holds gamed, built by the first test that needs it; LOADTEST_GAMED names one to test instead.
var binaryDir string

var binary = sync.OnceValues(func() (string, error) {
	if file := os.Getenv("LOADTEST_GAMED"); file != "" {
		return file, nil
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	return Build(ctx, binaryDir)
})

func TestMain(m *testing.M) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "loadtest"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(binaryDir)
		os.Exit(code)
	}))
}

// startNodes runs a cluster until the test ends, whatever becomes of it.
func startNodes(t *testing.T, count int, args ...string) *Nodes {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	n, err := StartNodes(t.Context(), NodesOptions{Binary: file, Count: count, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := n.Logs(30)
			t.Log(text)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// exact prints a report and fails the test unless it is exact.
func exact(t *testing.T, r *Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	if !r.OK || len(r.Violations) > 0 {
		t.Error("promises were broken, see above")
	}
}
