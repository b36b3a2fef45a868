package hostile

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// seed is that of every generator of the run.
var seed = flag.Uint64("hostile.seed", 0, "seed of the generators; 0: by the clock")

// gamed is the binary under test.
var gamed string

func TestMain(m *testing.M) {
	serveFaulty()
	// Tests that run in parallel wait for the server's deadlines most of their time.
	if err := flag.Set("test.parallel", "12"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	dir, err := os.MkdirTemp("", "hostile")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func build(dir string) error {
	if gamed = os.Getenv("HOSTILE_GAMED"); gamed != "" {
		return nil
	}
	gamed = filepath.Join(dir, "gamed")
	cmd := exec.Command("go", "build", "-o", gamed, "gamed/cmd/gamed")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build gamed: %w\n%s", err, out)
	}
	return nil
}

// random is a generator of its own for each user; a failing test names the seed.
func random(t *testing.T, stream uint64) *rand.Rand {
	if stream == 0 {
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("seed: -hostile.seed=%d", *seed)
			}
		})
	}
	return rand.New(rand.NewPCG(*seed, stream))
}

// patience bounds every wait that has no limit of its own.
const patience = 15 * time.Second

// await polls until cond holds.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !within(patience, cond) {
		t.Fatalf("still not after %v: %s", patience, what)
	}
}

// within polls until cond holds; false when it does not for so long.
func within(limit time.Duration, cond func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			return cond()
		case <-tick.C:
		}
	}
	return true
}
