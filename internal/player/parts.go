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

func busy(err error) bool { return errors.Is(err, actor.ErrFull) || errors.Is(err, shard.ErrBusy) }

// handle runs a part's Call. settle gives the answer; forwarded and deferred are called when the part did that instead.
func (p *Entity) handle(w *shard.Worker, pt *part, f game.Frame, settle func(game.Answer), forwarded, deferred func()) {
	if left := p.q.Left(w.Now()); left > 0 {
		settle(game.Answer{Set: true, Code: protocol.CodeUnavailable, Text: "quarantined after repeated failures", Retry: left})
		return
	}
	c := p.begin(w, pt, f)
	if !p.run(w, pt, func() { pt.impl.Call(c, f.Message) }) {
		settle(game.Answer{Set: true, Code: protocol.CodeInternal, Text: "the handler failed; nothing was changed", Retry: 100 * time.Millisecond})
		return
	}
	out := c.Outcome()
	p.commit(pt, out)
	switch {
	case out.Forward:
		forwarded()
	case out.Deferred:
		deferred()
	case out.Answer.Set:
		settle(out.Answer)
	default:
		settle(game.Answer{Set: true, Code: protocol.CodeOK})
	}
	p.effects(w, pt, out.Effects, f.Message != nil && f.Message.Client)
}

// invoke runs another ability of a part.
func (p *Entity) invoke(w *shard.Worker, pt *part, m *game.Message, f func(c *game.Context)) {
	if p.q.Left(w.Now()) > 0 {
		return
	}
	c := p.begin(w, pt, game.Frame{Message: m})
	if p.run(w, pt, func() { f(c) }) {
		out := c.Outcome()
		p.commit(pt, out)
		p.effects(w, pt, out.Effects, false)
	}
}

func (p *Entity) begin(w *shard.Worker, pt *part, f game.Frame) *game.Context {
	f.At = w.Now()
	f.Me = game.Address{Player: p.Name(), Topic: pt.topic}
	f.Tallies = tallies{p, w.Now()}
	p.l.Tallies.Begin()
	p.l.added = p.l.added[:0]
	p.l.ctx.Begin(f)
	return &p.l.ctx
}

// tallies binds the worker's tallies to the player and the moment.
type tallies struct {
	p   *Entity
	now time.Time
}

func (t tallies) Add(topic, round string, slot int, n int64, name string) bool {
	if !t.p.l.Tallies.Add(t.now, topic, round, slot, n, name) {
		return false
	}
	t.p.l.added = append(t.p.l.added, contribution{given{topic, round}, slot, n, name != ""})
	return true
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
	what := pt.topic
	if m := p.l.ctx.Message; m != nil {
		what += " " + m.Event
	}
	p.d.Dead(actor.DeadLetter{At: w.Now(), Key: p.key, What: what, Cause: fmt.Sprint(cause), Stack: string(debug.Stack())})
	p.q.Panicked(w.Now())
	_, id, _ := protocol.SplitTopic(pt.topic)
	pt.impl = pt.game.Player(id)
	if pt.kept {
		if err := pt.impl.Restore(pt.snapshot); err != nil {
			p.d.Log.Error("committed state cannot be restored", "key", p.key, "topic", pt.topic, "err", err)
		}
	}
}

// commit makes what the handler changed the state to go back to.
func (p *Entity) commit(pt *part, out game.Outcome) {
	if out.Changed {
		pt.snapshot = append(pt.snapshot[:0], p.l.snap...)
		pt.kept = true
		p.dirty |= dirtyState
		p.l.change.Put(partSection+pt.topic, pt.snapshot)
	}
	p.commitTallies()
}

