package agreement

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"gamed/internal/cluster/placement"
	"gamed/internal/shard"
)

// propose makes, installs and sends the next table if one is due.
func (m *Machine) propose() {
	members, removed := m.members()
	rival := m.rival()
	if m.cfg.Quorum && m.table.Term > 0 && (!m.majority(m.table.Nodes, m.inReach) || !m.force.committed && rival == nil || m.outvoted()) {
		return
	}
	if m.healed && m.now-m.installed < healedMax && !m.spread() {
		return
	}
	if rival != nil {
		m.unite(members, rival)
		return
	}
	if m.cfg.Quorum && removed {
		members = m.staying(members)
	}
	contested := m.contested()
	sig := m.signature(members, contested)
	w := &m.pending
	if sig != w.wanted {
		if w.wanted == w.settled {
			w.first = m.now
		}
		w.wanted, w.last = sig, m.now
	}
	if sig == w.settled {
		delay := rebalanceDelay
		if m.healed {
			delay = healedMax
		}
		if m.now-m.installed < delay || m.inDoubt(members) || m.placed(members) || m.restless(members) {
			return
		}
	} else if m.table.Term > 0 {
		switch waited := m.now - w.first; {
		case removed && (waited < crashDelay || m.inDoubt(members)):
			return
		case !removed && m.now-w.last < joinDelay && waited < joinDelayMax:
			return
		}
	}
	d := m.plan(members, nil, m.nextTerm(), contested)
	if d == nil {
		w.settled = sig
		return
	}
	m.bring(d)
	m.pending = pending{wanted: sig, settled: sig}
}

// inDoubt says whether somebody who is to stay is silent, and nobody vouches for him: he is heard of again or given up within
// moments. Whoever is lost together must leave in one table. In two, the first could give a partition to a backup who is lost as
// well, and the second take it from a new backup who never got anything.
func (m *Machine) inDoubt(members []shard.NodeID) bool {
	return slices.ContainsFunc(members, func(id shard.NodeID) bool {
		if p := m.peers[id]; id == m.self || p != nil && p.linked {
			return false
		}
		vouched, _ := m.witnesses(id)
		return !vouched
	})
}

// staying leaves out those who would join: a table that leaves nodes out takes none in under quorum, so that a majority of it
// has one with every majority of the table before.
func (m *Machine) staying(members []shard.NodeID) (out []shard.NodeID) {
	for _, id := range members {
		if m.table.Has(id) {
			out = append(out, id)
		}
	}
	if len(out) == 0 {
		return members
	}
	return out
}

// unite makes the table that takes in the other side of a split.
func (m *Machine) unite(members []shard.NodeID, rival *shard.Table) {
	for _, id := range m.theirs(rival) {
		if !slices.ContainsFunc(members, func(o shard.NodeID) bool { return o.Name == id.Name }) {
			members = append(members, id)
		}
	}
	m.bring(m.plan(members, rival, m.nextTerm(), true))
	sig := m.signature(members, false)
	m.pending = pending{wanted: sig, settled: sig}
	m.healed, m.apart = true, 0
	m.out = append(m.out, Absorbed{rival})
}

// bring installs a table made here and sends it.
func (m *Machine) bring(d *draft) {
	m.install(d.Table)
	if !d.repair {
		m.balanced = m.now
	}
	if len(d.lost) > 0 {
		m.out = append(m.out, Emptied{d.emptied, d.lost})
	}
	if d.partial > 0 {
		m.out = append(m.out, Partial{d.partial, d.partialOf})
	}
	for _, id := range d.forgotten {
		delete(m.forgotten, id)
		m.out = append(m.out, Forgotten{id})
	}
	for _, p := range m.linked() {
		m.out = append(m.out, Send{p.id, d.Table})
	}
}

