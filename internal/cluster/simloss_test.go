package cluster

import (
	"slices"
	"sync"
	"testing"
	"time"

	"gamed/internal/cluster/mesh"
	"gamed/internal/envelope"
)

// quietTime is how long nothing may happen: 24 hours with GAMED_SIM_HOURS=24.
func quietTime(short time.Duration) time.Duration {
	if h := simHours(); h > 0 {
		return time.Duration(h * float64(time.Hour))
	}
	return short
}

// No node leaves and no owner moves while up to a tenth of everything is lost, delayed, doubled and reordered.
func TestSimLoss(t *testing.T) {
	for name, rain := range map[string]weather{
		"none": {delay: time.Millisecond, jitter: time.Millisecond},
		"5 %":  {delay: 5 * time.Millisecond, jitter: 20 * time.Millisecond, loss: 0.05, double: 0.02, late: 0.05},
		"10 %": {delay: 20 * time.Millisecond, jitter: 20 * time.Millisecond, loss: 0.1, double: 0.05, late: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				w.form(5, nil)
				w.net.become(rain)
				began := time.Now()
				time.Sleep(quietTime(2 * time.Minute))
				downs := 0
				for _, n := range w.live() {
					tables := n.tablesSince(began)
					if moved, _ := moves(tables); moved > 0 || len(tables) > 1 {
						t.Errorf("%s: %d tables and %d moves", n.self, len(tables)-1, moved)
					}
					if dead := n.eventsOf(began, EventDead); len(dead) > 0 {
						t.Errorf("%s: took for dead: %v", n.self, dead)
					}
					downs += len(n.eventsOf(began, EventLinkDown))
				}
				if rain.loss == 0 && downs > 0 {
					t.Errorf("%d links down in fine weather", downs)
				}
				t.Logf("%v: %d packets and segments lost, %d ends of links", time.Since(began), w.net.losses(), downs)
				w.within(5*time.Second, "full mesh", w.whole)
			})
		})
	}
}

// talk sends numbers from each node to each other, a few a second, until stopped.
func (w *world) talk() (stop func()) {
	done := make(chan struct{})
	var tasks sync.WaitGroup
	for _, n := range w.live() {
		tasks.Go(func() {
			for i := uint64(1); ; i++ {
				for _, to := range w.live() {
					if to == n {
						continue
					}
					if err := n.Send(to.self, &envelope.Envelope{Kind: envelope.Cast, Ref: i}); err != nil && err != mesh.ErrNoLink && err != mesh.ErrBusy {
						w.t.Errorf("%s to %s: %v", n.self, to.self, err)
					}
				}
				select {
				case <-done:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	return func() { close(done); tasks.Wait() }
}

// checkTalk wants what came from each node to be in order, without repeats; and much of it.
func (w *world) checkTalk(least int) {
	w.t.Helper()
	for _, n := range w.live() {
		n.mu.Lock()
		for from, got := range n.got {
			if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				w.t.Errorf("%s: out of order or doubled from %s", n.self, from)
			}
			if len(got) < least {
				w.t.Errorf("%s: only %d from %s", n.self, len(got), from)
			}
		}
		n.mu.Unlock()
	}
}

// With a third lost links and members come and go; but terms only grow, messages stay in order, and fine weather ends it.
func TestSimHeavyLoss(t *testing.T) {
	simulate(t, func(w *world) {
		w.form(5, nil)
		stop := w.talk()
		began := time.Now()
		w.net.become(weather{delay: 10 * time.Millisecond, jitter: 100 * time.Millisecond, loss: 0.3, double: 0.1, late: 0.2})
		time.Sleep(min(quietTime(2*time.Minute), time.Hour))
		w.net.become(weather{delay: time.Millisecond, jitter: time.Millisecond})
		t.Logf("one table %v after the storm", w.within(15*time.Second, "one table", w.whole))
		stop()
		w.within(20*time.Second, "partitions in place", w.placed)
		w.checkOrder()
		w.checkTalk(200)
		for _, n := range w.live() {
			tables := n.tablesSince(began)
			moved, _ := moves(tables)
			t.Logf("%s: %d ends of links, %d tables, %d moves", n.self, len(n.eventsOf(began, EventLinkDown)), len(tables)-1, moved)
		}
	})
}
