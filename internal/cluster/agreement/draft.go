package agreement

import (
	"slices"

	"gamed/internal/shard"
)

// draft is the next table in the making.
type draft struct {
	*shard.Table
	m         *Machine
	old       *shard.Table
	rival     *shard.Table // of the other side that it takes in, or nil
	theirs    []shard.NodeID
	repair    bool     // it moves nothing for balance
	kept      []uint16 // index into the nodes of old → of the new table
	partial   int      // partitions given to backups that may not have everything
	partialOf []shard.NodeID
	emptied   int // partitions placed anew although somebody had them
	lost      []shard.NodeID
	forgotten []shard.NodeID
}

// holders are who has the state of a partition, as indexes into the nodes of the table in the making, or None; and who had it
// last if nobody has.
type holders struct {
	owner, backup         uint16
	lastOwner, lastBackup shard.NodeID
}

// plan makes the next table, or nil when it would say nothing new. If an owner is gone it repairs only: lost partitions go to
// their backups, missing backups are named anew, all else stays. Otherwise everything goes to its place. A partition that has
// neither owner nor backup is nobody's until one of them comes back, or both are surely gone; so is one whose backup is not full,
// while the owner may live: see the package comment.
// With rival it takes in the other side of a split, and moves nothing either. With bump every fencing token grows.
func (m *Machine) plan(members []shard.NodeID, rival *shard.Table, term uint64, bump bool) *draft {
	d := &draft{Table: shard.Empty(), m: m, old: m.table, rival: rival}
	d.Term, d.Coordinator, d.Nodes, d.PartTerm = term, m.self.Name, members, m.table.PartTerm
	if d.old.Term > 0 {
		d.History = append([]uint64{d.old.Hash}, d.old.History[:min(len(d.old.History), shard.HistoryMax-1)]...)
	}
	if rival != nil {
		d.Absorbed, d.theirs = m.absorbed(rival), m.theirs(rival)
	}
	d.Missing = d.missing()
	for _, id := range d.old.Nodes {
		d.kept = append(d.kept, d.at(id))
	}
	d.repair = rival != nil || m.restless(members)
	for p := range shard.Partitions {
		d.repair = d.repair || d.old.Owner[p] != shard.None && d.keep(d.old.Owner[p]) == shard.None
	}
	changed := bump || !slices.Equal(d.old.Nodes, members) || !slices.Equal(d.old.Missing, d.Missing)
	want := m.wanted(members)
	at := indexes(want.Names, members)
	for p := range shard.Partitions {
		h := d.holders(p)
		first, second := at(want.Owner[p]), at(want.Backup[p])
		switch {
		case h.owner == shard.None && d.awaited(p, h):
			if bump {
				d.PartTerm[p] = term
			}
			changed = changed || d.LastOwner[p] != d.old.LastOwner[p] || d.LastBackup[p] != d.old.LastBackup[p] || d.old.Owner[p] != shard.None
			continue
		case h.owner == shard.None:
			d.empty(h)
			h.owner = first
		case !d.repair && d.old.Owner[p] != shard.None:
			h.owner, h.backup = first, second
		}
		for _, b := range []uint16{first, second} {
			if h.backup == shard.None || h.backup == h.owner {
				h.backup = b
			}
		}
		if h.backup == h.owner {
			h.backup = shard.None
		}
		d.Owner[p], d.Backup[p] = h.owner, h.backup
		if bump || h.owner != d.keep(d.old.Owner[p]) {
			d.PartTerm[p] = term
		}
		changed = changed || h.owner != d.keep(d.old.Owner[p]) || h.backup != d.keep(d.old.Backup[p])
	}
	if !changed {
		return nil
	}
	d.Seal()
	return d
}

// at is the index of a node in the new table.
func (d *draft) at(id shard.NodeID) uint16 {
	if i := indexOf(d.Nodes, id); i >= 0 {
		return uint16(i)
	}
	return shard.None
}

// keep maps an index of the old table.
func (d *draft) keep(i uint16) uint16 {
	if int(i) < len(d.kept) {
		return d.kept[i]
	}
	return shard.None
}

// holders finds who has a partition, and notes its rival.
func (d *draft) holders(p int) holders {
	h := holders{owner: d.keep(d.old.Owner[p]), backup: d.keep(d.old.Backup[p])}
	h.lastOwner, h.lastBackup = last(d.old, uint16(p))
	if from, silent := d.onItsWay(uint16(p)); silent && h.owner != shard.None {
		h = holders{owner: shard.None, backup: shard.None, lastOwner: from}
	}
	if h.owner == shard.None && d.unfilled(d.old, uint16(p)) {
		h.backup, h.lastBackup = d.takesBack(uint16(p)), shard.NodeID{}
	}
	if h.owner == shard.None {
		if h.owner, h.backup = h.backup, shard.None; h.owner != shard.None {
			d.promote(uint16(p))
		}
	}
	r := holders{owner: shard.None, backup: shard.None}
	if d.rival != nil {
		r = d.rivals(uint16(p))
	}
	if h.owner == shard.None && r.owner == shard.None { // else those who had it last have less than the other side
		h.owner, h.backup = d.at(h.lastOwner), d.at(h.lastBackup) // back in the same life, with what they had
		if h.owner == shard.None {
			h.owner, h.backup = h.backup, shard.None
		}
	}
	if d.rival == nil {
		return h
	}
	switch {
	case r.owner == shard.None:
		if h.owner == shard.None && h.lastOwner.IsZero() && h.lastBackup.IsZero() {
			h.lastOwner, h.lastBackup = r.lastOwner, r.lastBackup
		}
	case h.owner == shard.None:
		h.owner, h.backup = r.owner, r.backup
	case h.owner != r.owner:
		d.Rival[p] = r.owner
	}
	return h
}

