package agreement

import (
	"slices"
	"time"

	"gamed/internal/shard"
)

// lease is this node's right to act.
type lease struct {
	told    time.Duration // as last given to the shell
	suspect bool          // this process was paused, and nobody has told it yet that its table still holds
	resumed time.Duration // when it went on
}

// overtaken says whether a linked node has a table that follows ours and leaves us out: we were given up, and others may act in
// our place.
func (m *Machine) overtaken() bool {
	if m.ahead == nil || !m.ahead.Newer(m.table) || !m.ahead.Follows(m.table) {
		return false
	}
	if m.cfg.Quorum { // there the word binds: others may count on it
		return true
	}
	for _, p := range m.peers {
		if p.linked && p.position.Hash == m.ahead.Hash {
			return true
		}
	}
	return false
}

// revalidate ends the suspicion after a pause: all linked members answered a heartbeat sent since, none of them has a newer
// table that might follow ours; or nobody is to be reached.
func (m *Machine) revalidate() {
	if !m.lease.suspect {
		return
	}
	linked, others := 0, 0
	for _, id := range m.table.Nodes {
		if id == m.self {
			continue
		}
		others++
		p := m.peers[id]
		if p == nil || !p.linked {
			continue
		}
		linked++
		if !p.reported || p.answered < m.lease.resumed {
			return
		}
	}
	for _, p := range m.peers {
		if p.linked && p.position.newer(PositionOf(m.table)) && (m.ahead == nil || m.ahead.Hash != p.position.Hash) {
			return
		}
	}
	if linked == 0 && others > 0 && m.now-m.lease.resumed < aloneAfter {
		return
	}
	m.lease.suspect = false
}

// tellLease tells the shell of the lease as it is after this step.
func (m *Machine) tellLease() {
	m.revalidate()
	until := m.now + leaseTime
	switch {
	case m.leaving, !m.Member(), m.lease.suspect, m.overtaken(), !m.force.whole:
		until = 0
	case m.cfg.Quorum:
		until = min(until, m.backing()+quorumLease)
	}
	if until <= m.now {
		until = 0
	}
	switch {
	case until < m.lease.told: // before the table that ends it is put in force
		m.out = slices.Insert(m.out, 0, Action(Lease{until}))
	case until >= m.lease.told+leaseGrain:
		m.out = append(m.out, Lease{until})
	default:
		return
	}
	m.lease.told = until
}

// backs says whether a peer's report supports this node's lease: it has our table or one before it, and knows of none that
// leaves itself out.
func (m *Machine) backs(p *peer) bool {
	return p.ahead == 0 && (p.position.Hash == m.table.Hash || slices.Contains(m.table.History, p.position.Hash))
}

// backing is when the last heartbeat was sent that a majority of the table's members, this node among them, has answered.
func (m *Machine) backing() time.Duration {
	var at []time.Duration
	for _, id := range m.table.Nodes {
		if id == m.self {
			at = append(at, m.now)
		} else if p := m.peers[id]; p != nil && p.backed > 0 {
			at = append(at, p.backed)
		} else {
			at = append(at, -quorumLease)
		}
	}
	slices.Sort(at)
	return at[len(at)-(len(at)/2+1)]
}

// force is, under quorum, how far the table installed binds. A table is committed when a majority of those who were in the one
// before have it (or know of it): then none that this one contradicts can come to force. It is in force when, if it leaves out
// nodes that may live, the leases of those have ended as well.
type force struct {
	voters    []shard.NodeID // the nodes of the last committed table before this one
	untold    bool           // this life does not know the table before: others say when this one is in force
	fenced    bool           // it leaves out nodes that may live
	until     time.Duration  // when the leases have ended that this node backed, of nodes that the table leaves out
	committed bool
	whole     bool // in force
}

// enforce begins the life of a table.
func (m *Machine) enforce(before, t *shard.Table) {
	f := &m.force
	if !m.cfg.Quorum {
		f.whole = true
		return
	}
	if f.committed || before.Term == 0 {
		f.voters = before.Nodes
	}
	f.untold = before.Term == 0 && len(t.History) > 0
	m.fence(before, t)
	f.fenced = !f.whole || before.Term > 0 && m.leftOut(before, t, func(*peer) {})
	f.committed, f.whole = len(f.voters) == 0 && !f.untold, !f.fenced && !f.untold
}

// fence notes until when leases may run that this node backed, of nodes that a table leaves out.
func (m *Machine) fence(before, t *shard.Table) {
	m.leftOut(before, t, func(p *peer) {
		end := p.contact
		if p.linked {
			end = m.now
		}
		m.force.until = max(m.force.until, end+quorumLease)
	})
}

// leftOut calls f for each node of a table that the next one misses and that may live, and says whether there is one.
func (m *Machine) leftOut(before, t *shard.Table, f func(*peer)) (any bool) {
	for _, miss := range t.Missing {
		if !miss.Dead && before.Has(miss.ID) {
			any = true
			f(m.peer(miss.ID))
		}
	}
	return any
}

// look keeps a newer table that is not installed. Under quorum that ends this node's support of all that the table leaves out.
func (m *Machine) look(t *shard.Table) {
	m.ahead = t
	if m.cfg.Quorum && t.Follows(m.table) {
		m.fence(m.table, t)
	}
}

// judgeForce counts who has the table.
func (m *Machine) judgeForce() {
	f := &m.force
	if f.whole && f.committed || m.table.Term == 0 {
		return
	}
	for _, p := range m.peers {
		if p.linked && p.reported && p.inForce && p.position.Hash == m.table.Hash {
			f.committed, f.whole = true, true
			return
		}
	}
	if f.untold {
		return
	}
	has := func(id shard.NodeID, p *peer) bool {
		return id == m.self || p != nil && p.reported && (p.position.Hash == m.table.Hash || p.ahead == m.table.Hash)
	}
	f.committed = f.committed || m.majority(f.voters, has)
	f.whole = f.whole || m.majority(f.voters, func(id shard.NodeID, p *peer) bool {
		return has(id, p) && (id == m.self && f.until <= m.now || p != nil && p.readyAt <= m.now)
	})
}
