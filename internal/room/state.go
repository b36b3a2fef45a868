package room

import (
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/internal/stream"
	"gamed/protocol"
)

// dirt says what a message changed, beside sections that were recorded at once.
type dirt uint8

const (
	dirtyTimers dirt = 1 << iota
	dirtyCalls
	dirtyRounds
	dirtyNotices
)

// The sections of a room's state.
const (
	wholeSection  = "v"  // there is state: its version
	gameSection   = "g"  // the game's snapshot
	memberSection = "m/" // + player: see recordMember
	offsetSection = stream.OffsetSection
	pushSection   = stream.PushSection
	timersSection = "t"
	callsSection  = "q"  // tags of calls that wait for an answer
	movedSection  = "q/" // only from one owner to the next: of the calls that wait, those that may still be answered
	recentSection = "r/" // + player / session / ref: the answer to a client's call
	noticeSection = "x/" // + number: a notice
	lastSection   = "x"  // the number of the last notice
	tailSection   = "h"  // only from one owner to the next: what waited for the backup
	roundsSection = "c"  // rounds being collected, and the last attempt's number
)

func (h *Home) recordMember(m *member) {
	h.l.scratch = m.append(h.l.scratch[:0])
	h.l.change.Put(memberSection+m.name, h.l.scratch)
}

// append encodes a member.
func (m *member) append(b []byte) []byte {
	b = protocol.AppendStr(b, m.session)
	b = protocol.AppendStr(b, m.node.Name)
	b = protocol.AppendUint(b, m.node.Boot)
	b = protocol.AppendUint(b, m.conn)
	b = protocol.AppendUint(b, m.joined)
	b = protocol.AppendUint(b, m.seq)
	return protocol.AppendUint(b, m.since)
}

func parseMember(name string, b []byte) (*member, bool) {
	c := protocol.NewCursor(b)
	good := true
	text := func() []byte {
		v, ok := c.Text()
		good = good && ok
		return v
	}
	number := func() uint64 {
		v, ok := c.Uint()
		good = good && ok
		return v
	}
	m := &member{name: name, part: shard.PartitionOf(envelope.PlayerPrefix + name)}
	m.session, m.node.Name = string(text()), string(text())
	m.node.Boot, m.conn, m.joined, m.seq = number(), number(), number(), number()
	if m.since = m.joined; len(c.Rest()) > 0 {
		m.since = number()
	}
	return m, good
}

// record puts what is dirty into a change.
func (h *Home) record(c *state.Change, d dirt) {
	if d&dirtyTimers != 0 {
		h.l.scratch = h.timers.Append(h.l.scratch[:0])
		c.Put(timersSection, h.l.scratch)
	}
	if d&dirtyCalls != 0 {
		b := h.l.scratch[:0]
		h.calls.Each(func(call *asked) { b = protocol.AppendStr(b, call.tag) })
		for i := range h.again {
			b = protocol.AppendStr(b, h.again[i].call.tag)
		}
		h.l.scratch = b
		c.Put(callsSection, b)
	}
	if d&dirtyRounds != 0 {
		b := protocol.AppendUint(h.l.scratch[:0], h.attempt)
		for round := range h.rounds {
			b = protocol.AppendStr(b, round)
		}
		h.l.scratch = b
		c.Put(roundsSection, b)
	}
	if d&dirtyNotices != 0 {
		h.l.scratch = protocol.AppendUint(h.l.scratch[:0], h.notices.last)
		c.Put(lastSection, h.l.scratch)
	}
}

// whole puts the room's whole state into a change.
func (h *Home) whole(c *state.Change) {
	c.Put(wholeSection, []byte{1})
	if h.kept {
		c.Put(gameSection, h.snapshot)
	}
	for _, m := range h.members.order {
		if m != nil {
			h.l.scratch = m.append(h.l.scratch[:0])
			c.Put(memberSection+m.name, h.l.scratch)
			h.putAnswered(c, m.recent)
		}
	}
	h.putAnswered(c, h.members.past)
	for i := range h.notices.kept {
		h.l.scratch = h.notices.kept[i].append(h.l.scratch[:0])
		c.Put(noticeName(h.notices.kept[i].seq), h.l.scratch)
	}
	h.stream.Record(c)
	h.record(c, dirtyTimers|dirtyCalls|dirtyRounds|dirtyNotices)
	h.recordSplit(c)
}

func (h *Home) putAnswered(c *state.Change, list []answered) {
	for i := range list {
		h.l.scratch = list[i].append(h.l.scratch[:0])
		c.Put(list[i].section(), h.l.scratch)
	}
}

// Whole implements shard.Entity: the whole state, for another node that owns the room now, with what waits for the backup. False:
// there is none.
func (h *Home) Whole(c *state.Change) bool {
	if h.impl == nil || h.Idle(nil) && h.stream.Offset() == 0 {
		return false
	}
	h.whole(c)
	if b := h.appendTail(nil); len(b) > 0 {
		c.Put(tailSection, b)
	}
	if b := h.appendMoved(nil); len(b) > 0 {
		c.Put(movedSection, b)
	}
	return true
}

// Moved implements shard.Entity: another node owns the room now, and has what Whole gave.
func (h *Home) Moved(*shard.Worker) {}

// maxTail bounds what waits for the backup and is handed over; callers whose answer does not fit are told to ask again, relays ask
// for what they miss.
const maxTail = 1 << 20

// appendTail takes what waits for the backup out of the outbox and encodes it: envelope, node.
func (h *Home) appendTail(b []byte) []byte {
	h.o.Abandon(func(e *envelope.Envelope, node envelope.NodeID) {
		switch {
		case len(b)+len(e.Payload) < maxTail:
			b = protocol.AppendBin(b, e.Append(nil))
			b = protocol.AppendStr(b, node.Name)
			b = protocol.AppendUint(b, node.Boot)
		case e.Kind == envelope.Reply:
			a := failed(protocol.CodeMoved, 100*time.Millisecond, "another node owns the room now: ask again")
			r := *e
			r.Event, r.Payload = string(a.Code), envelope.AnswerPayload(a)
			_ = h.d.Replica.Router.Route(&r) // the caller's deadline tells it
		default:
			h.d.Metrics.Lost.Inc()
		}
	})
	return b
}