// effects does what the handler asked for, in order.
func (p *Entity) effects(w *shard.Worker, pt *part, effects []game.Effect, client bool) {
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
			p.answer(w, f.To, f.Answer)
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

// push appends to the player's own stream.
func (p *Entity) push(event string, payload game.Payload) {
	frame := protocol.AppendPush(nil, "", p.own.Offset()+1, event, plain(payload))
	first := p.own.First()
	p.own.Append(frame)
	p.recordPush(frame, first)
	if p.s != nil && p.s.conn != 0 {
		p.l.out = append(p.l.out, frame...)
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

func (p *Entity) sendCall(w *shard.Worker, pt *part, f *game.Effect) {
	deadline := w.Now().Add(game.CallTimeout)
	e := p.message(envelope.Call, pt, f)
	ref, ok := p.calls.Add(pending{topic: pt.topic, tag: f.Name}, deadline)
	if !ok {
		p.d.Log.Warn("too many open calls of one player", "key", p.key)
		return
	}
	e.Ref = ref
	p.dirty |= dirtyCalls
	p.o.Route(&e)
}

// answer gives an answer to who waits for it: the client, or another entity.
func (p *Entity) answer(w *shard.Worker, to game.ReplyTo, a game.Answer) {
	switch {
	case to.Ref == 0:
	case to.Client && to.Key == p.key:
		if p.s != nil && p.s.id == to.Session && p.s.isOpen(to.Ref) {
			p.settle(w, to.Ref, a)
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
	to := game.ReplyTo{Key: e.From, Ref: e.Ref}
	if e.Kind == envelope.Cast {
		to.Ref = 0
	}
	pt, _, fail := p.target([]byte(e.Topic))
	if pt == nil {
		if fail == "" {
			fail = "the game has no player part"
		}
		p.answer(w, to, game.Answer{Set: true, Code: protocol.CodeNotFound, Text: fail, Retry: -1})
		return
	}
	from := game.Address{Topic: e.FromTopic}
	if name, ok := envelope.PlayerOf(e.From); ok {
		from.Player = name
	}
	m := &game.Message{Event: e.Event, Payload: e.Payload, From: from}
	p.handle(w, pt, game.Frame{Message: m, Wants: to.Ref != 0, To: to}, func(a game.Answer) { p.answer(w, to, a) }, func() {
		p.answer(w, to, game.Answer{Set: true, Code: protocol.CodeInternal, Text: "a message of another entity was forwarded", Retry: -1})
	}, func() {})
}

// replied handles the answer to a call.
func (p *Entity) replied(w *shard.Worker, e *envelope.Envelope) {
	if e.Session != "" && p.s != nil && p.s.id == e.Session {
		switch {
		case e.Flags&envelope.FlagJoined != 0:
			p.joined(e.FromTopic)
		case e.Flags&envelope.FlagLeft != 0:
			p.leave(e.FromTopic)
		}
	}
	a := envelope.AnswerOf(e.Event, e.Payload)
	if e.Flags&envelope.FlagClient == 0 {
		p.answered(w, e.Ref, a, e.Offset)
		return
	}
	if p.s != nil && p.s.id == e.Session && p.s.isOpen(e.Ref) {
		p.settle(w, e.Ref, a)
	}
}

// answered brings the outcome of a call to the part that made it.
func (p *Entity) answered(w *shard.Worker, ref uint64, a game.Answer, offset uint64) {
	call, ok := p.calls.Take(ref)
	if !ok {
		return // its deadline had passed
	}
	p.dirty |= dirtyCalls
	if call.resume != nil {
		p.resumed(w, call, a, offset)
		return
	}
	pt := p.find(call.topic)
	if pt == nil {
		return
	}
	p.invoke(w, pt, nil, func(c *game.Context) {
		if h, ok := pt.impl.(game.Answered); ok {
			h.Answered(c, call.tag, a.Code, envelope.AnswerPayload(a))
		}
	})
}

// Notice brings what a room told its members to the player part.
func (p *Entity) Notice(w *shard.Worker, topic, event string, payload game.Payload) {
	pt := p.find(topic)
	if pt == nil {
		return
	}
	p.start()
	p.invoke(w, pt, nil, func(c *game.Context) {
		if h, ok := pt.impl.(game.Noticed); ok {
			h.Notice(c, event, payload)
		}
	})
	p.finish(w)
}
