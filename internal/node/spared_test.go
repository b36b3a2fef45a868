package node

import (
	"context"
	"testing"
	"time"
)

// TestADrainedNodeStaysWhileItsCopiesAreNeeded: it does not go while partitions have no owner, or backups are not full.
func TestADrainedNodeStaysWhileItsCopiesAreNeeded(t *testing.T) {
	nodes := startCluster(t, 4, nil)
	filled(t, nodes)
	spared := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return nodes[0].spared(ctx)
	}
	if err := spared(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	one, rest := nodes[:2], nodes[2:]
	cut(true, one, rest)
	apart(t, one, rest)
	filled(t, one)
	if err := spared(300 * time.Millisecond); err == nil {
		t.Error("it would go, although some partitions are nobody's on its side")
	}
	cut(false, one, rest)
	if err := spared(30 * time.Second); err != nil {
		t.Error(err)
	}
}
