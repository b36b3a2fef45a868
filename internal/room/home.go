// Package room is rooms: the home, an entity on the node that owns the room's key, and the relays, its stand-ins on every node
// with members' sockets. A push is encoded once by the home, crosses the mesh once per node, and is written by the relay to
// each socket.
package room

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"gamed/game"
	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/internal/stream"
	"gamed/protocol"
)

// Deps is what all homes of a node share. Immutable.
type Deps struct {
	Replica *replica.Policy
	Games   map[string]*game.Game
	Dead    func(actor.DeadLetter)
	Log     *slog.Logger
	Metrics *Metrics
}

// Local is what the homes of one worker share.
type Local struct {
	ctx     game.Context
	snap    []byte
	change  state.Change
	scratch []byte
}

// Home is one room.
type Home struct {
	d        *Deps
	l        *Local
	key      string
	topic    string
	game     *game.Game // nil: no such game, or a topic it does not have
	impl     game.Room
	snapshot []byte
	kept     bool

	members roster
	stream  stream.Stream
	nodes   map[envelope.NodeID]int // sockets of members by gateway
	timers  actor.Timers
	calls   actor.Calls[string] // tags
	rounds  map[string]*collect
	attempt uint64
	late    []late
	lateAt  time.Time
	q       actor.Quarantine
	o       replica.Outbox
	dirty   dirt
}

// New makes the home of a key that is no player's.
func New(d *Deps, l *Local, key string) *Home {
	h := &Home{d: d, l: l, key: key, topic: envelope.TopicOf(key), nodes: map[envelope.NodeID]int{}}
	name, id, _ := protocol.SplitTopic(h.topic)
	if g := d.Games[name]; g != nil && g.Room != nil && (g.HasTopic == nil || g.HasTopic(id)) {
		h.game, h.impl = g, g.Room(id)
	}
	return h
}

// Handle implements shard.Entity.
func (h *Home) Handle(w *shard.Worker, e *envelope.Envelope) {
	h.start()
	switch e.Kind {
	case envelope.Acked:
		h.o.Acked(h.d.Replica, e.Ref)
	case envelope.Call, envelope.Cast:
		switch {
		case e.Flags&envelope.FlagLeft != 0:
			h.sessionEnded(w, e)
		case e.Flags&envelope.FlagResume != 0 && e.From == "":
			h.resync(w, e)
		case e.Flags&envelope.FlagResume != 0:
			h.resume(w, e)
		default:
			h.called(w, e)
		}
	case envelope.Reply:
		if tag, ok := h.calls.Take(e.Ref); ok {
			h.dirty |= dirtyCalls
			h.answered(w, tag, envelope.AnswerOf(e.Event, e.Payload))
		}
	case envelope.Tallied:
		h.tallied(w, e)
	}
	h.finish(w)
}

// start prepares for one message, finish sends what it left and asks for the next wake-up.
func (h *Home) start() {
	h.l.change.Reset()
	h.dirty = 0
}

func (h *Home) finish(w *shard.Worker) {
	if h.dirty != 0 {
		h.record(&h.l.change, h.dirty)
	}
	h.o.Finish(h.d.Replica, w.Now(), h.key, &h.l.change, h.whole)
	h.arm(w)
}

// Wake implements shard.Entity.
func (h *Home) Wake(w *shard.Worker) {
	h.start()
	for {
		t, due := h.timers.Due(w.Now())
		if !due {
			break
		}
		h.dirty |= dirtyTimers
		h.invoke(w, nil, func(c *game.Context) {
			if r, ok := h.impl.(game.Timed); ok {
				r.Timer(c, t.Name)
			}
		})
	}
	for _, ref := range h.calls.Expired(w.Now()) {
		if tag, ok := h.calls.Take(ref); ok {
			h.dirty |= dirtyCalls
			h.answered(w, tag, game.Answer{Code: protocol.CodeUnavailable, Text: "no answer within its deadline", Retry: -1})
		}
	}
	h.recollect(w)
	if len(h.late) > 0 && !h.lateAt.After(w.Now()) {
		h.attachLate(w)
		h.lateAt = w.Now().Add(lateEvery)
	}
	h.o.Again(h.d.Replica, w.Now(), h.key, h.whole)
	h.finish(w)
}

func (h *Home) arm(w *shard.Worker) {
	if at, ok := h.o.Deadline(); ok {
		w.WakeAt(at)
	}
	if at, ok := h.timers.Next(); ok {
		w.WakeAt(at)
	}
	if at, ok := h.calls.Next(); ok {
		w.WakeAt(at)
	}
	for _, c := range h.rounds {
		w.WakeAt(c.again)
	}
	if len(h.late) > 0 {
		if !h.lateAt.After(w.Now()) {
			h.lateAt = w.Now().Add(lateEvery)
		}
		w.WakeAt(h.lateAt)
	}
}

// Idle implements shard.Entity.
func (h *Home) Idle(*shard.Worker) bool {
	return h.members.Len() == 0 && !h.kept && h.timers.Len() == 0 && h.calls.Len() == 0 && len(h.rounds) == 0 && !h.o.Waits()
}

