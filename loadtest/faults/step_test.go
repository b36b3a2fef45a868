package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gamed/loadtest"
)

// TestKillAtEachStepOfAMove: a node joins, and the process at one of the steps of the moves that this means dies there: who gives
// partitions, or the new node itself. All ends on live nodes, nothing is lost or doubled.
func TestKillAtEachStepOfAMove(t *testing.T) {
	for _, c := range []struct {
		who    string // c: gives to the new node; d: is the new one; a: gives, too, and is the coordinator
		point  string
		times  int
		always bool
	}{
		{"c", "sealed", 1, false},
		{"c", "give", 5, false},
		{"c", "given", 40, true},
		{"c", "handed", 40, false},
		{"d", "restored", 1, false},
		{"d", "restored", 100, true},
		{"d", "active", 1, false},
		{"d", "active", 100, false},
		{"a", "given", 720, false}, // some 680 are given to b and c before
	} {
		t.Run(fmt.Sprintf("%s at %s %d", c.who, c.point, c.times), func(t *testing.T) {
			if !c.always {
				inFull(t)
			}
			fault := func(name string) (x loadtest.Extra) {
				if name == c.who {
					x.Env = []string{fmt.Sprintf("GAMED_FAULT=%s:%d:kill", c.point, c.times)}
				}
				return x
			}
			w := build(t, -1, 5, loadtest.NodesOptions{})
			for _, name := range []string{"a", "b", "c"} {
				if err := errors.Join(w.nodes.Start(t.Context(), name, fault(name)), w.whole(t.Context(), time.Now())); err != nil {
					t.Fatal(err)
				}
			}
			w.under(load{savers: 100}, func(ctx context.Context) error {
				if c.who != "d" {
					if _, err := w.nodes.Expect(c.who); err != nil {
						return err
					}
				}
				at := time.Now()
				if err := w.nodes.Start(ctx, "d", fault("d")); err != nil {
					return err
				}
				ended, err := w.nodes.Expect(c.who)
				if err != nil && c.who == "d" {
					return err // it has died already
				}
				if err == nil {
					select {
					case <-ended:
					case <-time.After(20 * time.Second):
						return fmt.Errorf("%s did not come to %s %d", c.who, c.point, c.times)
					}
				}
				w.note("%s died %v after d was started", c.who, time.Since(at))
				at = time.Now()
				if err := w.whole(ctx, at); err != nil {
					return err
				}
				until(ctx, time.Second)
				at = time.Now()
				return errors.Join(w.nodes.Start(ctx, c.who, loadtest.Extra{}), w.whole(ctx, at))
			})
		})
	}
}
