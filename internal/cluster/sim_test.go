package cluster

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gamed/internal/shard"
)

// All start at once, or one after the other in any order, with the addresses of all.
func TestSimForm(t *testing.T) {
	for name, order := range map[string][]int{"at once": {0, 1, 2, 3, 4}, "backwards": {4, 3, 2, 1, 0}, "mixed": {2, 4, 0, 3, 1}} {
		for _, pause := range []time.Duration{0, 100 * time.Millisecond, 700 * time.Millisecond} {
			t.Run(name+" "+pause.String(), func(t *testing.T) {
				simulate(t, func(w *world) {
					for _, i := range order {
						w.start(i, 5, nil)
						time.Sleep(pause)
					}
					w.within(5*time.Second, "one table", w.whole)
					w.within(10*time.Second, "partitions in place", w.placed)
					w.checkOrder()
					w.checkWarnings()
				})
			})
		}
	}
}

// checkWarnings wants that nothing was told at a higher level than info.
func (w *world) checkWarnings() {
	w.t.Helper()
	for _, n := range w.all {
		n.mu.Lock()
		for _, line := range n.logs {
			if !strings.Contains(line, "level=INFO") {
				w.t.Errorf("%s: %s", n.self, line)
			}
		}
		n.mu.Unlock()
	}
}

// All are gone at once and come back in any order, with nothing remembered.
func TestSimAllRestart(t *testing.T) {
	for name, order := range map[string][]int{"same order": {0, 1, 2, 3, 4}, "other order": {3, 1, 4, 0, 2}} {
		for _, felled := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", power cut"}[felled], func(t *testing.T) {
				simulate(t, func(w *world) {
					w.form(5, nil)
					time.Sleep(5 * time.Second)
					before := w.nodes[0].Table()
					for i := range w.nodes {
						if felled {
							w.fell(i)
						} else {
							w.kill(i)
						}
					}
					time.Sleep(5 * time.Minute) // first terms grow once a minute
					for _, i := range order {
						w.start(i, 5, nil)
						time.Sleep(50 * time.Millisecond)
					}
					w.within(5*time.Second, "one table", w.whole)
					if after := w.nodes[0].Table(); after.Term <= before.Term {
						t.Errorf("term %d after %d", after.Term, before.Term)
					}
					w.checkOrder()
				})
			})
		}
	}
}

// A node is killed, or loses its power, the coordinator or another one; then it comes back.
func TestSimDeath(t *testing.T) {
	for name, c := range map[string]struct {
		node  int
		fell  bool
		limit time.Duration
	}{
		"coordinator killed": {0, false, time.Second}, "member killed": {3, false, time.Second},
		"coordinator felled": {0, true, 5 * time.Second}, "member felled": {3, true, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				w.form(5, nil)
				time.Sleep(10 * time.Second)
				before, began := w.live()[1].Table(), time.Now()
				gone := w.nodes[c.node].self
				if c.fell {
					w.fell(c.node)
				} else {
					w.kill(c.node)
				}
				t.Logf("table of the rest after %v", w.within(c.limit, "table of the rest", w.whole))
				after := w.live()[0].Table()
				for p := range uint16(shard.Partitions) {
					was, _ := before.OwnerOf(p)
					heir, _ := before.BackupOf(p)
					is, _ := after.OwnerOf(p)
					if was == gone && is != heir || was != gone && is != was {
						t.Fatalf("partition %d: owner %v, backup %v, then owner %v", p, was, heir, is)
					}
				}
				time.Sleep(20 * time.Second)
				again := w.start(c.node, 5, nil)
				w.within(5*time.Second, "the new life in the table", w.whole)
				w.within(10*time.Second, "partitions in place", w.placed)
				w.checkOrder()
				for _, n := range w.live() {
					if n == again {
						continue
					}
					if dead := n.eventsOf(began, EventDead); len(dead) != 1 {
						t.Errorf("%s: %d deaths: %v", n.self, len(dead), dead)
					}
				}
			})
		})
	}
}

// Of two live nodes of one name the second ends; a restart on another host is in quickly.
func TestSimTwins(t *testing.T) {
	simulate(t, func(w *world) {
		w.form(3, nil)
		time.Sleep(time.Minute)
		began := time.Now()
		first := w.nodes[1]
		second := w.startOn(hostOf(8), 1, 3, nil)
		w.set(1, first)
		w.within(5*time.Second, "end of the second", second.over)
		if !errors.Is(second.err, ErrDuplicate) {
			t.Errorf("the second ended with %v", second.err)
		}
		time.Sleep(10 * time.Second)
		for _, n := range w.live() {
			if moved, _ := moves(n.tablesSince(began)); moved > 0 || n.over() {
				t.Errorf("%s: %d moves by a twin", n.self, moved)
			}
		}
		w.kill(1)
		w.startOn(hostOf(8), 1, 3, nil)
		t.Logf("in after %v", w.within(5*time.Second, "the new life in the table", w.whole))
		w.kill(1)
		w.start(1, 3, nil)
		w.within(5*time.Second, "the next one in the table", w.whole)
		w.fell(1)
		w.startOn(hostOf(9), 1, 3, nil)
		t.Logf("after a power cut in after %v", w.within(5*time.Second, "the one after a power cut in the table", w.whole))
		w.checkOrder()
	})
}

// Two start at once under one name: one of them is in the end alone.
func TestSimTwinsAtOnce(t *testing.T) {
	simulate(t, func(w *world) {
		w.form(3, nil)
		w.kill(1)
		a := w.startOn(hostOf(8), 1, 3, nil)
		b := w.startOn(hostOf(9), 1, 3, nil)
		w.within(10*time.Second, "end of one", func() bool { return a.over() || b.over() })
		time.Sleep(10 * time.Second)
		if a.over() == b.over() {
			t.Fatalf("both ended: %v, %v", a.err, b.err)
		}
		if a.over() {
			a, b = b, a
		}
		w.set(1, a)
		if !errors.Is(b.err, ErrDuplicate) {
			t.Errorf("one ended with %v", b.err)
		}
		w.within(5*time.Second, "one table", w.whole)
	})
}
