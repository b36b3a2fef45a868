package player

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"gamed/game"
	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// part is a game's player part for one topic.
type part struct {
	topic    string
	game     *game.Game
	impl     game.Player
	snapshot []byte // the committed state
	kept     bool   // it has committed state
	noticed  uint64 // the number of the room's last notice
}

// errNotHere refuses calls of a connection that is not the session's.
var errNotHere = errors.New("the session is not at this connection")

func busy(err error) bool { return errors.Is(err, actor.ErrFull) || errors.Is(err, shard.ErrBusy) }

// handle runs a part's Call and commits what it changed. The caller gives the answer, then has the effects done. A handler that
// failed has an answer and no effects.
func (p *Entity) handle(w *shard.Worker, pt *part, f game.Frame) game.Outcome {
	if left := p.q.Left(w.Now()); left > 0 {
		return game.Outcome{Answer: failed(protocol.CodeUnavailable, left, "quarantined after repeated failures")}
	}
	c := p.begin(w, pt, f)
	if !p.run(w, pt, func() { pt.impl.Call(c, f.Message) }) {
		return game.Outcome{Answer: failed(protocol.CodeInternal, 100*time.Millisecond, "the handler failed; nothing was changed")}
	}
	out := c.Outcome()
	p.commit(pt, out)
	if !out.Answer.Set {
		out.Answer = game.Answer{Set: true, Code: protocol.CodeOK}
	}
	return out
}

// invoke runs another ability of a part. False: it failed, or is in quarantine, and nothing was done.
func (p *Entity) invoke(w *shard.Worker, pt *part, f func(c *game.Context)) bool {
	if p.q.Left(w.Now()) > 0 {
		return false
	}
	c := p.begin(w, pt, game.Frame{})
	if !p.run(w, pt, func() { f(c) }) {
		return false
	}
	out := c.Outcome()
	p.commit(pt, out)
	p.effects(w, pt, out.Effects)
	return true
}

func (p *Entity) begin(w *shard.Worker, pt *part, f game.Frame) *game.Context {
	f.At = w.Now()
	f.Me = game.Address{Player: p.Name(), Topic: pt.topic}
	p.l.tally = tallies{p, f.At}
	f.Tallies = &p.l.tally
	p.l.Tallies.Begin()
	p.l.added = p.l.added[:0]
	p.l.ctx.Begin(f)
	return &p.l.ctx
}

// run calls f; if it panics the part goes back to its committed state.
func (p *Entity) run(w *shard.Worker, pt *part, f func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			p.crashed(w, pt, r)
		}
	}()
	f()
	if p.l.ctx.Outcome().Changed {
		p.l.snap = pt.impl.Snapshot(p.l.snap[:0])
	}
	return true
}

func (p *Entity) crashed(w *shard.Worker, pt *part, cause any) {
	p.l.Tallies.Undo()
	p.l.added = p.l.added[:0]
	l := actor.DeadLetter{At: w.Now(), Key: p.key, What: pt.topic, Cause: fmt.Sprint(cause), Stack: string(debug.Stack())}
	if m := p.l.ctx.Message; m != nil {
		l.What, l.Size = pt.topic+" "+m.Event, len(m.Payload)
	}
	if p.q.Panicked(w.Now()) {
		l.Banned = p.q.Until()
	}
	p.d.Dead(l)
	_, id, _ := protocol.SplitTopic(pt.topic)
	pt.impl = pt.game.Player(id)
	if pt.kept {
		if err := pt.impl.Restore(pt.snapshot); err != nil {
			p.d.Log.Error("committed state cannot be restored", "key", p.key, "topic", pt.topic, "err", err)
		}
	}
}

// commit makes what the handler changed the state to go back to. Whatever it did that others can notice makes its answer one to be
// recorded, so that it is not done again.
func (p *Entity) commit(pt *part, out game.Outcome) {
	if out.Changed {
		pt.snapshot = append(pt.snapshot[:0], p.l.snap...)
		pt.kept = true
		p.l.change.Put(partSection+pt.topic, pt.snapshot)
	}
	if out.Changed || len(out.Effects) > 0 {
		p.dirty |= dirtyState
	}
	p.commitTallies()
}

