package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
		Version: "v1", Registerer: prometheus.NewRegistry(),
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

func TestThreeStartTogether(t *testing.T) {
	nodes := startN(t, 3, nil)
	took(t, "one table of 3", 3*time.Second, func() bool { return agreed(nodes...) })
	checkPlaced(t, nodes...)
	for _, n := range nodes {
		if c := len(n.Members()); c != 3 {
			t.Errorf("%d members", c)
		}
		n.mu.Lock()
		if len(n.tables) > 5 {
			t.Errorf("%s: %d tables for three joins", n.Self().Name, len(n.tables))
		}
		n.mu.Unlock()
	}
	if err := nodes[1].Send(nodes[2].Self(), &envelope.Envelope{Kind: envelope.Cast, Payload: []byte("hi")}); err != nil {
		t.Fatal(err)
	}
	await(t, "message", func() bool {
		nodes[2].mu.Lock()
		defer nodes[2].mu.Unlock()
		return len(nodes[2].got) == 1 && nodes[2].got[0] == "gamed-2 hi"
	})
	await(t, "round trip time", func() bool {
		for _, m := range nodes[0].Members() {
			if m.Node != nodes[0].Self() && (m.RTT == 0 || m.State != "alive" || m.Addr == "" || m.Version != "v1") {
				return false
			}
		}
		return true
	})
}

// All of them look for each other: nobody is first.
func TestFiveExpected(t *testing.T) {
	ports := []string{"127.0.0.1:0"}
	first := start(t, "gamed-5", func(o *Options) { o.Expect = 5; o.Join = ports[:0] })
	nodes := []*node{first}
	for _, i := range []int{3, 1, 4} {
		nodes = append(nodes, start(t, fmt.Sprintf("gamed-%d", i), func(o *Options) { o.Expect = 5; joining(first)(o) }))
	}
	await(t, "four members", func() bool { return len(first.Members()) == 4 })
	for _, n := range nodes {
		if ok, why := n.Ready(); ok || n.Table().Term != 0 || len(why) != 1 || !strings.HasPrefix(why[0], "forming") {
			t.Errorf("%s: ready %v (%v), term %d before five nodes are there", n.Self().Name, ok, why, n.Table().Term)
		}
	}
	nodes = append(nodes, start(t, "gamed-2", func(o *Options) { o.Expect = 5; joining(first)(o) }))
	took(t, "one table of 5", 3*time.Second, func() bool { return agreed(nodes...) })
	if term := first.Table().Term; term != 1 {
		t.Errorf("the first table of 5 has term %d", term)
	}
	checkPlaced(t, nodes...)
}

func TestKillAndRestart(t *testing.T) {
	nodes := startN(t, 3, nil)
	await(t, "table", func() bool { return agreed(nodes...) && placedOn(nodes[0].Table(), 3) })
	before := nodes[0].Table()
	nodes[2].Kill()
	took(t, "table without the dead node", 1500*time.Millisecond, func() bool { return agreed(nodes[:2]...) })
	after := nodes[0].Table()
	for p := range uint16(shard.Partitions) {
		was, _ := before.OwnerOf(p)
		heir, _ := before.BackupOf(p)
		is, _ := after.OwnerOf(p)
		switch {
		case was == nodes[2].Self() && is != heir:
			t.Fatalf("partition %d went to %s, its backup is %s", p, is, heir)
		case was == nodes[2].Self() && after.PartTerm[p] <= before.PartTerm[p]:
			t.Fatalf("partition %d: its term did not grow", p)
		case was != nodes[2].Self() && is != was:
			t.Fatalf("partition %d moved from %s, which lives", p, was)
		}
	}
	again := start(t, "gamed-3", joining(nodes[0]))
	took(t, "restarted node in the table", 5*time.Second, func() bool { return agreed(nodes[0], nodes[1], again) })
	checkPlaced(t, nodes[0], nodes[1], again)
	for _, m := range nodes[0].Members() {
		if m.Node == nodes[2].Self() && m.State != "dead" {
			t.Errorf("the old life is %s", m.State)
		}
	}
}

func placedOn(t *shard.Table, n int) bool {
	owners := map[shard.NodeID]bool{}
	for p := range uint16(shard.Partitions) {
		o, _ := t.OwnerOf(p)
		owners[o] = true
	}
	return len(owners) == n
}

// The coordinator dies: the next in seniority goes on.
func TestCoordinatorDies(t *testing.T) {
	nodes := startN(t, 3, nil)
	await(t, "table", func() bool { return agreed(nodes...) })
	if c := nodes[2].Table().Coordinator; c != "gamed-1" {
		t.Fatalf("coordinator %s, want the longest-standing node", c)
	}
	term := nodes[1].Table().Term
	nodes[0].Kill()
	took(t, "table of the rest", 1500*time.Millisecond, func() bool { return agreed(nodes[1:]...) })
	if tb := nodes[2].Table(); tb.Term <= term || tb.Coordinator != tb.Nodes[0].Name {
		t.Errorf("term %d after %d, coordinator %s of %v", tb.Term, term, tb.Coordinator, tb.Nodes)
	}
}

