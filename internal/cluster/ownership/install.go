package ownership

import (
	"slices"

	"gamed/internal/shard"
)

// change is a table that replaces another.
type change struct {
	old, t  *shard.Table
	alive   map[shard.NodeID]bool
	follows bool // t is of the lineage of old
	skipped bool // there was a table between them
	retire  []uint16
	hold    []uint16
	gather  []uint16
}

// install finds out what a table means for each partition.
func (m *Machine) install(t *shard.Table) {
	if !t.Newer(m.table) {
		m.do(Stale{"table"})
		return
	}
	c := &change{old: m.table, t: t, alive: map[shard.NodeID]bool{}, follows: t.Follows(m.table)}
	for _, id := range t.Nodes {
		c.alive[id] = true
	}
	c.skipped = c.old.Term > 0 && (len(t.History) == 0 || t.History[0] != c.old.Hash)
	if c.skipped {
		m.skipped = skip{c.old.Term, t.Term, m.now}
	}
	m.table = t
	if !c.follows {
		m.healed, m.healedAt = t.Term, m.now
	}
	m.cancel()
	for p := range uint16(shard.Partitions) {
		m.note(c, p)
		if owner, ok := t.OwnerOf(p); ok && owner == m.self {
			m.gain(c, p)
		} else {
			m.lose(c, p)
		}
	}
	m.do(PutInForce{t})
	if len(c.retire) > 0 {
		m.do(Retire{c.retire})
	}
	if len(c.hold) > 0 {
		m.do(Hold{c.hold})
	}
	m.gather(c.gather, 0, 1)
	m.overdue() // rivals who are gone
	m.catchUp()
}

// note remembers what is not on the backup yet.
func (m *Machine) note(c *change, p uint16) {
	before, had := c.old.OwnerOf(p)
	owner, owned := c.t.OwnerOf(p)
	x, _ := c.old.BackupOf(p)
	y, _ := c.t.BackupOf(p)
	if had && owned && (before != owner || x != y) && c.alive[before] {
		m.moved[p] = m.now
	}
	if _, ok := c.t.RivalOf(p); ok {
		m.healed, m.healedAt, m.union = c.t.Term, m.now, c.t
	}
}

func (m *Machine) movedLately(p uint16) bool { return m.moved[p] > 0 && m.now-m.moved[p] < Recently }

// lose is for a partition that the table does not give to this node.
func (m *Machine) lose(c *change, p uint16) {
	owner, owned := c.t.OwnerOf(p)
	before, had := c.old.OwnerOf(p)
	a := m.parts[p]
	ran := had && before == m.self && (a == nil || a.runs && !a.pass)
	if a != nil {
		a.activating = 0
		if !a.pass {
			a.pass, a.since, a.gone, a.runs = true, m.now, a.runs, false
		}
		if !c.follows && a.gather != 0 { // from now on others might answer with what the other side did
			a.gather, a.here, a.fork = 0, true, true
		}
		if a.other = a.other || !c.follows; a.next == nil && owned {
			a.next = &give{Origin: Origin{Part: p, Term: c.t.PartTerm[p], Token: a.term, Follows: c.old.Hash}, to: owner}
		}
	}
	rival, split := c.t.RivalOf(p)
	switch split = split && !c.follows && a == nil && !ran; {
	case ran && owned:
		g := c.gives(p, owner)
		m.ahead[p] = g
		m.give(g, false, 0)
		if a != nil {
			m.passHeld(a, g)
		}
	case split && rival == m.self:
		m.do(SetAside{Part: p, Term: c.t.PartTerm[p]})
		m.give(c.gives(p, owner), true, c.t.PartTerm[p])
	case split && c.wasBackup(m.self, p):
		m.do(SetAside{Part: p, Term: c.t.PartTerm[p]})
	}
	if a != nil {
		m.ready(a)
	} else if b, ok := c.t.BackupOf(p); !owned || ok && b == m.self && !c.wasBackup(m.self, p) { // the owner may not know that it was another's
		c.hold = append(c.hold, p)
	} else if !ok || b != m.self {
		c.retire = append(c.retire, p)
	}
}

