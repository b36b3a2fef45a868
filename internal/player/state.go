package player

import (
	"strconv"
	"strings"
	"time"

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
	dirtySession dirt = 1 << iota
	dirtyState        // a part, the stream, or a membership: the answer must be recorded too
	dirtyTimers
	dirtyCalls
	dirtyEnded
)

// The sections of a player's state.
const (
	wholeSection   = "v"  // there is state: its version
	sessionSection = "s"  // see recordSession
	refsSection    = "k"  // highest and dropped ref
	answerSection  = "a/" // + ref: a REPLY frame
	partSection    = "p/" // + topic: a part's snapshot
	offsetSection  = "o"  // the own stream's position
	pushSection    = "o/" // + offset: a PUSH frame
	timersSection  = "t"
	callsSection   = "q"  // the tags of calls that wait for an answer
	tallySection   = "y/" // + topic + NUL + round: what was added
)

// given names a round that the player added to.
type given struct{ topic, round string }

// contribution is one addition to a tally.
type contribution struct {
	given
	slot int
	n    int64
	name bool
}

// keptGiven is how many rounds of all topics a player's additions are remembered of.
const keptGiven = 16

// commitTallies records what the handler added to tallies, so that a new owner of the partition can count it.
func (p *Entity) commitTallies() {
	for _, c := range p.l.added {
		if p.given == nil {
			p.given = map[given][]int64{}
		}
		sum := p.given[c.given]
		if sum == nil {
			for k := range p.given { // the oldest rounds are long told; any of them will do
				if len(p.given) < keptGiven {
					break
				}
				delete(p.given, k)
				p.l.change.Delete(tallySection + k.topic + "\x00" + k.round)
			}
			sum = make([]int64, game.TallySlots+1)
			p.given[given{strings.Clone(c.topic), strings.Clone(c.round)}] = sum
		}
		sum[c.slot] += c.n
		if c.name {
			sum[game.TallySlots]++
		}
		p.l.change.Put(tallySection+c.topic+"\x00"+c.round, appendInts(p.l.scratch[:0], sum))
		p.dirty |= dirtyState
	}
	p.l.added = p.l.added[:0]
}

func appendInts(dst []byte, v []int64) []byte {
	dst = protocol.AppendArray(dst, len(v))
	for _, n := range v {
		dst = protocol.AppendInt(dst, n)
	}
	return dst
}

func (p *Entity) recordAnswer(ref uint64, frame []byte, dropped uint64) {
	p.l.change.Put(answerSection+strconv.FormatUint(ref, 10), frame)
	if dropped != 0 {
		p.l.change.Delete(answerSection + strconv.FormatUint(dropped, 10))
	}
	p.recordRefs(&p.l.change)
}

func (p *Entity) recordRefs(c *state.Change) {
	p.l.scratch = protocol.AppendUint(protocol.AppendUint(p.l.scratch[:0], p.s.answers.highest), p.s.answers.dropped)
	c.Put(refsSection, p.l.scratch)
}

// endAnswers forgets the answers of a session that ended.
func (p *Entity) endAnswers(s *session) {
	for i := range s.answers.ring {
		p.l.change.Delete(answerSection + strconv.FormatUint(s.answers.ring[i].ref, 10))
	}
	p.l.change.Delete(refsSection)
}

// recordPush records a push of the own stream; first was the oldest one kept before it.
func (p *Entity) recordPush(frame []byte, first uint64) {
	c := &p.l.change
	c.Put(pushSection+strconv.FormatUint(p.own.Offset(), 10), frame)
	for ; first < p.own.First(); first++ {
		c.Delete(pushSection + strconv.FormatUint(first, 10))
	}
	p.recordOffset(c)
	p.dirty |= dirtyState
}

func (p *Entity) recordOffset(c *state.Change) {
	p.l.scratch = protocol.AppendUint(p.l.scratch[:0], p.own.Offset())
	c.Put(offsetSection, p.l.scratch)
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
	if d&dirtyTimers != 0 {
		p.l.scratch = p.timers.Append(p.l.scratch[:0])
		c.Put(timersSection, p.l.scratch)
	}
	if d&dirtyCalls != 0 {
		b := p.l.scratch[:0]
		p.calls.Each(func(call pending) {
			if call.resume == nil {
				b = protocol.AppendStr(protocol.AppendStr(b, call.topic), call.tag)
			}
		})
		p.l.scratch = b
		c.Put(callsSection, b)
	}
}

// whole puts the player's whole state into a change.
func (p *Entity) whole(c *state.Change) {
	c.Put(wholeSection, []byte{1})
	p.record(c, dirtySession|dirtyTimers|dirtyCalls)
	if p.s != nil {
		p.recordRefs(c)
		for i := range p.s.answers.ring {
			a := &p.s.answers.ring[i]
			c.Put(answerSection+strconv.FormatUint(a.ref, 10), a.frame)
		}
	}
	for _, pt := range p.parts {
		if pt.kept {
			c.Put(partSection+pt.topic, pt.snapshot)
		}
	}
	p.recordOffset(c)
	for i, f := range p.own.Frames() {
		c.Put(pushSection+strconv.FormatUint(p.own.First()+uint64(i), 10), f)
	}
	for k, sum := range p.given {
		p.l.scratch = appendInts(p.l.scratch[:0], sum)
		c.Put(tallySection+k.topic+"\x00"+k.round, p.l.scratch)
	}
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
	return s, good && len(s.id) >= 6
}

