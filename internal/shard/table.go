// Package shard knows where a key lives: the table of partitions, the router ("mine: deliver; else one hop") and the n workers
// that run this node's m entities.
package shard

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"gamed/internal/envelope"
)

// Partitions is the number of slices of the key space. It is the same for every cluster, for ever.
const Partitions = 1021

// NodeID names one life of a node.
type NodeID = envelope.NodeID

// None is the index that names no node.
const None = ^uint16(0)

// HistoryMax and AbsorbedMax bound the lists of hashes of a table.
const (
	HistoryMax  = 32
	AbsorbedMax = 64
)

// Table says who owns each partition. It is immutable once published.
//
// What the last three index fields say is only read through the methods below: a table made by hand may leave them zero.
type Table struct {
	Term        uint64 // larger is newer; 0 only in the empty table
	Coordinator string // who made it; settles equal terms
	Nodes       []NodeID
	Missing     []Missing          // members once, not in Nodes, neither drained nor forgotten since; oldest first
	Owner       [Partitions]uint16 // index into Nodes, or None
	Backup      [Partitions]uint16 // index into Nodes, or None
	PartTerm    [Partitions]uint64 // the fencing token: grows when the owner changes

	LastOwner  [Partitions]uint16 // where Owner is None: who held it last, index into Missing, or None
	LastBackup [Partitions]uint16 // the same of the last backup
	Rival      [Partitions]uint16 // index into Nodes, or None: who has the other side's state of a split that this very table heals

	History  []uint64 // hashes of the tables that this one follows, newest first, at most HistoryMax
	Absorbed []uint64 // hashes of the tables of the other side of a split that this very table heals, newest first, at most AbsorbedMax
	Hash     uint64   // of all of the above, see Seal
}

// Missing is a node that was in the table and should be.
type Missing struct {
	ID   NodeID
	Dead bool // its process is surely gone; otherwise it fell silent, and may live on the other side of a split
}

// PartitionOf is the partition of a key such as "player/ann" or "chat/lobby".
func PartitionOf(key string) uint16 { return uint16(xxhash.Sum64String(key) % Partitions) }

// OwnerOf is the node that owns a partition; false when nobody does, or there is no such partition.
func (t *Table) OwnerOf(part uint16) (NodeID, bool) { return t.node(&t.Owner, part) }

// BackupOf is the node that holds the partition's copy; false when there is none.
func (t *Table) BackupOf(part uint16) (NodeID, bool) { return t.node(&t.Backup, part) }

// RivalOf is the node that has a partition's state of the other side of a split which this table heals; never the owner.
func (t *Table) RivalOf(part uint16) (NodeID, bool) {
	if len(t.History) == 0 || part >= Partitions || t.Rival[part] == t.Owner[part] {
		return NodeID{}, false
	}
	return t.node(&t.Rival, part)
}

// LastOwnerOf is who owned a partition that has no owner; false when it has one, or the last one is not missing any more.
func (t *Table) LastOwnerOf(part uint16) (Missing, bool) { return t.last(&t.LastOwner, part) }

// LastBackupOf is the same of its last backup.
func (t *Table) LastBackupOf(part uint16) (Missing, bool) { return t.last(&t.LastBackup, part) }

func (t *Table) node(of *[Partitions]uint16, part uint16) (NodeID, bool) {
	if part >= Partitions || int(of[part]) >= len(t.Nodes) {
		return NodeID{}, false
	}
	return t.Nodes[of[part]], true
}

func (t *Table) last(of *[Partitions]uint16, part uint16) (Missing, bool) {
	if part >= Partitions || t.Owner[part] != None || int(of[part]) >= len(t.Missing) {
		return Missing{}, false
	}
	return t.Missing[of[part]], true
}

// Has says whether a node is in the table, in this very life.
func (t *Table) Has(id NodeID) bool { return slices.Contains(t.Nodes, id) }

// Follows says whether t is old itself or of its lineage: made by those who had it. A node that had another table before,
// and installs t, is a rival: what it acknowledged since the split is not known to the owners that t names.
func (t *Table) Follows(old *Table) bool {
	return old.Term == 0 || t.Hash == old.Hash || slices.Contains(t.History, old.Hash)
}

// Degraded says that somebody is missing, or that the death of one node may lose something: the same on all nodes.
func (t *Table) Degraded() bool {
	if len(t.Missing) > 0 {
		return true
	}
	for p := range Partitions {
		if len(t.Nodes) > 1 && t.Owner[p] != None && t.Backup[p] == None {
			return true
		}
	}
	return false
}

// Newer says whether t replaces old: only a larger (term, coordinator) is ever installed.
func (t *Table) Newer(old *Table) bool {
	if t.Term != old.Term {
		return t.Term > old.Term
	}
	return t.Coordinator > old.Coordinator
}

// Seal computes Hash. Call it once, before the table is published.
func (t *Table) Seal() *Table {
	b := make([]byte, 0, 26*Partitions)
	put := func(v uint64) { b = binary.BigEndian.AppendUint64(b, v) }
	node := func(n NodeID) {
		put(uint64(len(n.Name)))
		b = append(b, n.Name...)
		put(n.Boot)
	}
	put(t.Term)
	put(uint64(len(t.Coordinator)))
	b = append(b, t.Coordinator...)
	put(uint64(len(t.Nodes)))
	for _, n := range t.Nodes {
		node(n)
	}
	put(uint64(len(t.Missing)))
	for _, m := range t.Missing {
		node(m.ID)
		if m.Dead {
			put(1)
		} else {
			put(0)
		}
	}
	for p := range Partitions {
		put(t.PartTerm[p])
		put(uint64(t.Owner[p])<<32 | uint64(t.Backup[p])<<16 | uint64(t.Rival[p]))
		put(uint64(t.LastOwner[p])<<16 | uint64(t.LastBackup[p]))
	}
	for _, hashes := range [][]uint64{t.History, t.Absorbed} {
		put(uint64(len(hashes)))
		for _, h := range hashes {
			put(h)
		}
	}
	t.Hash = xxhash.Sum64(b)
	return t
}

// Empty is the table before any is known: nobody owns anything. Each call gives a new one.
func Empty() *Table {
	t := empty
	return &t
}

var empty = func() Table {
	t := Table{}
	for _, of := range []*[Partitions]uint16{&t.Owner, &t.Backup, &t.LastOwner, &t.LastBackup, &t.Rival} {
		for p := range of {
			of[p] = None
		}
	}
	return *t.Seal()
}()
