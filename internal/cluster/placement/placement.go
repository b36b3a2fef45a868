// Package placement says which node should own each partition, and which should hold its copy, when a given set of nodes is
// there. It is a pure function of the node names: no state, no clock, no network, the same answer on every node.
//
// The owner comes from consistent hashing with bounded loads: a node owns at most 1.25 times its share, and a join moves about
// 1/n of the partitions. The backup of a partition is the owner it would have without its owner, so that after a crash the
// copy is where the partition has to go. Names, not lives of nodes, are placed: a restart changes nothing.
package placement

import (
	"slices"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"

	"gamed/internal/shard"
)

// What a cluster must agree on to compute the same assignment; part of the configuration hash.
const (
	Hasher   = "xxhash64" // of partition numbers and of virtual nodes
	replicas = 100        // virtual nodes for each node
	load     = 1.25       // most a node owns, in shares
)

// Assignment is the wanted owner and backup of each partition. It is immutable.
type Assignment struct {
	Names  []string                 // sorted, without repetition
	Owner  [shard.Partitions]uint16 // index into Names; shard.None when there are no names
	Backup [shard.Partitions]uint16 // index into Names; shard.None when there are fewer than two
}

// Compute places the partitions on the named nodes. The order of names does not matter; a name given twice counts once.
// It takes about 1 ms for 3 names and 10 ms for 12.
func Compute(names []string) *Assignment {
	a := &Assignment{Names: slices.Compact(slices.Sorted(slices.Values(names)))}
	for p := range shard.Partitions {
		a.Owner[p], a.Backup[p] = shard.None, shard.None
	}
	if len(a.Names) == 0 {
		return a
	}
	members := make([]consistent.Member, len(a.Names))
	index := make(map[string]uint16, len(a.Names))
	for i, n := range a.Names {
		members[i], index[n] = member(n), uint16(i)
	}
	ring := consistent.New(members, consistent.Config{
		Hasher: hasher{}, PartitionCount: shard.Partitions, ReplicationFactor: replicas, Load: load,
	})
	for p := range shard.Partitions {
		a.Owner[p] = index[ring.GetPartitionOwner(p).String()]
	}
	if len(a.Names) < 2 {
		return a
	}
	for i, m := range members {
		ring.Remove(m.String())
		for p := range shard.Partitions {
			if a.Owner[p] == uint16(i) {
				a.Backup[p] = index[ring.GetPartitionOwner(p).String()]
			}
		}
		ring.Add(m)
	}
	return a
}

type member string

func (m member) String() string { return string(m) }

type hasher struct{}

func (hasher) Sum64(b []byte) uint64 { return xxhash.Sum64(b) }
