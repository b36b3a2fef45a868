package actor

import (
	"testing"
	"time"
)

func TestWatchRisesWhileNothingMoves(t *testing.T) {
	var w Watch
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		at            time.Duration
		step          uint64
		idle          bool
		lasted        time.Duration
		before, after Level
	}{
		{0, 1, true, 0, Fine, Fine},
		{20 * time.Millisecond, 2, false, 0, Fine, Fine},
		{119 * time.Millisecond, 2, false, 99 * time.Millisecond, Fine, Fine},
		{120 * time.Millisecond, 2, false, 100 * time.Millisecond, Fine, Slow},
		{140 * time.Millisecond, 2, false, 120 * time.Millisecond, Slow, Slow},
		{160 * time.Millisecond, 3, false, 140 * time.Millisecond, Slow, Fine}, // the next message
		{2 * time.Second, 3, false, 1840 * time.Millisecond, Fine, Stuck},
		{20 * time.Second, 3, false, 19840 * time.Millisecond, Stuck, Blocked},
		{21 * time.Second, 4, true, 20840 * time.Millisecond, Blocked, Fine},
		{time.Hour, 4, true, 0, Fine, Fine},
		{2 * time.Hour, 5, false, 0, Fine, Fine}, // idleness does not count
	} {
		lasted, before, after := w.Look(start.Add(c.at), c.step, c.idle)
		if lasted != c.lasted || before != c.before || after != c.after {
			t.Fatalf("at %v: %v %v %v, want %v %v %v", c.at, lasted, before, after, c.lasted, c.before, c.after)
		}
	}
}
