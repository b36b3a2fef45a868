package cluster

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// All nodes are given all addresses, as in a compose file, and start in any order.
func TestAllSeedEachOther(t *testing.T) {
	var addrs []string
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var nodes []*node
	for _, i := range []int{3, 0, 4, 2, 1} {
		nodes = append(nodes, start(t, fmt.Sprintf("gamed-%d", i+1), func(o *Options) { o.GossipAddr, o.Join = addrs[i], addrs }))
	}
	took(t, "one table of 5", 3*time.Second, func() bool { return agreed(nodes...) })
	checkPlaced(t, nodes...)
	for _, n := range nodes {
		n.mu.Lock()
		if len(n.tables) > 5 {
			t.Errorf("%s: %d tables", n.Self().Name, len(n.tables))
		}
		n.mu.Unlock()
	}
}

func TestGossipKey(t *testing.T) {
	keys := [][]byte{bytes.Repeat([]byte{7}, 32)}
	a := start(t, "gamed-1", func(o *Options) { o.GossipKeys = keys })
	b := start(t, "gamed-2", func(o *Options) { joining(a)(o); o.GossipKeys = keys })
	c := start(t, "gamed-3", joining(a))
	took(t, "one table", 3*time.Second, func() bool { return agreed(a, b) })
	await(t, "the one without a key serves alone", func() bool { return agreed(c) })
	if !agreed(a, b) {
		t.Error("a node without the key came in")
	}
}

func TestPortTaken(t *testing.T) {
	a := start(t, "gamed-1", nil)
	o := Options{Name: "gamed-2", Cluster: "test", MeshAddr: a.MeshAddr().String(), GossipAddr: "127.0.0.1:0", Receive: a.opt.Receive}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "mesh port "+a.MeshAddr().String()+" is taken") {
		t.Errorf("mesh: %v", err)
	}
	o.MeshAddr, o.GossipAddr = "127.0.0.1:0", a.GossipAddr().String()
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "gossip port "+a.GossipAddr().String()+" is taken") {
		t.Errorf("gossip: %v", err)
	}
}

func TestKillBeforeRun(t *testing.T) {
	c, err := New(Options{Name: "a", Cluster: "test", MeshAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", Receive: func(shard.NodeID, *envelope.Envelope) {}})
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := c.Ready(); ok || len(why) == 0 {
		t.Error("ready before Run")
	}
	c.Kill()
	if err := c.Run(context.Background()); err != nil {
		t.Errorf("Run after Kill: %v", err)
	}
	l, err := net.Listen("tcp", c.MeshAddr().String())
	if err != nil {
		t.Fatalf("the mesh port is still taken: %v", err)
	}
	_ = l.Close()
}

func TestOptions(t *testing.T) {
	good := Options{Name: "a", Cluster: "c", Policy: Available, Receive: func(shard.NodeID, *envelope.Envelope) {}}
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"node name":    func(o *Options) { o.Name = "a b" },
		"cluster name": func(o *Options) { o.Cluster = "" },
		"Receive":      func(o *Options) { o.Receive = nil },
		"expect":       func(o *Options) { o.Expect = -1 },
		"policy":       func(o *Options) { o.Policy = "majority" },
		"gossip key":   func(o *Options) { o.GossipKeys = [][]byte{[]byte("short")} },
		"join address": func(o *Options) { o.Join = []string{"host"} },
	} {
		bad := good
		change(&bad)
		if err := bad.validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := start(t, "gamed-1", func(o *Options) { o.Registerer = reg })
	await(t, "table", func() bool { return agreed(a) })
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	gauge := func(name string) float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("no metric %s", name)
		return 0
	}
	await(t, "readiness", func() bool { return gauge("gamed_cluster_ready") == 1 })
	if n := gauge("gamed_cluster_partitions_owned"); n != shard.Partitions {
		t.Errorf("%v partitions owned", n)
	}
}