// effects does what the handler asked for, in order.
func (p *Entity) effects(w *shard.Worker, pt *part, effects []game.Effect) {
	for i := range effects {
		f := &effects[i]
		switch f.Kind {
		case game.EffectPush:
			p.push(f.Event, f.Payload)
		case game.EffectCall:
			p.sendCall(w, pt, f)
		case game.EffectCast:
			e := p.message(envelope.Cast, pt, f)
			p.o.Route(&e)
		case game.EffectAnswer:
			p.answer(f.To, f.Answer)
		case game.EffectTimer:
			p.timers.Set(pt.topic, f.Name, w.Now().Add(f.After))
			p.dirty |= dirtyTimers
		case game.EffectCancel:
			p.timers.Cancel(pt.topic, f.Name)
			p.dirty |= dirtyTimers
		default:
			p.d.Log.Error("a player part asked for what only rooms can do", "topic", pt.topic, "effect", f.Kind)
		}
	}
}

// message makes the envelope of a call or cast of a part. A message to the room of its own topic carries the client with it,
// so that the room can make it a member.
func (p *Entity) message(kind envelope.Kind, pt *part, f *game.Effect) envelope.Envelope {
	e := envelope.Envelope{Kind: kind, Key: envelope.KeyOf(f.Address), Topic: f.Address.Topic, Event: f.Event, From: p.key,
		FromTopic: pt.topic, TTL: game.CallTimeout, Payload: plain(f.Payload)}
	if s := p.s; s != nil && f.Address == (game.Address{Topic: pt.topic}) {
		e.Conn, e.Node, e.Session, e.Role = s.conn, s.node, s.id, s.role
	}
	return e
}

// answer gives an answer to who waits for it: the client, or another entity.
func (p *Entity) answer(to game.ReplyTo, a game.Answer) {
	switch {
	case to.Ref == 0:
	case to.Client && to.Key == p.key:
		if p.s != nil && p.s.id == to.Session && p.s.isOpen(to.Ref) {
			p.settle(to.Ref, a)
		}
	default:
		e := envelope.Envelope{Kind: envelope.Reply, Key: to.Key, Ref: to.Ref, Event: string(a.Code), Payload: envelope.AnswerPayload(a)}
		p.o.Route(&e)
	}
}

// called handles a call or cast of another entity to one of the player's parts.
func (p *Entity) called(w *shard.Worker, e *envelope.Envelope) {
	if e.Flags&envelope.FlagLeft != 0 {
		p.leftRoom(w, e)
		return
	}
	if e.Flags&envelope.FlagConfirm != 0 {
		p.roomAsks(w, e)
		return
	}
	to := game.ReplyTo{Key: e.From, Ref: e.Ref}
	if e.Kind == envelope.Cast {
		to.Ref = 0
	}
	pt, _, fail := p.target([]byte(e.Topic))
	if pt == nil {
		if !fail.Set {
			fail = failed(protocol.CodeNotFound, -1, "the game has no player part")
		}
		p.answer(to, fail)
		return
	}
	from := game.Address{Topic: e.FromTopic}
	if name, ok := envelope.PlayerOf(e.From); ok {
		from.Player = name
	}
	m := &p.l.msg
	*m = game.Message{Event: e.Event, Payload: e.Payload, From: from}
	out := p.handle(w, pt, game.Frame{Message: m, Wants: to.Ref != 0, To: to})
	switch {
	case out.Deferred:
	case out.Forward:
		p.answer(to, failed(protocol.CodeInternal, -1, "a message of another entity was forwarded"))
	default:
		p.answer(to, out.Answer)
	}
	p.effects(w, pt, out.Effects)
}

// Notice brings what a room told its members to the player part, once: seq is the room's number of it, 0 when it has none.
func (p *Entity) Notice(w *shard.Worker, topic, event string, seq uint64, payload game.Payload) {
	pt := p.find(topic)
	if pt == nil || !p.s.in(topic) || seq != 0 && seq <= pt.noticed {
		return
	}
	p.start()
	done := p.invoke(w, pt, func(c *game.Context) {
		if h, ok := pt.impl.(game.Noticed); ok {
			h.Notice(c, event, payload)
		}
	})
	if seq != 0 {
		pt.noticed = seq
		if done && p.dirty&dirtyState != 0 { // else hearing it again on another node does no harm
			p.recordNoticed(pt)
		}
	}
	p.finish(w)
}