// rivals are the holders of a partition on the other side: only those count that come from there. What its owner has already
// brought, in a table that healed before, its backup must not bring again: changes would count twice.
func (d *draft) rivals(p uint16) holders {
	from := func(id shard.NodeID, ok bool) uint16 {
		if ok && slices.Contains(d.theirs, id) {
			return d.at(id)
		}
		return shard.None
	}
	r := holders{owner: from(d.rival.OwnerOf(p)), backup: from(d.rival.BackupOf(p))}
	r.lastOwner, r.lastBackup = last(d.rival, p)
	if d.unfilled(d.rival, p) {
		r.backup, r.lastBackup = shard.None, shard.NodeID{}
	}
	if o, ok := d.rival.OwnerOf(p); r.owner == shard.None && (!ok || d.at(o) == shard.None) {
		r.owner, r.backup = r.backup, shard.None
	}
	return r
}

// last is who has a partition by a table, or had it last.
func last(t *shard.Table, p uint16) (owner, backup shard.NodeID) {
	if id, ok := t.OwnerOf(p); ok {
		backup, _ = t.BackupOf(p)
		return id, backup
	}
	o, _ := t.LastOwnerOf(p)
	b, _ := t.LastBackupOf(p)
	return o.ID, b.ID
}

// awaited says whether a partition that nobody has must wait: somebody had it who may live. It then notes who.
func (d *draft) awaited(p int, h holders) bool {
	o, b := d.missed(h.lastOwner), d.missed(h.lastBackup)
	for _, i := range []uint16{o, b} {
		if i != shard.None && !d.Missing[i].Dead {
			d.LastOwner[p], d.LastBackup[p] = o, b
			return true
		}
	}
	return false
}

// empty counts a partition that is placed anew.
func (d *draft) empty(h holders) {
	if h.lastOwner.IsZero() && h.lastBackup.IsZero() && d.old.Term == 0 {
		return // the first table
	}
	if h.lastBackup.IsZero() && len(d.Nodes) > 1 { // his backup was not full, or is in another's hands by now
		d.part(h.lastOwner)
		return
	}
	d.emptied++
	for _, id := range []shard.NodeID{h.lastOwner, h.lastBackup} {
		if !id.IsZero() && !slices.Contains(d.lost, id) {
			d.lost = append(d.lost, id)
		}
	}
}

func (d *draft) missed(id shard.NodeID) uint16 {
	for i, m := range d.Missing {
		if m.ID == id {
			return uint16(i)
		}
	}
	return shard.None
}

// maxMissing bounds the list of a table. Those who are surely gone are left out first.
const maxMissing = 512

// missing lists who is missing in the new table: who was before, and whoever is in the old table, or in that of the other side,
// and not in the new one, unless it had been drained, or its name is there again, or an operator gave it up.
func (d *draft) missing() []shard.Missing {
	all := slices.Clone(d.old.Missing)
	all = append(all, d.leavers(d.old)...)
	if d.rival != nil {
		all = append(all, d.rival.Missing...)
		all = append(all, d.leavers(d.rival)...)
	}
	var out []shard.Missing
	for _, miss := range all {
		name := miss.ID.Name
		if slices.ContainsFunc(d.Nodes, func(id shard.NodeID) bool { return id.Name == name }) {
			continue
		}
		if _, ok := d.m.forgotten[miss.ID]; ok {
			if !slices.Contains(d.forgotten, miss.ID) {
				d.forgotten = append(d.forgotten, miss.ID)
			}
			continue
		}
		miss.Dead = miss.Dead || d.m.surely(miss.ID)
		i := slices.IndexFunc(out, func(o shard.Missing) bool { return o.ID.Name == name })
		switch {
		case i < 0:
			out = append(out, miss)
		case out[i].ID == miss.ID:
			out[i].Dead = out[i].Dead || miss.Dead
		case out[i].Dead: // of two lives the one that may live
			out[i] = miss
		}
	}
	for len(out) > maxMissing {
		i := max(slices.IndexFunc(out, func(o shard.Missing) bool { return o.Dead }), 0)
		out = slices.Delete(out, i, i+1)
	}
	return out
}

// leavers are the nodes of a table that are not in the new one and had not been drained before.
func (d *draft) leavers(t *shard.Table) (out []shard.Missing) {
	for i, id := range t.Nodes {
		if d.at(id) != shard.None || d.m.drained(t, uint16(i)) {
			continue
		}
		out = append(out, shard.Missing{ID: id})
	}
	return out
}

// drained says whether a node had nothing any more, wanted it so, and had heard that it is so: until then it serves.
func (m *Machine) drained(t *shard.Table, i uint16) bool {
	p := m.peers[t.Nodes[i]]
	return p != nil && (p.left || p.draining) && p.last == t.Hash && !slices.Contains(t.Owner[:], i) && !slices.Contains(t.Backup[:], i)
}
