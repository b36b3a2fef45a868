package node

import (
	"sync"
	"sync/atomic"
	"time"

	"gamed/internal/actor"
	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// owning is the shell around the ownership machine. While nothing moves, a message passes it with one atomic load.
//
// Locks are taken in the order Node.installing, owning.mu, and nothing that is called under mu comes back to it.
type owning struct {
	busy    atomic.Bool // the machine has to see messages
	started time.Time

	mu     sync.Mutex // guards what follows
	m      *ownership.Machine
	asked  map[uint64]chan struct{} // nodes that wait for copies, by ref
	refs   uint64
	gifts  map[uint64]*handover // what the table being put in force takes from this node, by its term
	since  time.Time            // when the table was put in force
	forked bool                 // some entity may remember another life

	asides   asides
	arrivals arrivals
}

func newOwning(self shard.NodeID) *owning {
	return &owning{started: time.Now(), m: ownership.New(self), asked: map[uint64]chan struct{}{}, gifts: map[uint64]*handover{}}
}

// step gives the machine an event and does what it says.
func (n *Node) step(ev ownership.Event) {
	n.own.mu.Lock()
	later := n.locked(ev)
	n.own.mu.Unlock()
	for _, f := range later {
		f()
	}
}

// locked is step under owning.mu; what it gives is to be done without the lock.
func (n *Node) locked(ev ownership.Event) (later []func()) {
	var acts []ownership.Activate
	var gives []*gift
	o := n.own
	for _, a := range o.m.Step(time.Since(o.started), ev) {
		switch a := a.(type) {
		case ownership.Give:
			if g := n.gift(a); a.Copies {
				gives = append(gives, g)
			}
		case ownership.Activate:
			acts = append(acts, a)
		default:
			later = append(later, n.do(a)...)
		}
	}
	if len(acts) > 0 {
		n.wg.Go(func() {
			for _, a := range acts {
				n.activate(a)
			}
		})
	}
	if len(gives) > 0 {
		n.wg.Go(func() {
			for _, g := range gives {
				n.give(g)
			}
		})
	}
	n.own.busy.Store(o.m.Busy())
	return later
}

// do does one thing that the machine says. owning.mu is held.
func (n *Node) do(a ownership.Action) (later []func()) {
	refuse := func(from shard.NodeID, e *envelope.Envelope, why error) {
		if from.IsZero() {
			from = n.router.Self()
		}
		later = append(later, func() { local{n}.Refused(from, e, why) })
	}
	switch a := a.(type) {
	case ownership.PutInForce:
		n.putInForce(a.Table)
	case ownership.Retire:
		now := time.Now()
		for _, p := range a.Parts {
			n.copies.Retire(p, now)
		}
	case ownership.Hold:
		for _, p := range a.Parts {
			n.copies.Hold(p)
		}
	case ownership.SetAside:
		n.setAside(a)
	case ownership.Mark:
		n.mark(a)
	case ownership.Say:
		n.say(a)
	case ownership.Let:
		if err := n.workers.Post(a.Env); err != nil {
			refuse(a.From, a.Env, err)
		}
	case ownership.Receive:
		switch err := n.receiveNow(a.Env); {
		case err == errNotHere:
			later = append(later, func() { n.router.Receive(a.From, a.Env) })
		case err != nil:
			refuse(a.From, a.Env, err)
		}
	case ownership.Pass:
		if err := n.router.ToNode(a.To, a.Env); err != nil {
			refuse(shard.NodeID{}, a.Env, err)
		}
	case ownership.Refuse:
		refuse(a.From, a.Env, n.refusal(a.Why))
	case ownership.Gather:
		n.wg.Go(func() { n.gather(a) })
	case ownership.SendCopies:
		if ch := n.own.asked[a.Ref]; ch != nil {
			delete(n.own.asked, a.Ref)
			close(ch)
		}
	case ownership.Tell:
		local{n}.tell(a.Env)
	case ownership.Stale:
		n.moves.stale.WithLabelValues(a.What).Inc()
	}
	return later
}

// installed puts a table in force. It is called in order from one goroutine and must not block.
func (n *Node) installed(t *shard.Table) {
	changed := n.judge(t)
	n.installing.Lock() // so that a sum is by one table, and nothing is activated meanwhile
	n.own.mu.Lock()
	n.own.busy.Store(true) // before the router follows the table: the workers ask what runs here
	later := n.locked(ownership.Install{Table: t})
	n.own.mu.Unlock()
	n.installing.Unlock()
	for _, f := range later {
		f()
	}
	n.gateway.changed()
	if changed {
		n.tellDegraded()
	}
}

// tick does what is due of moves and merges. It is called now and then.
func (n *Node) tick(now time.Time) {
	n.step(ownership.Tick{})
	n.whole()
	n.lookForBackups(now)
	n.own.asides.forget(now.Add(-2 * ownership.HealFor))
	n.own.mu.Lock()
	clean := n.own.forked && !n.degraded.Load() && now.Sub(n.own.since) > ownership.HealFor
	if clean {
		n.own.forked = false
	}
	n.own.mu.Unlock()
	if clean {
		n.unfork()
	}
}

// putInForce has the router and the workers follow a table. What the workers let go of is kept, and given away if it is to be.
func (n *Node) putInForce(t *shard.Table) {
	now := time.Now()
	var runs [shard.Partitions]bool
	for p := range uint16(shard.Partitions) {
		n.copies.Fence(p, n.own.m.Fence(p))
		runs[p] = n.own.m.Runs(p)
	}
	n.copies.Purge(now.Add(-ownership.Recently))
	h := n.own.gifts[t.Term]
	if h == nil {
		h = &handover{}
	}
	delete(n.own.gifts, t.Term)
	h.old = n.router.Table()
	n.own.since = now
	n.own.forked = n.own.forked || n.degraded.Load()
	n.own.busy.Store(true) // before a message can pass by the new table
	n.router.Install(t)
	released := make(chan struct{})
	n.workers.Each(func(w *shard.Worker) {
		w.Rebase(func(p uint16) bool { return runs[p] }, t.Has, func(key string, part uint16, whole *state.Change) { n.leaves(h, key, part, whole) })
	}, func() { close(released) })
	n.wg.Go(func() {
		<-released
		if len(h.gifts) > 0 {
			faultPoint("sealed")
		}
		n.step(ownership.Released{Term: t.Term})
		for _, g := range h.order {
			n.give(g)
		}
	})
}

// receive takes what came over the mesh. e and its bytes are valid only during the call.
func (n *Node) receive(from shard.NodeID, e *envelope.Envelope) {
	if !e.Kind.ToEntity() || !n.own.busy.Load() && int(e.Part) < shard.Partitions && e.Term <= n.router.Table().PartTerm[e.Part] {
		n.router.Receive(from, e)
		return
	}
	if e.Node.IsZero() {
		e.Node = from // gateways leave it out
	}
	e.Part = shard.PartitionOf(e.Key)
	taken, err := n.meets(from, e)
	switch {
	case !taken:
		n.router.Receive(from, e)
	case err != nil:
		local{n}.Refused(from, e, err)
	}
}

// meets has the machine look at a message. Not taken: it goes its way. The error says why it was refused.
func (n *Node) meets(from shard.NodeID, e *envelope.Envelope) (taken bool, err error) {
	n.own.mu.Lock()
	defer n.own.mu.Unlock()
	taken = true
	for _, a := range n.own.m.Step(time.Since(n.own.started), ownership.Message{From: from, Env: e}) {
		switch a := a.(type) {
		case ownership.Receive:
			taken = false
		case ownership.Refuse:
			err = n.refusal(a.Why)
		case ownership.Pass:
			err = n.router.ToNode(a.To, e)
		default:
			n.do(a)
		}
	}
	n.own.busy.Store(n.own.m.Busy())
	return taken, err
}

// refusal is why a message is refused.
func (n *Node) refusal(why ownership.Why) error {
	n.moves.refused(why)
	if why == ownership.Full {
		return actor.ErrFull
	}
	return shard.ErrNoOwner
}

// errNotHere says that a message is not for an entity that runs here.
var errNotHere = shard.ErrNoOwner

// receiveNow gives a message that was kept to its entity, if it runs here. owning.mu is held.
func (n *Node) receiveNow(e *envelope.Envelope) error {
	if !n.own.m.Runs(e.Part) {
		return errNotHere
	}
	return n.workers.Post(e)
}

// runs says whether this node runs the entities of a partition: it owns it, and they are here.
func (n *Node) runs(part uint16) bool {
	if !n.own.busy.Load() {
		return n.router.Owns(part)
	}
	n.own.mu.Lock()
	defer n.own.mu.Unlock()
	return n.own.m.Runs(part)
}

// away are the partitions that this node owns and lets nothing into yet.
func (n *Node) away() map[uint16]bool {
	if !n.own.busy.Load() {
		return nil
	}
	n.own.mu.Lock()
	defer n.own.mu.Unlock()
	return n.own.m.Away()
}

// stray routes anew what a worker found for an entity that is not here any more, or not yet.
func (n *Node) stray(e *envelope.Envelope) {
	if !n.gateway.stray(e) {
		n.router.Stray(e)
	}
}