func TestCutAndHeal(t *testing.T) {
	nodes := startN(t, 3, nil)
	await(t, "table", func() bool { return agreed(nodes...) })
	cut := func(on bool) {
		for _, n := range nodes[1:] {
			nodes[0].Cut(n.Self().Name, on)
			n.Cut(nodes[0].Self().Name, on)
		}
	}
	cut(true)
	took(t, "two tables", 6*time.Second, func() bool { return agreed(nodes[0]) && agreed(nodes[1:]...) })
	cut(false)
	took(t, "one table again", 8*time.Second, func() bool { return agreed(nodes...) })
	await(t, "partitions in place", func() bool { return placedOn(nodes[0].Table(), 3) && agreed(nodes...) })
	checkPlaced(t, nodes...)
}

// One dead link between two live nodes moves nothing, because the third one still has links to both.
func TestOneDeadLink(t *testing.T) {
	nodes := startN(t, 3, nil)
	await(t, "table", func() bool { return agreed(nodes...) && placedOn(nodes[0].Table(), 3) })
	term := nodes[0].Table().Term
	nodes[0].Cut("gamed-2", true)
	nodes[1].Cut("gamed-1", true)
	begin := time.Now()
	await(t, "6 s", func() bool { return time.Since(begin) > 6*time.Second })
	if !agreed(nodes...) || nodes[0].Table().Term != term {
		t.Errorf("term %d, was %d; nodes %v", nodes[0].Table().Term, term, nodes[0].Table().Nodes)
	}
}

func TestDrainAndLeave(t *testing.T) {
	nodes := startN(t, 3, nil)
	await(t, "table", func() bool { return agreed(nodes...) && placedOn(nodes[0].Table(), 3) })
	nodes[0].SetDraining(true)
	took(t, "partitions off the draining node", 3*time.Second, func() bool { return agreed(nodes...) && placedOn(nodes[1].Table(), 2) })
	await(t, "state", func() bool { return nodes[2].stateOf("gamed-1") == "draining" })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := nodes[0].Leave(ctx); err != nil {
		t.Error(err)
	}
	took(t, "table without who left", time.Second, func() bool { return agreed(nodes[1:]...) })
	if nodes[0].stop(); nodes[1].stateOf("gamed-1") == "alive" {
		t.Error("who left is alive")
	}
}

func (n *node) stateOf(name string) string {
	for _, m := range n.Members() {
		if m.Node.Name == name {
			return m.State
		}
	}
	return ""
}

func TestDuplicateName(t *testing.T) {
	nodes := startN(t, 2, nil)
	await(t, "table", func() bool { return agreed(nodes...) })
	term := nodes[0].Table().Term
	second := start(t, "gamed-2", joining(nodes[0]))
	took(t, "end of the second", 5*time.Second, second.over)
	if !errors.Is(second.err, ErrDuplicate) {
		t.Errorf("the second node of a name ended with %v", second.err)
	}
	if nodes[1].over() || !agreed(nodes...) || nodes[0].Table().Term != term {
		t.Errorf("the first node was disturbed: term %d, was %d", nodes[0].Table().Term, term)
	}
}

func TestAloneMerges(t *testing.T) {
	a := start(t, "gamed-1", nil)
	took(t, "a node without --join", 500*time.Millisecond, func() bool { return agreed(a) })
	dead := start(t, "gamed-9", nil)
	addr := dead.GossipAddr().String()
	dead.Kill()
	await(t, "end", dead.over)
	b := start(t, "gamed-2", func(o *Options) { o.Join = []string{addr} })
	await(t, "a node that finds nobody", func() bool { return agreed(b) })
	if d := time.Since(b.began); d < 2900*time.Millisecond || d > 5*time.Second {
		t.Errorf("a node that finds nobody serves after %v, want 3 s", d)
	}
	c := start(t, "gamed-3", func(o *Options) { o.Join = []string{a.GossipAddr().String(), b.GossipAddr().String()} })
	took(t, "one cluster", 6*time.Second, func() bool { return agreed(a, b, c) })
}

func TestRefused(t *testing.T) {
	a := start(t, "gamed-1", nil)
	other := start(t, "gamed-2", func(o *Options) { joining(a)(o); o.Cluster = "other" })
	config := start(t, "gamed-3", func(o *Options) { joining(a)(o); o.Policy = Quorum; o.Expect = 2 })
	await(t, "log lines on both sides", func() bool {
		return strings.Contains(a.logs.String(), "configuration hash") && strings.Contains(config.logs.String(), "configuration hash") &&
			strings.Contains(a.logs.String(), "unacceptable label")
	})
	await(t, "the stranger serves alone", func() bool { return agreed(other) })
	if !agreed(a) || len(a.Members()) != 1 {
		t.Errorf("members %v", a.Members())
	}
	if ok, _ := config.Ready(); ok {
		t.Error("a node of another configuration is ready")
	}
}