// Restore implements shard.Entity: the player goes on, on this node, from what the backup had. alive says whether the gateway of its
// socket still is.
func (p *Entity) Restore(w *shard.Worker, sections state.Sections) {
	p.start()
	now := w.Now()
	p.restoreSession(w, sections)
	p.restoreParts(sections)
	for name, b := range sections {
		if key, ok := strings.CutPrefix(name, tallySection); ok {
			p.restoreTally(now, key, b)
		}
	}
	p.timers = actor.ParseTimers(sections[timersSection], now)
	if p.s != nil {
		for _, t := range p.s.topics {
			p.index(t)
		}
		p.d.Metrics.sessions.Add(1)
	}
	cur := protocol.NewCursor(sections[callsSection])
	for len(cur.Rest()) > 0 { // their answers went to the old owner: they fail at once
		topic, ok1 := cur.Text()
		tag, ok2 := cur.Text()
		if !ok1 || !ok2 {
			break
		}
		p.calls.Add(pending{topic: string(topic), tag: string(tag)}, now)
	}
	p.o.Again(p.d.Replica, now, p.key, p.whole)
	p.finish(w)
}

func (p *Entity) restoreSession(w *shard.Worker, sections state.Sections) {
	var offset uint64
	if c := protocol.NewCursor(sections[offsetSection]); len(sections[offsetSection]) > 0 {
		offset, _ = c.Uint()
	}
	var frames [][]byte
	for at := offset; at > 0; at-- {
		f := sections[pushSection+strconv.FormatUint(at, 10)]
		if f == nil {
			break
		}
		frames = append([][]byte{f}, frames...)
	}
	p.own.Restore(offset, frames)
	b := sections[sessionSection]
	if b == nil {
		return
	}
	s, ok := parseSession(b)
	if !ok {
		p.d.Log.Error("a session from the backup is damaged and lost", "key", p.key)
		return
	}
	p.s = s
	if s.conn == 0 {
		s.expires = w.Now().Add(p.d.SessionTTL)
	}
	for name, frame := range sections {
		if ref, ok := strings.CutPrefix(name, answerSection); ok {
			if n, err := strconv.ParseUint(ref, 10, 64); err == nil {
				s.answers.keep(n, frame)
			}
		}
	}
	if b := sections[refsSection]; b != nil {
		c := protocol.NewCursor(b)
		s.answers.highest, _ = c.Uint()
		s.answers.dropped, _ = c.Uint()
	}
}

func (p *Entity) restoreParts(sections state.Sections) {
	for name, snap := range sections {
		topic, ok := strings.CutPrefix(name, partSection)
		if !ok {
			continue
		}
		pt, _, fail := p.target([]byte(topic))
		if pt == nil {
			p.d.Log.Error("state of a part that no game has", "key", p.key, "topic", topic, "err", fail)
			continue
		}
		if err := pt.impl.Restore(snap); err != nil {
			p.d.Log.Error("state from the backup cannot be restored", "key", p.key, "topic", topic, "err", err)
			continue
		}
		pt.snapshot, pt.kept = snap, true
	}
	if p.s == nil {
		return
	}
	for _, topic := range p.s.topics { // parts without state of their own
		p.target([]byte(topic))
	}
}

func (p *Entity) restoreTally(now time.Time, key string, b []byte) {
	topic, round, ok := strings.Cut(key, "\x00")
	c := protocol.NewCursor(b)
	n, isArray := c.Array()
	if !ok || !isArray || n != game.TallySlots+1 {
		return
	}
	sum := make([]int64, n)
	for i := range sum {
		if sum[i], ok = c.Int(); !ok {
			return
		}
	}
	if p.given == nil {
		p.given = map[given][]int64{}
	}
	p.given[given{topic, round}] = sum
	p.l.Tallies.Restore(now, topic, round, sum[:game.TallySlots], p.Name(), sum[game.TallySlots] > 0)
}

// Rebase implements shard.Entity: the table is another, so the backup may be.
func (p *Entity) Rebase(w *shard.Worker, alive func(envelope.NodeID) bool) {
	if s := p.s; s != nil && s.conn != 0 && !alive(s.node) {
		s.conn, s.resume = 0, nil
		s.expires = w.Now().Add(p.d.SessionTTL)
	}
	p.start()
	if p.kept() {
		p.o.Again(p.d.Replica, w.Now(), p.key, p.whole)
	}
	p.finish(w)
}

// kept says whether there is state that the backup should have.
func (p *Entity) kept() bool { return !p.Idle(nil) }

// Whole implements shard.Entity: the whole state, for another node that owns the player now. False: there is none.
func (p *Entity) Whole(c *state.Change) bool {
	if !p.kept() {
		return false
	}
	p.whole(c)
	return true
}

// Moved implements shard.Entity: another node owns the player now. Who waits for an answer that was not given is told to ask
// again.
func (p *Entity) Moved(w *shard.Worker) {
	if p.s != nil {
		for _, t := range p.s.topics {
			p.unindex(t)
		}
		p.d.Metrics.sessions.Add(-1)
	}
	for k, sum := range p.given {
		p.l.Tallies.Remove(w.Now(), k.topic, k.round, sum[:game.TallySlots], p.Name())
	}
	p.o.Abandon(func(e *envelope.Envelope, node envelope.NodeID) {
		if e.Kind != envelope.Out || e.Flags != 0 {
			return
		}
		if frames := retryReplies(e.Payload); len(frames) > 0 {
			_ = p.d.Replica.Router.ToNode(node, &envelope.Envelope{Kind: envelope.Out, Conn: e.Conn, Payload: frames}) // its gateway is gone, and the socket with it
		}
	})
}
