package agreement

import (
	"fmt"
	"slices"

	"gamed/internal/shard"
)

// sampled is the distance between the partitions that the dearer checks look at.
const sampled = 17

// installed checks a table that a node puts in force: in itself, against the one before it, and against what is true.
func (s *sim) installed(l *life, t *shard.Table, own bool) {
	s.logf("%s installs %d by %s %x nodes %v missing %v", l.id, t.Term, t.Coordinator, t.Hash>>48, t.Nodes, t.Missing)
	old := shard.Empty()
	if n := len(l.tables); n > 0 {
		old = l.tables[n-1]
	}
	if old.Term > 0 && !t.Newer(old) {
		s.fail("%s installed (%d %s) after (%d %s)", l.id, t.Term, t.Coordinator, old.Term, old.Coordinator)
	}
	l.tables = append(l.tables, t)
	if own {
		s.made++
		key := fmt.Sprint(l.id.Boot, t.Term)
		if h, ok := s.tables[key]; ok && h != t.Hash {
			s.fail("%s made two tables of term %d", l.id, t.Term)
		}
		s.tables[key] = t.Hash
		s.checkHolders(old, t)
	}
	s.checkShape(t)
	if old.Has(l.id) {
		s.checkLineage(l, old, t)
	}
	s.checkLease(l)
}

// checkShape checks a table in itself.
func (s *sim) checkShape(t *shard.Table) {
	names := map[string]bool{}
	for _, id := range t.Nodes {
		if names[id.Name] {
			s.fail("two lives of %s in one table", id.Name)
		}
		names[id.Name] = true
	}
	for _, m := range t.Missing {
		if names[m.ID.Name] {
			s.fail("%s is missing, and there or missing twice", m.ID)
		}
		names[m.ID.Name] = true
		if l := s.find(m.ID); m.Dead && !l.dead && s.now-l.left > 0 && l.left == 0 && !s.given[m.ID] {
			s.fail("%s is dead by the table, and lives", m.ID)
		}
	}
	for p := range shard.Partitions {
		o, owned := t.OwnerOf(uint16(p))
		b, backed := t.BackupOf(uint16(p))
		if owned && (o == b || t.PartTerm[p] > t.Term || t.PartTerm[p] == 0) || !owned && backed {
			s.fail("partition %d: owner %d backup %d term %d", p, t.Owner[p], t.Backup[p], t.PartTerm[p])
		}
		if owned {
			continue
		}
		lo, ok := t.LastOwnerOf(uint16(p))
		lb, also := t.LastBackupOf(uint16(p))
		if !(ok && !lo.Dead) && !(also && !lb.Dead) {
			s.fail("partition %d waits for nobody: %v %v", p, lo, lb)
		}
	}
}

// checkLineage: whoever serves goes on only with what follows his table, where an owner never changes under one token, or with
// what took his side in, where his state is asked for.
func (s *sim) checkLineage(l *life, old, t *shard.Table) {
	if !t.Has(l.id) {
		s.fail("%s installed a table that it is not in", l.id)
		return
	}
	follows := t.Follows(old)
	if !follows && !slices.Contains(t.Absorbed, old.Hash) {
		s.fail("%s installed a table of another side that did not take it in", l.id)
	}
	for p := uint16(0); p < shard.Partitions; p++ {
		was, before := old.OwnerOf(p)
		is, after := t.OwnerOf(p)
		if t.PartTerm[p] < old.PartTerm[p] || before && after && was != is && t.PartTerm[p] == old.PartTerm[p] {
			s.fail("partition %d: %s with token %d, then %s with %d", p, was, old.PartTerm[p], is, t.PartTerm[p])
			return
		}
		if r, _ := t.RivalOf(p); !follows && was == l.id && is != l.id && r != l.id && s.heals(old, t) {
			s.fail("partition %d was %s's on the other side, goes to %s, and nobody asks for its state", p, l.id, is)
			return
		}
	}
}

// heals says whether t is the very table that took in the side of old, in its newest table.
func (s *sim) heals(old, t *shard.Table) bool {
	return len(t.Absorbed) > 0 && t.Absorbed[0] == old.Hash
}

