package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed only, with its trace")
	only    = flag.String("kind", "", "run only the seeds of these kinds: splitting,voting")
	list    = flag.Bool("list", false, "name all seeds that fail, and go on")
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(1000)
	goleak.VerifyTestMain(m)
}

// seeds is how many runs are made: GAMED_SIM_SEEDS, or a few hundred.
func seeds(t *testing.T) uint64 {
	if v := os.Getenv("GAMED_SIM_SEEDS"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("GAMED_SIM_SEEDS: %v", err)
		}
		return n
	}
	if underRace {
		return 40
	}
	return 300
}

// TestSim runs seeds 1 to n.
func TestSim(t *testing.T) {
	if *oneSeed != 0 {
		w := simulate(*oneSeed, choose(*oneSeed), true)
		if w.failed != "" {
			t.Fatalf("seed %d: %s\n%s", *oneSeed, w.failed, w.story())
		}
		t.Logf("seed %d holds:\n%s", *oneSeed, w.story())
		return
	}
	sum, bad := explore(1, seeds(t), sound)
	if bad != nil {
		explain(t, bad)
	}
	sum.report(t)
}

// plantedWithin is how many runs a planted bug may stay hidden in: half of what every change has to pass.
const plantedWithin = 5000

// TestSimFindsPlantedBugs takes one rule after the other out of the wiring and wants to be told.
func TestSimFindsPlantedBugs(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes it slow, and finds nothing in one goroutine")
	}
	for fault := sound + 1; fault < sabotages; fault++ {
		t.Run(fault.String(), func(t *testing.T) {
			sum, bad := explore(1, plantedWithin, fault)
			if bad == nil {
				t.Fatalf("not found in %d runs", sum.runs.Load())
			}
			t.Logf("found after %d runs, %v, by seed %d (%s): %s", sum.runs.Load(), time.Since(sum.began).Round(time.Millisecond), bad.seed, bad.set.kind, bad.failed)
		})
	}
}

// total is what all runs did.
type total struct {
	runs, thin, ops, events, merged, conflicts, forked, stale atomic.Uint64
	simulated                                                 atomic.Int64
	began                                                     time.Time
}

func (s *total) add(w *world) {
	s.runs.Add(1)
	if w.check.done < w.set.floor {
		s.thin.Add(1)
	}
	s.ops.Add(uint64(w.check.done))
	s.events.Add(w.events)
	s.merged.Add(uint64(w.check.merged))
	s.conflicts.Add(uint64(w.check.conflicts))
	s.forked.Add(uint64(w.check.forked))
	s.stale.Add(uint64(w.check.stale))
	s.simulated.Add(int64(w.now))
}

func (s *total) report(t *testing.T) {
	t.Helper()
	t.Logf("%d runs (%d with too few operations do not count), %d operations, %d events, %v simulated in %v; %d forks, %d merges, %d conflicts, %d stale",
		s.runs.Load(), s.thin.Load(), s.ops.Load(), s.events.Load(), time.Duration(s.simulated.Load()).Round(time.Second), time.Since(s.began).Round(time.Millisecond),
		s.forked.Load(), s.merged.Load(), s.conflicts.Load(), s.stale.Load())
}

// explore runs seeds on all processors until one fails, and gives the first bad one that it finds, or nil. A bug that was planted is
// found by a seed that holds without it.
func explore(from, n uint64, fault sabotage) (sum *total, bad *world) {
	sum = &total{began: time.Now()}
	var next atomic.Uint64
	next.Store(from)
	var found atomic.Pointer[world]
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for found.Load() == nil {
				seed := next.Add(1) - 1
				if seed >= from+n {
					return
				}
				set := choose(seed)
				if *only != "" && !strings.Contains(*only, set.kind.String()) {
					continue
				}
				set.fault = fault
				w := simulate(seed, set, false)
				sum.add(w)
				switch {
				case w.failed == "" || fault != sound && simulate(seed, choose(seed), false).failed != "":
				case *list:
					fmt.Printf("seed %d (%s): %s\n", seed, set.kind, w.failed)
				default:
					found.CompareAndSwap(nil, w)
				}
			}
		})
	}
	wg.Wait()
	return sum, found.Load()
}

// explain runs a seed that failed once more, with its trace.
func explain(t *testing.T, bad *world) {
	t.Helper()
	set := choose(bad.seed)
	set.fault = bad.set.fault
	again := simulate(bad.seed, set, true)
	if again.failed != bad.failed {
		t.Fatalf("seed %d failed with %q, and then with %q: something is not in its hands", bad.seed, bad.failed, again.failed)
	}
	t.Fatalf("seed %d (go test ./internal/simulation -run 'TestSim$' -seed %d): %s\n%s", bad.seed, bad.seed, again.failed, again.story())
}
