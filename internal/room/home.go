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
	Replica  *replica.Policy
	Games    map[string]*game.Game
	Degraded func() bool
	Dead     func(actor.DeadLetter)
	Log      *slog.Logger
	Metrics  *Metrics
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

	members    roster
	stream     stream.Stream
	nodes      map[envelope.NodeID]int // sockets of members by gateway
	timers     actor.Timers
	calls      actor.Calls[*asked]
	again      []later // calls whose part is told later that they failed
	rounds     map[string]*collect
	attempt    uint64
	notices    notices
	remembered uint64 // calls, ever
	late       []late
	lateAt     time.Time
	confirm    time.Time // when relays are told where the stream is; zero: they know
	split      *split    // nil: nothing was noted for a merge
	q          actor.Quarantine
	o          replica.Outbox
	dirty      dirt
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
		h.o.Acked(h.d.Replica, w.Now(), e)
	case envelope.Call, envelope.Cast:
		switch {
		case e.Flags&envelope.FlagResync != 0:
			h.attachAgain(w, e)
		case e.Flags&envelope.FlagLeft != 0:
			h.sessionEnded(w, e)
		case e.Flags&envelope.FlagResume != 0 && e.From == "":
			h.resync(w, e)
		case e.Flags&envelope.FlagResume != 0:
			h.resume(w, e)
		default:
			h.called(w, e)
			h.noteSpoke(w)
		}
	case envelope.Reply:
		h.replied(w, e.Ref, envelope.AnswerOf(e.Event, e.Payload))
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
	h.ring(w)
	for _, ref := range h.calls.Expired(w.Now()) {
		h.replied(w, ref, failed(protocol.CodeUnavailable, -1, "no answer within its deadline"))
	}
	h.doAgain(w)
	h.askAgain(w, false)
	if len(h.late) > 0 && !h.lateAt.After(w.Now()) {
		h.attachLate(w)
		h.lateAt = w.Now().Add(lateEvery)
	}
	if !h.confirm.IsZero() && !h.confirm.After(w.Now()) {
		h.confirm = time.Time{}
		h.toNodes(&envelope.Envelope{Kind: envelope.Push, Term: h.term(), Topic: h.topic, Flags: envelope.FlagResync, Offset: h.stream.Offset()})
	}
	h.o.Due(h.d.Replica, w.Now(), h.key, h.whole)
	h.finish(w)
}

// ring brings timers that are due to the room. One whose handler fails is tried again.
func (h *Home) ring(w *shard.Worker) {
	for {
		t, due := h.timers.Due(w.Now())
		if !due {
			return
		}
		h.dirty |= dirtyTimers
		done := h.invoke(w, func(c *game.Context) {
			if r, ok := h.impl.(game.Timed); ok {
				r.Timer(c, t.Name)
			}
		})
		if !done && h.impl != nil {
			h.timers.Set("", t.Name, w.Now().Add(max(retryEvery, h.q.Left(w.Now()))))
		}
	}
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
	for i := range h.again {
		w.WakeAt(h.again[i].at)
	}
	if !h.confirm.IsZero() {
		w.WakeAt(h.confirm)
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
	return h.members.Len() == 0 && !h.kept && h.timers.Len() == 0 && h.calls.Len() == 0 && len(h.again) == 0 && len(h.rounds) == 0 && !h.o.Waits()
}

// BackedUp says that the backup has all that this room acknowledged.
func (h *Home) BackedUp() bool { return h.Idle(nil) || h.o.BackedUp(h.d.Replica, h.key) }

// Left implements shard.Entity.
func (h *Home) Left(*shard.Worker) { h.o.Drop(h.d.Replica, h.key) }

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

// invoke runs another ability of the room than Call. False: it failed, or is in quarantine, and nothing was done.
func (h *Home) invoke(w *shard.Worker, f func(c *game.Context)) bool {
	if h.impl == nil || h.q.Left(w.Now()) > 0 {
		return false
	}
	c := h.begin(w, nil, nil)
	if !h.run(w, func() { f(c) }) {
		return false
	}
	out := c.Outcome()
	h.commit(out)
	h.effects(w, out.Effects)
	return true
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
	l := actor.DeadLetter{At: w.Now(), Key: h.key, What: h.topic, Cause: fmt.Sprint(cause), Stack: string(debug.Stack())}
	if m := h.l.ctx.Message; m != nil {
		l.What, l.Size = h.topic+" "+m.Event, len(m.Payload)
	}
	if h.q.Panicked(w.Now()) {
		l.Banned = h.q.Until()
	}
	h.d.Dead(l)
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
