// Package shard knows where a key lives: the table of partitions, the router ("mine: deliver; else one hop") and the n workers
// that run this node's m entities.
package shard

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"gamed/internal/envelope"
)

// Partitions is the number of slices of the key space. It is the same for every cluster, for ever.
const Partitions = 1021

// NodeID names one life of a node.
type NodeID = envelope.NodeID

// None is the index that names no node.
const None = ^uint16(0)

// Table says who owns each partition. It is immutable once published.
type Table struct {
	Term        uint64 // larger is newer; 0 only in the empty table
	Coordinator string // who made it; settles equal terms
	Nodes       []NodeID
	Owner       [Partitions]uint16 // index into Nodes, or None
	Backup      [Partitions]uint16 // index into Nodes, or None
	PartTerm    [Partitions]uint64 // the fencing token: grows when the owner changes
	Hash        uint64             // of all of the above, see Seal
}

// PartitionOf is the partition of a key such as "player/ann" or "chat/lobby".
func PartitionOf(key string) uint16 { return uint16(xxhash.Sum64String(key) % Partitions) }

// OwnerOf is the node that owns a partition; false when nobody does, or there is no such partition.
func (t *Table) OwnerOf(part uint16) (NodeID, bool) { return t.node(&t.Owner, part) }

// BackupOf is the node that holds the partition's copy; false when there is none.
func (t *Table) BackupOf(part uint16) (NodeID, bool) { return t.node(&t.Backup, part) }

func (t *Table) node(of *[Partitions]uint16, part uint16) (NodeID, bool) {
	if part >= Partitions || int(of[part]) >= len(t.Nodes) {
		return NodeID{}, false
	}
	return t.Nodes[of[part]], true
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
	d := xxhash.New()
	var b [8]byte
	put := func(v uint64) {
		binary.BigEndian.PutUint64(b[:], v)
		_, _ = d.Write(b[:])
	}
	put(t.Term)
	_, _ = d.WriteString(t.Coordinator)
	for _, n := range t.Nodes {
		put(uint64(len(n.Name)))
		_, _ = d.WriteString(n.Name)
		put(n.Boot)
	}
	for p := range Partitions {
		put(uint64(t.Owner[p])<<16 | uint64(t.Backup[p]))
		put(t.PartTerm[p])
	}
	t.Hash = d.Sum64()
	return t
}

// Empty is the table before any is known: nobody owns anything.
func Empty() *Table {
	t := &Table{}
	for p := range Partitions {
		t.Owner[p], t.Backup[p] = None, None
	}
	return t.Seal()
}
