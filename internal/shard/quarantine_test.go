package shard

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/actor"
)

// An entity that panics at every message is left alone for a time that doubles. What comes meanwhile is refused at once; others, and
// what the entity had, are as before.
func TestQuarantineDoublesAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = panicAt
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		bad, start := message("player/ann"), time.Now()
		bad.Ref = 13
		var fell []time.Duration // when letters came
		const every, lasts = 100 * time.Millisecond, 20 * time.Second
		sent := 0
		for ; time.Since(start) < lasts; sent++ {
			before := len(tr.dead())
			_ = ws.Post(bad)
			synctest.Wait()
			if len(tr.dead()) > before {
				fell = append(fell, time.Since(start))
			}
			time.Sleep(every)
		}
		// Five at once, 1 s, five, 2 s, five, 4 s, five, 8 s: in 20 s there are five times five.
		if len(fell) != 5*actor.MaxPanics {
			t.Fatalf("%d panics in %v: %v", len(fell), lasts, fell)
		}
		for i := 1; i < 5; i++ {
			pause := fell[i*actor.MaxPanics] - fell[i*actor.MaxPanics-1]
			if want := time.Second << (i - 1); pause < want || pause > want+2*every {
				t.Errorf("quarantine %d lasts %v, want %v", i, pause, want)
			}
		}
		refused := 0
		for _, r := range tr.refusals() {
			if errors.Is(r.why, ErrQuarantined) {
				refused++
			}
		}
		if refused != sent-len(fell) || len(tr.refusals()) != sent {
			t.Errorf("of %d messages %d panicked, %d were refused for the quarantine, %d in all", sent, len(fell), refused, len(tr.refusals()))
		}
		_ = ws.Post(message("player/bob"))
		if n := count(t, ws, "player/bob"); n != 1 {
			t.Errorf("bob counts %d", n)
		}
		time.Sleep(time.Minute)
		_ = ws.Post(message("player/ann"))
		if n := count(t, ws, "player/ann"); n != 1<<20+1 {
			t.Errorf("ann counts %d after the quarantine", n)
		}
	})
}

// An entity that cannot even be made costs as little.
func TestAConstructorThatPanicsIsInQuarantineToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.make = func(string) { panic("no") }
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		for range 100 {
			_ = ws.Post(message("chat/bad"))
		}
		synctest.Wait()
		if n := len(tr.dead()); n != actor.MaxPanics {
			t.Fatalf("%d panics of 100 messages", n)
		}
	})
}

// Timers of an entity in quarantine ring when it is over, and the worker does not look at them before.
func TestQuarantineHoldsTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = panicAt
		list := wakes(tr, time.Now())
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		_ = ws.Tell("player/ann", func(*Worker, Entity) {})
		_ = ws.Post(message("player/ann"))
		bad := message("player/ann")
		bad.Ref = 13
		for range actor.MaxPanics {
			_ = ws.Post(bad)
		}
		_ = ws.Tell("player/ann", func(w *Worker, _ Entity) { w.WakeAt(w.Now().Add(time.Millisecond)) })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(*list) != 1 || (*list)[0] != time.Second {
			t.Fatalf("woken at %v, want 1s", *list)
		}
	})
}

// Many that panic do not grow what a worker remembers of them.
func TestWhatIsRememberedOfPanicsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = panicAt
		ws := NewWorkers(tr.options(Single))
		defer ws.Close()
		remembered := func() (n int) {
			_ = ws.Do("player/ann", waitFor, func(w *Worker, _ Entity) { n = len(w.fallen) })
			return n
		}
		for i := range maxFallen + 100 {
			e := message(keyIn(uint16(i%Partitions), "p"+string(rune('a'+i/Partitions))))
			e.Ref = 13
			_ = ws.Post(e)
			if i%500 == 0 {
				synctest.Wait()
			}
		}
		if n := remembered(); n != maxFallen {
			t.Fatalf("%d remembered, want %d", n, maxFallen)
		}
		time.Sleep(10 * time.Minute)
		if n := remembered(); n != 0 {
			t.Fatalf("%d remembered after ten minutes", n)
		}
	})
}
