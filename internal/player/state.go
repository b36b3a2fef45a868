package player

import (
	"slices"
	"strconv"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/state"
	"gamed/internal/stream"
	"gamed/protocol"
)

// dirt says what a message changed, beside sections that were recorded at once.
type dirt uint8

const (
	dirtySession dirt = 1 << iota
	dirtyState        // something was done that must not be done again: the answer must be recorded too
	dirtyTimers
	dirtyCalls
	dirtyOpen
)

// The sections of a player's state.
const (
	wholeSection   = "v"  // there is state: its version
	sessionSection = "s"  // see session.append
	refsSection    = "k"  // highest and dropped ref, refs that are never stale
	answerSection  = "a/" // + ref: order, a REPLY frame
	openSection    = "w"  // refs of calls that were begun and changed something
	partSection    = "p/" // + topic: a part's snapshot
	noticeSection  = "n/" // + topic: the number of the room's last notice
	offsetSection  = stream.OffsetSection
	pushSection    = stream.PushSection
	timersSection  = "t"
	callsSection   = "q"  // what waits for an answer: topic, tag, session that left
	movedSection   = "q/" // only from one owner to the next: of the calls that wait, those that may still be answered, see appendMoved
	tallySection   = "y/" // + topic + NUL + round: what was added
	tailSection    = "h"  // only from one owner to the next: what waited for the backup, see appendTail
)

func answerName(ref uint64) string { return answerSection + strconv.FormatUint(ref, 10) }

func (p *Entity) recordAnswer(a *answer) {
	p.forgetAnswers()
	a.saved = true
	p.putAnswer(&p.l.change, a)
	p.recordRefs(&p.l.change)
}

func (p *Entity) putAnswer(c *state.Change, a *answer) {
	p.l.scratch = append(protocol.AppendUint(p.l.scratch[:0], a.order), a.frame...)
	c.Put(answerName(a.ref), p.l.scratch)
}

// forgetAnswers takes dropped answers from the backup.
func (p *Entity) forgetAnswers() {
	a := &p.s.answers
	for _, ref := range a.forget {
		p.l.change.Delete(answerName(ref))
	}
	a.forget = a.forget[:0]
}

func (p *Entity) recordRefs(c *state.Change) {
	a := &p.s.answers
	b := protocol.AppendUint(protocol.AppendUint(p.l.scratch[:0], a.highest), a.dropped)
	for _, ref := range a.retry {
		if ref <= a.dropped {
			b = protocol.AppendUint(b, ref)
		}
	}
	for _, o := range p.s.open {
		if o.ref <= a.dropped {
			b = protocol.AppendUint(b, o.ref)
		}
	}
	p.l.scratch = b
	c.Put(refsSection, b)
}

func (p *Entity) recordOpen(c *state.Change, all bool) {
	b := p.l.scratch[:0]
	for _, o := range p.s.open {
		if all || o.saved {
			b = protocol.AppendUint(b, o.ref)
		}
	}
	p.l.scratch = b
	c.Put(openSection, b)
}

// endAnswers takes the answers of a session that ended from the backup.
func (p *Entity) endAnswers(s *session) {
	c := &p.l.change
	for i := range s.answers.ring {
		if s.answers.ring[i].saved {
			c.Delete(answerName(s.answers.ring[i].ref))
		}
	}
	for _, ref := range s.answers.forget {
		c.Delete(answerName(ref))
	}
	c.Delete(refsSection)
	c.Delete(openSection)
}

func (p *Entity) recordNoticed(pt *part) {
	p.l.scratch = protocol.AppendUint(p.l.scratch[:0], pt.noticed)
	p.l.change.Put(noticeSection+pt.topic, p.l.scratch)
}

// record puts what is dirty into a change.
func (p *Entity) record(c *state.Change, d dirt) {
	if d&dirtySession != 0 {
		if p.s == nil {
			c.Delete(sessionSection)
		} else {
			p.l.scratch = p.s.append(p.l.scratch[:0])
			c.Put(sessionSection, p.l.scratch)
		}
	}
	if d&dirtyOpen != 0 && p.s != nil {
		p.recordOpen(c, false)
	}
	if d&dirtyTimers != 0 {
		p.l.scratch = p.timers.Append(p.l.scratch[:0])
		c.Put(timersSection, p.l.scratch)
	}
	if d&dirtyCalls != 0 {
		b := p.l.scratch[:0]
		add := func(call *pending) {
			if call.resume == nil {
				b = protocol.AppendStr(protocol.AppendStr(protocol.AppendStr(b, call.topic), call.tag), call.left)
			}
		}
		p.calls.Each(add)
		for i := range p.again {
			add(p.again[i].call)
		}
		p.l.scratch = b
		c.Put(callsSection, b)
	}
}

