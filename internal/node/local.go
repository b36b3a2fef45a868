package node

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gamed/game"
	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/player"
	"gamed/internal/room"
	"gamed/internal/shard"
	"gamed/internal/tally"
)

// local is this node as the router sees it. It implements shard.Local.
type local struct{ n *Node }

// worker is what the entities of one worker share.
type worker struct {
	tallies *tally.Set
	player  *player.Local
	room    *room.Local
}

func (n *Node) newWorker() any {
	t := tally.NewSet(n.gate)
	return &worker{tallies: t, player: player.NewLocal(t), room: &room.Local{}}
}

func (n *Node) newEntity(w *shard.Worker, key string) shard.Entity {
	l := w.Local.(*worker)
	if strings.HasPrefix(key, envelope.PlayerPrefix) {
		return player.New(n.players, l.player, key)
	}
	return room.New(n.rooms, l.room, key)
}

// Post implements shard.Local.
func (l local) Post(e *envelope.Envelope) error {
	n := l.n
	n.installing.RLock() // so that nothing gets behind what gives the entity away
	if !n.router.Owns(e.Part) {
		n.installing.RUnlock()
		return n.router.Route(e)
	}
	defer n.installing.RUnlock()
	if n.own.busy.Load() {
		if taken, err := n.meets(envelope.NodeID{}, e); taken {
			return err
		}
	}
	return n.workers.Post(e)
}

// Node implements shard.Local.
func (l local) Node(from envelope.NodeID, e *envelope.Envelope) {
	switch e.Kind {
	case envelope.Out:
		l.n.gateway.out(e)
	case envelope.Attach, envelope.Detach, envelope.Push:
		l.n.relays.Handle(e)
	case envelope.Notify:
		l.notify(e)
	case envelope.Collect:
		l.collect(e)
	case envelope.Replicate:
		l.replicate(from, e)
	case envelope.Handoff:
		l.n.handoff(from, e)
	case envelope.Query:
		l.n.peers.serve(from, e)
	case envelope.Answer:
		l.n.peers.answered(e)
	}
}

// Refused implements shard.Local.
func (l local) Refused(from envelope.NodeID, e *envelope.Envelope, why error) {
	if e.Kind == envelope.Out && e.Offset != 0 {
		conn := e.Conn
		_ = l.n.workers.Tell(e.Key, func(w *shard.Worker, ent shard.Entity) { // closed: the next owner asks the gateway
			if p, ok := ent.(*player.Entity); ok {
				p.Refused(w, conn)
			}
		})
		return
	}
	if e.Kind == envelope.Attach || e.Kind == envelope.Push {
		at := *e
		if at.Payload = nil; e.Kind == envelope.Attach {
			at.Payload = append([]byte(nil), e.Payload...)
		}
		_ = l.n.workers.Tell(envelope.RoomKey(e.Topic), func(w *shard.Worker, ent shard.Entity) { // closed: nobody is attached
			if h, ok := ent.(*room.Home); ok {
				h.Refused(w, &at)
			}
		})
		return
	}
	back, toNode, ok := player.Refuse(e, why)
	if !ok {
		return
	}
	if !toNode {
		_ = l.n.router.Route(&back) // the caller's deadline tells it
		return
	}
	if !e.Node.IsZero() {
		from = e.Node
	}
	_ = l.n.router.ToNode(from, &back) // its gateway is gone, and the socket with it
}

// replicate keeps a change of an entity that lives on another node, and says so.
func (l local) replicate(from envelope.NodeID, e *envelope.Envelope) {
	if e.Flags&envelope.FlagFill != 0 || e.Event == giving {
		l.n.copied(from, e)
		return
	}
	switch t := l.n.router.Table(); {
	case int(e.Part) >= shard.Partitions, e.Term > t.Term+ownership.TermsAhead:
		l.n.moves.stale.WithLabelValues("change").Inc()
		return
	case e.Term < t.PartTerm[e.Part], l.n.router.Owns(e.Part): // of an owner that was replaced
		l.n.moves.stale.WithLabelValues("change").Inc()
		return
	case ownership.Strange(t, l.n.router.Self(), from, e.Part):
		return
	}
	if !l.n.copies.Apply(e) {
		return // a gap: the owner sends the whole state again
	}
	a := envelope.Envelope{Kind: envelope.Acked, Part: e.Part, Term: e.Term, Conn: e.Conn, Key: e.Key, Ref: e.Ref, Flags: e.Flags & envelope.FlagMore}
	_ = l.n.cluster.Send(from, &a) // the owner asks again
}

