package agreement

import (
	"fmt"
	"slices"

	"gamed/internal/shard"
)

// coordinates says whether it is for this node to make the next table.
func (m *Machine) coordinates() bool {
	if m.table.Term == 0 {
		return m.mayForm()
	}
	for _, id := range m.table.Nodes {
		if id == m.self {
			return true
		}
		if !m.gone(id) {
			return false
		}
	}
	// Not in the table, and nobody who is in it can come back: there is nothing that this node could contradict.
	for _, id := range m.table.Nodes {
		if !m.surely(id) {
			return false
		}
	}
	return (!m.cfg.Quorum || m.majority(m.table.Nodes, m.inReach)) && m.lowest()
}

// mayForm says whether it is for this node to make the first table.
func (m *Machine) mayForm() bool {
	linked, reported, settled := 0, true, m.now-m.changed >= settleDelay
	for _, p := range m.peers {
		switch {
		case p.linked && !p.left:
			linked++
			if p.position.Term > 0 {
				return false // there is a table: to be fetched, or to be taken into
			}
			reported = reported && p.reported
		case p.seen && !p.left:
			settled = false
		}
	}
	late := m.now-m.started >= aloneDelay
	switch {
	case m.cfg.Expect > 0:
		return reported && linked+1 >= m.cfg.Expect && m.lowest()
	case m.cfg.Quorum: // with no number there is no majority: this node can only join
		return false
	case !m.cfg.Search:
		return m.lowest()
	case linked == 0:
		return late
	}
	return reported && (settled || late) && m.lowest()
}

// lowest says whether this node's name comes first among those that are linked.
func (m *Machine) lowest() bool {
	for _, p := range m.peers {
		if p.linked && !p.left && p.id.Name < m.self.Name {
			return false
		}
	}
	return true
}

// Waiting says why this node does not serve yet, or "" when it is in the table (and, under quorum, has a majority of it).
func (m *Machine) Waiting() string {
	linked := 0
	for _, p := range m.peers {
		if p.linked && !p.left {
			linked++
		}
	}
	switch {
	case m.leaving:
		return "leaving the cluster"
	case m.table.Term == 0 && m.cfg.Expect > 0:
		return fmt.Sprintf("forming: %d of %d expected nodes are meshed", linked+1, m.cfg.Expect)
	case m.table.Term == 0 && linked > 0:
		return fmt.Sprintf("forming: agreeing on the first table with %d other nodes", linked)
	case m.table.Term == 0 && m.cfg.Quorum:
		return "forming: looking for a cluster to join; with policy quorum and without --expect this node forms none"
	case m.table.Term == 0:
		return "forming: looking for other nodes"
	case !m.Member():
		return fmt.Sprintf("waiting to be taken into the table of %s, term %d", m.table.Coordinator, m.table.Term)
	case m.cfg.Quorum && m.lease.told <= m.now && !m.lease.suspect:
		return fmt.Sprintf("no quorum: no majority of the table's %d nodes answers", len(m.table.Nodes))
	}
	return ""
}

// majority says whether more than half of some nodes count, or all that do not are accounted for.
func (m *Machine) majority(nodes []shard.NodeID, counts func(shard.NodeID, *peer) bool) bool {
	n, lost := 0, 0
	for _, id := range nodes {
		switch {
		case counts(id, m.peers[id]):
			n++
		case !m.accounted(id):
			lost++
		}
	}
	return 2*n > len(nodes) || lost == 0
}

// inReach is how a majority is counted that may make a table. Another life of a node does not count: it knows nothing of what
// the one before agreed to. Nor does who has a newer table: it has agreed to that one.
func (m *Machine) inReach(id shard.NodeID, p *peer) bool {
	return id == m.self || p != nil && p.linked && !p.left && !p.position.newer(PositionOf(m.table))
}

// outvoted says whether a majority may have gone on without this node, under the table that it knows of and is not in; unless all who
// are in that one are accounted for.
func (m *Machine) outvoted() bool {
	return m.overtaken() && slices.ContainsFunc(m.ahead.Nodes, func(id shard.NodeID) bool { return !m.accounted(id) })
}

// accounted says whether a node can act no more, on better grounds than that its port refuses, which a firewall can do as well: it
// said goodbye, another life of it is linked, or an operator gave it up.
func (m *Machine) accounted(id shard.NodeID) bool {
	p := m.peers[id]
	if _, ok := m.forgotten[id]; ok || p != nil && p.left {
		return true
	}
	return (p == nil || !p.linked) && m.linkedName(id.Name) || id.Name == m.self.Name && id != m.self
}

func (m *Machine) linkedName(name string) bool {
	for id, p := range m.peers {
		if id.Name == name && p.linked && !p.left {
			return true
		}
	}
	return false
}
