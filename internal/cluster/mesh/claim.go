package mesh

import (
	"fmt"
	"strings"
)

// larger orders nodes: of two dials at once, that of the larger node is kept.
func larger(a, b NodeID) bool {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c > 0
	}
	return a.Boot > b.Boot
}

// claim decides on a control hello that judge let pass: a link that is now the peer's current one, or a refusal.
func (m *Mesh) claim(h *hello, wire uint16) (l *link, reason Refusal, text string) {
	m.mu.Lock()
	var old *link
	defer func() {
		m.mu.Unlock()
		if old != nil {
			old.close(ClosedReplaced, nil)
		}
	}()
	name := h.Node.Name
	switch {
	case m.stopped:
		return nil, RefusedStopping, "the node is going down"
	case m.cuts[name]:
		return nil, RefusedCut, "cut off by hand"
	}
	p := m.peer(name)
	if cur := p.current; cur != nil {
		if reason, text, ok := m.replaces(h, p, cur); !ok {
			return nil, reason, text
		}
		old = cur
	}
	if p.seenOf != h.Node {
		p.seenOf, p.seen = h.Node, 0
	}
	p.seen = max(p.seen, h.Seq)
	l = m.newLink(p, h.Node, false, h.Seq)
	l.wire, l.state = wire, h.State
	return l, 0, ""
}

// replaces decides whether a hello takes the place of the peer's current link; see "Settling" in the package comment.
func (m *Mesh) replaces(h *hello, p *peer, cur *link) (reason Refusal, text string, ok bool) {
	switch {
	case cur.id != h.Node: // another life of the name: only who is wanted throws out one that is alive
		wanted := p.wanted && p.id == h.Node
		if !wanted && cur.heardWithin(m.opt.Heartbeat*3/2) {
			return RefusedNameTaken, fmt.Sprintf("%s is here and alive", cur.id), false
		}
		return 0, "", true
	case !cur.dialed: // a link of theirs: they dial again only after they lost it
		ok = h.Seq > cur.seq
	case h.Seen >= cur.seq: // they had taken ours, and lost it
		ok = true
	default: // both dials are in flight, or they had not yet taken ours when they sent this
		ok = !cur.welcomed && larger(h.Node, m.opt.Self)
	}
	if !ok {
		return RefusedSettled, "another link to this node is kept", false
	}
	return 0, "", true
}

// claimDial makes the link of a dial that has reached the peer's host; false when another one was quicker.
func (m *Mesh) claimDial(p *peer, id NodeID) (l *link, seen uint64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped || p.current != nil || !p.wanted || p.id != id || m.cuts[p.name] {
		return nil, 0, false
	}
	if p.seenOf == id {
		seen = p.seen
	}
	return m.newLink(p, id, true, m.seq.Add(1)), seen, true
}

// join finds the link that a data lane's hello belongs to.
func (m *Mesh) join(h *hello) (*link, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[h.Node.Name]
	if p == nil || p.current == nil || p.current.dialed || p.current.id != h.Node || p.current.seq != h.Seq {
		return nil, false
	}
	return p.current, true
}

// publish puts a link among those that Send finds, or takes it out; false when it is no longer the peer's current one.
func (m *Mesh) publish(l *link, up bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if up && (m.stopped || l.peer.current != l || l.dead()) {
		return false
	}
	old := *m.links.Load()
	if !up && old[l.id] != l {
		return false
	}
	links := make(map[NodeID]*link, len(old)+1)
	for id, o := range old {
		links[id] = o
	}
	if up {
		links[l.id] = l
	} else {
		delete(links, l.id)
	}
	m.links.Store(&links)
	return true
}

// release says that a link is over: its peer may dial again.
func (m *Mesh) release(l *link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := l.peer
	if p.current == l {
		p.current = nil
	}
	close(l.ended)
	m.forget(p)
}
