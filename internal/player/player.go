// Package player is the player's entity: his session, which outlives sockets; calls that are processed once; his own stream
// with replay; and the player parts of games.
//
// An [Entity] is an actor (shard.Entity): one worker calls it, one message at a time. What it sends during one message
// leaves as one write when the message is done.
package player

import (
	"log/slog"
	"time"

	"gamed/game"
	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/internal/stream"
	"gamed/internal/tally"
	"gamed/protocol"
)

// Deps is what all players of a node share. Immutable.
type Deps struct {
	Replica     *replica.Policy
	Games       map[string]*game.Game
	SessionTTL  time.Duration
	HeartbeatMS int64
	Limits      protocol.Limits
	Degraded    func() bool
	Dead        func(actor.DeadLetter)
	Log         *slog.Logger
	Metrics     *Metrics
}

// Local is what the players of one worker share. It is used by that worker alone.
type Local struct {
	Tallies *tally.Set
	ctx     game.Context
	msg     game.Message
	out     []byte
	pushed  uint64       // offset of the last push of the own stream in out; 0: there is none
	snap    []byte       // the state a handler left behind, before it is committed
	change  state.Change // what the message being handled changed
	scratch []byte
	tally   tallies
	added   []contribution                  // to tallies, by the message being handled
	unsafe  map[*Entity]string              // who added to tallies of which topic what the backup does not have yet
	topics  map[string]map[*Entity]struct{} // members with a player part, by topic
	names   map[string]string               // interned events
}

// NewLocal makes the state of one worker.
func NewLocal(tallies *tally.Set) *Local {
	return &Local{Tallies: tallies, topics: map[string]map[*Entity]struct{}{}, names: map[string]string{}, unsafe: map[*Entity]string{}}
}

// Bounds of one player.
const (
	maxParts  = 256              // game parts in memory
	maxTopics = 256              // topics a session is in
	callLimit = 10 * time.Second // no call of a client is open longer
	helloWait = 5 * time.Second  // for the rooms' answers to a resume
)

// Entity is one player.
type Entity struct {
	d      *Deps
	l      *Local
	key    string
	s      *session // nil: none
	parts  []*part
	own    stream.Stream
	timers actor.Timers
	calls  actor.Calls[*pending]
	again  []later
	q      actor.Quarantine
	o      replica.Outbox
	asked  *asking
	split  *split // nil: nothing was noted for a merge
	dirty  dirt
	added  string  // the topic whose tallies were added to since note
	given  []*gave // what this player added to tallies, by their last use
}

// New makes the entity of a player's key.
func New(d *Deps, l *Local, key string) *Entity { return &Entity{d: d, l: l, key: key} }

// Name is the player's name.
func (p *Entity) Name() string { return p.key[len(envelope.PlayerPrefix):] }

// Handle implements shard.Entity.
func (p *Entity) Handle(w *shard.Worker, e *envelope.Envelope) {
	p.start()
	switch e.Kind {
	case envelope.Acked:
		p.o.Acked(p.d.Replica, w.Now(), e)
	case envelope.Frames:
		p.frames(w, e)
		p.noteSpoke(w)
	case envelope.Hello:
		p.hello(w, e)
		p.noteSpoke(w)
	case envelope.Gone:
		p.gone(w, e)
	case envelope.Seen:
		p.seen(w, e)
	case envelope.Call, envelope.Cast:
		p.called(w, e)
	case envelope.Reply:
		p.replied(w, e)
	}
	p.finish(w)
}

// Wake implements shard.Entity.
func (p *Entity) Wake(w *shard.Worker) {
	p.start()
	now := w.Now()
	p.ring(w)
	for _, ref := range p.calls.Expired(now) {
		p.answered(w, ref, failed(protocol.CodeUnavailable, -1, "no answer within its deadline"), 0)
	}
	p.doAgain(w)
	p.expire(w)
	if s := p.s; s != nil && !s.unseen.IsZero() && !s.unseen.After(now) {
		p.askGateway(now)
	}
	p.o.Due(p.d.Replica, now, p.key, p.whole)
	p.finish(w)
}

// ring brings timers that are due to their parts. One whose handler fails is tried again.
func (p *Entity) ring(w *shard.Worker) {
	for {
		t, due := p.timers.Due(w.Now())
		if !due {
			return
		}
		p.dirty |= dirtyTimers
		pt := p.partOf(t.Scope)
		if pt == nil {
			continue
		}
		done := p.invoke(w, pt, func(c *game.Context) {
			if h, ok := pt.impl.(game.Timed); ok {
				h.Timer(c, t.Name)
			}
		})
		if !done {
			p.timers.Set(t.Scope, t.Name, w.Now().Add(max(retryEvery, p.q.Left(w.Now()))))
		}
	}
}

// start prepares for one message, finish sends what it left and asks for the next wake-up.
func (p *Entity) start() {
	p.l.out, p.l.pushed = p.l.out[:0], 0
	p.l.change.Reset()
	p.dirty = 0
}

func (p *Entity) finish(w *shard.Worker) {
	if len(p.l.out) > 0 && p.s != nil && p.s.conn != 0 {
		e := envelope.Envelope{Kind: envelope.Out, Conn: p.s.conn, Payload: p.l.out}
		if p.l.pushed != 0 { // with the key, to hear of it when it cannot be sent
			e.Key, e.Offset = p.key, p.l.pushed
		}
		p.o.ToNode(p.s.node, &e)
	}
	if p.dirty != 0 {
		p.record(&p.l.change, p.dirty)
	}
	p.o.Finish(p.d.Replica, w.Now(), p.key, &p.l.change, p.whole)
	if p.added != "" || len(p.l.unsafe) > 0 {
		p.note()
	}
	if at, ok := p.o.Deadline(); ok {
		w.WakeAt(at)
	}
	if cap(p.l.out) > 1<<20 {
		p.l.out = nil
	}
	if at, ok := p.timers.Next(); ok {
		w.WakeAt(at)
	}
	if at, ok := p.calls.Next(); ok {
		w.WakeAt(at)
	}
	for i := range p.again {
		w.WakeAt(p.again[i].at)
	}
	if p.s != nil && !p.s.unseen.IsZero() {
		w.WakeAt(p.s.unseen)
	}
	if at, ok := p.sessionDeadline(); ok {
		w.WakeAt(at)
	}
}

// send gives frames to the client's connection on its gateway.
func (p *Entity) send(flags uint16, frames []byte) {
	p.sendTo(p.s.node, p.s.conn, flags, frames)
}

func (p *Entity) sendTo(node envelope.NodeID, conn uint64, flags uint16, frames []byte) {
	p.o.ToNode(node, &envelope.Envelope{Kind: envelope.Out, Conn: conn, Flags: flags, Payload: frames})
}

// Idle implements shard.Entity: nothing that only memory knows would be lost.
func (p *Entity) Idle(*shard.Worker) bool {
	if p.s != nil || p.own.Offset() > 0 || p.timers.Len() > 0 || p.calls.Len() > 0 || len(p.again) > 0 || p.o.Waits() {
		return false
	}
	for _, pt := range p.parts {
		if pt.kept {
			return false
		}
	}
	return true
}

// BackedUp says that the backup has all that this player acknowledged.
func (p *Entity) BackedUp() bool { return !p.kept() || p.o.BackedUp(p.d.Replica, p.key) }

// Left implements shard.Entity.
func (p *Entity) Left(*shard.Worker) {
	p.o.Drop(p.d.Replica, p.key)
	if p.s != nil {
		for _, t := range p.s.topics {
			p.unindex(t)
		}
	}
}
