package shard

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gamed/internal/state"
)

// Each runs f once on every worker, in the worker's order: after everything posted before it from this goroutine. done, when
// not nil, is called once after the last f, by a worker, so it must not block. A worker that has ended is left out; after Close all have.
func (ws *Workers) Each(f func(w *Worker), done func()) {
	ws.mu.RLock()
	targets := append([]*Worker(nil), ws.workers...)
	for _, w := range ws.own {
		targets = append(targets, w)
	}
	ws.mu.RUnlock()
	var left atomic.Int64
	left.Store(int64(len(targets)))
	finish := func() {
		if left.Add(-1) == 0 && done != nil {
			done()
		}
	}
	for _, w := range targets {
		err := w.box.PutAlways(item{fn: func(w *Worker) {
			defer finish()
			f(w)
		}})
		if err != nil { // it has ended, with all its entities
			finish()
		}
	}
}

// Tell runs f on the worker of a key, after what was posted before, with its entity, which is nil when it is not in memory. The
// error is actor.ErrClosed.
func (ws *Workers) Tell(key string, f func(w *Worker, e Entity)) error {
	it := item{fn: func(w *Worker) {
		s := w.slots[key]
		if s == nil {
			f(w, nil)
			return
		}
		w.enter(s, "notice", func() { f(w, s.entity) })
	}}
	return ws.put(key, PartitionOf(key), func(w *Worker) error { return w.box.PutAlways(it) })
}

// Do is Tell that waits for f to return. It must not be called from a worker.
func (ws *Workers) Do(key string, timeout time.Duration, f func(w *Worker, e Entity)) error {
	done := make(chan bool, 1)
	err := ws.Tell(key, func(w *Worker, e Entity) {
		ok := false
		defer func() { done <- ok }()
		f(w, e)
		ok = true
	})
	if err != nil {
		return err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case ok := <-done:
		if !ok {
			return fmt.Errorf("worker of %s: %w", key, ErrPanic)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("worker of %s did not answer within %v", key, timeout)
	}
}

// ErrPanic says that a function given to Do panicked.
var ErrPanic = errors.New("the function panicked")

// Remake makes the entity of a key anew from what f makes of its whole state, which is nil when it has none. f runs on the worker.
func (ws *Workers) Remake(key string, f func(whole state.Sections) state.Sections) error {
	return ws.put(key, PartitionOf(key), func(w *Worker) error {
		return w.box.PutAlways(item{fn: func(w *Worker) { w.remake(key, f) }})
	})
}

// Restore makes the entity of a key from a state, unless it is in memory already.
func (ws *Workers) Restore(key string, s state.Sections) error {
	return ws.Tell(key, func(w *Worker, e Entity) {
		if e == nil {
			w.restore(key, s)
		}
	})
}
