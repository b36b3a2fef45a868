package hostile

import (
	"encoding/json"
	"os/exec"
	"testing"
	"time"
)

// TestRogueNodes: processes that have no gossip key, an old one, the key but no certificate of the cluster's CA, or the key and a
// certificate but the name of another cluster. None is ever in the table of the honest nodes or linked to them, and each is counted.
func TestRogueNodes(t *testing.T) {
	t.Parallel()
	v, foreign := newVault(t, "a", "b", "r1"), newVault(t, "r2", "r3")
	a := start(t, v.cluster("a")...)
	b := start(t, append(v.cluster("b"), "--join", a.Gossip)...)
	pair := []*node{a, b}
	nodes := func(n *node) float64 { return n.metric("gamed_cluster_table_nodes") }
	await(t, "a cluster of two", func() bool { return nodes(a) == 2 && nodes(b) == 2 })
	links := a.metric("gamed_mesh_links_opened_total")

	const gossip, mesh = "gamed_cluster_gossip_refused_total", `gamed_mesh_refused_total{by="us",reason="certificate"}`
	withKey := func(name string, more ...string) []string {
		return append([]string{"--node", name, "--gossip-key-file", v.file("gossip.key")}, more...)
	}
	var rogues []*node
	out := func() {
		t.Helper()
		for _, n := range pair {
			if got := nodes(n); got != 2 || n.owns("r1") || n.owns("r2") || n.owns("r3") {
				t.Fatalf("%s has a table of %v nodes", n.Node, got)
			}
		}
	}
	for _, rogue := range []struct {
		what    string
		args    []string
		counted string // by the honest nodes
	}{
		{"no key", []string{"--node", "r1"}, gossip + `{reason="key"}`},
		{"certificates, no key", v.cluster("r1")[:8], gossip + `{reason="key"}`},
		{"certificates, old key", append(v.cluster("r1")[:8], "--gossip-key-file", foreign.file("gossip.key")), gossip + `{reason="key"}`},
		{"key, no certificates", withKey("r1"), mesh},
		{"key, certificate of another CA", withKey("r2", foreign.cluster("r2")[2:8]...), mesh},
		{"key, certificate of another CA, trusting ours", withKey("r3", append(foreign.cluster("r3")[4:8], "--mesh-ca", v.file("ca.pem"))...), mesh},
		{"another cluster", append(v.cluster("r1"), "--cluster", "other"), gossip + `{reason="cluster"}`},
	} {
		before := a.metric(rogue.counted) + b.metric(rogue.counted)
		rogues = append(rogues, launch(t, exec.Command(gamed), append(rogue.args, "--join", a.Gossip+","+b.Gossip)...))
		await(t, rogue.what+" is counted", func() bool { return a.metric(rogue.counted)+b.metric(rogue.counted) > before })
		out()
	}
	for range 50 { // from when they serve alone, nothing may happen for five seconds
		out()
		time.Sleep(100 * time.Millisecond)
	}
	for i, r := range rogues {
		if r.owns("a") || r.owns("b") {
			t.Errorf("rogue %d has a table with honest nodes", i)
		}
	}
	if got := a.metric("gamed_mesh_links_opened_total"); got != links {
		t.Errorf("%v links were opened", got-links)
	}
	a.calm(t)
}

// owns says whether a node of that name owns or backs a partition in n's table.
func (n *node) owns(name string) bool {
	n.t.Helper()
	b, err := n.get("/api/v1/table")
	var table struct {
		Partitions []struct{ Owner, Backup string }
	}
	if err == nil {
		err = json.Unmarshal(b, &table)
	}
	if err != nil || len(table.Partitions) == 0 {
		n.t.Fatalf("table: %v", err)
	}
	for _, p := range table.Partitions {
		if p.Owner == name || p.Backup == name {
			return true
		}
	}
	return false
}
