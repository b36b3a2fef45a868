package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a Cluster that runs.
type node struct {
	*Cluster
	t      *testing.T
	stop   context.CancelFunc
	done   chan struct{}
	err    error // of Run, once done is closed
	began  time.Time
	logs   *buffer
	mu     sync.Mutex // guards what follows
	tables []*shard.Table
	events []Event
	got    []string
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start makes and runs a node on loopback ports that are picked.
func start(t *testing.T, name string, change func(*Options)) *node {
	t.Helper()
	n := &node{t: t, done: make(chan struct{}), logs: &buffer{}, began: time.Now()}
	o := Options{Name: name, Cluster: "test", MeshAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", PlayersAddr: "127.0.0.1:1" + name[len(name)-1:],
		FirstTerm: 1, Version: "v1", Registerer: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(n.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Receive: func(from shard.NodeID, e *envelope.Envelope) {
			n.mu.Lock()
			n.got = append(n.got, from.Name+" "+string(e.Payload))
			n.mu.Unlock()
		},
		OnTable: func(t *shard.Table) {
			n.mu.Lock()
			n.tables = append(n.tables, t)
			n.mu.Unlock()
		},
		OnEvent: func(e Event) {
			n.mu.Lock()
			n.events = append(n.events, e)
			n.mu.Unlock()
		}}
	if change != nil {
		change(&o)
	}
	var err error
	if n.Cluster, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() {
		defer close(n.done)
		n.err = n.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		n.await("end", func() bool { return n.over() })
		if t.Failed() && testing.Verbose() {
			t.Logf("---- %s\n%s", name, n.logs)
		}
	})
	return n
}

func joining(first *node) func(*Options) {
	return func(o *Options) { o.Join = []string{first.GossipAddr().String()} }
}

func (n *node) over() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}

func (n *node) await(what string, ok func() bool) { n.t.Helper(); await(n.t, what, ok) }

// await waits for a condition, 15 s at most.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(15 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("no %s within 15 s", what)
		}
	}
}

// agreed says whether all nodes are ready and have one table of just them.
func agreed(nodes ...*node) bool {
	first := nodes[0].Table()
	for _, n := range nodes {
		if ok, _ := n.Ready(); !ok || n.Table().Hash != first.Hash {
			return false
		}
	}
	return len(first.Nodes) == len(nodes)
}

func took(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	begin := time.Now()
	await(t, what, ok)
	if d := time.Since(begin); d > limit {
		t.Errorf("%s took %v, want at most %v", what, d, limit)
	} else {
		t.Logf("%s took %v", what, d.Round(time.Millisecond))
	}
}

// checkPlaced wants every partition to have an owner and a backup among the nodes, and no node to own much more than its share.
func checkPlaced(t *testing.T, nodes ...*node) {
	t.Helper()
	table := nodes[0].Table()
	owned := map[string]int{}
	for p := range uint16(shard.Partitions) {
		o, ok := table.OwnerOf(p)
		b, has := table.BackupOf(p)
		if !ok || !has || o == b {
			t.Fatalf("partition %d: owner %v, backup %v", p, o, b)
		}
		owned[o.Name]++
	}
	for _, n := range nodes {
		if share := float64(owned[n.Self().Name]) * float64(len(nodes)) / shard.Partitions; share < 0.5 || share > 1.3 {
			t.Errorf("%s owns %.2f shares", n.Self().Name, share)
		}
	}
}

func startN(t *testing.T, count int, change func(int, *Options)) []*node {
	t.Helper()
	var nodes []*node
	for i := range count {
		nodes = append(nodes, start(t, fmt.Sprintf("gamed-%d", i+1), func(o *Options) {
			if i > 0 {
				joining(nodes[0])(o)
			}
			if change != nil {
				change(i, o)
			}
		}))
	}
	return nodes
}