// members are those the table should have, by seniority: who is in it and not gone, then the joiners by name.
func (m *Machine) members() (all []shard.NodeID, removed bool) {
	for _, id := range m.table.Nodes {
		if m.gone(id) {
			removed = true
		} else {
			all = append(all, id)
		}
	}
	var fresh []shard.NodeID
	if !m.Member() {
		fresh = append(fresh, m.self)
	}
	for _, p := range m.linked() {
		if indexOf(m.table.Nodes, p.id) < 0 && m.admissible(p) {
			fresh = append(fresh, p.id)
		}
	}
	slices.SortFunc(fresh, func(a, b shard.NodeID) int { return cmp.Compare(a.Name, b.Name) })
	return append(all, fresh...), removed
}

// linked are the peers with a working link, by name, so that a run can be repeated.
func (m *Machine) linked() []*peer {
	var ps []*peer
	for _, p := range m.peers {
		if p.linked && !p.left {
			ps = append(ps, p)
		}
	}
	slices.SortFunc(ps, func(a, b *peer) int {
		return cmp.Or(cmp.Compare(a.id.Name, b.id.Name), cmp.Compare(a.id.Boot, b.id.Boot))
	})
	return ps
}

// contested says that a node knows a fencing token that contradicts the table, or another table of the same position: then all
// tokens must grow.
func (m *Machine) contested() bool {
	mine := PositionOf(m.table)
	for _, p := range m.linked() {
		if p.reported && (p.contested && p.position == mine || p.position.conflicts(mine)) {
			return true
		}
	}
	return m.tokens.contested
}

func (m *Machine) isDraining(id shard.NodeID) bool {
	if id == m.self {
		return m.draining
	}
	p := m.peers[id]
	return p != nil && p.draining
}

// signature is what the planning depends on.
func (m *Machine) signature(members []shard.NodeID, contested bool) string {
	var b strings.Builder
	for _, id := range members {
		b.WriteString(id.Name)
		b.WriteByte('/')
		b.WriteString(strconv.FormatUint(id.Boot, 16))
		if m.isDraining(id) {
			b.WriteByte('-')
		}
		b.WriteByte(' ')
	}
	if contested {
		b.WriteByte('!')
	}
	for _, miss := range m.table.Missing { // what is known of them may have changed
		if _, ok := m.forgotten[miss.ID]; ok {
			b.WriteString(" forget " + miss.ID.Name)
		} else if !miss.Dead && m.surely(miss.ID) {
			b.WriteString(" dead " + miss.ID.Name)
		}
	}
	return b.String()
}

// wanted is where partitions should be: on the members that are not draining, or on all when all are.
func (m *Machine) wanted(members []shard.NodeID) *placement.Assignment {
	names := make([]string, 0, len(members))
	for _, id := range members {
		if !m.isDraining(id) {
			names = append(names, id.Name)
		}
	}
	if len(names) == 0 {
		for _, id := range members {
			names = append(names, id.Name)
		}
	}
	slices.Sort(names)
	if m.target == nil || !slices.Equal(m.target.Names, names) {
		m.target = m.cfg.Place(names)
	}
	return m.target
}

// placed says whether every partition of the table is where it should be.
func (m *Machine) placed(members []shard.NodeID) bool {
	want := m.wanted(members)
	at := indexes(want.Names, m.table.Nodes)
	for p := range shard.Partitions {
		if o := m.table.Owner[p]; o != shard.None && (o != at(want.Owner[p]) || m.table.Backup[p] != at(want.Backup[p])) {
			return false
		}
	}
	return true
}

func (m *Machine) nextTerm() uint64 {
	term := max(m.table.Term, m.cfg.MinTerm)
	for _, p := range m.peers {
		term = max(term, p.position.Term)
	}
	if m.ahead != nil {
		term = max(term, m.ahead.Term)
	}
	if m.table.Term == 0 {
		return max(term+1, m.cfg.FirstTerm)
	}
	return term + 1
}

// indexes maps an index into names to the index of that name among nodes.
func indexes(names []string, nodes []shard.NodeID) func(uint16) uint16 {
	to := make([]uint16, len(names))
	for i, name := range names {
		to[i] = shard.None
		for j, id := range nodes {
			if id.Name == name {
				to[i] = uint16(j)
			}
		}
	}
	return func(i uint16) uint16 {
		if int(i) < len(to) {
			return to[i]
		}
		return shard.None
	}
}
