package player

import (
	"encoding/binary"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// frames handles the calls of one read of the client's socket.
func (p *Entity) frames(w *shard.Worker, e *envelope.Envelope) {
	if p.s == nil {
		p.lost(e)
		return
	}
	if !p.current(e) {
		return // of a socket that was replaced: it has its GOAWAY
	}
	b := e.Payload
	for len(b) >= 4 {
		n := int(binary.BigEndian.Uint32(b))
		if n < 1 || n > len(b)-4 {
			break
		}
		body := b[4 : 4+n]
		b = b[4+n:]
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
	if ref != 0 {
		switch v, frame := s.answers.judge(ref); v {
		case refKept:
			p.l.out = append(p.l.out, frame...)
			p.d.Metrics.Again.Inc()
			return
		case refStale:
			p.l.out = protocol.AppendReplyError(p.l.out, ref, protocol.CodeStaleRef, "this ref is older than the answers kept", -1)
			return
		}
		if s.isOpen(ref) {
			return // its answer is on the way
		}
		s.answers.begun(ref)
		if p.o.Full() {
			p.settle(w, ref, game.Answer{Set: true, Code: protocol.CodeBusy, Text: "the backup is behind", Retry: 200 * time.Millisecond})
			return
		}
		if len(s.open) >= OpenCalls {
			p.settle(w, ref, game.Answer{Set: true, Code: protocol.CodeBusy, Text: "64 calls are open", Retry: 100 * time.Millisecond})
			return
		}
	}
	pt, g, fail := p.target(c.Topic)
	if fail != "" {
		p.settle(w, ref, game.Answer{Set: true, Code: protocol.CodeNotFound, Text: fail, Retry: -1})
		return
	}
	event := p.intern(c.Event)
	if pt == nil {
		if g.Room == nil {
			p.settle(w, ref, game.Answer{Set: true, Code: protocol.CodeNotFound, Text: "no such event", Retry: -1})
			return
		}
		p.forward(w, ref, string(c.Topic), event, c.Payload)
		return
	}
	m := &p.l.msg
	*m = game.Message{Event: event, Payload: c.Payload, From: game.Address{Player: p.Name(), Topic: pt.topic}, Client: true, Role: s.role}
	f := game.Frame{Message: m, Wants: ref != 0, To: game.ReplyTo{Key: p.key, Ref: ref, Client: true, Session: s.id}}
	p.handle(w, pt, f, func(a game.Answer) { p.settle(w, ref, a) }, func() {
		p.forward(w, ref, pt.topic, event, m.Payload)
	}, func() { p.opened(w, ref) })
}

// target finds the part a topic's call goes to; pt is nil when the game has only a room.
func (p *Entity) target(topic []byte) (pt *part, g *game.Game, fail string) {
	for _, pt := range p.parts {
		if pt.topic == string(topic) {
			return pt, pt.game, ""
		}
	}
	name, id, ok := protocol.SplitTopic(topic)
	if !ok {
		return nil, nil, "no such topic"
	}
	g = p.d.Games[string(name)]
	if g == nil {
		return nil, nil, "no such game"
	}
	if g.HasTopic != nil && !g.HasTopic(string(id)) {
		return nil, nil, "no such topic"
	}
	if g.Player == nil {
		return nil, g, ""
	}
	pt = &part{topic: string(topic), game: g, impl: g.Player(string(id))}
	p.addPart(pt)
	return pt, g, ""
}

// addPart makes room by forgetting a part that has no state, so that a client cannot fill memory with topics.
func (p *Entity) addPart(pt *part) {
	if len(p.parts) >= maxParts {
		for i, old := range p.parts {
			if !old.kept && !p.timers.InScope(old.topic) && !p.s.in(old.topic) {
				p.parts[i] = pt
				return
			}
		}
	}
	if p.parts == nil {
		p.parts = make([]*part, 0, 1)
	}
	p.parts = append(p.parts, pt)
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
	p.opened(w, ref)
}

func (p *Entity) opened(w *shard.Worker, ref uint64) {
	if ref != 0 {
		p.s.open = append(p.s.open, openCall{ref, w.Now().Add(callLimit)})
	}
}

// refusal is what a client is told when the router refused.
func refusal(err error) game.Answer {
	if busy(err) {
		return game.Answer{Set: true, Code: protocol.CodeBusy, Text: "too much waits there", Retry: 200 * time.Millisecond}
	}
	return game.Answer{Set: true, Code: protocol.CodeUnavailable, Text: "its owner cannot be reached", Retry: 500 * time.Millisecond}
}

// settle answers the client's call and keeps the answer.
func (p *Entity) settle(_ *shard.Worker, ref uint64, a game.Answer) {
	s := p.s
	if ref == 0 || s == nil {
		return
	}
	s.closeCall(ref)
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
	if len(p.l.out)-from-4 > protocol.MaxFrameOut {
		p.l.out = protocol.AppendReplyError(p.l.out[:from], ref, protocol.CodeInternal, "the answer is longer than a frame", -1)
		a.Code = protocol.CodeInternal
	}
	if a.Code.Class() == protocol.ClassRetry {
		s.answers.keepOpen(ref)
		return
	}
	dropped := s.answers.keep(ref, p.l.out[from:])
	if p.dirty&dirtyState != 0 { // the change, its ref and its answer travel together
		p.recordAnswer(ref, p.l.out[from:], dropped)
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
