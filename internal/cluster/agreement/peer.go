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
	left    bool          // it said that it leaves for good
	over    bool          // its process has surely ended: it left, its port refuses after a close, another life of it is linked
	ended   time.Duration // when over became known
	contact time.Duration // when it was last heard of; while it is not linked

	reported  bool // since the link is up
	position  Position
	last      uint64 // hash of the table it reported last, also when the link is down
	belongs   bool   // it is in its own table
	ahead     uint64
	contested bool
	inForce   bool
	filled    shard.PartSet // by the table of position
	readyAt   time.Duration // quorum: when the leases that it backed have ended, as of its last report
	answered  time.Duration // when the last heartbeat that it answered was sent
	backed    time.Duration // quorum: the same of the last answer that backs this node's lease
	links     []uint64
	draining  bool

	newer, asked time.Duration // when its newer table was first noticed, and its table last fetched. 0: never

	member     bool // it was in a table of ours
	again      bool // it came back into one
	flaps      bool // twice within a short time
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
	p.linked, p.closed, p.over = true, false, p.left
	m.changed = m.now
	for other, q := range m.peers {
		if other.Name == id.Name && other != id && !q.linked {
			m.end(q)
		}
	}
}

func (m *Machine) linkDown(ev LinkDown) {
	p := m.peer(ev.ID)
	if p.linked {
		p.contact = m.now - max(ev.Silent, 0)
	}
	p.linked, p.reported, p.links, p.position = false, false, nil, Position{}
	p.belongs, p.ahead, p.inForce = false, 0, false
	p.closed, p.newer = ev.Closed, 0
	m.changed = m.now
	for other, q := range m.peers {
		if other.Name == p.id.Name && other != p.id && q.linked {
			m.end(p)
		}
	}
}

// end notes that a peer's process is surely gone.
func (m *Machine) end(p *peer) {
	if !p.over {
		p.over, p.ended = true, m.now
	}
}

// maxTerm is above every term an honest node can reach. Nor does one come to be so far ahead of the others.
const (
	maxTerm    = 1 << 62
	termsAhead = 1 << 32
)

// believable says whether a term can be true.
func (m *Machine) believable(term uint64) bool {
	return term <= maxTerm && (m.table.Term == 0 || term <= m.table.Term+termsAhead)
}

func (m *Machine) report(ev Report) {
	p := m.peers[ev.From]
	if p == nil || !p.linked {
		return
	}
	if !m.believable(ev.Position.Term) {
		m.out = append(m.out, Refuse{ev.From, "impossible term"})
		return
	}
	if !p.reported {
		m.changed = m.now
	}
	p.reported, p.position, p.contested, p.draining = true, ev.Position, ev.Contested, ev.Draining
	p.last, p.filled = ev.Position.Hash, ev.Filled
	m.fill(ev.Position.Hash, &ev.Filled)
	p.belongs, p.ahead, p.inForce, p.readyAt = ev.Member, ev.Ahead, ev.InForce, m.now+max(ev.Fence, 0)
	p.links = append(p.links[:0], ev.Links...)
	if ev.Sent > p.answered && ev.Sent <= m.now {
		p.answered = ev.Sent
	}
	if m.backs(p) {
		p.backed = p.answered
	}
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
	if m.surely(id) {
		return true
	}
	silent := m.now - p.contact
	if silent < contactMin {
		return false
	}
	vouched, agreed := m.witnesses(id)
	return !vouched && (p.lost || agreed || silent >= contactMax)
}

// surely says whether the process of a node has ended, beyond doubt, or an operator says so.
func (m *Machine) surely(id shard.NodeID) bool {
	p := m.peers[id]
	if id == m.self || p != nil && p.linked && !p.left {
		return false
	}
	if id.Name == m.self.Name || p != nil && p.over {
		return true
	}
	if _, ok := m.forgotten[id]; ok && !(m.Member() && m.table.Has(id)) { // who is in the table has to be found gone first
		return true
	}
	for other, q := range m.peers {
		if other.Name == id.Name && other != id && q.linked {
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
		if p == nil || !p.linked || !p.reported || w == id {
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
	case p.belongs && p.position.newer(PositionOf(m.table)): // we shall go to it, not it to us
		return false
	case m.foreign(p): // it comes with its whole side: see heal.go
		return false
	case m.early(p):
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
