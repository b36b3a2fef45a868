package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

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
			strings.Contains(a.logs.String(), "unacceptable label") && strings.Contains(other.logs.String(), "compare --cluster")
	})
	await(t, "the stranger serves alone", func() bool { return agreed(other) })
	if !agreed(a) || len(a.Members()) != 1 {
		t.Errorf("members %v", a.Members())
	}
	if ok, _ := config.Ready(); ok {
		t.Error("a node of another configuration is ready")
	}
}
