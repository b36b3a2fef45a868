package node

import (
	"fmt"
	"testing"
	"time"

	"gamed/internal/config"
	"gamed/internal/shard"
)

// TestSplitRightAfterATableChange splits a cluster as soon as a node has joined: most backups are new and not full. Whatever either
// side serves then is what was acknowledged; the rest waits, and is there after the heal.
func TestSplitRightAfterATableChange(t *testing.T) {
	const players = 2000
	nodes := startCluster(t, 3, nil)
	name := func(i int) string { return fmt.Sprint("split", i) }
	for i := range players {
		d := depositor(t, name(i), nodes[i%3])
		d.more(1)
		_ = d.r.c.Close()
	}
	nodes = append(nodes, start(t, "n4", func(c *config.Config) { c.Join = []string{nodes[0].Addrs().Gossip} }))
	eventually(t, 10*time.Second, "a table of four", func() bool { return agreed(nodes, 4) })
	sides := [][]*running{{nodes[0], nodes[3]}, {nodes[1], nodes[2]}}
	cut(true, sides[0], sides[1])
	apart(t, sides...)
	waits := 0
	for _, side := range sides {
		for _, n := range side {
			eventually(t, 30*time.Second, "nothing to move any more", func() bool { return len(n.away()) == 0 })
		}
		for i := range players {
			owner, ok := side[0].router.Table().OwnerOf(shard.PartitionOf(playerKey(name(i))))
			if !ok {
				waits++
				continue
			}
			for _, n := range side {
				if n.router.Self() != owner {
					continue
				}
				if got := balance(t, name(i), n); got != 1 {
					t.Fatalf("%s has %d at %s, acknowledged was 1", name(i), got, n.name)
				}
			}
		}
	}
	t.Logf("%d of %d players wait for the other side", waits, 2*players)
	cut(false, sides[0], sides[1])
	whole(t, nodes)
	for i := range players {
		if got := balance(t, name(i), nodes[i%4]); got != 1 {
			t.Fatalf("%s has %d after the heal", name(i), got)
		}
	}
}
