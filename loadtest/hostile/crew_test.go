package hostile

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gamed/client"
	"gamed/game"
)

// crew are honest players in one chat room.
type crew struct {
	t     testing.TB
	topic string
	began time.Time
	all   []*client.Client

	mu   sync.Mutex // guards what follows
	got  []int      // what was said to each
	late []time.Duration
	bad  []string
}

// hire logs players in, who join the room and speak until the test ends.
func hire(t testing.TB, n *node, count int, topic string) *crew {
	t.Helper()
	w := &crew{t: t, topic: topic, began: time.Now(), got: make([]int, count)}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for i := range count {
		expect := uint64(0)
		name := "honest-" + strconv.Itoa(i)
		c, err := client.Dial(ctx, []string{n.Players}, client.Options{Name: name, NoRetry: true,
			OnPush: func(p client.Push) { w.pushed(i, &expect, p) },
			OnGap:  func(g client.Gap) { w.fault("%s misses %+v", name, g) },
			OnConnect: func(c client.Connected) {
				if c.Resumed {
					w.fault("%s had to reconnect", name)
				}
			}})
		if err != nil {
			t.Fatalf("log %s in: %v", name, err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Join(ctx, topic); err != nil {
			t.Fatalf("%s joins: %v", name, err)
		}
		w.all = append(w.all, c)
	}
	return w
}

func (w *crew) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.bad) < 10 {
		w.bad = append(w.bad, fmt.Sprintf(format, args...))
	}
}

// pushed is one player's callback. The text said begins with the time.
func (w *crew) pushed(i int, expect *uint64, p client.Push) {
	if p.Event == "left" {
		w.fault("the room was told of a player who left: %s", p.Payload)
	}
	if p.Event != "said" {
		return
	}
	if *expect > 0 && p.Offset != *expect {
		w.fault("push %d instead of %d", p.Offset, *expect)
	}
	*expect = p.Offset + 1
	f := p.Payload.Fields()
	stamp, _, _ := strings.Cut(f.Text("text"), " ")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		w.fault("text %q", f.Text("text"))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got[i]++
	w.late = append(w.late, time.Since(w.began)-time.Duration(at))
}

// talk has every player say size bytes once in each period, at even times, until the limit has passed or over says so; then it
// waits until all have got all, fails the test if anything was lost, refused or out of order, and gives the 99th percentile
// of the time from when a word was due until it was pushed to a player.
func (w *crew) talk(limit, period time.Duration, size int, over func() bool) time.Duration {
	w.t.Helper()
	w.mu.Lock()
	before := slices.Clone(w.got)
	w.late = w.late[:0]
	w.mu.Unlock()
	ctx, stop := context.WithTimeout(w.t.Context(), limit)
	defer stop()
	said := make([]int, len(w.all))
	var wg sync.WaitGroup
	for i, c := range w.all {
		wg.Go(func() {
			tick := time.NewTicker(period)
			defer tick.Stop()
			due := time.Since(w.began)
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				due = max(due+period, time.Since(w.began)-period/2) // a tick that was dropped is not due
				text := strconv.FormatInt(int64(min(due, time.Since(w.began))), 10) + " "
				if _, err := c.Call(w.t.Context(), w.topic, "say", game.NewMap().Text("text", text+strings.Repeat("x", size))); err != nil {
					w.fault("say: %v", err)
					return
				}
				said[i]++
			}
		})
	}
	for !within(50*time.Millisecond, func() bool { return ctx.Err() != nil }) {
		if over != nil && over() {
			break
		}
	}
	stop()
	wg.Wait()
	total := 0
	for _, n := range said {
		total += n
	}
	all := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i := range w.got {
			if w.got[i]-before[i] < total {
				return false
			}
		}
		return true
	}
	if !within(patience, all) {
		w.t.Errorf("of %d words said the players got %v (less %v)", total, w.got, before)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.bad {
		w.t.Error(b)
	}
	if len(w.late) < 100 {
		w.t.Fatalf("only %d samples of latency", len(w.late))
	}
	return percentile(w.late, 99)
}

// percentile sorts d.
func percentile(d []time.Duration, p int) time.Duration {
	slices.Sort(d)
	return d[min(len(d)*p/100, len(d)-1)]
}

// moved is what the p99 of a window may gain, beside doubling, on a machine that does other things too.
const moved = 10 * time.Millisecond

// unmoved compares windows with and without an attack up to three times. A pair gives the p99 of one of each.
func unmoved(t *testing.T, rounds int, pair func() (quiet, attacked time.Duration)) {
	t.Helper()
	var story []string
	for range 3 {
		var a, b []time.Duration
		for range rounds {
			quiet, attacked := pair()
			a, b = append(a, quiet), append(b, attacked)
			if t.Failed() {
				return
			}
		}
		story = append(story, fmt.Sprintf("p99 without %v, with %v", a, b))
		if percentile(b, 50) <= 2*percentile(a, 50)+moved {
			t.Log(strings.Join(story, "; "))
			return
		}
	}
	t.Errorf("the others' latency moved: %s", strings.Join(story, "; "))
}

// drip calls f every period until the test or the returned function ends it.
func every(t testing.TB, period time.Duration, f func() bool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if !f() {
					return
				}
			}
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}
