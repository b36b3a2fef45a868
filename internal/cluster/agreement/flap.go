package agreement

import "gamed/internal/shard"

// returned notes that a node came back into our table.
func (m *Machine) returned(p *peer) {
	p.flaps = p.again && m.now-p.readmitted < flapFor
	p.readmitted, p.again = m.now, true
}

// early says whether a node that came back into our table a moment ago may not come back once more yet. Each time costs its
// partitions two moves, so who flaps must wait for twice as long.
func (m *Machine) early(p *peer) bool {
	hold := flapHold
	if p.flaps {
		hold *= 2
	}
	return p.again && m.now-p.readmitted < hold
}

// restless says whether a member comes and goes: then tables only repair, and nothing is moved for balance, until all have stayed
// for a while. Once in flapFor it is done all the same, so that one bad link does not keep a new node idle for ever; and when a
// node wants to be drained.
func (m *Machine) restless(members []shard.NodeID) bool {
	if m.now-m.balanced >= flapFor {
		return false
	}
	found := false
	for _, id := range members {
		if m.isDraining(id) {
			return false
		}
		p := m.peers[id]
		switch {
		case p == nil || !p.again:
		case m.table.Has(id):
			found = found || p.flaps && m.now-p.readmitted < flapHold
		default:
			found = found || m.now-p.readmitted < flapFor
		}
	}
	return found
}
