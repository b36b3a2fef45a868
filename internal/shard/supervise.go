package shard

import (
	"context"
	"runtime/pprof"
	"strconv"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
)

// workerLabel is the goroutine label of workers: profiles tell them apart, and the watchdog finds their stacks by it.
const workerLabel = "worker"

// supervise runs a worker until it ends. One that dies goes on at once, with its entities, behind the message that killed it; one that
// dies again and again rests for a time that doubles, in which its callers are told that it is busy.
func (ws *Workers) supervise(w *Worker) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(workerLabel, w.label())))
	ended := false
	defer func() {
		if !ended { // a handler ended the goroutine: the worker gets another
			ws.wg.Go(func() {
				w.died()
				ws.supervise(w)
			})
		}
	}()
	for !w.live() {
		w.died()
	}
	ended = true
}

// died counts a death. It returns when the worker may go on.
func (w *Worker) died() {
	w.restarts.Add(1)
	now := time.Now()
	if !w.deaths.Panicked(now) {
		return
	}
	if f := w.all.opt.Exhausted; f != nil && w.ownKey == "" {
		f(w.all.nameOf(w), w.deaths.Until())
	}
	w.pause(w.deaths.Left(now))
}

// live runs the worker. False: it died.
func (w *Worker) live() (ended bool) {
	defer func() {
		w.claims.rest()
		if ended {
			return
		}
		w.cur = nil
		cause := recover()
		if cause == nil {
			cause = "a handler ended its goroutine"
		}
		w.dead(actor.DeadLetter{What: "worker " + w.all.nameOf(w)}, cause)
	}()
	w.run()
	return true
}

// pause rests, unless the workers are closed.
func (w *Worker) pause(d time.Duration) {
	w.refusing.Store(true)
	defer w.refusing.Store(false)
	t := time.NewTimer(d)
	defer t.Stop()
	for wait := true; wait; {
		w.refuseWaiting()
		select {
		case <-t.C:
			wait = false
		case <-w.all.stop:
			wait = false
		case <-time.After(sweepStuck):
		}
	}
}

// sweepStuck is how often what came to a worker that refuses is refused: something may have passed just before it began to.
const sweepStuck = time.Second

// refuseWaiting tells callers whose messages wait in the mailbox that the worker is busy. It may be called from any goroutine.
func (w *Worker) refuseWaiting() {
	refused := w.box.Remove(func(it *item) bool { return it.buf != nil && awaited(it.env.Kind) })
	for i := range refused {
		w.all.refuse(&refused[i].env, actor.ErrFull)
		refused[i].free()
	}
}

// awaited says that somebody waits for the answer to such a message.
func awaited(k envelope.Kind) bool {
	return k == envelope.Frames || k == envelope.Hello || k == envelope.Call
}

// refuse is Options.Refuse, on any goroutine.
func (ws *Workers) refuse(e *envelope.Envelope, why error) {
	if ws.opt.Refuse == nil {
		return
	}
	defer func() {
		if cause := recover(); cause != nil && ws.opt.Panicked != nil {
			ws.opt.Panicked(letter(actor.DeadLetter{At: time.Now(), Key: e.Key, What: "refuse", Size: len(e.Payload)}, cause))
		}
	}()
	ws.opt.Refuse(e, why)
}

func (w *Worker) label() string { return strconv.FormatUint(w.id, 10) }

// nameOf is what people call a worker: its number, or the key of its only entity.
func (ws *Workers) nameOf(w *Worker) string {
	if w.ownKey != "" {
		return w.ownKey
	}
	for i, other := range ws.workers {
		if other == w {
			return strconv.Itoa(i)
		}
	}
	return "?"
}
