package node

import (
	"testing"
	"time"

	"gamed/internal/config"
	"gamed/protocol"
)

func TestPlayersAreSentAwayOnce(t *testing.T) {
	var m minority
	now := time.Now()
	steps := []struct {
		at   time.Duration
		held bool
		away bool
	}{
		{0, false, false}, {900 * time.Millisecond, false, false}, {950 * time.Millisecond, true, false},
		{time.Second, false, false}, {1900 * time.Millisecond, false, false}, {2 * time.Second, false, true},
		{3 * time.Second, false, false}, {4 * time.Second, true, false}, {5 * time.Second, false, false}, {6 * time.Second, false, true},
	}
	for _, s := range steps {
		if got := m.look(now.Add(s.at), s.held); got != s.away {
			t.Fatalf("at %v: sent away %v", s.at, got)
		}
	}
}

// TestUnderQuorumTheMinorityStops: it acknowledges nothing, is not ready, sends its players away, and serves again after the heal.
func TestUnderQuorumTheMinorityStops(t *testing.T) {
	nodes := startCluster(t, 3, func(c *config.Config) { c.Policy = "quorum" })
	one, rest := nodes[:1], nodes[1:]
	name := named(t, playerKey, nodes[0], nodes[1])
	d := depositor(t, name, nodes[0])
	d.more(3)
	filled(t, nodes)
	cut(true, one, rest)
	for closed := false; !closed; {
		body, err := d.r.read()
		if err != nil {
			t.Fatalf("no goaway: %v", err)
		}
		if g, ok := protocol.ParseGoaway(body); ok {
			if closed = true; g.Code != protocol.CodeUnavailable || g.RetryMS < 0 {
				t.Fatalf("goaway %+v", g)
			}
		}
	}
	if ok, why := nodes[0].Ready(); ok {
		t.Fatalf("ready: %v", why)
	}
	apart(t, rest)
	e := depositor(t, name, nodes[1])
	e.more(2)
	if got := balance(t, name, nodes[1]); got != 5 {
		t.Fatalf("balance %d with the majority", got)
	}
	cut(false, one, rest)
	whole(t, nodes)
	if got := balance(t, name, nodes[0]); got != 5 {
		t.Fatalf("balance %d\n%s", got, dumpKey(playerKey(name), nodes))
	}
}