// notify brings a room's notice to every member's player part on this node, and to those on their way here when they have come.
func (l local) notify(e *envelope.Envelope) {
	if l.n.own.busy.Load() {
		l.n.step(ownership.Notice{Env: e})
	}
	l.tell(e)
}

// tell brings a notice to those who have not heard it.
func (l local) tell(e *envelope.Envelope) {
	topic, event, seq := e.Topic, e.Event, e.Offset
	payload := append(game.Payload(nil), e.Payload...)
	l.n.workers.Each(func(w *shard.Worker) {
		for _, key := range w.Local.(*worker).player.Deaf(topic, seq) {
			w.With(key, func(ent shard.Entity) {
				if p, ok := ent.(*player.Entity); ok {
					p.Notice(w, topic, event, seq, payload)
				}
			})
		}
	}, nil)
}

// collect closes a round for every partition of this node and sends the sum to the room's home, once all members here have heard what
// the room told before it and the backups have all of it. An attempt that is only about to begin lets those add again who have come
// here since the last one.
func (l local) collect(e *envelope.Envelope) {
	if e.Flags&envelope.FlagResume != 0 {
		l.n.gate.Begin(time.Now(), e.Topic, e.Event, e.Ref)
		return
	}
	c := &collecting{n: l.n, key: strings.Clone(e.Key), topic: e.Topic, round: e.Event, ref: e.Ref, heard: e.Offset, until: time.Now().Add(collectWait)}
	c.begin()
}

// collecting is the answer to one Collect. It is by one table: when another is put in force meanwhile there is no answer, and the
// home asks again.
type collecting struct {
	n                 *Node
	key, topic, round string
	ref, heard        uint64
	until             time.Time
	table             *shard.Table
	away              map[uint16]bool // partitions on their way here at the beginning: they are not in the sum
}

// How long a node waits for its members and backups before it leaves a Collect unanswered (the home asks again), and how often it looks.
const (
	collectWait  = 900 * time.Millisecond
	collectEvery = 2 * time.Millisecond
)

func (c *collecting) over() bool {
	return c.n.router.Table() != c.table && c.table != nil || time.Now().After(c.until) || c.n.ctx.Err() != nil
}

// begin waits until all members have heard the room's notices, closes the round, so that no worker adds to it any more, and goes on.
func (c *collecting) begin() {
	if c.over() {
		return
	}
	n := c.n
	n.installing.RLock() // so that the workers know the players of this table, no others
	defer n.installing.RUnlock()
	c.table, c.away = n.router.Table(), n.away()
	var deaf atomic.Bool
	n.workers.Each(func(w *shard.Worker) {
		if !w.Local.(*worker).player.Heard(c.topic, c.heard) {
			deaf.Store(true)
		}
	}, func() {
		switch {
		case c.over():
		case deaf.Load():
			time.AfterFunc(collectEvery, c.begin)
		case n.gate.Close(time.Now(), c.topic, c.round, c.ref, c.table.Term, c.away):
			time.AfterFunc(0, c.sum) // not here, under the lock when a worker has ended
		}
	})
}

// sum adds up and answers.
func (c *collecting) sum() {
	n := c.n
	n.installing.RLock()
	defer n.installing.RUnlock()
	if c.over() {
		return
	}
	var mu sync.Mutex // guards what follows
	var sum game.Tally
	safe := true
	n.workers.Each(func(w *shard.Worker) {
		l := w.Local.(*worker)
		t := l.tallies.Sum(w.Now(), c.topic, c.round)
		mu.Lock()
		defer mu.Unlock()
		tally.Merge(&sum, t)
		safe = safe && l.player.Safe(c.topic)
	}, func() {
		switch {
		case c.over():
		case !safe:
			time.AfterFunc(collectEvery, c.sum)
		default:
			var have room.Coverage
			for p := range uint16(shard.Partitions) {
				if owner, ok := c.table.OwnerOf(p); ok && owner == n.router.Self() && !c.away[p] {
					have.Add(p)
				}
			}
			a := envelope.Envelope{Kind: envelope.Tallied, Key: c.key, Topic: c.topic, Event: c.round, Ref: c.ref, Offset: c.table.Term,
				Payload: room.AppendTallied(nil, &have, &sum)}
			time.AfterFunc(0, func() { _ = n.router.Route(&a) }) // lost, the home asks again
		}
	})
}
