package shard

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
)

// asks is a call to a key.
func asks(key string, ref uint64) *envelope.Envelope {
	e := message(key)
	e.Kind, e.Ref = envelope.Call, ref
	return e
}

// sleepy makes messages block for Ref milliseconds.
func sleepy(_ *Worker, _ *probe, e *envelope.Envelope) {
	time.Sleep(time.Duration(e.Ref) * time.Millisecond)
}

// A handler that blocks is told of once at each level, with its stack the first time and its entity's key always; who waits for
// its worker is refused, what was in the batch behind it too; casts and tasks are kept; the others go on.
func TestABlockedHandlerIsToldOfAndItsCallersAreRefused(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		synctest.Test(t, func(t *testing.T) {
			tr := newTrace()
			tr.handle = sleepy
			ws := NewWorkers(tr.options(d))
			defer ws.Close()
			start := time.Now()
			block := asks("player/ann", 15_000)
			block.Topic, block.Event = "bad:", "block"
			_ = ws.Post(asks("player/ann", 0)) // a batch for all of them
			_ = ws.Post(block)
			for range 3 {
				_ = ws.Post(asks("player/ann", 1))
			}
			_ = ws.Post(message("player/ann"))
			time.Sleep(500 * time.Millisecond)
			_ = ws.Post(asks("player/ann", 2)) // into the mailbox
			time.Sleep(time.Second)
			if r := tr.refusals(); len(r) != 4 || r[0].ref != 1 || r[3].ref != 2 || !errors.Is(r[0].why, actor.ErrFull) ||
				r[3].at.Sub(start) > actor.StuckAfter+4*watchEvery {
				t.Fatalf("refused: %+v", r)
			}
			if err := ws.Post(asks("player/ann", 3)); !errors.Is(err, actor.ErrFull) {
				t.Fatalf("a call to a worker that is stuck: %v", err)
			}
			if err := ws.Post(message("player/ann")); err != nil {
				t.Fatalf("a cast: %v", err)
			}
			st := stuck(ws)
			if st == nil || st.Level != actor.Stuck || st.Key != "player/ann" || st.What != "call bad: block" || !st.Refusing || st.For < time.Second {
				t.Fatalf("status %+v", st)
			}
			other := asks(keyIn(PartitionOf("player/ann")+1, "bob"), 0)
			if d != Single {
				_ = ws.Post(other)
				synctest.Wait()
				if tr.get(tr.handled, other.Key) != 1 {
					t.Error("another worker does not go on")
				}
			}
			time.Sleep(10 * time.Second)
			if r := tr.refusals(); len(r) != 5 || r[4].ref != 15_000 || !errors.Is(r[4].why, ErrNoOwner) {
				t.Fatalf("after ten seconds refused: %+v", r)
			}
			time.Sleep(10 * time.Second)
			if n := count(t, ws, "player/ann"); n != 4 { // 0, block, two casts
				t.Errorf("count %d", n)
			}
			if stuck(ws) != nil {
				t.Error("still shown as stuck")
			}
			if err := ws.Post(asks("player/ann", 0)); err != nil {
				t.Errorf("a call afterwards: %v", err)
			}
			var levels []string
			for i, l := range tr.late() {
				levels = append(levels, l.Level.String())
				if l.Key != "player/ann" || (l.Stack != "") != (i == 0) {
					t.Errorf("told %+v", l)
				}
			}
			if got := strings.Join(levels, " "); got != "slow stuck blocked fine" {
				t.Fatalf("told %s", got)
			}
			first, last := tr.late()[0], tr.late()[3]
			if !strings.Contains(first.Stack, "sleepy") || first.For < actor.SlowAfter || first.For > actor.SlowAfter+watchEvery {
				t.Errorf("told at %v, with the stack\n%s", first.For, first.Stack)
			}
			if last.For < 15*time.Second-watchEvery || last.For > 15*time.Second+watchEvery {
				t.Errorf("it lasted %v", last.For)
			}
		})
	})
}

func stuck(ws *Workers) *WorkerStatus {
	for _, st := range ws.Status() {
		if st.Level > actor.Fine {
			return &st
		}
	}
	return nil
}

// A long batch of short messages is not a slow handler.
func TestALongBatchIsNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = sleepy
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		for i := range 100 {
			_ = ws.Post(asks("player/"+strings.Repeat("x", 1+i%20), 60))
		}
		time.Sleep(time.Minute)
		if l := tr.late(); len(l) != 0 || len(tr.refusals()) != 0 || tr.all(tr.handled) != 100 {
			t.Fatalf("told %+v, refused %v, handled %d", l, tr.refusals(), tr.all(tr.handled))
		}
	})
}

// Timers and tasks that block are seen as well.
func TestBlockedTimersAndTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = func(w *Worker, _ *probe, _ *envelope.Envelope) { w.WakeAt(w.Now()) }
		tr.wake = func(*Worker, *probe) { time.Sleep(200 * time.Millisecond) }
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		_ = ws.Post(message("player/ann"))
		time.Sleep(time.Second)
		_ = ws.Tell("player/bob", func(*Worker, Entity) { time.Sleep(200 * time.Millisecond) })
		time.Sleep(2 * time.Second)
		l := tr.late()
		if len(l) != 4 || l[0].Key != "player/ann" || l[0].What != "wake" || l[2].What != "task" || l[3].Level != actor.Fine {
			t.Fatalf("told %+v", l)
		}
	})
}

// The process was stopped for eight seconds amid a handler: the handler is not to blame.
func TestAStoppedProcessIsNoSlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = sleepy
		ws := NewWorkers(tr.options(Single))
		ws.Close() // its own watchdog is not needed
		d := &watchdog{seen: map[*Worker]*sight{}, clock: time.Now()}
		w := ws.workers[0]
		w.claims.begin(nil)
		w.claims.next()
		for _, passed := range []time.Duration{watchEvery, 8 * time.Second, watchEvery} {
			d.advance(passed, watchEvery)
			d.look(d.clock, w)
		}
		if l := tr.late(); len(l) != 1 || l[0].Level != actor.Slow || l[0].For != 5*watchEvery {
			t.Fatalf("told %+v", l)
		}
	})
}

// One stack a second is enough, however many handlers are slow.
func TestStacksAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = sleepy
		ws := NewWorkers(tr.options(PerPlayer))
		defer ws.Close()
		for i := range 20 {
			_ = ws.Post(asks(keyIn(uint16(i), "p"), 300))
		}
		time.Sleep(time.Second)
		told, stacks := 0, 0
		for _, l := range tr.late() {
			if l.Level == actor.Slow {
				told++
			}
			if l.Stack != "" {
				stacks++
			}
		}
		if told != 20 || stacks != 1 {
			t.Fatalf("%d told, %d stacks", told, stacks)
		}
		if n := len(ws.dog.seen); n != 0 {
			t.Fatalf("%d workers are still seen at something", n)
		}
	})
}
