package shard

import (
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/state"
)

// Worker is one goroutine that runs many entities. Its methods are for what it runs: entities, and the functions given to Each and
// Tell.
type Worker struct {
	// Local is what the entities of this worker share.
	Local any

	all    *Workers
	id     uint64 // unique in the process
	box    *actor.Mailbox[item]
	batch  []item // the one in hand
	done   int    // items of it that were begun
	slots  map[string]*slot
	wakes  wakeHeap
	now    time.Time
	cur    *slot        // the entity that is running; nil: none
	count  atomic.Int64 // len(slots)
	ownKey string       // PerPlayer: the one entity
	park   parking
	swept  time.Time

	fallen   map[string]*actor.Quarantine // those that panicked, by key
	claims   claims
	waking   atomic.Pointer[slot] // the entity that is being woken
	refusing atomic.Bool          // callers are told that it is busy
	deaths   actor.Quarantine
	restarts atomic.Uint64
}

// slot is one entity in memory.
type slot struct {
	key    string
	entity Entity
	used   time.Time
	wakeAt time.Time
	heap   int // place in the wake heap + 1; 0: not to be woken
	gone   bool
}

// Now is the time at which the present batch was taken.
func (w *Worker) Now() time.Time { return w.now }

// minWake is the least time until a wake-up: a time that has passed does not make the worker run in circles.
const minWake = time.Millisecond

// WakeAt has Wake called on the entity that is running, at this time or at least a millisecond from now; the earliest of several
// counts, and it has to be asked for again after each Wake. It panics when no entity is running.
func (w *Worker) WakeAt(at time.Time) {
	s := w.cur
	if s == nil {
		panic("shard: WakeAt, but no entity is running")
	}
	if s.gone {
		return
	}
	if soonest := w.now.Add(minWake); at.Before(soonest) {
		at = soonest
	}
	w.wakes.set(s, at)
}

// sweepEvery is how often a worker looks for idle entities.
const sweepEvery = 10 * time.Second

// run ends when the mailbox is closed and empty. It goes on with what is left of the batch in hand.
func (w *Worker) run() {
	alarm := time.NewTimer(sweepEvery)
	defer alarm.Stop()
	for ok := true; ok; {
		w.now = time.Now()
		if w.round() {
			return
		}
		alarm.Reset(w.due())
		w.claims.rest()
		w.batch, ok = w.box.Take(w.batch, alarm.C)
		w.done = 0
	}
}

// round does what there is to do now. It says whether the worker, being the only entity's own, has ended.
func (w *Worker) round() bool {
	w.begin()
	w.claims.begin(w.batch[w.done:])
	w.claims.next()
	for n := w.done; n < len(w.batch); n++ {
		w.done = n + 1
		w.handle(&w.batch[n], n)
		w.claims.next() // before the memory of this one is given back
		w.batch[n].free()
	}
	if !w.mayAct(0) {
		return false
	}
	for s := w.wakes.due(w.now); s != nil; s = w.wakes.due(w.now) {
		w.wake(s)
		w.claims.next()
	}
	return w.sweep()
}

func (w *Worker) handle(it *item, n int) {
	switch {
	case it.fn != nil:
		w.task(it.fn)
	case it.buf == nil: // it was refused meanwhile
	case w.mayAct(n):
		w.entityMessage(it)
	default:
		w.keepBack(it)
	}
}

// entityMessage has an entity handle a message, whose memory is freed afterwards.
func (w *Worker) entityMessage(it *item) {
	e := &it.env
	if len(w.fallen) > 0 && w.bannedUntil(e.Key).After(w.now) {
		w.turnAway(e, ErrQuarantined)
		return
	}
	s := w.slots[e.Key]
	if s == nil {
		s = w.first(e)
	}
	if s != nil {
		s.used = w.now
		w.deliver(s, e)
	}
}

// first makes the entity of a key's first message, nil when there is to be none.
func (w *Worker) first(e *envelope.Envelope) *slot {
	switch mine := w.all.opt.Mine; {
	case e.Kind == envelope.Acked:
		return nil // it has left memory: nothing waits for the backup's word
	case mine != nil && !mine(e.Part):
		w.task(func(*Worker) { w.all.opt.Stray(e) })
		return nil
	}
	return w.open(strings.Clone(e.Key))
}

// open makes an entity; nil when that panicked.
func (w *Worker) open(key string) *slot {
	s := &slot{key: key, used: w.now}
	if !w.guard(s, "new", func() { s.entity = w.all.opt.New(w, key) }) {
		s.gone = true
		w.wakes.remove(s)
		return nil
	}
	w.slots[key] = s
	w.count.Add(1)
	return s
}

func (w *Worker) restore(key string, sections state.Sections) *slot {
	s := w.open(key)
	if s != nil && !w.guard(s, "restore", func() { s.entity.Restore(w, sections) }) {
		w.remove(s)
		return nil
	}
	return s
}

