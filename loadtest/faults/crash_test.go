package faults

import (
	"context"
	"testing"
	"time"

	"gamed/loadtest"
)

// TestKill: whoever was on a node that is killed is served again within the promise; accounts and rooms stay exact.
func TestKill(t *testing.T) {
	w := build(t, 5, 0, loadtest.NodesOptions{})
	kills := 1
	if *full {
		kills = 5
	}
	r, err := loadtest.Bank(t.Context(), loadtest.BankOptions{Nodes: w.nodes, Players: 300, Duration: 5 * time.Second, Kills: kills, Seed: *seed})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || r.Recovery == nil || r.Recovery.Count == 0 {
		t.Errorf("%+v", r)
	}
	t.Logf("served again: %v", r.Recovery)
}

// TestRestartOfAll: nodes that all start at the same moment are one cluster within 5 s, also after all were killed at once, and terms do
// not go back though nothing was on disk.
func TestRestartOfAll(t *testing.T) {
	w := build(t, 5, 0, loadtest.NodesOptions{AtOnce: true})
	names := w.nodes.Names()
	if *full { // the clock's minutes keep terms from going back, when nobody is left who knows the last one
		until(t.Context(), time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
	}
	before := w.nodes.Look(t.Context(), names...)
	for _, name := range names {
		if _, err := w.nodes.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Now()
	if err := w.nodes.StartAll(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	_, err := w.nodes.Await(ctx, 10*time.Second, loadtest.Single, names...)
	took := time.Since(at)
	if err != nil || took > 5*time.Second {
		t.Errorf("one table %v after the start: %v", took, err)
	}
	w.note("one table %v after the start", took)
	if err := w.whole(ctx, at); err != nil {
		t.Error(err)
	}
	after := w.nodes.Look(ctx, names...)
	if *full && after[0].Term <= before[0].Term {
		t.Errorf("the term went from %d to %d", before[0].Term, after[0].Term)
	}
}
