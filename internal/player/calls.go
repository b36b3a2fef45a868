package player

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// openCall is a call of the client that was begun and not answered.
type openCall struct {
	ref      uint64
	deadline time.Time
	room     envelope.NodeID // who owned the room it was passed on to; zero: a part answers it
	saved    bool            // the backup knows it: what it changed so far is there
}

// frames handles the calls of one read of the client's socket.
func (p *Entity) frames(w *shard.Worker, e *envelope.Envelope) {
	if p.isAsked(e) {
		p.keepAsked(e)
		return
	}
	if p.s == nil {
		p.lost(e)
		return
	}
	if !p.current(e) { // of a socket that was replaced, or one whose hello has not come yet
		if b := RefuseFrames(nil, e.Payload, errNotHere); len(b) > 0 {
			p.sendTo(p.gateway(e), e.Conn, 0, b)
		}
		return
	}
	b := e.Payload
	for len(b) >= protocol.LengthSize {
		n := int(binary.BigEndian.Uint32(b))
		if n < 1 || n > len(b)-protocol.LengthSize {
			break
		}
		body := b[protocol.LengthSize : protocol.LengthSize+n]
		b = b[protocol.LengthSize+n:]
		if kind, ok := protocol.FrameKind(body); ok && kind == protocol.KindReply { // the gateway refused it: the ref stays open
			if r, ok := protocol.ParseReply(body); ok && r.Ref > 0 {
				p.s.answers.begun(r.Ref)
				p.s.answers.keepOpen(r.Ref)
			}
			continue
		}
		c, ok := protocol.ParseCall(body)
		if !ok {
			continue // checked by the gateway
		}
		p.call(w, c)
		if p.s == nil {
			return
		}
	}
	p.d.Metrics.Reads.Inc()
}

// gateway is the node that an envelope of a connection came from.
func (p *Entity) gateway(e *envelope.Envelope) envelope.NodeID {
	if e.Node.IsZero() {
		return p.d.Replica.Router.Self()
	}
	return e.Node
}

// current says whether e comes from the session's present connection.
func (p *Entity) current(e *envelope.Envelope) bool {
	return p.s.conn == e.Conn && p.s.node == p.gateway(e)
}

// lost tells the client that its session is not here any more.
func (p *Entity) lost(e *envelope.Envelope) {
	f := protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeUnavailable, Reason: "the session is not known here any more: say hello again", RetryMS: 100})
	p.sendTo(p.gateway(e), e.Conn, envelope.FlagClose, f)
}

// call begins one call of the client.
func (p *Entity) call(w *shard.Worker, c protocol.Call) {
	s, ref := p.s, c.Ref
	p.d.Metrics.calls.Add(1)
	p.dirty &^= dirtyState // of the calls before it
	if ref != 0 {
		if s.isOpen(ref) {
			return // its answer is on the way
		}
		switch v, frame := s.answers.judge(ref); v {
		case refKept:
			p.l.out = append(p.l.out, frame...)
			p.d.Metrics.Again.Inc()
			return
		case refStale:
			p.l.out = protocol.AppendReplyError(p.l.out, ref, protocol.CodeStaleRef, "this ref is older than the answers kept", -1)
			p.d.Metrics.failed.Add(1)
			return
		}
		s.answers.begun(ref)
		if p.o.Full() { // the answer does not wait for the backup
			s.answers.keepOpen(ref)
			f := protocol.AppendReplyError(nil, ref, protocol.CodeBusy, "the backup is behind", 200)
			_ = p.d.Replica.Router.ToNode(s.node, &envelope.Envelope{Kind: envelope.Out, Conn: s.conn, Payload: f}) // its gateway is gone, and the socket with it
			p.d.Metrics.failed.Add(1)
			return
		}
		if len(s.open) >= OpenCalls {
			p.settle(ref, failed(protocol.CodeBusy, 100*time.Millisecond, "64 calls are open"))
			return
		}
	}
	pt, g, fail := p.target(c.Topic)
	if fail.Set {
		p.settle(ref, fail)
		return
	}
	event := p.intern(c.Event)
	if pt == nil {
		if g.Room == nil {
			p.settle(ref, failed(protocol.CodeNotFound, -1, "no such event"))
			return
		}
		p.forward(w, ref, string(c.Topic), event, c.Payload)
		return
	}
	m := &p.l.msg
	*m = game.Message{Event: event, Payload: c.Payload, From: game.Address{Player: p.Name(), Topic: pt.topic}, Client: true, Role: s.role}
	out := p.handle(w, pt, game.Frame{Message: m, Wants: ref != 0, To: game.ReplyTo{Key: p.key, Ref: ref, Client: true, Session: s.id}})
	switch {
	case out.Forward:
		p.forward(w, ref, pt.topic, event, c.Payload)
	case out.Deferred:
		p.opened(ref, openCall{deadline: w.Now().Add(callLimit), saved: p.dirty&dirtyState != 0})
	default:
		p.settle(ref, out.Answer)
	}
	p.effects(w, pt, out.Effects)
}

// failed is an answer that is not ok; retry below 0: no hint.
func failed(code protocol.Code, retry time.Duration, text string) game.Answer {
	return game.Answer{Set: true, Code: code, Text: text, Retry: retry}
}