// Rebase tells every entity that another table is in force. Those of partitions that this node does not own any more are given
// to moved, if they have state, and dropped.
func (w *Worker) Rebase(mine func(part uint16) bool, alive func(NodeID) bool, moved func(key string, part uint16, whole *state.Change)) {
	for key, s := range w.slots {
		part := PartitionOf(key)
		if mine(part) {
			w.enter(s, "rebase", func() { s.entity.Rebase(w, alive) })
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
	w.strayParked(mine)
}

// With runs f for an entity in memory, as if it were a message: it keeps the entity from being idle.
func (w *Worker) With(key string, f func(e Entity)) {
	if s := w.slots[key]; s != nil {
		s.used = w.now
		w.enter(s, "notice", func() { f(s.entity) })
	}
}

// Waiting is how many messages wait in the worker's mailbox.
func (w *Worker) Waiting() int { return w.box.Len() }

// EachEntity calls f with every entity in memory until it returns false. f may only look.
func (w *Worker) EachEntity(f func(key string, e Entity) bool) {
	for k, s := range w.slots {
		if !f(k, s.entity) {
			return
		}
	}
}

func (w *Worker) remove(s *slot) {
	if !s.gone {
		s.gone = true
		w.wakes.remove(s)
		delete(w.slots, s.key)
		w.count.Add(-1)
	}
}

// sweep lets idle entities leave memory. It says whether the worker, being the only entity's own, has ended with it.
func (w *Worker) sweep() bool {
	if w.now.Sub(w.swept) < sweepEvery {
		return false
	}
	w.swept = w.now
	w.pardon()
	for _, s := range w.slots {
		if w.now.Sub(s.used) <= w.all.opt.IdleTimeout {
			continue
		}
		idle := false
		w.guard(s, "idle", func() {
			if idle = s.entity.Idle(w); idle {
				s.entity.Left(w)
			}
		})
		if idle {
			w.remove(s)
		}
	}
	return w.ownKey != "" && len(w.slots) == 0 && w.all.retire(w)
}

// deliver has an entity handle a message. It is enter without a closure, for the hot path.
func (w *Worker) deliver(s *slot, e *envelope.Envelope) {
	w.cur = s
	defer func() {
		w.cur = nil
		if cause := recover(); cause != nil {
			w.fell(s.key, fmt.Sprintf("%v %s %s", e.Kind, e.Topic, e.Event), len(e.Payload), cause)
			w.revive(s)
			w.turnAway(e, ErrPanic)
		}
	}()
	s.entity.Handle(w, e)
}

// enter runs f for an entity. When it panics the entity is made anew.
func (w *Worker) enter(s *slot, what string, f func()) {
	if !w.guard(s, what, f) {
		w.revive(s)
	}
}

// guard runs f for an entity and says whether it returned.
func (w *Worker) guard(s *slot, what string, f func()) (ok bool) {
	old := w.cur
	w.cur = s
	defer func() {
		w.cur = old
		if cause := recover(); cause != nil {
			w.fell(s.key, what, 0, cause)
		}
	}()
	f()
	return true
}

// task runs what is for the worker and no entity.
func (w *Worker) task(f func(*Worker)) {
	defer func() {
		if cause := recover(); cause != nil {
			w.dead(actor.DeadLetter{What: "task"}, cause)
		}
	}()
	f(w)
}

func (w *Worker) dead(l actor.DeadLetter, cause any) {
	if w.all.opt.Panicked != nil {
		l.At = w.now
		w.all.opt.Panicked(letter(l, cause))
	}
}

// letter adds to a dead letter what the panic tells, on whose goroutine it is called.
func letter(l actor.DeadLetter, cause any) actor.DeadLetter {
	l.Cause, l.Stack = fmt.Sprint(cause), string(debug.Stack())
	return l
}

// leave drops an entity and gives its whole state, nil when it has none; not ok: it panicked, and stays.
func (w *Worker) leave(s *slot) (sections state.Sections, ok bool) {
	var whole state.Change
	some := false
	if !w.guard(s, "save", func() { some = s.entity.Whole(&whole) }) {
		return nil, false
	}
	w.guard(s, "move", func() { s.entity.Moved(w) })
	w.remove(s)
	if some {
		sections = whole.Sections()
	}
	return sections, true
}

// remake makes an entity anew from what f makes of its state.
func (w *Worker) remake(key string, f func(whole state.Sections) state.Sections) {
	var old state.Sections
	if s := w.slots[key]; s != nil {
		ok := false
		if old, ok = w.leave(s); !ok {
			return
		}
	}
	anew := old
	w.task(func(*Worker) { anew = f(old) })
	if anew != nil {
		w.restore(key, anew)
	}
}