// Left implements shard.Entity.
func (h *Home) Left(*shard.Worker) { h.o.Drop(h.d.Replica, h.key) }

func (h *Home) answered(w *shard.Worker, tag string, a game.Answer) {
	h.invoke(w, nil, func(c *game.Context) {
		if r, ok := h.impl.(game.Answered); ok {
			r.Answered(c, tag, a.Code, envelope.AnswerPayload(a))
		}
	})
}

// called handles a call or cast of a player (or of another room).
func (h *Home) called(w *shard.Worker, e *envelope.Envelope) {
	if h.impl == nil {
		h.reply(e, game.Answer{Set: true, Code: protocol.CodeNotFound, Text: "no such topic", Retry: -1}, 0)
		return
	}
	if left := h.q.Left(w.Now()); left > 0 {
		h.reply(e, game.Answer{Set: true, Code: protocol.CodeUnavailable, Text: "quarantined after repeated failures", Retry: left}, 0)
		return
	}
	from := game.Address{Topic: e.FromTopic}
	m := &game.Message{Event: e.Event, Payload: e.Payload, Role: e.Role, Client: e.Flags&envelope.FlagClient != 0}
	if name, ok := envelope.PlayerOf(e.From); ok {
		from.Player = name
		if a, again := h.members.answered(name, e); again {
			h.reply(e, a, 0)
			return
		}
	}
	m.From = from
	c := h.begin(w, m, e)
	if !h.run(w, func() { h.impl.Call(c, m) }) {
		h.reply(e, game.Answer{Set: true, Code: protocol.CodeInternal, Text: "the handler failed; nothing was changed", Retry: 100 * time.Millisecond}, 0)
		return
	}
	out := c.Outcome()
	h.commit(out)
	flags := h.effects(w, out.Effects, from.Player)
	answer := out.Answer
	switch {
	case out.Deferred:
		return
	case !answer.Set:
		answer = game.Answer{Set: true, Code: protocol.CodeOK, Payload: game.EmptyMap}
	}
	if out.Changed || len(out.Effects) > 0 {
		if m := h.members.keep(from.Player, e, answer); m != nil {
			h.recordMember(m)
		}
	}
	h.reply(e, answer, flags)
}

// reply answers a call; it goes to the player's entity, which knows the client.
func (h *Home) reply(e *envelope.Envelope, a game.Answer, flags uint16) {
	if e.Kind != envelope.Call {
		if flags == 0 {
			return
		}
	}
	r := envelope.Envelope{Kind: envelope.Reply, Key: e.From, Ref: e.Ref, Event: string(a.Code), Payload: envelope.AnswerPayload(a),
		Flags: e.Flags&envelope.FlagClient | flags, Session: e.Session, FromTopic: h.topic}
	h.route(&r)
}

func (h *Home) route(e *envelope.Envelope) {
	h.o.Route(e)
}

func (h *Home) begin(w *shard.Worker, m *game.Message, e *envelope.Envelope) *game.Context {
	f := game.Frame{At: w.Now(), Me: game.Address{Topic: h.topic}, Message: m, Offset: h.stream.Offset(), Roster: &h.members}
	h.members.begin(e)
	if e != nil {
		f.Wants = e.Kind == envelope.Call
		f.To = game.ReplyTo{Key: strings.Clone(e.From), Ref: e.Ref, Session: e.Session, Client: e.Flags&envelope.FlagClient != 0}
	}
	h.l.ctx.Begin(f)
	return &h.l.ctx
}

func (h *Home) invoke(w *shard.Worker, m *game.Message, f func(c *game.Context)) {
	if h.impl == nil || h.q.Left(w.Now()) > 0 {
		return
	}
	c := h.begin(w, m, nil)
	if h.run(w, func() { f(c) }) {
		out := c.Outcome()
		h.commit(out)
		h.effects(w, out.Effects, "")
	}
}

func (h *Home) run(w *shard.Worker, f func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			h.crashed(w, r)
		}
	}()
	f()
	if h.l.ctx.Outcome().Changed {
		h.l.snap = h.impl.Snapshot(h.l.snap[:0])
	}
	return true
}

func (h *Home) crashed(w *shard.Worker, cause any) {
	h.members.undo()
	what := h.topic
	if m := h.l.ctx.Message; m != nil {
		what += " " + m.Event
	}
	h.d.Dead(actor.DeadLetter{At: w.Now(), Key: h.key, What: what, Cause: fmt.Sprint(cause), Stack: string(debug.Stack())})
	h.q.Panicked(w.Now())
	_, id, _ := protocol.SplitTopic(h.topic)
	h.impl = h.game.Room(id)
	if h.kept {
		if err := h.impl.Restore(h.snapshot); err != nil {
			h.d.Log.Error("committed state cannot be restored", "key", h.key, "err", err)
		}
	}
}

func (h *Home) commit(out game.Outcome) {
	if out.Changed {
		h.snapshot = append(h.snapshot[:0], h.l.snap...)
		h.kept = true
		h.l.change.Put(gameSection, h.snapshot)
	}
}