// whole puts the player's whole state into a change, for a backup that has nothing of it.
func (p *Entity) whole(c *state.Change) {
	c.Put(wholeSection, []byte{1})
	p.record(c, dirtySession|dirtyTimers|dirtyCalls|dirtyOpen)
	p.recordSplit(c)
	if p.s != nil {
		p.recordRefs(c)
		p.s.answers.forget = p.s.answers.forget[:0]
		for i := range p.s.answers.ring {
			a := &p.s.answers.ring[i]
			a.saved = true
			p.putAnswer(c, a)
		}
	}
	for _, pt := range p.parts {
		if pt.kept {
			c.Put(partSection+pt.topic, pt.snapshot)
		}
		if pt.noticed > 0 {
			p.l.scratch = protocol.AppendUint(p.l.scratch[:0], pt.noticed)
			c.Put(noticeSection+pt.topic, p.l.scratch)
		}
	}
	p.own.Record(c)
	for _, g := range p.given {
		c.Put(g.section(), p.appendGave(g))
	}
}

// kept says whether there is state that the backup should have.
func (p *Entity) kept() bool { return !p.Idle(nil) }

// Whole implements shard.Entity: the whole state, for another node that owns the player now: with what the backup does not know
// and need not, the open calls, and with what waits for it. False: there is none.
func (p *Entity) Whole(c *state.Change) bool {
	if !p.kept() {
		return false
	}
	p.whole(c)
	if p.s != nil {
		p.recordOpen(c, true)
	}
	b, refs := p.appendTail(nil)
	if len(b) > 0 {
		c.Put(tailSection, b)
	}
	if b := p.appendMoved(nil); len(b) > 0 {
		c.Put(movedSection, b)
	}
	p.tellOpen(refs)
	return true
}

// OpenCallsEvent is the Event of an Out whose payload is a list of refs, each with the milliseconds it may still be open: calls of the
// connection that went to a player's entity on the gateway's own node and were not answered when the player moved to another.
const OpenCallsEvent = "open"

// tellOpen tells the gateway, if it is this node, which calls are open when the player leaves the node: it keeps those that go to
// other nodes by itself.
func (p *Entity) tellOpen(answered []uint64) {
	s := p.s
	if s == nil || s.conn == 0 || s.node != p.d.Replica.Router.Self() {
		return
	}
	var b []byte
	for _, o := range s.open {
		b = protocol.AppendUint(protocol.AppendUint(b, o.ref), uint64(max(time.Until(o.deadline), 0).Milliseconds()))
	}
	for _, ref := range answered {
		b = protocol.AppendUint(protocol.AppendUint(b, ref), uint64(callLimit.Milliseconds())) // it waits for the backup only
	}
	if len(b) > 0 {
		_ = p.d.Replica.Router.ToNode(s.node, &envelope.Envelope{Kind: envelope.Out, Conn: s.conn, Event: OpenCallsEvent, Payload: b}) // it is this node
	}
}

// maxTail bounds what waits for the backup and is handed over; who waits for more is told to ask again.
const maxTail = 1 << 20

// appendTail takes what waits for the backup out of the outbox and encodes it: envelope, node. It gives the refs that are answered
// in it, too.
func (p *Entity) appendTail(b []byte) (tail []byte, refs []uint64) {
	p.o.Abandon(func(e *envelope.Envelope, node envelope.NodeID) {
		if e.Kind == envelope.Out && e.Flags == 0 {
			refs = append(refs, replyRefs(e.Payload)...)
		}
		if len(b)+len(e.Payload) < maxTail {
			b = protocol.AppendBin(b, e.Append(nil))
			b = protocol.AppendStr(b, node.Name)
			b = protocol.AppendUint(b, node.Boot)
			return
		}
		if e.Kind != envelope.Out || e.Flags != 0 {
			p.d.Metrics.OutLost.Inc()
			return
		}
		if frames := retryReplies(e.Payload); len(frames) > 0 {
			_ = p.d.Replica.Router.ToNode(node, &envelope.Envelope{Kind: envelope.Out, Conn: e.Conn, Payload: frames}) // its gateway is gone, and the socket with it
		}
	})
	return b, refs
}

// append encodes the session without its answers.
func (s *session) append(b []byte) []byte {
	b = protocol.AppendStr(b, s.id)
	b = protocol.AppendStr(b, s.node.Name)
	b = protocol.AppendUint(b, s.node.Boot)
	b = protocol.AppendUint(b, s.conn)
	b = protocol.AppendBool(b, s.text)
	b = protocol.AppendStr(b, s.role)
	b = protocol.AppendUint(b, s.began)
	b = protocol.AppendArray(b, len(s.topics))
	for _, t := range s.topics {
		b = protocol.AppendStr(b, t)
	}
	return b
}

func parseSession(b []byte) (*session, bool) {
	c := protocol.NewCursor(b)
	s := &session{}
	good := true
	text := func() string {
		v, ok := c.Text()
		good = good && ok
		return string(v)
	}
	number := func() uint64 {
		v, ok := c.Uint()
		good = good && ok
		return v
	}
	s.id, s.node.Name, s.node.Boot, s.conn = text(), text(), number(), number()
	isText, ok := c.Bool()
	good = good && ok
	s.text, s.role, s.began = isText, text(), number()
	n, ok := c.Array()
	if !ok || !good || n > maxTopics {
		return nil, false
	}
	for range n {
		s.topics = append(s.topics, text())
	}
	return s, good && len(s.id) >= 6 && !slices.Contains(s.topics, "")
}
