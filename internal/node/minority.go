package node

import (
	"math/rand/v2"
	"time"

	"gamed/internal/cluster"
	"gamed/protocol"
)

// minority notices, under quorum, that this node may not act any more: it is on the side of a split that stops. Its players are sent
// away, maybe to the other side. It belongs to one goroutine.
type minority struct {
	since time.Time // when the lease was last seen to be over; zero: it holds
	told  bool
}

// minorityAfter is how long the lease must be over: a short pause is none.
const minorityAfter = time.Second

// look says whether the players are to be sent away now.
func (m *minority) look(now time.Time, held bool) bool {
	switch {
	case held:
		*m = minority{}
	case m.since.IsZero():
		m.since = now
	case !m.told && now.Sub(m.since) >= minorityAfter:
		m.told = true
		return true
	}
	return false
}

func (n *Node) lookForMajority(now time.Time) {
	if n.opt.Config.Policy != cluster.Quorum || n.router.Table().Term == 0 || n.draining.Load() {
		return
	}
	if n.minority.look(now, n.cluster.Lease().Held()) {
		n.log.Warn("no majority of the table is in reach: players are sent away until it is")
		n.events.add("minority", n.router.Self().Name, "no majority is in reach")
		n.gateway.sendAway(protocol.CodeUnavailable, "no majority of the cluster is in reach here")
	}
}

// sendAway ends all connections; their clients come back spread over two seconds.
func (g *gateway) sendAway(code protocol.Code, reason string) {
	for i := range g.shards {
		for _, l := range g.shards[i].list() {
			l.conn.Goaway(code, reason, 500+rand.Int64N(1500))
		}
	}
}
