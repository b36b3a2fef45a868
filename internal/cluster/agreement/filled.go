package agreement

import (
	"slices"

	"gamed/internal/shard"
)

// fill takes the word that backups are full. It holds for one table, and for those that follow it as long as they leave owner,
// backup and token of the partition as they are; see carry.
func (m *Machine) fill(table uint64, parts *shard.PartSet) {
	if table != m.table.Hash {
		return
	}
	m.filled.AddAll(parts)
	for p := range m.from {
		if m.filled.Has(p) {
			delete(m.from, p)
		}
	}
}

// maxFrom bounds the earlier owners of a partition that are remembered.
const maxFrom = 4

// follow remembers from whom partitions come that go to other owners. Only they may have everything, until the new owner says that
// even his backup does. full is what was known by the table before.
func (m *Machine) follow(before, t *shard.Table, full *shard.PartSet) {
	for p := range uint16(shard.Partitions) {
		o1, had := before.OwnerOf(p)
		o2, owned := t.OwnerOf(p)
		switch {
		case !owned || m.filled.Has(p):
			delete(m.from, p)
		case !had || o1 == o2 || !t.Has(o1):
		case full.Has(p):
			m.from[p] = []shard.NodeID{o1}
		case len(m.from[p]) < maxFrom:
			m.from[p] = append(slices.Clip(m.from[p]), o1)
		}
	}
}

// onItsWay says from whom a partition comes whose owner may not have it yet, if that one is silent.
func (d *draft) onItsWay(p uint16) (from shard.NodeID, silent bool) {
	for _, id := range d.m.from[p] {
		if i := d.missed(id); i != shard.None && !d.Missing[i].Dead {
			return id, true
		}
	}
	return from, false
}

// takesBack says that this node gave a partition by the last table, which it made, to somebody who is missing and never said that he
// has that table: he waits for this node's word, and what it kept is all there is. Should he have it nevertheless, a fork is noted
// there, which quorum does not have.
func (d *draft) takesBack(p uint16) uint16 {
	owner, owned := d.old.OwnerOf(p)
	from := d.m.from[p]
	if !owned || d.at(owner) != shard.None || len(from) != 1 || from[0] != d.m.self || d.m.cfg.Quorum || d.old.PartTerm[p] != d.old.Term || d.old.Coordinator != d.m.self.Name {
		return shard.None
	}
	if peer := d.m.peers[owner]; peer == nil || peer.last == d.old.Hash {
		return shard.None
	}
	return d.at(d.m.self)
}

// carry is what is known of backups when a table replaces another: what it leaves as it was. Who missed a table between the two
// knows nothing; the owners say it again.
func carry(before, t *shard.Table, filled *shard.PartSet) (out shard.PartSet) {
	if len(t.History) == 0 || t.History[0] != before.Hash {
		return out
	}
	for p := range uint16(shard.Partitions) {
		o1, _ := before.OwnerOf(p)
		o2, _ := t.OwnerOf(p)
		b1, _ := before.BackupOf(p)
		b2, _ := t.BackupOf(p)
		if filled.Has(p) && o1 == o2 && b1 == b2 && before.PartTerm[p] == t.PartTerm[p] {
			out.Add(p)
		}
	}
	return out
}

// Filled are the partitions whose backup, by the table installed, is known to have everything.
func (m *Machine) Filled() shard.PartSet { return m.filled }

// full says whether the backup of a partition by a table, ours or that of another side, is known to have everything.
func (m *Machine) full(t *shard.Table, p uint16) bool {
	if t.Hash == m.table.Hash {
		return m.filled.Has(p)
	}
	for _, peer := range m.peers {
		if peer.linked && peer.reported && peer.position.Hash == t.Hash && peer.filled.Has(p) {
			return true
		}
	}
	return false
}

// unfilled says whether the backup of a partition, by the old table or the rival one, must not take over: it may not have
// everything, and the owner, who has, may live.
func (d *draft) unfilled(t *shard.Table, p uint16) bool {
	o, owned := t.OwnerOf(p)
	_, backed := t.BackupOf(p)
	if !owned || !backed || d.m.full(t, p) {
		return false
	}
	i := d.missed(o)
	return i != shard.None && !d.Missing[i].Dead
}

// promote counts a partition that goes to a backup which is not known to have everything, because its owner is surely gone.
func (d *draft) promote(p uint16) {
	if o, owned := d.old.OwnerOf(p); owned && !d.m.full(d.old, p) {
		d.part(o)
	}
}

// part counts a partition that goes on with what copies there are, without the one who had everything.
func (d *draft) part(had shard.NodeID) {
	if d.partial++; !slices.Contains(d.partialOf, had) {
		d.partialOf = append(d.partialOf, had)
	}
}
