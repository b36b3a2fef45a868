package node

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// idler is the state of a player who does nothing: a push of 2 KB in the own stream.
func idler() state.Sections {
	push := protocol.AppendPush(nil, "", 1, "x", protocol.AppendBin(nil, make([]byte, 2000)))
	return state.Sections{"v": {1}, "o": protocol.AppendUint(nil, 1), "o/1": push}
}

// A table that gives 10,000 entities another backup does not fill the queues that calls need: no call gets busy, and all are backed
// up within seconds.
func TestTenThousandNewBackups(t *testing.T) {
	nodes := startCluster(t, 2, nil)
	ann := dial(t, named(t, playerKey, nodes[1], nil), nodes[0])
	var keys []string
	for i := 0; len(keys) < 10_000; i++ {
		key := playerKey(fmt.Sprint("idler-", i))
		if o, _ := nodes[0].router.Table().OwnerOf(shard.PartitionOf(key)); o == nodes[0].router.Self() {
			keys = append(keys, key)
			if err := nodes[0].workers.Restore(key, idler()); err != nil {
				t.Fatal(err)
			}
		}
	}
	var took []time.Duration
	most := 0
	call := func() {
		began := time.Now()
		ann.deposit(1)
		took = append(took, time.Since(began))
	}
	began := time.Now()
	for nodes[1].copies.Len() < len(keys) {
		call()
		waiting, _ := nodes[0].cluster.Backlog(nodes[1].router.Self())
		most = max(most, waiting)
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%d of %d are backed up after 20 s", nodes[1].copies.Len(), len(keys))
		}
	}
	slices.Sort(took)
	t.Logf("%d backups after %v; %d calls meanwhile, p99 %v; %d bytes in the queue at the most", len(keys), time.Since(began), len(took), took[len(took)*99/100], most)
	if most > 1<<20 {
		t.Fatalf("%d bytes stood before the calls", most)
	}
}
