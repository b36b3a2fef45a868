package shard

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
)

// mortal makes workers die, outside of every handler, whenever the number is above 0; it is counted down.
func mortal(o *Options) *atomic.Int64 {
	var deaths atomic.Int64
	o.Lease = func(time.Time) bool {
		if deaths.Load() > 0 {
			deaths.Add(-1)
			panic("the loop dies")
		}
		return true
	}
	return &deaths
}

// A worker that dies goes on with its entities and with what was in its hand and in its mailbox: no message is lost, none twice.
func TestAWorkerThatDiesGoesOnWithItsEntities(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		synctest.Test(t, func(t *testing.T) {
			tr := newTrace()
			o := tr.options(d)
			deaths := mortal(&o)
			ws := NewWorkers(o)
			defer ws.Close()
			_ = ws.Post(message("player/ann"))
			synctest.Wait()
			for i := range 3 {
				deaths.Store(1)
				for range 20 { // more than leaseEvery: it dies at the beginning of a batch, or amid it
					_ = ws.Post(message("player/ann"))
				}
				synctest.Wait()
				if got := tr.get(tr.handled, "player/ann"); deaths.Load() != 0 || got != 1+20*(i+1) {
					t.Fatalf("%d handled after death %d (%d to come)", got, i, deaths.Load())
				}
			}
			if n := count(t, ws, "player/ann"); n != 61 || tr.get(tr.made, "player/ann") != 1 {
				t.Fatalf("count %d, made %d times", n, tr.get(tr.made, "player/ann"))
			}
			if l := tr.dead(); len(l) != 3 || l[0].Cause != "the loop dies" || len(tr.exhausted()) != 0 {
				t.Fatalf("letters %+v, exhausted %v", l, tr.exhausted())
			}
			restarts := uint64(0)
			for _, st := range ws.Status() {
				restarts += st.Restarts
			}
			if restarts != 3 {
				t.Fatalf("%d restarts", restarts)
			}
		})
	})
}

// What kills the worker amid a batch is not tried again; what is behind it is handled.
func TestTheMessageThatKillsAWorkerIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		o := tr.options(Single)
		o.Mine = func(part uint16) bool {
			if part == PartitionOf("player/evil") {
				panic("mine")
			}
			return true
		}
		ws := NewWorkers(o)
		defer ws.Close()
		for _, key := range []string{"player/ann", "player/evil", "player/bob", "player/ann"} {
			_ = ws.Post(message(key))
		}
		synctest.Wait()
		if tr.get(tr.handled, "player/ann") != 2 || tr.get(tr.handled, "player/bob") != 1 || len(tr.dead()) != 1 {
			t.Fatalf("handled %v, %d letters", tr.handled, len(tr.dead()))
		}
	})
}

// One that dies again and again says so, rests while its callers are refused, for longer each time, and goes on.
func TestAWorkerPastItsIntensityRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		o := tr.options(Single)
		deaths := mortal(&o)
		ws := NewWorkers(o)
		defer ws.Close()
		deaths.Store(2 * actor.MaxPanics)
		start := time.Now()
		_ = ws.Post(asks("player/ann", 1))
		_ = ws.Post(message("player/bob"))
		synctest.Wait()
		if ends := tr.exhausted(); len(ends) != 1 || ends[0] != "0" {
			t.Fatalf("exhausted: %v", ends)
		}
		if r := tr.refusals(); len(r) > 1 || len(r) == 1 && !errors.Is(r[0].why, actor.ErrFull) {
			t.Fatalf("refused: %+v", r)
		}
		if err := ws.Post(asks("player/ann", 2)); !errors.Is(err, actor.ErrFull) {
			t.Fatalf("a call while the worker rests: %v", err)
		}
		time.Sleep(time.Second + time.Millisecond)
		if n := len(tr.exhausted()); n != 2 {
			t.Fatalf("after a second it was tried %d times", n)
		}
		for tr.get(tr.handled, "player/bob") == 0 && time.Since(start) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		if d := time.Since(start); d < 3*time.Second || d > 3*time.Second+10*time.Millisecond {
			t.Fatalf("went on after %v, want 1 s + 2 s", d)
		}
		if err := ws.Post(asks("player/ann", 3)); err != nil {
			t.Fatal(err)
		}
	})
}

// A handler that ends its goroutine ends the worker; another goroutine goes on in its place.
func TestAHandlerThatEndsItsGoroutine(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		synctest.Test(t, func(t *testing.T) {
			tr := newTrace()
			tr.handle = func(_ *Worker, _ *probe, e *envelope.Envelope) {
				if e.Ref == 13 {
					runtime.Goexit()
				}
			}
			ws := NewWorkers(tr.options(d))
			defer ws.Close()
			for i := range 10 {
				e := message("player/ann")
				if i == 3 {
					e.Ref = 13
				}
				_ = ws.Post(e)
			}
			synctest.Wait()
			if n, l := count(t, ws, "player/ann"), tr.dead(); n != 10 || len(l) != 1 || l[0].Cause != "a handler ended its goroutine" {
				t.Fatalf("count %d, letters %+v", n, l)
			}
		})
	})
}

// Close does not wait for a worker's rest.
func TestCloseEndsARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		o := tr.options(Single)
		deaths := mortal(&o)
		ws := NewWorkers(o)
		deaths.Store(actor.MaxPanics)
		_ = ws.Post(message("player/ann"))
		synctest.Wait()
		start := time.Now()
		ws.Close()
		if time.Since(start) != 0 || tr.get(tr.handled, "player/ann") != 1 {
			t.Fatalf("closed after %v, handled %d", time.Since(start), tr.get(tr.handled, "player/ann"))
		}
	})
}
