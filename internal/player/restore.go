package player

import (
	"slices"
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

// Restore implements shard.Entity: the player goes on, on this node, from what the backup or the owner before had.
func (p *Entity) Restore(w *shard.Worker, sections state.Sections) {
	p.start()
	now := w.Now()
	p.restoreSplit(sections)
	p.own.Load(sections)
	p.restoreSession(now, sections)
	p.restoreParts(sections)
	p.timers = actor.ParseTimers(sections[timersSection], now)
	for name, b := range sections {
		if key, ok := strings.CutPrefix(name, tallySection); ok {
			p.restoreTally(now, key, b)
		}
	}
	slices.SortFunc(p.given, func(a, b *gave) int { return int(a.order) - int(b.order) })
	p.restoreCalls(now, sections[callsSection], sections[movedSection])
	p.o.Again(p.d.Replica, now, p.key, p.whole)
	p.restoreTail(sections[tailSection])
	if p.s != nil && p.s.conn != 0 { // is the socket still there? if not, its gateway says so
		p.askGateway(now)
	}
	p.finish(w)
}

// number reads a section that is one number; 0 when there is none.
func number(b []byte) uint64 {
	c := protocol.NewCursor(b)
	n, _ := c.Uint()
	return n
}

// numbers reads a section that is a list of numbers, up to the first damage.
func numbers(b []byte) (list []uint64) {
	for c := protocol.NewCursor(b); len(c.Rest()) > 0; {
		n, ok := c.Uint()
		if !ok {
			break
		}
		list = append(list, n)
	}
	return list
}

func (p *Entity) restoreSession(now time.Time, sections state.Sections) {
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
	p.d.Metrics.sessions.Add(1)
	if s.conn == 0 {
		s.expires = now.Add(p.d.SessionTTL)
	}
	var kept []answer
	for name, b := range sections {
		ref, isAnswer := strings.CutPrefix(name, answerSection)
		if !isAnswer {
			continue
		}
		c := protocol.NewCursor(b)
		n, err := strconv.ParseUint(ref, 10, 64)
		order, ok := c.Uint()
		if err != nil || !ok || len(c.Rest()) < protocol.LengthSize {
			p.d.Log.Error("an answer from the backup is damaged and lost", "key", p.key, "ref", ref)
			continue
		}
		kept = append(kept, answer{ref: n, order: order, frame: c.Rest(), saved: true})
	}
	a := &s.answers
	if refs := numbers(sections[refsSection]); len(refs) >= 2 {
		a.highest, a.dropped, a.retry = refs[0], refs[1], refs[2:]
	}
	a.restore(kept)
	if !s.text {
		a.normalize()
	}
	for _, ref := range numbers(sections[openSection]) {
		s.open = append(s.open, openCall{ref: ref, deadline: now.Add(callLimit), saved: true})
		a.begun(ref)
		a.forgetRetry(ref)
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
			p.d.Log.Error("state of a part that no game has", "key", p.key, "topic", topic, "err", fail.Text)
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
	for _, topic := range p.s.topics { // parts without state of their own, too
		if pt := p.partOf(topic); pt != nil {
			pt.noticed = number(sections[noticeSection+topic])
		}
		p.index(topic)
	}
}

// restoreCalls takes back what waited for an answer. After a move the answers come here. Otherwise they went to the old owner, so the
// calls fail at once; rooms are told again of sessions that left them.
func (p *Entity) restoreCalls(now time.Time, b, moved []byte) {
	open := parseMoved(moved)
	for c := protocol.NewCursor(b); len(c.Rest()) > 0; {
		topic, ok1 := c.Text()
		tag, ok2 := c.Text()
		left, ok3 := c.Text()
		if !ok1 || !ok2 || !ok3 {
			p.d.Log.Error("calls from the backup are damaged and lost", "key", p.key)
			return
		}
		call := &pending{topic: string(topic), tag: string(tag), left: string(left)}
		i := slices.IndexFunc(open, func(o *pending) bool { return o.topic == call.topic && o.tag == call.tag && o.left == call.left })
		if i >= 0 && p.calls.Resume(open[i].ref, open[i], now.Add(game.CallTimeout)) {
			open = slices.Delete(open, i, i+1)
			continue
		}
		p.again = append(p.again, later{now, call})
	}
}

// restoreTail sends what waited for the backup at the owner before.
func (p *Entity) restoreTail(b []byte) {
	for c := protocol.NewCursor(b); len(c.Rest()) > 0; {
		body, ok1 := c.Text()
		name, ok2 := c.Text()
		boot, ok3 := c.Uint()
		var e envelope.Envelope
		if !ok1 || !ok2 || !ok3 || e.Decode(body) != nil {
			p.d.Log.Error("messages from the owner before are damaged and lost", "key", p.key)
			return
		}
		if node := (envelope.NodeID{Name: string(name), Boot: boot}); node.IsZero() {
			p.o.Route(&e)
		} else {
			p.o.ToNode(node, &e)
		}
	}
}

// Rebase implements shard.Entity: the table is another, so the backup may be; nodes that are not alive are gone, and what was
// expected of them with them.
func (p *Entity) Rebase(w *shard.Worker, alive func(envelope.NodeID) bool) {
	p.start()
	if s := p.s; s != nil && s.conn != 0 && !alive(s.node) {
		p.cut(w)
	}
	p.abandonCalls(w, alive)
	p.o.Told()
	if p.kept() {
		p.o.Again(p.d.Replica, w.Now(), p.key, p.whole)
	}
	p.finish(w)
}

// Moved implements shard.Entity: another node owns the player now, and has what Whole gave.
func (p *Entity) Moved(w *shard.Worker) {
	if p.s != nil {
		for _, t := range p.s.topics {
			p.unindex(t)
		}
		p.d.Metrics.sessions.Add(-1)
	}
	for _, g := range p.given {
		delete(p.l.unsafe, p)
		p.l.Tallies.Remove(w.Now(), g.topic, g.round, g.sum[:game.TallySlots], p.Name())
	}
}
