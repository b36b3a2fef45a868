package simulation

import (
	"maps"
	"slices"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// worker runs the entities of some partitions, one message after the other, in the order they were posted.
type worker struct {
	n        *node
	entities map[string]*entity
	box      []task
	busy     bool // a turn is due
}

// task is a message for an entity, or something for the worker.
type task struct {
	e    *envelope.Envelope
	term uint64 // of the partition when it came
	do   func()

	parked bool // there was no lease
	since  time.Duration
}

// parkedFor is how long a message waits for the lease.
const parkedFor = 4 * time.Second

// maxBox is how many messages a mailbox holds.
const maxBox = 1024

func (k *worker) post(e *envelope.Envelope) error {
	if len(k.box) >= maxBox {
		return actor.ErrFull
	}
	k.box = append(k.box, task{e: e, term: k.n.own.Table().PartTerm[e.Part]})
	k.schedule()
	return nil
}

// do runs something on the worker, after what was posted before.
func (k *worker) do(f func()) {
	k.box = append(k.box, task{do: f})
	k.schedule()
}

func (k *worker) schedule() {
	if k.busy {
		return
	}
	k.busy = true
	w := k.n.w
	k.n.later(w.between(10*time.Microsecond, 300*time.Microsecond), k.turn)
}

// turn takes what waits. Without a lease nothing of an entity is done: its messages wait, in order; tasks go on.
func (k *worker) turn() {
	k.busy = false
	batch := k.box
	k.box = nil
	for i, t := range batch {
		if k.n.dead {
			return
		}
		if t.do != nil {
			t.do()
			continue
		}
		if !k.n.leased() {
			rest := slices.Clone(batch[i:])
			for _, r := range rest {
				if r.do != nil {
					r.do()
				}
			}
			rest = slices.DeleteFunc(rest, func(t task) bool { return t.do != nil })
			for i := range rest {
				if t := &rest[i]; !t.parked {
					t.parked, t.since = true, k.n.w.now
				}
			}
			for len(rest) > 0 && k.n.w.now-rest[0].since > parkedFor {
				k.n.Refused(k.n.id, rest[0].e, shard.ErrNoOwner)
				rest = rest[1:]
			}
			k.box = append(rest, k.box...)
			k.n.later(20*time.Millisecond, k.schedule)
			return
		}
		if t.parked && t.term != k.n.own.Table().PartTerm[t.e.Part] { // others had it meanwhile, and newer messages of the same sender
			k.n.Refused(k.n.id, t.e, shard.ErrNoOwner)
			continue
		}
		k.handle(t.e)
	}
}

func (k *worker) handle(e *envelope.Envelope) {
	x := k.entities[e.Key]
	if x == nil {
		switch {
		case e.Kind == envelope.Acked:
			return
		case !k.n.own.Runs(e.Part):
			k.n.stray(e)
			return
		}
		x = newEntity(k.n, e.Key)
		k.entities[e.Key] = x
	}
	x.handle(e)
}

// keys gives the entities in order, so that a run can be repeated.
func (k *worker) keys() []string { return slices.Sorted(maps.Keys(k.entities)) }

// wakeAt has an entity woken.
func (n *node) wakeAt(x *entity, at time.Duration) {
	if x.wakes > 0 && x.wakes <= at && x.wakes > n.w.now {
		return
	}
	at = max(at, n.w.now+time.Millisecond)
	x.wakes = at
	n.w.queue.push(at, func() {
		n.arrives(func() {
			if x.wakes != at || x.gone {
				return
			}
			x.wakes = 0
			if !n.leased() {
				n.wakeAt(x, n.w.now+20*time.Millisecond)
				return
			}
			x.wake()
		})
	})
}
