package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gamed/internal/shard"
)

func (n *node) happened(kind string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

func unowned(t *shard.Table) (n int) {
	for p := range uint16(shard.Partitions) {
		if _, ok := t.OwnerOf(p); !ok {
			n++
		}
	}
	return n
}

// cutOff drops what goes between a node and all others.
func cutOff(alone *node, others []*node, on bool) {
	for _, n := range others {
		alone.Cut(n.Self().Name, on)
		n.Cut(alone.Self().Name, on)
	}
}

// Two of three fall silent: what only they had is nobody's, until an operator gives them up at any node, or they come back.
func TestForget(t *testing.T) {
	nodes := startN(t, 3, nil)
	await(t, "table", func() bool { return agreed(nodes...) && placedOn(nodes[0].Table(), 3) })
	ctx := context.Background()
	if err := nodes[0].Forget(ctx, "gamed-2"); !errors.Is(err, ErrLive) {
		t.Errorf("a node that is there: %v", err)
	}
	if err := nodes[0].Forget(ctx, "gamed-9"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a node that nobody knows: %v", err)
	}
	cutOff(nodes[0], nodes[1:], true)
	await(t, "table of one", func() bool { return agreed(nodes[0]) })
	if n := unowned(nodes[0].Table()); n < 200 || !nodes[0].Table().Degraded() {
		t.Errorf("%d partitions without owner, degraded %v", n, nodes[0].Table().Degraded())
	}
	await(t, "both sides", func() bool { return agreed(nodes[1:]...) })
	for _, name := range []string{"gamed-2", "gamed-3"} {
		await(t, "death of "+name, func() bool { return nodes[0].stateOf(name) == "dead" })
		if err := nodes[0].Forget(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if n := unowned(nodes[0].Table()); n != 0 || nodes[0].Table().Degraded() || !nodes[0].happened(EventLost) || !nodes[0].happened(EventForgotten) {
		t.Errorf("%d partitions without owner after all were forgotten", n)
	}
	if !strings.Contains(nodes[0].logs.String(), "level=ERROR") {
		t.Error("nothing was logged of what is lost")
	}
	cutOff(nodes[0], nodes[1:], false)
	took(t, "one table again", 15*time.Second, func() bool { return agreed(nodes...) })
	if !nodes[0].happened(EventAbsorbed) && !nodes[1].happened(EventAbsorbed) {
		t.Error("nobody says that a side was taken in")
	}
}

// Under quorum the node that is cut off stops before the others take over, and serves again after the heal.
func TestQuorumLease(t *testing.T) {
	nodes := startN(t, 3, func(_ int, o *Options) { o.Policy, o.Expect = Quorum, 3 })
	held := func(nodes ...*node) bool {
		for _, n := range nodes {
			if !n.Lease().Held() {
				return false
			}
		}
		return true
	}
	await(t, "table", func() bool { return agreed(nodes...) && held(nodes...) })
	term := nodes[1].Table().Term
	cutOff(nodes[0], nodes[1:], true)
	took(t, "end of the lease", 4*time.Second, func() bool { return !nodes[0].Lease().Held() })
	took(t, "take-over", 6*time.Second, func() bool { return nodes[1].Table().Term > term && held(nodes[1:]...) })
	if ok, why := nodes[0].Ready(); ok || nodes[0].Lease().Held() {
		t.Errorf("the minority serves: %v", why)
	}
	cutOff(nodes[0], nodes[1:], false)
	took(t, "one table again", 15*time.Second, func() bool { return agreed(nodes...) && held(nodes...) })
}

func TestLeaseRunsOutByItself(t *testing.T) {
	n := start(t, "gamed-1", nil)
	await(t, "lease", n.Lease().Held)
	n.stop()
	await(t, "end", n.over)
	if n.Lease().Held() || n.Lease().Left() != 0 {
		t.Error("a node that has ended may act")
	}
}
