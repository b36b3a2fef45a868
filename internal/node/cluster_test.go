package node

import (
	"context"
	"testing"
	"time"

	"gamed/client"
	"gamed/game"
)

// dial connects a player to the nodes given, the first one first.
func dial(t *testing.T, name string, nodes ...*running) *client.Client {
	t.Helper()
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.Addrs().Players)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, addrs, client.Options{Name: name})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// call calls and fails the test on any code.
func call(t *testing.T, c *client.Client, topic, event string, payload any) game.Fields {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	p, err := c.Call(ctx, topic, event, payload)
	if err != nil {
		t.Fatalf("%s %s: %v", topic, event, err)
	}
	return p.Fields()
}

func TestPlayersOnAllNodesPlayTogether(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	for _, name := range []string{"ann", "bob", "cyn", "dan", "eve"} {
		c := dial(t, name, nodes[len(name)%3])
		f := call(t, c, "bank:", "deposit", game.NewMap().Int("amount", 5))
		if got := f.Int("balance"); got != 5 {
			t.Fatalf("balance %d", got)
		}
	}
}
