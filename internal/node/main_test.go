package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gamed/games"
	"gamed/internal/config"
)

// TestMain looks for goroutines that stay. Those of memberlist may take some seconds: a probe ends by its own time.
func TestMain(m *testing.M) {
	code := m.Run()
	var leak error
	for until := time.Now().Add(10 * time.Second); code == 0 && time.Now().Before(until); {
		if leak = goleak.Find(); leak == nil {
			break
		}
	}
	if leak != nil {
		fmt.Fprintln(os.Stderr, leak)
		code = 1
	}
	os.Exit(code)
}

// running is a node of a test.
type running struct {
	*Node
	name string
	stop context.CancelFunc
	done chan error
}

// start runs a node on free loopback ports until the test ends.
func start(t *testing.T, name string, change func(*config.Config)) *running {
	t.Helper()
	cfg := config.Default()
	cfg.Node = name
	cfg.Listen, cfg.Mesh, cfg.Gossip, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.RateLimit = 0
	cfg.DrainTimeout = 10 * time.Second
	if change != nil {
		change(&cfg)
	}
	level := slog.LevelError + 4
	if os.Getenv("GAMED_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", name)
	n, err := New(Options{Config: cfg, Games: games.All(), Version: "test", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Node: n, name: name, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- n.Run(ctx); close(r.done) }()
	t.Cleanup(func() {
		n.Kill()
		cancel()
		select {
		case <-r.done:
		case <-time.After(20 * time.Second):
			t.Errorf("node %s did not end", name)
		}
	})
	return r
}

// cluster runs n nodes that have agreed on one table.
func startCluster(t *testing.T, n int, change func(*config.Config)) []*running {
	t.Helper()
	var nodes []*running
	for i := range n {
		nodes = append(nodes, start(t, "n"+strconv.Itoa(i+1), func(c *config.Config) {
			c.Expect = n
			if i > 0 {
				c.Join = []string{nodes[0].Addrs().Gossip}
			}
			if change != nil {
				change(c)
			}
		}))
	}
	eventually(t, 10*time.Second, "one table of all nodes", func() bool { return agreed(nodes, n) })
	return nodes
}

func agreed(nodes []*running, members int) bool {
	hash := nodes[0].router.Table().Hash
	for _, n := range nodes {
		t := n.router.Table()
		if t.Hash != hash || len(t.Nodes) != members {
			return false
		}
	}
	return true
}

// eventually waits until ok says so.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", limit, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
