package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gamed/loadtest"
)

// TestDrain: a node with 5,000 players is told to end: it does within 20 s, with exit code 0, its players are served elsewhere in the
// same sessions, and no call of anybody else fails.
func TestDrain(t *testing.T) {
	crowd := 500
	if *full {
		crowd = 5000
	}
	t.Parallel()
	w := run(t, 5, loadtest.NodesOptions{})
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	over := make(chan struct{})
	idle := loadtest.BankOptions{Nodes: w.nodes, At: []string{"a"}, Players: crowd, Pause: 5 * time.Second, Break: -1, Seed: *seed,
		Trouble: func(ctx context.Context) error {
			defer close(over)
			for { // until all are in
				var s struct{ Connections int }
				if err := w.nodes.Get(ctx, "a", "/api/v1/stats", &s); err != nil {
					return err
				}
				if s.Connections >= crowd {
					break
				}
				if !until(ctx, 100*time.Millisecond) {
					return ctx.Err()
				}
			}
			w.note("%d players are on a", crowd)
			code, took, err := w.nodes.Terminate("a", time.Minute)
			w.note("a has ended with code %d after %v", code, took)
			if err == nil && (code != 0 || took > 20*time.Second) {
				err = fmt.Errorf("drain: exit code %d after %v", code, took)
			}
			return errors.Join(err, w.whole(ctx, time.Now()))
		}}
	var moved *loadtest.Report
	var err error
	var draining sync.WaitGroup
	draining.Go(func() { moved, err = loadtest.Bank(ctx, idle) })
	others, err2 := loadtest.Bank(ctx, loadtest.BankOptions{Nodes: w.nodes, At: []string{"b", "c", "d", "e"}, Players: 100, Pause: 200 * time.Millisecond,
		Break: -1, Seed: *seed, Trouble: func(ctx context.Context) error {
			select {
			case <-over:
			case <-ctx.Done():
			}
			return ctx.Err()
		}})
	draining.Wait()
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*loadtest.Report{moved, others} {
		if !r.OK || len(r.Codes) != 1 || r.Deposits.Sessions != int64(r.Players) {
			t.Errorf("%+v: %+v", *r, *r.Deposits)
		}
	}
	if n := others.Deposits.Connects; n != int64(others.Players) {
		t.Errorf("of %d players elsewhere %d had to connect again", others.Players, n-int64(others.Players))
	}
	t.Logf("calls elsewhere: %v", others.Answer)
}

// TestRollingRestart: all five nodes are restarted one after the other; players see no more than resumes.
func TestRollingRestart(t *testing.T) {
	inFull(t)
	w := build(t, 5, 0, loadtest.NodesOptions{})
	bank, _ := w.under(load{savers: 200, pause: 200 * time.Millisecond, calm: true}, func(ctx context.Context) error {
		for _, name := range w.nodes.Names() {
			code, took, err := w.nodes.Terminate(name, time.Minute)
			w.note("%s has ended with code %d after %v", name, code, took)
			if err != nil || code != 0 {
				return errors.Join(err, fmt.Errorf("restart %s: exit code %d", name, code))
			}
			at := time.Now()
			if err := errors.Join(w.nodes.Start(ctx, name, loadtest.Extra{}), w.whole(ctx, at)); err != nil {
				return err
			}
		}
		return nil
	})
	if len(bank.Codes) != 1 {
		t.Errorf("players saw %v", bank.Codes)
	}
	times := map[int64]int{}
	for _, s := range bank.Savers {
		times[s.Connects-1]++
	}
	t.Logf("how many players were moved how often: %v", times)
	if often := int64(2); slices.ContainsFunc(bank.Savers, func(s *loadtest.SaverRecord) bool { return s.Connects-1 > often }) {
		t.Errorf("players were moved more than %d times", often)
	}
}

// TestMovesStallNobody: while partitions move, because a node joins or is drained, players whose sockets stay where they are wait for no
// call longer than the promise.
func TestMovesStallNobody(t *testing.T) {
	w := build(t, 4, 1, loadtest.NodesOptions{})
	type window struct {
		what     string
		from, to time.Time
	}
	var windows []window
	r, err := loadtest.Bank(t.Context(), loadtest.BankOptions{Nodes: w.nodes, At: []string{"a", "b", "c"}, Players: 150, Pause: 50 * time.Millisecond, Break: -1, Seed: *seed,
		Trouble: func(ctx context.Context) error {
			for _, c := range []struct {
				what string
				do   func() error
			}{
				{"nothing", func() error { until(ctx, 3*time.Second); return nil }},
				{"join", func() error { return w.nodes.Start(ctx, "e", loadtest.Extra{}) }},
				{"drain", func() error {
					_, _, err := w.nodes.Terminate("d", time.Minute)
					return err
				}},
			} {
				from := time.Now()
				if err := errors.Join(c.do(), w.whole(ctx, from)); err != nil {
					return err
				}
				until(ctx, time.Second) // copies are still being filled
				windows = append(windows, window{c.what, from, time.Now()})
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Codes) != 1 || r.Deposits.Connects != int64(r.Players) {
		t.Errorf("%+v: %+v", *r, *r.Deposits)
	}
	var quiet time.Duration
	for _, win := range windows {
		var stalls []time.Duration
		for _, s := range r.Savers {
			stalls = append(stalls, s.Stall(win.from, win.to))
		}
		slices.Sort(stalls)
		p99 := stalls[len(stalls)*99/100]
		t.Logf("%s: the longest call of each player: p50 %v, p99 %v", win.what, stalls[len(stalls)/2], p99)
		if win.what == "nothing" {
			quiet = p99
			continue
		}
		// The promise is 100 ms. What the machine does besides, it does while nothing moves, too.
		if limit := quiet + 100*time.Millisecond; p99 > limit {
			t.Errorf("%s: a player's longest call took %v (p99), want at most %v", win.what, p99, limit)
		}
	}
}
