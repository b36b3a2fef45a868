package simulation

import (
	"time"

	"gamed/internal/shard"
)

// Times of a run.
const (
	liveness = 60 * time.Second // after the heal: every call answered, one table, everything at rest
)

// simulate does one run: build, load, faults, heal, liveness, judgement.
func simulate(seed uint64, set settings, tracing bool) *world {
	w := newWorld(seed, set)
	w.tracing = tracing
	w.logf("%+v", set)
	w.build()
	w.run(w.now + set.load)
	for range set.faults {
		if w.failed != "" {
			break
		}
		w.hurt()
		w.run(w.now + w.between(100*time.Millisecond, 5*time.Second))
	}
	w.heal()
	w.settle()
	if w.failed == "" {
		w.check.judge()
	}
	return w
}

// build starts the nodes and the clients, and waits until somebody serves.
func (w *world) build() {
	for slot := range w.set.first {
		w.after(w.between(0, time.Second), func() { w.start(slot) })
	}
	w.run(time.Second)
	for w.now < 5*time.Second && (len(w.alive()) < w.set.first || !w.whole()) {
		w.run(w.now + 100*time.Millisecond)
	}
	for range w.set.clients {
		w.addClient()
	}
}

// heal ends all faults. Every slot has a process from now on.
func (w *world) heal() {
	w.logf("heal")
	w.healed = true
	w.mend()
	w.net.full, w.net.tail, w.net.loss = 0, 0.01, 0
	for slot, n := range w.slots {
		switch {
		case n == nil:
			w.start(slot)
		case n.paused:
			n.resume()
		}
	}
	for _, c := range w.clients {
		c.done = true
	}
}

// settle runs on until all is at rest, and fails after the deadline.
func (w *world) settle() {
	until := w.now + liveness
	why := ""
	for w.failed == "" && w.now < until {
		w.run(w.now + 250*time.Millisecond)
		if why = w.restless(); why == "" {
			return
		}
	}
	for _, n := range w.alive() {
		if w.tracing && n.own.Busy() {
			w.logf("%s:\n%s", n, n.dump())
		}
	}
	w.fail("%v after the heal: %s", liveness, why)
}

// restless says what is not as it should be in a cluster without faults; "" when all is.
func (w *world) restless() string {
	var t *shard.Table
	for _, n := range w.alive() {
		switch mine := n.router.Table(); {
		case n.draining:
			return n.String() + " is being drained"
		case t == nil:
			t = mine
		case t.Hash != mine.Hash:
			return "nodes have different tables"
		}
		if len(t.Nodes) != len(w.alive()) || !t.Has(n.id) {
			return "not all nodes are in the table"
		}
		if n.own.Busy() {
			return n.String() + " waits for partitions"
		}
	}
	if t.Degraded() {
		return "the table is degraded"
	}
	for _, c := range w.clients {
		if len(c.open) > 0 {
			return c.open[0].String() + " is not answered"
		}
	}
	return w.unsettled()
}

// whole says whether all that run are in one table.
func (w *world) whole() bool {
	alive := w.alive()
	for _, n := range alive {
		if t := n.router.Table(); t.Hash != alive[0].router.Table().Hash || len(t.Nodes) != len(alive) || !t.Has(n.id) {
			return false
		}
	}
	return true
}

func (w *world) unsettled() string {
	if !w.settled() && len(w.alive()) > 1 {
		return "something waits for its backup"
	}
	return ""
}
