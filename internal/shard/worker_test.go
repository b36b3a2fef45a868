package shard

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/state"
)

// panicAt makes messages with Ref 13 panic.
func panicAt(_ *Worker, p *probe, e *envelope.Envelope) {
	if e.Ref == 13 {
		p.count = 1 << 20 // what the failed message left behind counts: it is no game's handler
		panic("thirteen")
	}
}

func TestAPanicCostsOneMessage(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		tr.handle = panicAt
		ws := NewWorkers(tr.options(d))
		defer ws.Close()
		bad := message("player/ann")
		bad.Ref, bad.Topic, bad.Event = 13, "chat:lobby", "say"
		for _, e := range []*envelope.Envelope{message("player/ann"), message("player/bob"), bad, message("player/ann"), message("player/bob")} {
			if err := ws.Post(e); err != nil {
				t.Fatal(err)
			}
		}
		if ann, bob := count(t, ws, "player/ann"), count(t, ws, "player/bob"); ann != 1<<20+1 || bob != 2 {
			t.Fatalf("ann %d, bob %d", ann, bob)
		}
		l := tr.dead()
		if len(l) != 1 || l[0].Key != "player/ann" || l[0].What != "cast chat:lobby say" || l[0].Cause != "thirteen" ||
			!strings.Contains(l[0].Stack, "panicAt") || l[0].At.IsZero() {
			t.Fatalf("dead letters: %+v", l)
		}
		if tr.get(tr.moved, "player/ann") != 1 || tr.get(tr.made, "player/ann") != 2 || tr.all(tr.left) != 0 {
			t.Fatalf("moved %v made %v left %v", tr.moved, tr.made, tr.left)
		}
		if n, _ := ws.Entities(); n != 2 {
			t.Fatalf("%d entities", n)
		}
	})
}

func TestAnEntityThatCannotBeMadeAnewIsDropped(t *testing.T) {
	for name, change := range map[string]func(tr *trace){
		"restore panics": func(tr *trace) { tr.restore = func(*probe, state.Sections) { panic("restore") } },
		"no state":       func(tr *trace) { tr.whole = func(p *probe) { p.quiet = true } },
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrace()
			tr.handle = panicAt
			change(tr)
			ws := NewWorkers(tr.options(Sharded))
			defer ws.Close()
			bad := message("player/ann")
			bad.Ref = 13
			_ = ws.Post(bad)
			if n := count(t, ws, "player/ann"); n != -1 {
				t.Fatalf("still there, count %d", n)
			}
			_ = ws.Post(message("player/ann"))
			if n := count(t, ws, "player/ann"); n != 1 {
				t.Fatalf("a new one counts %d", n)
			}
		})
	}
	t.Run("save panics", func(t *testing.T) {
		tr := newTrace()
		tr.handle = panicAt
		tr.whole = func(*probe) { panic("whole") }
		ws := NewWorkers(tr.options(Sharded))
		defer ws.Close()
		bad := message("player/ann")
		bad.Ref = 13
		_ = ws.Post(bad)
		if n := count(t, ws, "player/ann"); n != 1<<20 {
			t.Fatalf("what cannot be saved is not thrown away; count %d", n)
		}
	})
}

func TestPanicsOutsideOfEntitiesHarmNobody(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		tr.make = func(key string) {
			if key == "chat/bad" {
				panic("a game's constructor")
			}
		}
		ws := NewWorkers(tr.options(d))
		defer ws.Close()
		_ = ws.Post(message("player/ann"))
		_ = ws.Post(message("chat/bad"))
		_ = ws.Restore("chat/bad", state.Sections{})
		_ = ws.Tell("player/nobody", func(*Worker, Entity) { panic("tell") })
		done := make(chan struct{})
		ws.Each(func(*Worker) { panic("each") }, func() { close(done) })
		select {
		case <-done:
		case <-time.After(waitFor):
			t.Fatal("Each never ended")
		}
		_ = ws.Post(message("player/ann"))
		if n := count(t, ws, "player/ann"); n != 2 {
			t.Fatalf("count %d", n)
		}
		if n := count(t, ws, "chat/bad"); n != -1 {
			t.Fatalf("an entity that could not be made is there: %d", n)
		}
		if n := len(tr.dead()); n < 4 {
			t.Fatalf("%d dead letters", n)
		}
	})
}

// wakes records when entities were woken, as time since the start.
func wakes(tr *trace, start time.Time) *[]time.Duration {
	var list []time.Duration
	tr.wake = func(w *Worker, p *probe) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		list = append(list, w.Now().Sub(start))
	}
	return &list
}

func TestWakeAtTheEarliestOfSeveralOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		tr := newTrace()
		list := wakes(tr, start)
		tr.handle = func(w *Worker, p *probe, e *envelope.Envelope) {
			w.WakeAt(start.Add(time.Duration(e.Ref) * time.Second))
		}
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		for _, at := range []uint64{5, 3, 9, 4} {
			e := message("player/ann")
			e.Ref = at
			_ = ws.Post(e)
		}
		other := message("player/bob")
		other.Ref = 7
		_ = ws.Post(other)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(*list) != 2 || (*list)[0] != 3*time.Second || (*list)[1] != 7*time.Second {
			t.Fatalf("woken at %v, want 3s (ann, once) and 7s (bob)", *list)
		}
	})
}

func TestWakeIsAskedForAgainEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		tr := newTrace()
		var list []time.Duration
		tr.handle = func(w *Worker, p *probe, _ *envelope.Envelope) {
			w.WakeAt(start.Add(time.Hour)) // far ones must not pile up behind near ones
			w.WakeAt(start.Add(time.Second))
		}
		tr.wake = func(w *Worker, p *probe) {
			list = append(list, w.Now().Sub(start))
			if len(list) < 1000 {
				w.WakeAt(start.Add(time.Hour))
				w.WakeAt(w.Now().Add(time.Second))
			}
			if len(w.wakes) > 1 {
				t.Errorf("%d wake-ups wait for one entity", len(w.wakes))
			}
		}
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		_ = ws.Post(message("player/ann"))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(list) != 1000 {
			t.Fatalf("woken %d times", len(list))
		}
		for i, at := range list {
			if want := time.Duration(i+1) * time.Second; at != want {
				t.Fatalf("wake %d at %v", i, at)
			}
		}
	})
}

// An entity that asks for the past in every Wake does not keep its worker from its work.
func TestAPastWakeDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		var n atomic.Int64
		tr.wake = func(w *Worker, p *probe) { n.Add(1); w.WakeAt(time.Time{}) }
		tr.handle = func(w *Worker, p *probe, _ *envelope.Envelope) { w.WakeAt(time.Time{}) }
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		_ = ws.Post(message("player/ann"))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := n.Load(); got < 900 || got > 1001 {
			t.Fatalf("woken %d times in a second", got)
		}
		_ = ws.Post(message("player/bob"))
		if c := count(t, ws, "player/bob"); c != 1 {
			t.Fatalf("count %d", c)
		}
	})
}

func TestAPanicInWakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = func(w *Worker, p *probe, _ *envelope.Envelope) { w.WakeAt(w.Now()) }
		tr.wake = func(*Worker, *probe) { panic("wake") }
		o := tr.options(Single)
		ws := NewWorkers(o)
		defer ws.Close()
		for range 10 {
			_ = ws.Post(message("player/ann"))
			time.Sleep(time.Second)
		}
		if n := len(tr.dead()); n < 8 || n > 11 { // of 10 messages at most two came in a quarantine, and one wake-up after it
			t.Fatalf("%d dead letters of 10 wake-ups", n)
		}
	})
}

// A function given to Tell acts as the entity: what it asks for is the entity's, not of who ran before.
func TestTellWakesTheRightEntity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		var woken []string
		tr.wake = func(_ *Worker, p *probe) { woken = append(woken, p.key) }
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		_ = ws.Post(message("player/ann"))
		_ = ws.Post(message("player/bob"))
		_ = ws.Tell("player/ann", func(w *Worker, _ Entity) { w.WakeAt(w.Now().Add(time.Second)) })
		_ = ws.Tell("player/nobody", func(w *Worker, _ Entity) { w.WakeAt(w.Now().Add(time.Second)) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(woken) != 1 || woken[0] != "player/ann" {
			t.Fatalf("woken: %v", woken)
		}
		if l := tr.dead(); len(l) != 1 || l[0].Key != "" {
			t.Fatalf("a wake-up for nobody is a mistake: %+v", l)
		}
	})
}

func TestWhoHasLeftIsNotWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		list := wakes(tr, time.Now())
		tr.handle = func(w *Worker, p *probe, _ *envelope.Envelope) {
			p.quiet = true
			w.WakeAt(w.Now().Add(time.Hour))
		}
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		_ = ws.Post(message("player/ann"))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if tr.get(tr.left, "player/ann") != 1 || len(*list) != 0 {
			t.Fatalf("left %v, woken %v", tr.left, *list)
		}
	})
}