// gives is what this node gives of a partition that it had by the table before.
func (c *change) gives(p uint16, owner shard.NodeID) *give {
	return &give{Origin: Origin{Part: p, Term: c.t.PartTerm[p], Token: c.old.PartTerm[p], Follows: c.old.Hash, Rival: !c.follows}, to: owner}
}

func (c *change) wasBackup(id shard.NodeID, p uint16) bool {
	b, ok := c.old.BackupOf(p)
	return ok && b == id
}

// gain is for a partition that the table gives to this node.
func (m *Machine) gain(c *change, p uint16) {
	before, had := c.old.OwnerOf(p)
	a := m.parts[p]
	switch {
	case had && before == m.self && (a == nil || a.runs && !a.pass):
		// It goes on, unless others may have had it meanwhile.
		if c.skipped && c.follows && c.old.PartTerm[p] != c.t.PartTerm[p] && len(c.t.Nodes) > 1 {
			a = m.await(p)
			c.gather = append(c.gather, p)
		}
	case a != nil && !a.gone:
		a.pass, a.since, a.next = false, m.now, nil
		// Its giver never heard of the move, it may be, and goes on: what is made from copies instead is another life.
		a.fork = a.fork || !a.runs && !a.here && mayLive(c.t, a.from)
		if !a.runs && !a.here && a.gather == 0 && !c.alive[a.from] {
			c.gather = append(c.gather, p)
		}
	case c.follows && had && c.alive[before], c.old.Term == 0 && len(c.t.History) > 0:
		a = m.await(p)
		if !c.skipped { // else it may be another who had it last
			a.from, a.token = before, c.old.PartTerm[p]
		}
		if w, ok := m.words[p]; ok && a.takes(w.From, &w.Origin) && m.complete(&w.Word) {
			a.here = true
		}
	default:
		a = m.await(p)
		a.fork = c.splitFrom(m.self, p) || c.skipped // whoever had it by a table that this node never saw may go on
		if u := m.union; u != nil && m.now-m.healedAt < HealFor && m.merged[p] < u.PartTerm[p] {
			if _, ok := u.RivalOf(p); ok { // the owner before may not have merged it all; what he had merged is not merged again
				a.rivals = append(a.rivals, rival{term: u.PartTerm[p]})
			}
		}
		if a.here = c.old.Term == 0 || len(c.t.Nodes) == 1 || !m.unsure(c, p); !a.here {
			c.gather = append(c.gather, p)
		}
	}
	delete(m.words, p)
	if node, ok := c.t.RivalOf(p); ok && node != m.self {
		if a == nil {
			a = m.await(p)
			a.runs = true
		}
		w, came := m.rivals[p]
		a.rivals = append(a.rivals, rival{node: node, term: c.t.PartTerm[p], here: came && w.Term == c.t.PartTerm[p] && m.complete(&w.Word)})
	}
	delete(m.rivals, p)
	if a != nil {
		a.needs, a.activating = max(a.needs, c.t.Term), 0
	}
}

// unsure says whether others may have newer copies of a partition than this node, which is to make its entities from copies.
func (m *Machine) unsure(c *change, p uint16) bool {
	if !c.follows || c.skipped || m.movedLately(p) {
		return true
	}
	if last, ok := c.old.LastBackupOf(p); ok && last.ID == m.self {
		return false
	}
	return !c.wasBackup(m.self, p)
}

// splitFrom says whether the owner before, as far as this node knows him, may live, unseen, and go on.
func (c *change) splitFrom(self shard.NodeID, p uint16) bool {
	before, had := c.old.OwnerOf(p)
	if !had {
		last, ok := c.old.LastOwnerOf(p)
		if !ok {
			return false
		}
		before = last.ID
	}
	return before != self && mayLive(c.t, before)
}

// mayLive says whether a node is missing in a table and not surely gone.
func mayLive(t *shard.Table, id shard.NodeID) bool {
	return slices.ContainsFunc(t.Missing, func(x shard.Missing) bool { return x.ID == id && !x.Dead })
}
