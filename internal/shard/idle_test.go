package shard

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/state"
)

func owners(ws *Workers) int {
	ws.mu.RLock()
	defer ws.mu.RUnlock()
	return len(ws.own)
}

func TestIdleEntitiesLeaveMemory(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		synctest.Test(t, func(t *testing.T) {
			tr := newTrace()
			tr.handle = func(_ *Worker, p *probe, e *envelope.Envelope) { p.quiet = e.Flags == 0 }
			ws := NewWorkers(tr.options(d))
			defer ws.Close()
			busy := message("player/busy")
			busy.Flags = 1
			_ = ws.Post(message("player/idle"))
			_ = ws.Post(busy)
			time.Sleep(defaultIdle - time.Second)
			if n, _ := ws.Entities(); n != 2 {
				t.Fatalf("%d in memory before the time", n)
			}
			time.Sleep(2*sweepEvery + time.Second)
			if n, _ := ws.Entities(); n != 1 || tr.get(tr.left, "player/idle") != 1 || tr.get(tr.left, "player/busy") != 0 {
				t.Fatalf("%d in memory, left %v", n, tr.left)
			}
			if n := owners(ws); d == PerPlayer && n != 1 {
				t.Fatalf("%d workers for one entity", n)
			}
			_ = ws.Post(message("player/idle"))
			if n := count(t, ws, "player/idle"); n != 1 || tr.get(tr.made, "player/idle") != 2 {
				t.Fatalf("came back with %d messages, made %d times", n, tr.get(tr.made, "player/idle"))
			}
		})
	})
}

func TestPerPlayerWorkersRetireWithoutLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrace()
		tr.handle = func(_ *Worker, p *probe, _ *envelope.Envelope) { p.quiet = true }
		tr.restore = func(p *probe, _ state.Sections) { p.quiet = true }
		o := tr.options(PerPlayer)
		o.IdleTimeout = 1
		ws := NewWorkers(o)
		const keys, rounds = 40, 60
		var told atomic.Int64
		var wg sync.WaitGroup
		for k := range keys {
			key := fmt.Sprintf("player/%d", k)
			wg.Go(func() {
				for range rounds {
					if err := ws.Post(message(key)); err != nil {
						t.Errorf("post: %v", err)
					}
					time.Sleep(sweepEvery) // the worker's alarm is due at this moment too
				}
			})
			wg.Go(func() {
				for range rounds {
					if err := ws.Tell(key, func(*Worker, Entity) { told.Add(1) }); err != nil {
						t.Errorf("tell: %v", err)
					}
					if err := ws.Restore(key, state.Sections{}); err != nil {
						t.Errorf("restore: %v", err)
					}
					time.Sleep(sweepEvery)
				}
			})
		}
		wg.Go(func() {
			for range rounds {
				ws.Each(func(*Worker) {}, func() { told.Add(1) })
				time.Sleep(sweepEvery)
			}
		})
		wg.Wait()
		time.Sleep(3 * sweepEvery)
		if n := tr.all(tr.handled); n != keys*rounds {
			t.Errorf("%d handled of %d", n, keys*rounds)
		}
		if n := told.Load(); n != keys*rounds+rounds {
			t.Errorf("%d functions ran of %d", n, keys*rounds+rounds)
		}
		if n := owners(ws); n != 0 {
			t.Errorf("%d workers of idle players", n)
		}
		if made, left := tr.all(tr.made), tr.all(tr.left); made != left || made < 2*keys {
			t.Errorf("%d made, %d left: nobody retired, or not all", made, left)
		}
		ws.Close()
	})
}

func TestPerPlayerWorkersRetireUnderLoad(t *testing.T) {
	tr := newTrace()
	tr.handle = func(w *Worker, p *probe, _ *envelope.Envelope) { p.quiet, w.swept = true, time.Time{} }
	o := tr.options(PerPlayer)
	o.IdleTimeout = 1
	ws := NewWorkers(o)
	const each = 3000
	var wg sync.WaitGroup
	var sent atomic.Int64
	for s := range 4 {
		wg.Go(func() {
			for i := range each {
				err := ws.Post(message(fmt.Sprintf("player/%d", (i+s)%3)))
				switch {
				case err == nil:
					sent.Add(1)
				case !errors.Is(err, actor.ErrFull):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ws.Close()
	if n := tr.all(tr.handled); int64(n) != sent.Load() {
		t.Fatalf("%d handled of %d", n, sent.Load())
	}
}
