package cluster

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// TestKeysAreExchanged: from any one or two keys to any other, with never more than two on the way.
func TestKeysAreExchanged(t *testing.T) {
	var states [][][]byte
	for a := range byte(4) {
		states = append(states, [][]byte{key(a)})
		for b := range byte(4) {
			if a != b {
				states = append(states, [][]byte{key(a), key(b)})
			}
		}
	}
	for _, from := range states {
		for _, to := range states {
			ring, err := newKeyring(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := exchange(ring, to); err != nil || !slices.EqualFunc(ring.GetKeys(), to, bytes.Equal) {
				t.Fatalf("%x to %x: %x %v", from, to, ring.GetKeys(), err)
			}
		}
	}
}

func TestTooManyKeys(t *testing.T) {
	for _, keys := range [][][]byte{{key(1), key(2), key(3)}, {key(1), key(1)}, {[]byte("short")}} {
		if checkKeys(keys) == nil {
			t.Errorf("%x: taken", keys)
		}
	}
	a := start(t, "gamed-1", nil)
	if err := a.SetGossipKeys([][]byte{key(1)}); err == nil {
		t.Error("a cluster without a key got one")
	}
}

// TestKeyRotation: step by step from one key to the next, with nobody lost; whoever has the old key only does not come in then,
// and is counted.
func TestKeyRotation(t *testing.T) {
	old, fresh := key(1), key(2)
	reg := prometheus.NewRegistry()
	a := start(t, "gamed-1", func(o *Options) { o.GossipKeys, o.Registerer = [][]byte{old}, reg })
	b := start(t, "gamed-2", func(o *Options) { joining(a)(o); o.GossipKeys = [][]byte{old} })
	took(t, "one table", 3*time.Second, func() bool { return agreed(a, b) })
	for _, keys := range [][][]byte{{old, fresh}, {fresh, old}, {fresh}} {
		for _, n := range []*node{a, b} {
			if err := n.SetGossipKeys(keys); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := start(t, "gamed-3", func(o *Options) { joining(a)(o); o.GossipKeys = [][]byte{fresh} })
	took(t, "the one with the new key is in", 5*time.Second, func() bool { return agreed(a, b, c) })
	late := start(t, "gamed-4", func(o *Options) { joining(a)(o); o.GossipKeys = [][]byte{old} })
	await(t, "the one with the old key serves alone", func() bool { return agreed(late) })
	await(t, "it is counted", func() bool { return refused(t, reg, "key") > 0 })
	other := start(t, "gamed-5", func(o *Options) { joining(a)(o); o.GossipKeys, o.Cluster = [][]byte{fresh}, "other" })
	await(t, "the one of another cluster serves alone", func() bool { return agreed(other) })
	await(t, "it is counted", func() bool { return refused(t, reg, "cluster") > 0 })
	if !agreed(a, b, c) {
		t.Error("a stranger came in")
	}
}

func refused(t *testing.T, reg *prometheus.Registry, reason string) float64 {
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "gamed_cluster_gossip_refused_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if strings.Contains(m.String(), `"`+reason+`"`) {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatal("there is no such metric")
	return 0
}
