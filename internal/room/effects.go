package room

import (
	"encoding/binary"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// moves says who became a member, and who ceased to be one, last.
type moves struct{ joined, left string }

// effects does what the handler asked for, in order.
func (h *Home) effects(w *shard.Worker, effects []game.Effect) (done moves) {
	for i := range effects {
		f := &effects[i]
		switch f.Kind {
		case game.EffectJoined:
			h.join(f.Name)
			done.joined = f.Name
		case game.EffectLeft:
			if m := h.members.gone(f.Name); m != nil {
				h.leave(m, h.members.caller() != f.Name)
				done.left = f.Name
			}
		case game.EffectBroadcast:
			h.broadcast(w, f.Event, f.Payload)
		case game.EffectAnnounce:
			frame := protocol.AppendPush(nil, h.topic, 0, f.Event, plain(f.Payload))
			h.toNodes(&envelope.Envelope{Kind: envelope.Push, Term: h.term(), Topic: h.topic, From: f.Name, Payload: frame})
		case game.EffectNotify:
			h.notify(w.Now(), f.Event, f.Payload)
		case game.EffectCall, game.EffectCast:
			h.send(w, f)
		case game.EffectAnswer:
			h.answerLater(f.To, f.Answer)
		case game.EffectTimer:
			h.timers.Set("", f.Name, w.Now().Add(f.After))
			h.dirty |= dirtyTimers
		case game.EffectCancel:
			h.timers.Cancel("", f.Name)
			h.dirty |= dirtyTimers
		case game.EffectCollect:
			h.collect(w, f.Name)
		default:
			h.d.Log.Error("a room asked for what only player parts can do", "topic", h.topic, "effect", f.Kind)
		}
	}
	return done
}

// join gives a new member the stream from here on.
func (h *Home) join(name string) {
	for {
		old := h.members.gone(name) // in a session that has ended, or in one that this handler ended
		if old == nil {
			break
		}
		h.detach(old)
		h.forget(old)
	}
	if m := h.members.byName[name]; m != nil {
		h.attach(name, nil)
		h.recordMember(m)
	}
}

// leave takes a member's stream away; tell says that the player does not know of it.
func (h *Home) leave(m *member, tell bool) {
	h.detach(m)
	h.forget(m)
	if tell {
		h.o.Route(&envelope.Envelope{Kind: envelope.Cast, Key: envelope.PlayerPrefix + m.name, Topic: h.topic, Flags: envelope.FlagLeft, Session: m.session, From: h.key})
	}
}

// plain makes a payload that came as JSON readable for every member.
func plain(p game.Payload) game.Payload {
	b, err := protocol.Normalize(p)
	if err != nil || len(b) == 0 {
		return game.EmptyMap
	}
	return b
}

func (h *Home) broadcast(w *shard.Worker, event string, payload game.Payload) {
	frame := protocol.AppendPush(nil, h.topic, h.stream.Offset()+1, event, plain(payload))
	h.stream.Push(&h.l.change, frame)
	h.d.Metrics.Broadcasts.Inc()
	h.toNodes(&envelope.Envelope{Kind: envelope.Push, Term: h.term(), Topic: h.topic, Offset: h.stream.Offset(), Payload: frame})
	h.confirmAt(w.Now().Add(confirmAfter))
}

// confirmAfter is how long after a push the relays are told where the stream is, so that a last one that was lost is missed.
const confirmAfter = time.Second

func (h *Home) confirmAt(at time.Time) {
	if h.confirm.IsZero() || at.Before(h.confirm) {
		h.confirm = at
	}
}

// toNodes sends to every node that holds members' sockets.
func (h *Home) toNodes(e *envelope.Envelope) {
	for n := range h.nodes {
		h.o.ToNode(n, e)
	}
}

// attach has the gateway's relay give the stream from here on to the member's socket, after frames to replay.
func (h *Home) attach(name string, replay [][]byte) {
	m := h.members.byName[name]
	if m == nil || m.conn == 0 {
		return
	}
	if replay == nil {
		m.joined, m.since = h.stream.Offset(), h.stream.Offset()
	}
	if !m.attached {
		m.attached = true
		h.nodes[m.node]++
	}
	var b []byte
	for _, f := range replay {
		b = append(b, f...)
	}
	h.o.ToNode(m.node, &envelope.Envelope{Kind: envelope.Attach, Term: h.term(), Topic: h.topic, Conn: m.conn, From: m.name, Offset: h.stream.Offset(), Payload: b})
}

// Refused takes back an envelope that could not be sent. A member whose gateway was not told is tried again, and so is a relay that
// did not get a push.
func (h *Home) Refused(w *shard.Worker, e *envelope.Envelope) {
	h.d.Metrics.Lost.Inc()
	switch e.Kind {
	case envelope.Push:
		if e.Offset != 0 {
			h.confirmAt(w.Now().Add(lateEvery))
		}
	case envelope.Attach:
		replayed := uint64(0)
		for b := e.Payload; len(b) >= protocol.LengthSize; replayed++ {
			b = b[min(len(b), protocol.LengthSize+int(binary.BigEndian.Uint32(b))):]
		}
		h.late = append(h.late, late{e.From, e.Conn, e.Offset - min(e.Offset, replayed)})
	}
	h.arm(w)
}

// late is a member whose gateway could not be told yet that it gets the stream from an offset on.
type late struct {
	name string
	conn uint64
	from uint64
}

// lateEvery is how often the gateways of late members are tried again.
const lateEvery = 200 * time.Millisecond

func (h *Home) attachLate(w *shard.Worker) {
	list := h.late
	h.late = nil
	for _, l := range list {
		m := h.members.byName[l.name]
		if m == nil || m.conn != l.conn {
			continue
		}
		frames, missed := h.stream.Since(l.from)
		if missed { // it must resume to be told
			h.o.ToNode(m.node, &envelope.Envelope{Kind: envelope.Out, Conn: m.conn, Flags: envelope.FlagClose,
				Payload: protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeUnavailable, Reason: "pushes of " + h.topic + " were lost on the way", RetryMS: 0})})
			continue
		}
		h.attach(l.name, append([][]byte{}, h.renewed(w, frames, l.from)...))
	}
}

