package shard

import (
	"container/heap"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/state"
)

// Worker is one goroutine that runs many entities.
type Worker struct {
	// Local is what the entities of this worker share.
	Local any

	all    *Workers
	box    *actor.Mailbox[item]
	slots  map[string]*slot
	wakes  wakeHeap
	now    time.Time
	cur    *slot
	count  atomic.Int64
	ownKey string // PerPlayer: the one entity
	swept  time.Time
}

type slot struct {
	key    string
	entity Entity
	used   time.Time
	wakeAt time.Time // zero: none
	gone   bool
}

// Now is the time at which the present batch was taken.
func (w *Worker) Now() time.Time { return w.now }

// WakeAt has Wake called on the entity that is running, at this time; the earliest of several counts, and it has to be asked
// for again after each Wake.
func (w *Worker) WakeAt(at time.Time) {
	s := w.cur
	if s.wakeAt.IsZero() || at.Before(s.wakeAt) {
		s.wakeAt = at
		heap.Push(&w.wakes, wake{at, s})
	}
}

const sweepEvery = 10 * time.Second

func (w *Worker) run() {
	alarm := time.NewTimer(sweepEvery)
	defer alarm.Stop()
	var batch []item
	var ok bool
	for {
		batch, ok = w.box.Take(batch, alarm.C)
		if !ok {
			w.now = time.Now()
			for _, s := range w.slots {
				w.drop(s)
			}
			return
		}
		w.now = time.Now()
		for i := range batch {
			w.handle(&batch[i])
		}
		for len(w.wakes) > 0 && !w.wakes[0].at.After(w.now) {
			due := heap.Pop(&w.wakes).(wake)
			if s := due.slot; !s.gone && s.wakeAt.Equal(due.at) {
				s.wakeAt = time.Time{}
				w.guard(s, "wake", func() { s.entity.Wake(w) })
			}
		}
		if w.sweep() {
			return
		}
		next := sweepEvery
		if len(w.wakes) > 0 {
			next = min(next, time.Until(w.wakes[0].at))
		}
		alarm.Reset(max(next, time.Millisecond))
	}
}

func (w *Worker) handle(it *item) {
	if it.fn != nil {
		it.fn(w)
		return
	}
	e := &it.env
	s := w.slots[e.Key]
	if s == nil {
		s = w.open(strings.Clone(e.Key))
	}
	s.used = w.now
	w.deliver(s, e)
	putBuf(it.buf)
}

func (w *Worker) open(key string) *slot {
	s := &slot{key: key, used: w.now}
	w.cur = s
	s.entity = w.all.opt.New(w, key)
	w.slots[key] = s
	w.count.Add(1)
	return s
}

func (w *Worker) restore(key string, sections state.Sections) {
	s := w.open(key)
	w.guard(s, "restore", func() { s.entity.Restore(w, sections) })
}

// Rebase tells every entity that another table is in force. Those of partitions that this node does not own any more are given
// to moved, if they have state, and dropped.
func (w *Worker) Rebase(mine func(part uint16) bool, alive func(NodeID) bool, moved func(key string, part uint16, whole *state.Change)) {
	for key, s := range w.slots {
		part := PartitionOf(key)
		if mine(part) {
			w.guard(s, "rebase", func() { s.entity.Rebase(w, alive) })
			continue
		}
		w.guard(s, "move", func() {
			var c state.Change
			if s.entity.Whole(&c) {
				moved(key, part, &c)
			}
			s.entity.Moved(w)
		})
		w.remove(s)
	}
}

func (w *Worker) deliver(s *slot, e *envelope.Envelope) {
	w.cur = s
	defer func() {
		if r := recover(); r != nil {
			w.panicked(s, fmt.Sprintf("%v %s %s", e.Kind, e.Topic, e.Event), r)
		}
	}()
	s.entity.Handle(w, e)
}

// With runs f for an entity that is not handling a message, as if it were.
func (w *Worker) With(key string, f func(e Entity)) {
	if s := w.slots[key]; s != nil {
		s.used = w.now
		w.guard(s, "notice", func() { f(s.entity) })
	}
}

// Waiting is how many messages wait in the worker's mailbox.
func (w *Worker) Waiting() int { return w.box.Len() }

// EachEntity calls f with every entity in memory until it returns false.
func (w *Worker) EachEntity(f func(key string, e Entity) bool) {
	for k, s := range w.slots {
		if !f(k, s.entity) {
			return
		}
	}
}

func (w *Worker) guard(s *slot, what string, f func()) {
	old := w.cur
	w.cur = s
	defer func() {
		w.cur = old
		if r := recover(); r != nil {
			w.panicked(s, what, r)
		}
	}()
	f()
}

func (w *Worker) panicked(s *slot, what string, cause any) {
	if w.all.opt.Panicked != nil {
		w.all.opt.Panicked(actor.DeadLetter{At: w.now, Key: s.key, What: what, Cause: fmt.Sprint(cause), Stack: string(debug.Stack())})
	}
	w.remove(s)
}

func (w *Worker) remove(s *slot) {
	if !s.gone {
		s.gone = true
		delete(w.slots, s.key)
		w.count.Add(-1)
	}
}

func (w *Worker) drop(s *slot) {
	w.guard(s, "left", func() { s.entity.Left(w) })
	w.remove(s)
}

// sweep lets idle entities leave memory. It says whether the worker, being the only entity's own, has ended with it.
func (w *Worker) sweep() bool {
	if w.now.Sub(w.swept) < sweepEvery {
		return false
	}
	w.swept = w.now
	for _, s := range w.slots {
		if w.now.Sub(s.used) > w.all.opt.IdleTimeout && s.entity.Idle(w) {
			w.drop(s)
		}
	}
	return w.ownKey != "" && len(w.slots) == 0 && w.all.retire(w)
}

type wake struct {
	at   time.Time
	slot *slot
}

type wakeHeap []wake

func (h wakeHeap) Len() int           { return len(h) }
func (h wakeHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h wakeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *wakeHeap) Push(x any)        { *h = append(*h, x.(wake)) }
func (h *wakeHeap) Pop() any {
	old := *h
	n := len(old) - 1
	x := old[n]
	old[n] = wake{}
	*h = old[:n]
	return x
}
