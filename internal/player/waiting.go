package player

import (
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// pending is a call of the player's own that waits for its answer: of a part; to a room that is resumed; to a room that was left.
type pending struct {
	ref    uint64
	topic  string // of the part that called, or of the room
	tag    string
	to     envelope.NodeID // who owned the receiver
	resume *resume         // not nil: goes on with the room's stream
	left   string          // not empty: the session that has left the room
	tries  int
}

// later is what is done again: a resume, a leave; or a part's call whose answer could not be given, which fails then.
type later struct {
	at   time.Time
	call *pending
}

// How often and how long what must not be lost is tried.
const (
	retryEvery  = time.Second            // leaves, timers and answers whose handler failed
	resumeEvery = 100 * time.Millisecond // resumes
	leaveTries  = 60
)

func (p *Entity) sendCall(w *shard.Worker, pt *part, f *game.Effect) {
	e := p.message(envelope.Call, pt, f)
	call := &pending{topic: pt.topic, tag: f.Name, to: p.owner(e.Key)}
	p.dirty |= dirtyCalls
	if !p.wait(call, w.Now().Add(game.CallTimeout)) {
		p.d.Log.Warn("too many open calls of one player", "key", p.key)
		p.again = append(p.again, later{w.Now(), call})
		return
	}
	e.Ref = call.ref
	p.o.Route(&e)
}

// wait makes a call an open one.
func (p *Entity) wait(call *pending, deadline time.Time) (ok bool) {
	call.ref, ok = p.calls.Add(call, deadline)
	return ok
}

// replied handles the answer to a call.
func (p *Entity) replied(w *shard.Worker, e *envelope.Envelope) {
	switch {
	case e.Session == "":
	case p.s == nil || p.s.id != e.Session:
		if e.Flags&envelope.FlagJoined != 0 { // the session ended while its call was on the way
			p.tellLeft(w, &pending{topic: e.FromTopic, left: e.Session})
		}
	case e.Flags&envelope.FlagJoined != 0:
		p.joined(w, e.FromTopic, e.Offset)
	case e.Flags&envelope.FlagLeft != 0:
		p.leave(e.FromTopic)
	}
	a := envelope.AnswerOf(e.Event, e.Payload)
	if e.Flags&envelope.FlagClient == 0 {
		p.answered(w, e.Ref, a, e.Offset)
		return
	}
	if p.s != nil && p.s.id == e.Session && p.s.isOpen(e.Ref) {
		p.settle(e.Ref, a)
	}
}

// answered brings the outcome of a call to the one who made it.
func (p *Entity) answered(w *shard.Worker, ref uint64, a game.Answer, offset uint64) {
	call, ok := p.calls.Take(ref)
	if !ok {
		return // its deadline had passed
	}
	switch {
	case call.resume != nil:
		p.resumed(w, call, a, offset)
	case call.left != "":
		p.dirty |= dirtyCalls
		if a.Code.Class() == protocol.ClassRetry && call.tries < leaveTries {
			p.again = append(p.again, later{w.Now().Add(retryEvery), call})
		}
	default:
		p.dirty |= dirtyCalls
		p.deliver(w, call, a)
	}
}

// deliver gives an answer to the part that called. One in quarantine hears of it later, and then that it failed.
func (p *Entity) deliver(w *shard.Worker, call *pending, a game.Answer) {
	if left := p.q.Left(w.Now()); left > 0 {
		p.again = append(p.again, later{w.Now().Add(left), call})
		return
	}
	pt := p.partOf(call.topic)
	if pt == nil {
		return
	}
	p.invoke(w, pt, func(c *game.Context) {
		if h, ok := pt.impl.(game.Answered); ok {
			h.Answered(c, call.tag, a.Code, envelope.AnswerPayload(a))
		}
	})
}

// partOf is the part of a topic, made when it is not in memory.
func (p *Entity) partOf(topic string) *part {
	pt, _, _ := p.target([]byte(topic))
	return pt
}

// doAgain does what is due of what could not be done before.
func (p *Entity) doAgain(w *shard.Worker) {
	list := p.again
	p.again = nil
	for _, l := range list {
		switch {
		case l.at.After(w.Now()):
			p.again = append(p.again, l)
		case l.call.resume != nil:
			if p.s != nil && p.s.resume == l.call.resume {
				p.askRoom(w, l.call)
			}
		case l.call.left != "":
			p.tellLeft(w, l.call)
		default:
			p.dirty |= dirtyCalls
			p.deliver(w, l.call, failed(protocol.CodeUnavailable, -1, "no answer within its deadline"))
		}
	}
}

// tellLeft tells a room that a session which was in it has ended, until the room has heard it.
func (p *Entity) tellLeft(w *shard.Worker, call *pending) {
	known := false
	p.calls.Each(func(c *pending) { known = known || c.left == call.left && c.topic == call.topic })
	if known {
		return
	}
	call.tries++
	key := envelope.RoomKey(call.topic)
	call.to = p.owner(key)
	p.dirty |= dirtyCalls
	if !p.wait(call, w.Now().Add(game.CallTimeout)) {
		p.again = append(p.again, later{w.Now().Add(retryEvery), call})
		return
	}
	p.o.Route(&envelope.Envelope{Kind: envelope.Call, Key: key, Topic: call.topic, Flags: envelope.FlagLeft, From: p.key, FromTopic: call.topic,
		Session: call.left, Ref: call.ref, TTL: game.CallTimeout})
}

// abandonCalls fails what waits for an answer of nodes that are gone, so that nobody waits for its deadline.
func (p *Entity) abandonCalls(w *shard.Worker, alive func(envelope.NodeID) bool) {
	gone := func(n envelope.NodeID) bool { return !n.IsZero() && !alive(n) }
	a := failed(protocol.CodeUnavailable, 100*time.Millisecond, "the node that had to answer is gone")
	if p.s != nil {
		for _, o := range append([]openCall(nil), p.s.open...) {
			if gone(o.room) {
				p.settle(o.ref, a)
			}
		}
	}
	var refs []uint64
	p.calls.Each(func(c *pending) {
		if gone(c.to) {
			refs = append(refs, c.ref)
		}
	})
	for _, ref := range refs {
		p.answered(w, ref, a, 0)
	}
}
