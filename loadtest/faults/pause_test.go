package faults

import (
	"context"
	"testing"
	"time"

	"gamed/loadtest"
)

// TestPause: a process that is stopped for a second is not missed; one that is stopped for longer is replaced and acknowledges nothing
// when it wakes.
func TestPause(t *testing.T) {
	for _, c := range []struct {
		name   string
		lasts  time.Duration
		policy string
		always bool
	}{
		{"1 s", time.Second, "available", true},
		{"8 s", 8 * time.Second, "available", true},
		{"8 s quorum", 8 * time.Second, "quorum", false},
		{"60 s", time.Minute, "available", false},
		{"60 s quorum", time.Minute, "quorum", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.always {
				inFull(t)
			}
			w := build(t, 3, 0, loadtest.NodesOptions{Args: []string{"--policy", c.policy, "--expect", "3"}})
			var before, after []loadtest.Sight
			w.under(load{savers: 40, pause: slow}, func(ctx context.Context) error {
				before = w.nodes.Look(ctx, "a")
				if err := w.nodes.Freeze("b"); err != nil {
					return err
				}
				w.note("b is stopped")
				until(ctx, c.lasts)
				if err := w.nodes.Thaw("b"); err != nil {
					return err
				}
				at := time.Now()
				w.note("b goes on")
				err := w.whole(ctx, at)
				after = w.nodes.Look(ctx, "a")
				return err
			})
			if same := before[0].Hash == after[0].Hash; same != (c.lasts <= time.Second) {
				t.Errorf("the table is the same: %v", same)
			}
		})
	}
}
