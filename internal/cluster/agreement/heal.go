package agreement

import (
	"slices"

	"gamed/internal/shard"
)

// foreign says whether a linked peer serves on another side of a split, with a table that is no newer than ours. One that the
// table installed takes in has some time to install it; if it misses that, it is taken in anew. One whose side was taken in
// without it comes with what it did since: were it to join as a newcomer, others would give it partitions, over its own.
func (m *Machine) foreign(p *peer) bool {
	t := m.table
	switch {
	case !p.linked, !p.reported, p.left, !p.belongs, p.position.Term == 0, t.Term == 0, !m.Member(), p.position.newer(PositionOf(t)):
		return false
	case t.Has(p.id) && slices.Contains(t.Absorbed, p.position.Hash):
		return m.now-m.installed >= healedMax
	}
	return p.position.Hash != t.Hash && !slices.Contains(t.History, p.position.Hash)
}

// keepRival keeps the table of a foreign peer; false when nobody needs it.
func (m *Machine) keepRival(t *shard.Table) bool {
	for _, p := range m.peers {
		if m.foreign(p) && p.position.Hash == t.Hash {
			m.rivals[t.Hash] = t
			return true
		}
	}
	return of(m.table, t.Hash)
}

// fetchRivals sees to it that the coordinator has the tables of all other sides, and forgets those that are gone.
func (m *Machine) fetchRivals() {
	wanted := map[uint64]bool{}
	for _, p := range m.linked() {
		if !m.foreign(p) {
			continue
		}
		wanted[p.position.Hash] = true
		if m.rivals[p.position.Hash] == nil {
			m.fetch(p)
		}
	}
	for hash := range m.rivals {
		if !wanted[hash] {
			delete(m.rivals, hash)
		}
	}
	switch {
	case len(wanted) == 0:
		m.apart = 0
	case m.apart == 0:
		m.apart = max(m.now, 1)
	}
}

// rival is the table of the side to be absorbed next, once everybody who may come with it is linked, or time is up; else nil.
func (m *Machine) rival() *shard.Table {
	var r *shard.Table
	for _, p := range m.linked() {
		if t := m.rivals[p.position.Hash]; t != nil && m.foreign(p) && (r == nil || t.Newer(r)) {
			r = t
		}
	}
	if r == nil {
		return nil
	}
	for _, id := range r.Nodes {
		p := m.peers[id]
		switch {
		case id == m.self, m.surely(id):
		case p != nil && m.early(p) && m.foreign(p) && !m.table.Has(id):
			return nil
		case p != nil && p.reported && (m.foreign(p) && of(r, p.position.Hash) || p.position.Hash == m.table.Hash): // its side is known
		case m.now-m.apart < gatherMax:
			return nil
		}
	}
	return r
}

// of says whether a hash is of a table's lineage.
func of(t *shard.Table, hash uint64) bool {
	return hash == t.Hash || slices.Contains(t.History, hash) || slices.Contains(t.Absorbed, hash)
}

// theirs are the nodes that come with the rival table, in its order: who is in it, and has it or one before it. Of a member that
// is not linked nothing better is known.
func (m *Machine) theirs(r *shard.Table) (ids []shard.NodeID) {
	for _, id := range r.Nodes {
		p := m.peers[id]
		if p != nil && (m.foreign(p) && of(r, p.position.Hash) || !p.linked && m.table.Has(id) && !m.gone(id)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// absorbed are the hashes that a table which takes r in must name: r's side must find its own there, and ours must not.
func (m *Machine) absorbed(r *shard.Table) []uint64 {
	out := []uint64{}
	for _, hashes := range [][]uint64{{r.Hash}, r.History, r.Absorbed} {
		for _, h := range hashes {
			if h != m.table.Hash && !slices.Contains(m.table.History, h) && !slices.Contains(out, h) && len(out) < shard.AbsorbedMax {
				out = append(out, h)
			}
		}
	}
	return out
}

// spread says whether all linked members have the table installed. One that heals stays until then: whoever missed it would
// not know with whom to merge.
func (m *Machine) spread() bool {
	for _, id := range m.table.Nodes {
		if p := m.peers[id]; p != nil && p.linked && p.reported && p.position.Hash != m.table.Hash {
			return false
		}
	}
	return true
}
