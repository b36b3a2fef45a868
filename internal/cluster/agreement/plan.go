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
	if m.cfg.Quorum && m.table.Term > 0 && !m.majority() {
		return
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
		if m.now-m.installed < rebalanceDelay || m.placed(members) {
			return
		}
	} else if m.table.Term > 0 {
		switch waited := m.now - w.first; {
		case removed && waited < crashDelay:
			return
		case !removed && m.now-w.last < joinDelay && waited < joinDelayMax:
			return
		}
	}
	t := m.plan(members, m.nextTerm(), contested)
	if t == nil {
		w.settled = sig
		return
	}
	m.install(t)
	m.pending = pending{wanted: sig, settled: sig}
	for _, p := range m.linked() {
		m.out = append(m.out, Send{p.id, t})
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
		if m.table.Owner[p] != at(want.Owner[p]) || m.table.Backup[p] != at(want.Backup[p]) {
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
	return term + 1
}

// plan makes the next table, or nil when it would say nothing new. If an owner is gone it repairs only: lost partitions go to
// their backups, missing backups are named anew, all else stays. Otherwise everything goes to its place.
// With bump every fencing token grows.
func (m *Machine) plan(members []shard.NodeID, term uint64, bump bool) *shard.Table {
	old := m.table
	want := m.wanted(members)
	at := indexes(want.Names, members)
	t := shard.Empty()
	t.Term, t.Coordinator, t.Nodes, t.PartTerm = term, m.self.Name, members, old.PartTerm
	if old.Term > 0 {
		t.History = append([]uint64{old.Hash}, old.History[:min(len(old.History), shard.HistoryMax-1)]...)
	}
	kept := make([]uint16, len(old.Nodes)) // index in the old table → index in the new one
	for i, id := range old.Nodes {
		kept[i] = shard.None
		if j := indexOf(members, id); j >= 0 {
			kept[i] = uint16(j)
		}
	}
	keep := func(i uint16) uint16 {
		if int(i) < len(kept) {
			return kept[i]
		}
		return shard.None
	}
	repair := false
	for p := range shard.Partitions {
		repair = repair || old.Owner[p] != shard.None && keep(old.Owner[p]) == shard.None
	}
	changed := bump || !slices.Equal(old.Nodes, members)
	for p := range shard.Partitions {
		owner, backup := keep(old.Owner[p]), keep(old.Backup[p])
		if owner == shard.None {
			owner, backup = backup, shard.None
		}
		first, second := at(want.Owner[p]), at(want.Backup[p])
		if !repair || owner == shard.None {
			owner, backup = first, second
		}
		if backup == shard.None || backup == owner {
			if backup = first; backup == owner {
				backup = second
			}
		}
		if backup == owner {
			backup = shard.None
		}
		t.Owner[p], t.Backup[p] = owner, backup
		if bump || owner != keep(old.Owner[p]) {
			t.PartTerm[p] = term
		}
		changed = changed || owner != keep(old.Owner[p]) || backup != keep(old.Backup[p])
	}
	if !changed {
		return nil
	}
	return t.Seal()
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
