package shard

import (
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually waits for a condition outside of bubbles.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}

// tableOf is a table in which owners take turns, partition by partition.
func tableOf(term uint64, nodes ...NodeID) *Table {
	t := Empty()
	t.Term, t.Nodes = term, nodes
	for p := range Partitions {
		t.PartTerm[p] = term
		if len(nodes) > 0 {
			t.Owner[p] = uint16(p % len(nodes))
		}
		if len(nodes) > 1 {
			t.Backup[p] = uint16((p + 1) % len(nodes))
		}
	}
	return t.Seal()
}

// keyIn finds a key of a partition.
func keyIn(part uint16, name string) string {
	for i := 0; ; i++ {
		if k := "player/" + name + strconv.Itoa(i); PartitionOf(k) == part {
			return k
		}
	}
}

func id(name string, boot uint64) NodeID { return NodeID{Name: name, Boot: boot} }
