package faults

import (
	"context"
	"slices"
	"sync"
	"time"
)

// change is a partition that got another owner, as one node saw it.
type change struct {
	part     int
	from, to string
	at       time.Time
}

// watch follows a node's table until the function returned is called, which gives what changed.
func (w *world) watch(ctx context.Context, node string) (stop func() []change) {
	ctx, cancel := context.WithCancel(ctx)
	var all []change
	var done sync.WaitGroup
	done.Go(func() {
		var owner []string
		for until(ctx, 100*time.Millisecond) {
			s := w.nodes.Look(ctx, node)[0]
			if s.Err != nil {
				continue
			}
			for p := range owner {
				if p < len(s.Owner) && owner[p] != s.Owner[p] {
					all = append(all, change{p, owner[p], s.Owner[p], time.Now()})
				}
			}
			owner = s.Owner
		}
	})
	return func() []change {
		cancel()
		done.Wait()
		return all
	}
}

// most gives the most changes that one partition had within a time.
func most(all []change, within time.Duration) (most int) {
	by := map[int][]time.Time{}
	for _, c := range all {
		by[c.part] = append(by[c.part], c.at)
		times := by[c.part]
		first, _ := slices.BinarySearchFunc(times, c.at.Add(-within), func(a, b time.Time) int { return a.Compare(b) })
		most = max(most, len(times)-first)
	}
	return most
}
