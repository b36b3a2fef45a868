package room

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"gamed/game"
	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// dirt says what a message changed, beside sections that were recorded at once.
type dirt uint8

const (
	dirtyTimers dirt = 1 << iota
	dirtyCalls
	dirtyRounds
)

// The sections of a room's state.
const (
	wholeSection  = "v"  // there is state: its version
	gameSection   = "g"  // the game's snapshot
	memberSection = "m/" // + player: see recordMember
	offsetSection = "o"  // the stream's position
	pushSection   = "o/" // + offset: a PUSH frame
	timersSection = "t"
	callsSection  = "q" // tags of calls that wait for an answer
	roundsSection = "c" // rounds being collected, and the last attempt's number
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
	b = protocol.AppendArray(b, len(m.recent))
	for _, r := range m.recent {
		b = protocol.AppendUint(b, r.ref)
		b = protocol.AppendStr(b, string(r.answer.Code))
		b = protocol.AppendBin(b, envelope.AnswerPayload(r.answer))
	}
	return b
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
	n, ok := c.Array()
	if !ok || n > recentCalls {
		return nil, false
	}
	for range n {
		m.recent = append(m.recent, answered{number(), envelope.AnswerOf(string(text()), append([]byte{}, text()...))})
	}
	return m, good
}

// recordPush records a push of the stream; first was the oldest one kept before it.
func (h *Home) recordPush(frame []byte, first uint64) {
	c := &h.l.change
	c.Put(pushSection+strconv.FormatUint(h.stream.Offset(), 10), frame)
	for ; first < h.stream.First(); first++ {
		c.Delete(pushSection + strconv.FormatUint(first, 10))
	}
	h.recordOffset(c)
}

func (h *Home) recordOffset(c *state.Change) {
	h.l.scratch = protocol.AppendUint(h.l.scratch[:0], h.stream.Offset())
	c.Put(offsetSection, h.l.scratch)
}

// record puts what is dirty into a change.
func (h *Home) record(c *state.Change, d dirt) {
	if d&dirtyTimers != 0 {
		h.l.scratch = h.timers.Append(h.l.scratch[:0])
		c.Put(timersSection, h.l.scratch)
	}
	if d&dirtyCalls != 0 {
		b := h.l.scratch[:0]
		h.calls.Each(func(tag string) { b = protocol.AppendStr(b, tag) })
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
		}
	}
	h.recordOffset(c)
	for i, f := range h.stream.Frames() {
		c.Put(pushSection+strconv.FormatUint(h.stream.First()+uint64(i), 10), f)
	}
	h.record(c, dirtyTimers|dirtyCalls|dirtyRounds)
}

// Restore implements shard.Entity: the room goes on, on this node, from what the backup had.
func (h *Home) Restore(w *shard.Worker, sections state.Sections) {
	h.start()
	if h.impl == nil {
		return
	}
	if snap := sections[gameSection]; snap != nil {
		if err := h.impl.Restore(snap); err != nil {
			h.d.Log.Error("state from the backup cannot be restored", "key", h.key, "err", err)
		} else {
			h.snapshot, h.kept = snap, true
		}
	}
	h.restoreStream(sections)
	h.restoreMembers(sections)
	h.timers = actor.ParseTimers(sections[timersSection], w.Now())
	calls := protocol.NewCursor(sections[callsSection])
	for len(calls.Rest()) > 0 { // their answers went to the old owner: they fail at once
		tag, ok := calls.Text()
		if !ok {
			break
		}
		h.calls.Add(string(tag), w.Now())
	}
	if b := sections[roundsSection]; b != nil {
		c := protocol.NewCursor(b)
		h.attempt, _ = c.Uint()
		for len(c.Rest()) > 0 {
			round, ok := c.Text()
			if !ok {
				break
			}
			h.collect(w, string(round))
		}
	}
	h.o.Again(h.d.Replica, w.Now(), h.key, h.whole)
	h.finish(w)
}

func (h *Home) restoreStream(sections state.Sections) {
	var offset uint64
	if b := sections[offsetSection]; b != nil {
		c := protocol.NewCursor(b)
		offset, _ = c.Uint()
	}
	var frames [][]byte
	for at := offset; at > 0; at-- {
		f := sections[pushSection+strconv.FormatUint(at, 10)]
		if f == nil {
			break
		}
		frames = append(frames, f)
	}
	slices.Reverse(frames)
	h.stream.Restore(offset, frames)
}

// restoreMembers brings the members back, with the relays they had: those go on from where they are, and ask for what the old home
// did not send any more.
func (h *Home) restoreMembers(sections state.Sections) {
	h.members.begin(nil)
	var list []*member
	for name, b := range sections {
		player, ok := strings.CutPrefix(name, memberSection)
		if !ok {
			continue
		}
		m, good := parseMember(player, b)
		if !good {
			h.d.Log.Error("a member from the backup is damaged and lost", "key", h.key, "player", player)
			continue
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *member) int { return cmp.Compare(a.seq, b.seq) })
	for _, m := range list {
		h.members.add(m)
		if m.conn != 0 {
			m.attached = true
			h.nodes[m.node]++
		}
	}
	for n := range h.nodes { // relays that are behind ask for the rest
		h.o.ToNode(n, &envelope.Envelope{Kind: envelope.Push, Topic: h.topic, Flags: envelope.FlagResync, Offset: h.stream.Offset()})
	}
}

// Rebase implements shard.Entity: the table is another, so the backup may be; sockets on nodes that are gone are gone, and members
// with them until they resume elsewhere.
func (h *Home) Rebase(w *shard.Worker, alive func(envelope.NodeID) bool) {
	for n := range h.nodes {
		if alive(n) {
			continue
		}
		delete(h.nodes, n)
		for _, m := range h.members.byName {
			if m.attached && m.node == n {
				m.attached, m.conn = false, 0
			}
		}
	}
	h.start()
	if !h.Idle(w) {
		h.o.Again(h.d.Replica, w.Now(), h.key, h.whole)
	}
	h.finish(w)
}

// Whole implements shard.Entity: the whole state, for another node that owns the room now. False: there is none.
func (h *Home) Whole(c *state.Change) bool {
	if h.Idle(nil) {
		return false
	}
	h.whole(c)
	return true
}

// Moved implements shard.Entity: another node owns the room now. Callers who wait for an answer are told to ask again.
func (h *Home) Moved(*shard.Worker) {
	h.o.Abandon(func(e *envelope.Envelope, _ envelope.NodeID) {
		if e.Kind != envelope.Reply {
			return
		}
		a := game.Answer{Code: protocol.CodeMoved, Text: "another node owns the room now: ask again", Retry: 100e6}
		r := *e
		r.Flags &= envelope.FlagClient
		r.Event, r.Payload = string(a.Code), envelope.AnswerPayload(a)
		_ = h.d.Replica.Router.Route(&r) // the caller's deadline tells it
	})
}
