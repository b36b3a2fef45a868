package simulation

import (
	"maps"
	"slices"
	"time"

	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// gatherFor is how long the answers of others are waited for.
const gatherFor = 2 * time.Second

// gather asks all others of the table for copies.
func (n *node) gather(a ownership.Gather) {
	w := n.w
	silent := map[shard.NodeID]bool{}
	over := false
	finish := func() {
		if over {
			return
		}
		over = true
		var list []shard.NodeID
		for _, o := range w.lives {
			if silent[o.id] {
				list = append(list, o.id)
			}
		}
		n.ostep(ownership.Gathered{Round: a.Round, Silent: list})
	}
	for _, id := range n.own.Table().Nodes {
		if id == n.id {
			continue
		}
		o := w.find(id)
		silent[id] = true
		ask := &asker{node: n, gather: a}
		ask.answer = func() {
			delete(silent, id)
			if len(silent) == 0 {
				finish()
			}
		}
		n.question(o, ask, w.now+gatherFor, func() bool { return over })
	}
	if len(silent) == 0 {
		n.soon(finish)
		return
	}
	n.later(gatherFor, finish)
}

// question brings a question to another node, again until its queue takes it.
func (n *node) question(o *node, ask *asker, until time.Duration, over func() bool) {
	if over() || n.w.now > until {
		return
	}
	err := n.w.net.send(n, o, data, message{do: func() {
		m := &o.moves
		m.asked++
		if m.asks == nil {
			m.asks = map[uint64]*asker{}
		}
		m.asks[m.asked] = ask
		o.ostep(ownership.Asked{Ref: m.asked, Term: ask.gather.Term, Table: ask.gather.Table})
	}})
	if err != nil {
		n.later(5*time.Millisecond, func() { n.question(o, ask, until, over) })
	}
}

// sendCopies answers a question: the copies first, on the same lane.
func (n *node) sendCopies(ref uint64) {
	ask := n.moves.asks[ref]
	delete(n.moves.asks, ref)
	if ask == nil {
		return
	}
	var list []message
	store, origin := n.copies, ownership.Origin{}
	if aside := ask.gather.Aside; aside != 0 {
		store, origin = n.aside(aside), ownership.Origin{Term: aside, Rival: true}
	}
	for _, p := range ask.gather.Parts {
		keys := store.Keys(p)
		slices.Sort(keys)
		for _, key := range keys {
			if c, whole, ok := store.Peek(p, key); ok {
				origin.Part = p
				list = append(list, message{e: &envelope.Envelope{Kind: envelope.Replicate, Part: p, Term: c.Term, Conn: c.Life, Ref: c.Seq, Key: key,
					Flags: envelope.FlagWhole | envelope.FlagFill, Payload: whole.Append(nil)}, origin: origin, asked: ask})
			}
		}
	}
	n.sendNext(ask, list, len(list))
}

// sendNext sends copies, then their number: some may be lost with a link, and the answer come over the next one.
func (n *node) sendNext(ask *asker, list []message, sent int) {
	if n.dead {
		return
	}
	var err error
	if len(list) == 0 {
		err = n.w.net.send(n, ask.node, data, message{do: func() {
			if ask.came == sent {
				ask.answer() // otherwise it is asked again
			}
		}})
	} else if err = n.w.net.send(n, ask.node, data, list[0]); err == nil {
		n.sendNext(ask, list[1:], sent)
		return
	}
	if err != nil && n.router.Table().Has(ask.node.id) {
		n.later(5*time.Millisecond, func() { n.sendNext(ask, list, sent) })
	}
}

// activate makes the entities of a partition, or merges rival copies into them, on the partition's worker.
func (n *node) activate(a ownership.Activate) {
	if !n.own.Wants(a.Part, a.Round) {
		return
	}
	k, empty := n.workerOf(a.Part), true
	if a.Take {
		taken := n.copies.TakeCopies(a.Part)
		empty = len(taken) == 0
		for _, key := range slices.Sorted(maps.Keys(taken)) {
			c := taken[key]
			if a.Fork {
				n.w.check.forked++
				n.moves.forked = true
				c.Sections.Fork(state.Point{Term: c.Term, Life: c.Life, Seq: c.Seq, By: n.id.Boot})
			}
			k.do(func() { k.restore(key, c.Sections) })
		}
	}
	for _, term := range a.Merge {
		theirs := n.aside(term).TakeCopies(a.Part)
		empty = empty && len(theirs) == 0
		for _, key := range slices.Sorted(maps.Keys(theirs)) {
			k.do(func() { k.merge(key, theirs[key].Sections) })
			if n.w.set.broken(mergeTwice) {
				k.do(func() { k.merge(key, theirs[key].Sections) })
			}
		}
	}
	if empty {
		n.ostep(ownership.Active{Part: a.Part, Round: a.Round})
		return
	}
	k.do(func() { n.ostep(ownership.Active{Part: a.Part, Round: a.Round}) })
}

func (k *worker) restore(key string, s state.Sections) {
	if k.entities[key] != nil {
		return
	}
	x := newEntity(k.n, key)
	k.entities[key] = x
	x.restore(s)
	if k.n.w.tracing {
		k.n.w.logf("%s runs %s, balance %d", k.n, key, x.acct.balance)
	}
}

// receive takes what came over the mesh.
func (n *node) receive(from shard.NodeID, m *message) {
	e := m.e
	switch {
	case e.Kind == envelope.Moved:
		n.retry(e.Payload)
	case e.Kind == envelope.Handoff && e.Event == marking:
		n.ostep(ownership.Marked{From: from, Term: e.Term})
	case e.Kind == envelope.Handoff:
		n.ostep(ownership.Word{From: from, Origin: m.origin, Pieces: int(e.Ref)})
	case e.Kind == envelope.Replicate && (e.Event == giving || e.Flags&envelope.FlagFill != 0):
		n.moves.from, n.moves.copy = from, m
		if m.asked != nil {
			m.asked.came++
		}
		n.ostep(ownership.Copy{From: from, Asked: e.Flags&envelope.FlagFill != 0, Origin: m.origin})
	case e.Kind == envelope.Replicate:
		n.replicate(from, e)
	case e.Kind.ToEntity():
		if e.Node.IsZero() {
			e.Node = from // gateways leave it out
		}
		n.ostep(ownership.Message{From: from, Env: e})
	default:
		n.router.Receive(from, e)
	}
}

// route lets a message go its way, judged by the table.
func (n *node) route(from shard.NodeID, e *envelope.Envelope) {
	if from.IsZero() {
		n.post(n.id, e)
		return
	}
	n.router.Receive(from, e)
}

// replicate keeps a change of an entity that lives on another node, and says so.
func (n *node) replicate(from shard.NodeID, e *envelope.Envelope) {
	w := n.w
	if w.set.broken(noTerm) {
		e.Term = max(e.Term, n.own.Fence(e.Part)) // whoever says it
	} else if e.Term < n.router.Table().PartTerm[e.Part] {
		return // an owner that was replaced
	}
	if n.router.Owns(e.Part) && !w.set.broken(noTerm) {
		return // what another owner had beside us is not ours
	}
	if !w.set.broken(noTerm) && ownership.Strange(n.router.Table(), n.id, from, e.Part) {
		return
	}
	acked := func() {
		a := envelope.Envelope{Kind: envelope.Acked, Part: e.Part, Term: e.Term, Key: e.Key, Conn: e.Conn, Ref: e.Ref, Flags: e.Flags & envelope.FlagMore}
		_ = n.Send(from, &a) // the owner asks again
	}
	if w.set.broken(ackEarly) {
		acked()
		n.later(w.between(50*time.Millisecond, 400*time.Millisecond), func() { n.copies.Apply(e) })
		return
	}
	if n.copies.Apply(e) {
		acked()
	}
}

// The delays of messages that came back, as the router's.
const (
	retryDelay  = 50 * time.Millisecond
	retryJitter = 10 * time.Millisecond
	maxRetries  = 4096
)

// retry sends a message that met a node which does not own its key again, a little later.
func (n *node) retry(b []byte) {
	var e envelope.Envelope
	if e.Decode(slices.Clone(b)) != nil || !e.Kind.ToEntity() {
		return
	}
	if n.awaits >= maxRetries {
		n.Refused(n.id, &e, shard.ErrBusy)
		return
	}
	n.awaits++
	n.later(retryDelay*time.Duration(max(e.Hops, 1))+n.w.between(0, retryJitter), func() {
		n.awaits--
		if err := n.router.Route(&e); err != nil {
			n.Refused(n.id, &e, err)
		}
	})
}

// stray routes what a worker found for an entity that is not here any more.
func (n *node) stray(e *envelope.Envelope) {
	if e.Kind == envelope.Frames && e.Node.IsZero() && n.gateway.stray(e) {
		return
	}
	n.router.Stray(e)
}
