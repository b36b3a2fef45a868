package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gamed/loadtest"
	"gamed/loadtest/netlab"
)

var (
	seed = flag.Uint64("faults.seed", 0, "of what the players do and what is broken; 0: by the clock")
	full = flag.Bool("faults.all", false, "run all cases, in full")
	logs = flag.String("faults.logs", "", "folder that gets the logs of the nodes, and what the players of wrong accounts did, a folder for each case")

	folder  string // for the binary
	missing error  // why no lab can be made here
)

// gamed is the binary under test, built by the first test that needs it.
var gamed = sync.OnceValues(func() (string, error) {
	if file := os.Getenv("LOADTEST_GAMED"); file != "" {
		return file, nil
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	return loadtest.Build(ctx, folder)
})

func TestMain(m *testing.M) {
	// Most of the time is spent waiting for deadlines of the nodes.
	if err := flag.Set("test.parallel", "3"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	missing = netlab.Check()
	var err error
	if folder, err = os.MkdirTemp("", "faults"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(folder)
		os.Exit(code)
	}))
}

// inFull skips a case that only the long run has.
func inFull(t *testing.T) {
	t.Helper()
	if !*full {
		t.Skip("only with -faults.all")
	}
}

// length is how long something lasts in the short run and in the full one.
func length(short, long time.Duration) time.Duration {
	if *full {
		return long
	}
	return short
}

// random is one of the test's generators.
func random(t *testing.T, stream uint64) *rand.Rand {
	h := stream
	for _, c := range t.Name() {
		h = h*31 + uint64(c)
	}
	return rand.New(rand.NewPCG(*seed, h))
}
