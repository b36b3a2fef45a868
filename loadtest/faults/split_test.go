package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gamed/loadtest"
	"gamed/loadtest/netlab"
)

// slow lets a player do less during a split than the bank remembers ids (128): what is told to one side only and repeated on the other
// is found by its id.
const slow = 300 * time.Millisecond

// TestSplit: three nodes cut off from two. Policy available: both sides serve and say that they are degraded; after the heal accounts
// hold what both sides acknowledged. Policy quorum: the two stop, the three go on, nobody ever contradicts anybody.
func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name   string
		groups [][]string
		long   time.Duration
	}{
		{"three and two", [][]string{{"a", "b", "c"}, {"d", "e"}}, 15 * time.Second},
		{"two and three", [][]string{{"a", "b"}, {"c", "d", "e"}}, 15 * time.Second},
		{"for two minutes", [][]string{{"a", "b", "c"}, {"d", "e"}}, 2 * time.Minute},
	} {
		for _, policy := range []string{"available", "quorum"} {
			t.Run(policy+" "+c.name, func(t *testing.T) {
				if c.name != "three and two" {
					inFull(t)
				}
				splitOnce(t, policy, length(8*time.Second, c.long), c.groups...)
			})
		}
	}
}

// TestThreeSides: three sides of which none hears another merge one after the other.
func TestThreeSides(t *testing.T) {
	inFull(t)
	for _, policy := range []string{"available", "quorum"} {
		t.Run(policy, func(t *testing.T) {
			splitOnce(t, policy, 15*time.Second, []string{"a", "b"}, []string{"c", "d"}, []string{"e"})
		})
	}
}

func splitOnce(t *testing.T, policy string, lasting time.Duration, groups ...[]string) {
	w := build(t, 5, 0, loadtest.NodesOptions{Args: []string{"--policy", policy, "--expect", "5"}})
	forks := policy == "available"
	w.under(load{savers: 40, pause: max(slow, lasting/60), forks: forks}, func(ctx context.Context) error {
		if err := w.split(forks, groups...); err != nil {
			return err
		}
		at := time.Now()
		var errs []error
		for _, g := range groups {
			serves := forks || len(g) >= 3
			errs = append(errs, w.side(ctx, g, serves, forks))
		}
		until(ctx, lasting-time.Since(at))
		return errors.Join(append(errs, w.heal(ctx))...)
	})
	if policy == "available" {
		w.undegraded()
	}
}

// side judges one side of a split within the time that finding out may take.
func (w *world) side(ctx context.Context, names []string, serves, degraded bool) error {
	at := time.Now()
	took, err := w.nodes.Await(ctx, 8*time.Second, func(sights []loadtest.Sight) error {
		for _, s := range sights {
			switch {
			case s.Err != nil:
				return s.Err
			case serves && s.Ready != "":
				return fmt.Errorf("node %s does not serve: %s", s.Node, s.Ready)
			case !serves && s.Ready == "":
				return fmt.Errorf("node %s goes on serving", s.Node)
			case serves && s.Hash != sights[0].Hash:
				return fmt.Errorf("nodes %s and %s have different tables", sights[0].Node, s.Node)
			case serves && len(s.Linked) > len(names):
				return fmt.Errorf("node %s has not noticed the split", s.Node)
			case degraded && !s.Degraded:
				return fmt.Errorf("node %s does not say that it is degraded", s.Node)
			}
		}
		return nil
	}, names...)
	if err != nil {
		return err
	}
	w.note("side %v: serves %v, found out %v after the split (asked for %v)", names, serves, time.Since(at), took)
	return nil
}

// undegraded waits until no node says that it is degraded.
func (w *world) undegraded() {
	_, err := w.nodes.Await(w.t.Context(), fullLimit, func(sights []loadtest.Sight) error {
		for _, s := range sights {
			if s.Err != nil || s.Degraded {
				return errors.Join(s.Err, fmt.Errorf("node %s still says that it is degraded", s.Node))
			}
		}
		return nil
	}, w.nodes.Alive()...)
	if err != nil {
		w.t.Error(err)
	}
}

// TestCuts: links that fail in part. Nothing is lost, and owners do not flap.
func TestCuts(t *testing.T) {
	names := loadtest.HostNames(5)
	alone := [][]string{{"e"}, names[:4]}
	for name, cuts := range map[string][]netlab.Cut{
		"one way out":     {{From: "e", To: "a"}, {From: "e", To: "b"}, {From: "e", To: "c"}, {From: "e", To: "d"}},
		"one way in":      {{From: "a", To: "e"}, {From: "b", To: "e"}, {From: "c", To: "e"}, {From: "d", To: "e"}},
		"one way of one":  {{From: "b", To: "c"}},
		"one link":        netlab.Link("b", "c", netlab.All),
		"no UDP":          netlab.Between(netlab.UDP, alone...),
		"no UDP anywhere": netlab.Between(netlab.UDP, []string{"a"}, []string{"b"}, []string{"c"}, []string{"d"}, []string{"e"}),
		"no TCP":          netlab.Between(netlab.TCP, alone...),
	} {
		t.Run(name, func(t *testing.T) {
			if name != "one link" {
				inFull(t)
			}
			w := build(t, 5, 0, loadtest.NodesOptions{})
			var changes []change
			w.under(load{savers: 40, pause: slow, forks: true}, func(ctx context.Context) error {
				stop := w.watch(ctx, "a")
				w.mu.Lock()
				w.open = time.Now()
				w.mu.Unlock()
				err := w.lab.Cut(cuts...)
				w.note("cut %s", name)
				until(ctx, length(8*time.Second, 20*time.Second))
				changes = stop()
				return errors.Join(err, w.heal(ctx))
			})
			w.note("%d changes of owners, at most %d of one partition in 10 s", len(changes), most(changes, 10*time.Second))
			if n := most(changes, 10*time.Second); n > 2 { // one to the backup, one to restore balance
				t.Errorf("owners flap: a partition had %d in 10 s", n)
			}
		})
	}
}

// TestFlap: a link that comes and goes moves a partition at most once in ten seconds.
func TestFlap(t *testing.T) {
	inFull(t)
	w := build(t, 5, 0, loadtest.NodesOptions{})
	var changes []change
	w.under(load{savers: 40, pause: slow, forks: true}, func(ctx context.Context) error {
		stop := w.watch(ctx, "a")
		w.mu.Lock()
		w.open = time.Now()
		w.mu.Unlock()
		var errs []error
		r := random(t, 0)
		for end := time.Now().Add(40 * time.Second); time.Now().Before(end) && ctx.Err() == nil; {
			errs = append(errs, w.lab.Cut(netlab.Link("b", "c", netlab.All)...))
			until(ctx, 500*time.Millisecond+time.Duration(r.Int64N(int64(3*time.Second))))
			errs = append(errs, w.lab.Heal())
			until(ctx, 500*time.Millisecond+time.Duration(r.Int64N(int64(2*time.Second))))
		}
		changes = stop()
		return errors.Join(append(errs, w.heal(ctx))...)
	})
	w.note("%d changes of owners, at most %d of one partition in 10 s", len(changes), most(changes, 10*time.Second))
	if n := most(changes, 10*time.Second); n > 1 {
		t.Errorf("owners flap: a partition had %d in 10 s", n)
	}
}