// target finds the part a topic's call goes to, and makes it when there is none; pt is nil when the game has only a room.
func (p *Entity) target(topic []byte) (pt *part, g *game.Game, fail game.Answer) {
	for _, pt := range p.parts {
		if pt.topic == string(topic) {
			return pt, pt.game, fail
		}
	}
	name, id, ok := protocol.SplitTopic(topic)
	if !ok {
		return nil, nil, failed(protocol.CodeNotFound, -1, "no such topic")
	}
	g = p.d.Games[string(name)]
	if g == nil {
		return nil, nil, failed(protocol.CodeNotFound, -1, "no such game")
	}
	if g.HasTopic != nil && !g.HasTopic(string(id)) {
		return nil, nil, failed(protocol.CodeNotFound, -1, "no such topic")
	}
	if g.Player == nil {
		return nil, g, fail
	}
	pt = &part{topic: string(topic), game: g, impl: g.Player(string(id))}
	if !p.addPart(pt) {
		return nil, nil, failed(protocol.CodeBusy, time.Second, "you are in too many topics")
	}
	return pt, g, fail
}

// addPart makes room by forgetting a part that has no state, so that a client cannot fill memory with topics.
func (p *Entity) addPart(pt *part) bool {
	if len(p.parts) < maxParts {
		p.parts = append(slices.Grow(p.parts, 1), pt)
		return true
	}
	for i, old := range p.parts {
		if !old.kept && !p.timers.InScope(old.topic) && !p.s.in(old.topic) && !p.waits(old.topic) {
			p.parts[i] = pt
			return true
		}
	}
	return false
}

// waits says whether the part of a topic waits for an answer.
func (p *Entity) waits(topic string) (waits bool) {
	p.calls.Each(func(c *pending) { waits = waits || c.topic == topic && c.resume == nil })
	for i := range p.again {
		waits = waits || p.again[i].call.topic == topic
	}
	return waits
}

func (p *Entity) find(topic string) *part {
	for _, pt := range p.parts {
		if pt.topic == topic {
			return pt
		}
	}
	return nil
}

// forward passes the client's call on to the room of the topic, which answers to the client's ref.
func (p *Entity) forward(w *shard.Worker, ref uint64, topic, event string, payload []byte) {
	s := p.s
	kind := envelope.Call
	if ref == 0 {
		kind = envelope.Cast
	}
	e := envelope.Envelope{Kind: kind, Key: envelope.RoomKey(topic), Topic: topic, Event: event, From: p.key, FromTopic: topic,
		Ref: ref, TTL: callLimit, Flags: envelope.FlagClient, Role: s.role, Payload: payload, Conn: s.conn, Node: s.node, Session: s.id}
	p.o.Route(&e)
	p.opened(ref, openCall{deadline: w.Now().Add(callLimit), room: p.owner(e.Key)})
}

// owner is who owns a key at this moment; zero: nobody.
func (p *Entity) owner(key string) envelope.NodeID {
	n, _ := p.d.Replica.Router.Table().OwnerOf(shard.PartitionOf(key))
	return n
}

func (p *Entity) opened(ref uint64, o openCall) {
	if ref == 0 {
		return
	}
	o.ref = ref
	p.s.open = append(p.s.open, o)
	if o.saved {
		p.dirty |= dirtyOpen
	}
}

// refusal is what a client is told when the router refused.
func refusal(err error) game.Answer {
	switch {
	case busy(err):
		return failed(protocol.CodeBusy, 200*time.Millisecond, "too much waits there")
	case errors.Is(err, shard.ErrQuarantined):
		return failed(protocol.CodeUnavailable, time.Second, shard.ErrQuarantined.Error())
	case errors.Is(err, shard.ErrPanic):
		return failed(protocol.CodeInternal, 100*time.Millisecond, "the handler failed; nothing was changed")
	}
	return failed(protocol.CodeUnavailable, 500*time.Millisecond, "its owner cannot be reached")
}

// settle answers the client's call and keeps the answer.
func (p *Entity) settle(ref uint64, a game.Answer) {
	s := p.s
	if ref == 0 || s == nil {
		return
	}
	saved := s.closeCall(ref)
	if saved {
		p.dirty |= dirtyOpen
	}
	from := len(p.l.out)
	if a.Code == protocol.CodeOK {
		payload := a.Payload
		if len(payload) == 0 {
			payload = game.EmptyMap
		}
		if !s.text {
			payload = plain(payload)
		}
		p.l.out = protocol.AppendReply(p.l.out, ref, payload)
	} else {
		p.l.out = protocol.AppendReplyError(p.l.out, ref, a.Code, a.Text, envelope.RetryMS(a))
		p.d.Metrics.failed.Add(1)
	}
	if len(p.l.out)-from-protocol.LengthSize > protocol.MaxFrameOut {
		p.l.out = protocol.AppendReplyError(p.l.out[:from], ref, protocol.CodeInvalid, "the answer is longer than a frame", -1)
		a.Code = protocol.CodeInvalid // not internal: something may have been changed
	}
	if a.Code.Class() == protocol.ClassRetry {
		s.answers.keepOpen(ref)
		return
	}
	kept := s.answers.keep(ref, p.l.out[from:])
	switch {
	case saved || p.dirty&dirtyState != 0: // the change, its ref and its answer travel together
		p.recordAnswer(kept)
	case len(s.answers.forget) >= maxForget:
		p.forgetAnswers()
	}
}

// plain makes a payload readable for binary clients and rooms of many.
func plain(p game.Payload) game.Payload {
	if _, tagged := protocol.TaggedJSON(p); !tagged {
		return p
	}
	b, err := protocol.Normalize(p)
	if err != nil {
		return game.EmptyMap
	}
	return b
}

// intern gives the one copy of a name, so that a call does not allocate for its event.
func (p *Entity) intern(b []byte) string {
	if s, ok := p.l.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(p.l.names) < 1024 && len(s) <= 64 {
		p.l.names[s] = s
	}
	return s
}
