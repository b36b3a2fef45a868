package room

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// Restore implements shard.Entity: the room goes on, on this node, from what the backup or the owner before had.
func (h *Home) Restore(w *shard.Worker, sections state.Sections) {
	h.start()
	if h.impl == nil {
		h.d.Log.Error("state of a room that no game has", "key", h.key)
		return
	}
	if snap := sections[gameSection]; snap != nil {
		if err := h.impl.Restore(snap); err != nil {
			h.d.Log.Error("state from the backup cannot be restored", "key", h.key, "err", err)
		} else {
			h.snapshot, h.kept = snap, true
		}
	}
	h.restoreSplit(sections)
	h.stream.Load(sections)
	h.restoreMembers(sections)
	h.restoreNotices(w, sections)
	h.timers = actor.ParseTimers(sections[timersSection], w.Now())
	h.restoreCalls(w.Now(), sections[callsSection], sections[movedSection])
	h.o.Again(h.d.Replica, w.Now(), h.key, h.whole)
	h.restoreTail(sections[tailSection])
	h.restoreRounds(sections[roundsSection])
	if h.askAgain(w, true); len(h.rounds) == 0 {
		h.retell(w.Now())
	}
	h.askUnsure(h.d.Replica.Router.Table().Has)
	for n := range h.nodes { // relays that are behind ask for the rest
		h.o.ToNode(n, &envelope.Envelope{Kind: envelope.Push, Term: h.term(), Topic: h.topic, Flags: envelope.FlagResync, Offset: h.stream.Offset()})
	}
	h.callRoll()
	if h.stream.Offset() > 0 {
		h.confirmAt(w.Now().Add(confirmAfter))
	}
	h.finish(w)
}

// restoreMembers brings the members back, with the relays they had: those go on from where they are.
func (h *Home) restoreMembers(sections state.Sections) {
	h.members.begin(nil)
	var list []*member
	var calls []answered
	for name, b := range sections {
		if player, ok := strings.CutPrefix(name, memberSection); ok {
			m, good := parseMember(player, b)
			if !good {
				h.d.Log.Error("a member from the backup is damaged and lost", "key", h.key, "player", player)
				continue
			}
			list = append(list, m)
		} else if call, ok := strings.CutPrefix(name, recentSection); ok {
			k, good := parseAnswered(call, b)
			if !good {
				h.d.Log.Error("an answer from the backup is damaged and lost", "key", h.key, "call", call)
				continue
			}
			calls = append(calls, k)
		}
	}
	slices.SortFunc(list, func(a, b *member) int { return cmp.Compare(a.seq, b.seq) })
	for _, m := range list {
		h.members.add(m)
		if m.conn != 0 {
			m.attached = true
			h.nodes[m.node]++
		}
	}
	slices.SortFunc(calls, func(a, b answered) int { return cmp.Compare(a.order, b.order) })
	for _, k := range calls {
		h.remembered = max(h.remembered, k.order)
		if m := h.members.byName[k.name]; m != nil && m.session == k.session {
			m.recent = append(m.recent, k)
			h.members.took(&k)
		} else {
			h.members.past = append(h.members.past, k)
		}
	}
}

func (h *Home) restoreNotices(w *shard.Worker, sections state.Sections) {
	if b := sections[lastSection]; b != nil {
		c := protocol.NewCursor(b)
		h.notices.last, _ = c.Uint()
	}
	var list []notice
	for name, b := range sections {
		number, ok := strings.CutPrefix(name, noticeSection)
		if !ok {
			continue
		}
		c := protocol.NewCursor(b)
		seq, err := strconv.ParseUint(number, 10, 64)
		event, ok1 := c.Text()
		body, ok2 := c.Text()
		if err != nil || !ok1 || !ok2 {
			h.d.Log.Error("a notice from the backup is damaged and lost", "key", h.key, "number", number)
			continue
		}
		list = append(list, notice{seq, w.Now(), string(event), body})
	}
	slices.SortFunc(list, func(a, b notice) int { return cmp.Compare(a.seq, b.seq) })
	for _, n := range list {
		h.notices.add(n, func(notice) {})
	}
}

func (h *Home) restoreRounds(b []byte) {
	if b == nil {
		return
	}
	c := protocol.NewCursor(b)
	h.attempt, _ = c.Uint()
	h.attempt += attemptsApart
	for len(c.Rest()) > 0 {
		round, ok := c.Text()
		if !ok {
			break
		}
		if h.rounds == nil {
			h.rounds = map[string]*collect{}
		}
		h.rounds[string(round)] = &collect{}
	}
}

// restoreTail sends what waited for the backup at the owner before.
func (h *Home) restoreTail(b []byte) {
	for c := protocol.NewCursor(b); len(c.Rest()) > 0; {
		body, ok1 := c.Text()
		name, ok2 := c.Text()
		boot, ok3 := c.Uint()
		var e envelope.Envelope
		if !ok1 || !ok2 || !ok3 || e.Decode(body) != nil {
			h.d.Log.Error("messages from the owner before are damaged and lost", "key", h.key)
			return
		}
		if node := (envelope.NodeID{Name: string(name), Boot: boot}); node.IsZero() {
			h.o.Route(&e)
		} else {
			h.o.ToNode(node, &e)
		}
	}
}

// Rebase implements shard.Entity: the table is another, so the backup may be; sockets on nodes that are gone are gone, and members
// with them until they resume elsewhere; what was on its way to owners that are not any more is said again.
func (h *Home) Rebase(w *shard.Worker, alive func(envelope.NodeID) bool) {
	h.start()
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
	h.abandonCalls(w, alive)
	h.askUnsure(alive)
	if h.askAgain(w, true); len(h.rounds) == 0 {
		h.retell(w.Now())
	}
	h.o.Told()
	if !h.Idle(w) {
		h.o.Again(h.d.Replica, w.Now(), h.key, h.whole)
	}
	h.finish(w)
}