// checkHolders: a partition goes to somebody who had it, or all who had it are dead in truth or given up.
func (s *sim) checkHolders(old, t *shard.Table) {
	if old.Term == 0 {
		return
	}
	for p := uint16(0); p < shard.Partitions; p++ {
		is, ok := t.OwnerOf(p)
		if !ok || s.takenBack(old, t, p, is) {
			continue
		}
		owner, backup := last(old, p)
		_, owned := old.OwnerOf(p)
		rival, healed := t.RivalOf(p)
		if p%sampled == 0 {
			s.checkFull(old, t, p, is)
		}
		switch {
		case is == owner, is == backup && !(owned && t.Has(owner)):
			continue
		case owned && t.Has(owner): // a planned move; or, healing, one side's owner has it and the other's is asked
			if healed && rival == is {
				s.fail("partition %d: its own rival", p)
			}
			continue
		}
		for _, id := range []shard.NodeID{owner, backup} {
			if !id.IsZero() && (t.Has(id) || !s.find(id).dead && !s.given[id] && s.find(id).left == 0) && !s.cameWith(t, old, p, is) {
				s.fail("partition %d goes to %s, from nothing: %s and %s had it", p, is, owner, backup)
				return
			}
		}
	}
}

// takenBack says whether the node that made both tables keeps what it gave away by the first: nobody has it without its word.
func (s *sim) takenBack(old, t *shard.Table, p uint16, is shard.NodeID) bool {
	owner, owned := old.OwnerOf(p)
	return owned && old.PartTerm[p] == old.Term && old.Coordinator == t.Coordinator && is.Name == t.Coordinator && !t.Has(owner)
}

// checkFull: who takes a partition over as backup, of this side or of the one that t takes in, has everything, or the owner is surely
// gone.
func (s *sim) checkFull(old, t *shard.Table, p uint16, is shard.NodeID) {
	for _, u := range []*shard.Table{old, s.took(t)} {
		if u == nil {
			continue
		}
		owner, owned := u.OwnerOf(p)
		backup, _ := u.BackupOf(p)
		rival, _ := t.RivalOf(p)
		lives := slices.Contains(t.Missing, shard.Missing{ID: owner})
		if owned && lives && (is == backup && u == old || rival == backup) && !s.full(u, p) {
			s.fail("partition %d goes to %s or is merged with %s, and %s, who is silent, had not filled it", p, is, rival, owner)
		}
	}
}

// took is the table of the other side that t takes in, or nil.
func (s *sim) took(t *shard.Table) *shard.Table {
	if len(t.Absorbed) == 0 {
		return nil
	}
	return s.byHash[t.Absorbed[0]]
}

// full says whether the owner of a partition had filled the backup in truth, by this table or one before it with the same two.
func (s *sim) full(t *shard.Table, p uint16) bool {
	for {
		if said := s.said[t.Hash]; said != nil && said.Has(p) {
			return true
		}
		if len(t.History) == 0 {
			return false
		}
		old := s.byHash[t.History[0]]
		if old == nil || old.PartTerm[p] != t.PartTerm[p] {
			return false
		}
		o1, _ := old.OwnerOf(p)
		o2, _ := t.OwnerOf(p)
		b1, _ := old.BackupOf(p)
		b2, _ := t.BackupOf(p)
		if o1 != o2 || b1 != b2 {
			return false
		}
		t = old
	}
}

// cameWith says whether the owner of a partition had it on the other side of a split that t heals.
func (s *sim) cameWith(t, old *shard.Table, p uint16, owner shard.NodeID) bool {
	if len(t.Absorbed) == 0 {
		return false
	}
	l := s.find(owner)
	for _, r := range l.tables {
		if o, b := last(r, p); r.Hash == t.Absorbed[0] || slices.Contains(t.Absorbed, r.Hash) && (o == owner || b == owner) {
			return true
		}
	}
	return false
}

// related says whether two tables come from one first table. Nodes that have forgotten all they knew may form a cluster anew,
// while one that they forgot lives on.
func related(t, u *shard.Table) bool {
	return slices.ContainsFunc(append([]uint64{t.Hash}, t.History...), func(h uint64) bool { return of(u, h) }) || of(t, u.Hash)
}

// checkLease: under quorum two nodes never hold leases while both own a partition, unless the later table has the earlier owner
// hand it over.
func (s *sim) checkLease(l *life) {
	if !s.cfg.Quorum || l.lease <= s.now || !l.m.Member() {
		return
	}
	t := l.m.Table()
	for _, o := range s.all {
		if o == l || o.dead || o.lease <= s.now {
			continue
		}
		u := o.m.Table()
		if t.Hash == u.Hash || !related(t, u) || t.Newer(u) && t.Has(o.id) || u.Newer(t) && u.Has(l.id) {
			continue
		}
		for p := uint16(0); p < shard.Partitions; p += sampled {
			mine, _ := t.OwnerOf(p)
			theirs, _ := u.OwnerOf(p)
			if mine == l.id && theirs == o.id {
				s.fail("partition %d: %s acts until %v by table %d, %s until %v by table %d", p, l.id, l.lease, t.Term, o.id, o.lease, u.Term)
				return
			}
		}
	}
}