func (h *Home) detach(m *member) {
	if !m.attached {
		return
	}
	m.attached = false
	if h.nodes[m.node]--; h.nodes[m.node] == 0 {
		delete(h.nodes, m.node)
	}
	h.o.ToNode(m.node, &envelope.Envelope{Kind: envelope.Detach, Term: h.term(), Topic: h.topic, Conn: m.conn, From: m.name})
}

// sessionEnded takes a player out whose session has ended. It is told once more until it was answered.
func (h *Home) sessionEnded(w *shard.Worker, e *envelope.Envelope) {
	name, ok := envelope.PlayerOf(e.From)
	m := h.members.byName[name]
	if ok && m != nil && m.session == e.Session {
		h.members.begin(nil)
		h.members.drop(m)
		h.leave(m, false)
		h.tellLeft(w, m.name)
	}
	h.reply(e, game.Answer{Set: true, Code: protocol.CodeOK, Payload: game.EmptyMap}, 0)
}

// tellLeft tells the room that a membership ended.
func (h *Home) tellLeft(w *shard.Worker, name string) {
	h.invoke(w, func(c *game.Context) {
		if r, ok := h.impl.(game.Leaver); ok {
			r.Left(c, name)
		}
	})
}

// resume goes on with a member's stream at another connection.
func (h *Home) resume(w *shard.Worker, e *envelope.Envelope) {
	r := envelope.Envelope{Kind: envelope.Reply, Key: e.From, Ref: e.Ref, FromTopic: h.topic, Event: string(protocol.CodeOK)}
	h.adopt(e)
	if !h.isMember(e.From, e.Session) {
		r.Event = string(protocol.CodeNotFound)
		h.o.Route(&r)
		return
	}
	name, _ := envelope.PlayerOf(e.From)
	m := h.members.byName[name]
	h.detach(m)
	m.node, m.conn, m.since = e.Node, e.Conn, h.stream.Offset()
	replay := [][]byte{} // not nil: it is no join
	missed := e.Event != "seen"
	if !missed {
		from := max(e.Offset, m.joined)
		var frames [][]byte
		if frames, missed = h.stream.Since(from); !missed {
			m.since = from
		}
		replay = append(replay, h.renewed(w, frames, from)...)
	}
	if m.joined == otherStream {
		m.joined = h.stream.Offset()
	}
	h.recordMember(m)
	h.attach(name, replay)
	if missed {
		r.Offset = 1
	}
	h.o.Route(&r)
}

// adopt takes the word of a player's entity that he is a member in this session, where two sides of a split did not agree.
func (h *Home) adopt(e *envelope.Envelope) {
	name, ok := envelope.PlayerOf(e.From)
	if m := h.members.byName[name]; ok && m != nil && m.session == "" {
		m.session = e.Session
	}
}

// resync sends a relay what it has missed: pushes after Offset, as far as the history reaches.
func (h *Home) resync(w *shard.Worker, e *envelope.Envelope) {
	frames, missed := h.stream.Since(e.Offset)
	from := h.stream.Offset() - uint64(len(frames))
	if missed {
		frames, from = nil, h.stream.Offset()
	}
	frames = h.renewed(w, frames, from)
	p := envelope.Envelope{Kind: envelope.Push, Term: h.term(), Topic: h.topic, Flags: envelope.FlagResume, Offset: from}
	h.o.ToNode(e.Node, &p)
	for i, f := range frames {
		p := envelope.Envelope{Kind: envelope.Push, Term: h.term(), Topic: h.topic, Offset: from + uint64(i) + 1, Payload: f}
		h.o.ToNode(e.Node, &p)
	}
}

// CloseRoom ends every membership, as an operator asked.
func (h *Home) CloseRoom(w *shard.Worker) {
	h.start()
	defer h.finish(w)
	var names []string
	h.members.begin(nil)
	h.members.Each(func(name string) bool { names = append(names, name); return true })
	for _, name := range names {
		m := h.members.byName[name]
		h.members.drop(m)
		h.leave(m, true)
	}
	for _, name := range names {
		h.tellLeft(w, name)
	}
}
