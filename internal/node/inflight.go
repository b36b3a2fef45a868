package node

import (
	"time"

	"gamed/internal/envelope"
	"gamed/internal/player"
	"gamed/internal/shard"
	"gamed/protocol"
)

// sweepEvery is how often held calls are tried.
const sweepEvery = 100 * time.Millisecond

// route sends a read's calls to the player's owner. The link's mutex is held.
func (g *gateway) route(l *link, batch []byte) {
	owner, owned := g.router.Table().OwnerOf(l.part)
	if owned && owner == g.router.Self() && l.flight.Idle() {
		if err := g.send(l, batch); err != nil {
			l.conn.Send(player.RefuseFrames(nil, batch, err))
		}
		return
	}
	batch = l.flight.Begin(time.Now(), batch, owner, func(frame []byte) { l.conn.Send(player.RefuseFrames(nil, frame, shard.ErrBusy)) })
	l.remote.Store(true)
	if !g.flying.Load() {
		g.flying.Store(true)
	}
	if err := g.send(l, batch); err != nil {
		l.flight.Failed()
	}
}

// moved takes word of calls that are open while their player moves from this node to another.
func (g *gateway) moved(l *link, refs []uint64, left []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	owner, _ := g.router.Table().OwnerOf(l.part)
	l.flight.Adopt(time.Now(), owner, refs, func(i int) time.Duration { return left[i] })
	l.remote.Store(true)
	g.flying.Store(true)
}

// stray sends calls that found their player moved to another node; from now on they are kept like others that go there.
func (g *gateway) stray(e *envelope.Envelope) bool {
	l := g.find(e.Conn)
	if l == nil || e.Kind != envelope.Frames || !e.Node.IsZero() && e.Node != g.router.Self() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	g.route(l, e.Payload)
	return true
}

func (g *gateway) send(l *link, batch []byte) error {
	if len(batch) == 0 {
		return nil
	}
	e := envelope.Envelope{Kind: envelope.Frames, Key: l.key, Conn: l.conn.ID(), Payload: batch}
	return g.router.RoutePart(&e, l.part)
}

// resend sends all open calls of a link again. The link's mutex is held.
func (g *gateway) resend(l *link, owner envelope.NodeID) {
	all := l.flight.Again(time.Now(), owner, func(ref uint64) { // it cannot be sent again from here, so the client has to
		l.conn.Send(protocol.AppendReplyError(nil, ref, protocol.CodeUnavailable, "the player's owner changed: ask again", 100))
	})
	if g.send(l, all) != nil {
		l.flight.Failed()
	}
}

// sweep tries held calls again, and gives up those that are open for too long.
func (g *gateway) sweep(now time.Time) {
	if !g.flying.Swap(false) {
		return
	}
	flying := false
	for i := range g.shards {
		for _, l := range g.shards[i].list() {
			flying = g.look(l, now) || flying
		}
	}
	if flying {
		g.flying.Store(true)
	}
}

// look judges one link and says whether it has open calls.
func (g *gateway) look(l *link, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	owner, _ := g.router.Table().OwnerOf(l.part)
	again := l.flight.Look(now, owner, func(ref uint64) {
		l.conn.Send(protocol.AppendReplyError(nil, ref, protocol.CodeUnavailable, "the player's owner does not answer", 1000))
	})
	if again && !l.waits && !l.ended {
		g.resend(l, owner)
	}
	return l.flight.Open() > 0
}

func (s *gatewayShard) list() []*link {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*link, 0, len(s.conns))
	for _, l := range s.conns {
		out = append(out, l)
	}
	return out
}
