package room

import (
	"encoding/binary"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// effects does what the handler asked for, in order. caller is the player whose call is handled; the flags say what became of
// his membership.
func (h *Home) effects(w *shard.Worker, effects []game.Effect, caller string) (flags uint16) {
	for i := range effects {
		f := &effects[i]
		switch f.Kind {
		case game.EffectJoined:
			if old := h.members.gone(f.Name); old != nil { // of a session that has ended
				h.detach(old)
			}
			h.attach(f.Name, nil)
			if m := h.members.byName[f.Name]; m != nil {
				h.recordMember(m)
			}
			if f.Name == caller {
				flags = envelope.FlagJoined
			}
		case game.EffectLeft:
			m := h.members.gone(f.Name)
			if m == nil {
				continue
			}
			h.detach(m)
			h.l.change.Delete(memberSection + m.name)
			if f.Name == caller {
				flags = envelope.FlagLeft
			} else {
				h.route(&envelope.Envelope{Kind: envelope.Cast, Key: envelope.PlayerPrefix + m.name, Topic: h.topic,
					Flags: envelope.FlagLeft, Session: m.session, From: h.key})
			}
		case game.EffectBroadcast:
			h.broadcast(f.Event, f.Payload)
		case game.EffectAnnounce:
			frame := protocol.AppendPush(nil, h.topic, 0, f.Event, plain(f.Payload))
			h.toNodes(&envelope.Envelope{Kind: envelope.Push, Topic: h.topic, From: f.Name, Payload: frame})
		case game.EffectNotify:
			h.notify(f.Event, f.Payload)
		case game.EffectCall, game.EffectCast:
			h.send(w, f)
		case game.EffectAnswer:
			h.route(&envelope.Envelope{Kind: envelope.Reply, Key: f.To.Key, Ref: f.To.Ref, Event: string(f.Answer.Code),
				Payload: envelope.AnswerPayload(f.Answer), Session: f.To.Session, FromTopic: h.topic, Flags: clientFlag(f.To.Client)})
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
	return flags
}

func clientFlag(client bool) uint16 {
	if client {
		return envelope.FlagClient
	}
	return 0
}

// plain makes a payload that came as JSON readable for every member.
func plain(p game.Payload) game.Payload {
	b, err := protocol.Normalize(p)
	if err != nil || len(b) == 0 {
		return game.EmptyMap
	}
	return b
}

func (h *Home) broadcast(event string, payload game.Payload) {
	frame := protocol.AppendPush(nil, h.topic, h.stream.Offset()+1, event, plain(payload))
	first := h.stream.First()
	h.stream.Append(frame)
	h.recordPush(frame, first)
	h.d.Metrics.Broadcasts.Inc()
	h.toNodes(&envelope.Envelope{Kind: envelope.Push, Topic: h.topic, Offset: h.stream.Offset(), Payload: frame})
}

// toNodes sends to every node that holds members' sockets.
func (h *Home) toNodes(e *envelope.Envelope) {
	for n := range h.nodes {
		h.o.ToNode(n, e)
	}
}

// notify tells every node that owns members; after a Collect sent to all nodes this order is what makes tallies exact.
func (h *Home) notify(event string, payload game.Payload) {
	e := envelope.Envelope{Kind: envelope.Notify, Topic: h.topic, Event: event, Payload: plain(payload)}
	t := h.d.Replica.Router.Table()
	told := map[envelope.NodeID]bool{}
	for part := range h.members.parts {
		if n, ok := t.OwnerOf(part); ok && !told[n] {
			told[n] = true
			h.o.ToNode(n, &e)
		}
	}
}

// attach has the gateway's relay give the stream from here on to the member's socket, after frames to replay.
func (h *Home) attach(name string, replay [][]byte) {
	m := h.members.byName[name]
	if m == nil || m.conn == 0 {
		return
	}
	if replay == nil {
		m.joined = h.stream.Offset()
	}
	if !m.attached {
		m.attached = true
		h.nodes[m.node]++
	}
	var b []byte
	for _, f := range replay {
		b = append(b, f...)
	}
	h.o.ToNode(m.node, &envelope.Envelope{Kind: envelope.Attach, Topic: h.topic, Conn: m.conn, From: m.name, Offset: h.stream.Offset(), Payload: b})
}

// Refused takes back an envelope that could not be sent. A member whose gateway was not told is tried again.
func (h *Home) Refused(w *shard.Worker, e *envelope.Envelope) {
	h.d.Metrics.Lost.Inc()
	if e.Kind != envelope.Attach {
		return // relays see a gap and ask for the rest; calls have deadlines
	}
	replayed := 0
	for b := e.Payload; len(b) >= 4; replayed++ {
		b = b[min(len(b), 4+int(binary.BigEndian.Uint32(b))):]
	}
	h.late = append(h.late, late{e.From, e.Conn, e.Offset - uint64(replayed)})
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
	h.o.ToNode(m.node, &envelope.Envelope{Kind: envelope.Detach, Topic: h.topic, Conn: m.conn, From: m.name})
}

func (h *Home) send(w *shard.Worker, f *game.Effect) {
	e := envelope.Envelope{Kind: envelope.Cast, Key: envelope.KeyOf(f.Address), Topic: f.Address.Topic, Event: f.Event, From: h.key,
		FromTopic: h.topic, TTL: game.CallTimeout, Payload: plain(f.Payload)}
	if f.Kind == game.EffectCall {
		ref, ok := h.calls.Add(f.Name, w.Now().Add(game.CallTimeout))
		if !ok {
			h.d.Log.Warn("too many open calls of one room", "topic", h.topic)
			return
		}
		e.Kind, e.Ref = envelope.Call, ref
		h.dirty |= dirtyCalls
	}
	h.o.Route(&e)
}

// sessionEnded takes a player out whose session has ended.
func (h *Home) sessionEnded(w *shard.Worker, e *envelope.Envelope) {
	name, ok := envelope.PlayerOf(e.From)
	m := h.members.byName[name]
	if !ok || m == nil || m.session != e.Session {
		return
	}
	h.members.begin(nil)
	h.members.drop(m)
	h.detach(m)
	h.l.change.Delete(memberSection + m.name)
	h.invoke(w, nil, func(c *game.Context) {
		if r, ok := h.impl.(game.Leaver); ok {
			r.Left(c, m.name)
		}
	})
}

// resume goes on with a member's stream at another connection.
func (h *Home) resume(w *shard.Worker, e *envelope.Envelope) {
	name, _ := envelope.PlayerOf(e.From)
	m := h.members.byName[name]
	r := envelope.Envelope{Kind: envelope.Reply, Key: e.From, Ref: e.Ref, FromTopic: h.topic, Event: string(protocol.CodeOK)}
	if m == nil || m.session != e.Session {
		r.Event = string(protocol.CodeNotFound)
		h.route(&r)
		return
	}
	h.detach(m)
	m.node, m.conn = e.Node, e.Conn
	h.recordMember(m)
	var replay [][]byte
	missed := e.Event != "seen"
	if !missed {
		from := max(e.Offset, m.joined)
		replay, missed = h.stream.Since(from)
		replay = h.renewed(w, replay, from)
	}
	if replay == nil {
		replay = [][]byte{} // not a join: m.joined stays
	}
	h.attach(name, replay)
	if missed {
		r.Offset = 1
	}
	h.route(&r)
}

// resync sends a relay what it has missed: pushes after Offset, as far as the history reaches.
func (h *Home) resync(w *shard.Worker, e *envelope.Envelope) {
	frames, missed := h.stream.Since(e.Offset)
	from := h.stream.Offset() - uint64(len(frames))
	if missed {
		frames, from = nil, h.stream.Offset()
	}
	frames = h.renewed(w, frames, from)
	p := envelope.Envelope{Kind: envelope.Push, Topic: h.topic, Flags: envelope.FlagResume, Offset: from}
	h.o.ToNode(e.Node, &p)
	for i, f := range frames {
		p := envelope.Envelope{Kind: envelope.Push, Topic: h.topic, Offset: from + uint64(i) + 1, Payload: f}
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
		h.detach(m)
		h.l.change.Delete(memberSection + name)
		h.route(&envelope.Envelope{Kind: envelope.Cast, Key: envelope.PlayerPrefix + name, Topic: h.topic, Flags: envelope.FlagLeft, Session: m.session, From: h.key})
	}
	for _, name := range names {
		h.invoke(w, nil, func(c *game.Context) {
			if r, ok := h.impl.(game.Leaver); ok {
				r.Left(c, name)
			}
		})
	}
}
