package agreement

import "fmt"

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
	// Not in the table, and nobody who is in it is left.
	return (!m.cfg.Quorum || m.majority()) && m.lowest()
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
	case m.table.Term == 0:
		return "forming: looking for other nodes"
	case !m.Member():
		return fmt.Sprintf("waiting to be taken into the table of %s, term %d", m.table.Coordinator, m.table.Term)
	case m.cfg.Quorum && !m.majority():
		return fmt.Sprintf("no quorum: fewer than a majority of the table's %d nodes are in reach", len(m.table.Nodes))
	}
	return ""
}

// majority says whether more than half of the table's nodes are linked (in whatever life), took their leave, or are this one.
func (m *Machine) majority() bool {
	n := 0
	for _, id := range m.table.Nodes {
		if p := m.peers[id]; id.Name == m.self.Name || p != nil && p.left || m.linkedName(id.Name) {
			n++
		}
	}
	return 2*n > len(m.table.Nodes)
}

func (m *Machine) linkedName(name string) bool {
	for id, p := range m.peers {
		if id.Name == name && p.linked && !p.left {
			return true
		}
	}
	return false
}
