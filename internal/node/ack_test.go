package node

import (
	"context"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/config"
	"gamed/internal/shard"
)

// A backup that takes nothing any more: with --ack=replicated a change is not acknowledged, but what changes nothing is answered;
// with --ack=local both are.
func TestWhatAnAcknowledgementWaitsFor(t *testing.T) {
	for _, ack := range []string{"local", "replicated"} {
		t.Run(ack, func(t *testing.T) {
			nodes := startCluster(t, 2, func(c *config.Config) { c.Ack = ack })
			ann := dial(t, named(t, playerKey, nodes[0], nodes[1]), nodes[0])
			ann.deposit(5)
			key := playerKey(ann.Player())
			part := shard.PartitionOf(key)
			full := func() bool {
				c, _, ok := nodes[1].copies.Peek(part, key)
				return ok && c.Seq > 0
			}
			eventually(t, 5*time.Second, "the backup to have her", full)
			nodes[1].copies.Fence(part, 1<<60) // from now on it refuses her owner
			nodes[1].copies.Take(part)
			try := func(event string, payload any) error {
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				_, err := ann.Call(ctx, "bank:", event, payload)
				return err
			}
			if err := try("balance", nil); err != nil {
				t.Fatalf("balance: %v", err)
			}
			switch err := try("deposit", game.NewMap().Int("amount", 1)); {
			case ack == "local" && err != nil:
				t.Fatalf("deposit: %v", err)
			case ack == "replicated" && err == nil:
				t.Fatal("acknowledged what one node has")
			}
			if full() {
				t.Fatal("the test's backup did not refuse")
			}
		})
	}
}
