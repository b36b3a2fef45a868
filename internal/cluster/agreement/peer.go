package agreement

import (
	"slices"
	"time"

	"gamed/internal/shard"
)

// peer is what this node knows of one life of another.
type peer struct {
	id      shard.NodeID
	seen    bool // gossip says alive
	lost    bool // gossip says dead
	linked  bool
	closed  bool          // the link was closed by the other end
	refused bool          // and its port refuses
	left    bool          // it said that it leaves for good
	contact time.Duration // when it was last heard of; while it is not linked

	reported  bool // since the link is up
	position  Position
	contested bool
	links     []uint64
	draining  bool

	newer, asked time.Duration // when its newer table was first noticed, and last fetched. 0: never

	member     bool // it was in a table of ours
	again      bool // it came back into one
	readmitted time.Duration
}

func (m *Machine) peer(id shard.NodeID) *peer {
	p := m.peers[id]
	if p == nil {
		p = &peer{id: id, contact: m.now}
		m.peers[id] = p
	}
	return p
}

func (m *Machine) see(ev Seen) {
	p := m.peer(ev.ID)
	if !p.seen {
		m.changed = m.now
	}
	p.seen, p.lost = true, false
	if !p.reported {
		p.draining = ev.Draining
	}
}

func (m *Machine) linkUp(id shard.NodeID) {
	p := m.peer(id)
	p.linked, p.closed, p.refused = true, false, false
	m.changed = m.now
}

func (m *Machine) linkDown(ev LinkDown) {
	p := m.peer(ev.ID)
	if p.linked {
		p.contact = m.now - max(ev.Silent, 0)
	}
	p.linked, p.reported, p.links, p.position = false, false, nil, Position{}
	p.closed, p.refused, p.newer = ev.Closed, false, 0
	m.changed = m.now
}

// maxTerm is above every term an honest node can reach; a report of more is not believed.
const maxTerm = 1 << 62

func (m *Machine) report(ev Report) {
	p := m.peers[ev.From]
	if p == nil || !p.linked || ev.Position.Term > maxTerm {
		return
	}
	if !p.reported {
		m.changed = m.now
	}
	p.reported, p.position, p.contested, p.draining = true, ev.Position, ev.Contested, ev.Draining
	p.links = append(p.links[:0], ev.Links...)
}

// gone says whether a node of the table counts as dead: it left, another life of it is linked, its link was closed and its
// port refuses; or it was silent for 2 s, no member has a link to it, and gossip or another member says so too; or 3 s passed.
func (m *Machine) gone(id shard.NodeID) bool {
	p := m.peers[id]
	if id == m.self {
		return false
	}
	if p == nil || p.left {
		return true
	}
	if p.linked {
		return false
	}
	if p.refused || m.superseded(id) {
		return true
	}
	silent := m.now - p.contact
	if silent < contactMin {
		return false
	}
	vouched, agreed := m.witnesses(id)
	return !vouched && (p.lost || agreed || silent >= contactMax)
}

// superseded says whether another life of the node is there: this one's process has ended.
func (m *Machine) superseded(id shard.NodeID) bool {
	if id.Name == m.self.Name {
		return true
	}
	for other, p := range m.peers {
		if other.Name == id.Name && other != id && p.linked {
			return true
		}
	}
	return false
}

// witnesses asks the other members of the table what they know: vouched when one has a link to the node, agreed when one has
// none.
func (m *Machine) witnesses(id shard.NodeID) (vouched, agreed bool) {
	for _, w := range m.table.Nodes {
		p := m.peers[w]
		if p == nil || !p.linked || !p.reported {
			continue
		}
		if slices.Contains(p.links, id.Boot) {
			vouched = true
		} else {
			agreed = true
		}
	}
	return vouched, agreed
}

// admissible says whether a node that is not in the table may come in.
func (m *Machine) admissible(p *peer) bool {
	switch {
	case !p.linked, !p.reported, p.left, p.id.Name == m.self.Name:
		return false
	case p.position.newer(PositionOf(m.table)): // we shall go to it, not it to us
		return false
	case p.again && m.now-p.readmitted < flapHold:
		return false
	}
	for _, id := range m.table.Nodes {
		if id.Name == p.id.Name && id != p.id && !m.gone(id) {
			return false
		}
	}
	for other, q := range m.peers { // of two lives that are both linked the older link stays: see mesh
		if other.Name == p.id.Name && other.Boot < p.id.Boot && q.linked && q.reported && !q.left {
			return false
		}
	}
	return true
}
