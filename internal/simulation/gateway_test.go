package simulation

import (
	"slices"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/inflight"
	"gamed/internal/player"
	"gamed/internal/shard"
	"gamed/protocol"
)

// gateway joins clients' sockets on a node to their entities, wherever they are.
type gateway struct {
	n     *node
	ports []*port // in the order in which they were opened
}

// port is one socket.
type port struct {
	client *client
	conn   uint64
	part   uint16
	known  bool
	ended  bool
	flight inflight.Calls
}

const sweepEvery = 100 * time.Millisecond

func (g *gateway) find(conn uint64) *port {
	i := slices.IndexFunc(g.ports, func(p *port) bool { return p.conn == conn })
	if i < 0 {
		return nil
	}
	return g.ports[i]
}

// frames takes calls from a socket.
func (g *gateway) frames(p *port, frames []byte) {
	if !p.known {
		p.known, p.part = true, shard.PartitionOf(p.client.key)
		g.ports = append(g.ports, p)
	}
	if !p.ended {
		g.route(p, frames)
	}
}

// closed notes that a socket has ended.
func (g *gateway) closed(p *port) {
	p.ended = true
	g.ports = slices.DeleteFunc(g.ports, func(o *port) bool { return o == p })
}

// route sends a read's calls to the entity's owner.
func (g *gateway) route(p *port, batch []byte) {
	owner, owned := g.n.router.Table().OwnerOf(p.part)
	if owned && owner == g.n.id && p.flight.Idle() {
		if err := g.send(p, batch); err != nil {
			p.receive(player.RefuseFrames(nil, batch, err))
		}
		return
	}
	send := p.flight.Begin(g.n.w.wall(), batch, owner, func(frame []byte) { p.receive(player.RefuseFrames(nil, frame, shard.ErrBusy)) })
	if g.send(p, send) != nil {
		p.flight.Failed()
	}
}

func (g *gateway) send(p *port, batch []byte) error {
	if len(batch) == 0 {
		return nil
	}
	e := envelope.Envelope{Kind: envelope.Frames, Key: p.client.key, Conn: p.conn, Payload: batch}
	return g.n.router.RoutePart(&e, p.part)
}

// again sends all open calls of a socket once more.
func (g *gateway) again(p *port, owner shard.NodeID) {
	send := p.flight.Again(g.n.w.wall(), owner, func(ref uint64) {
		p.receive(protocol.AppendReplyError(nil, ref, protocol.CodeUnavailable, "the owner changed: ask again", 100))
	})
	if g.send(p, send) != nil {
		p.flight.Failed()
	}
}

// stray sends calls that found their entity moved to another node.
func (g *gateway) stray(e *envelope.Envelope) bool {
	p := g.find(e.Conn)
	if p == nil {
		return false
	}
	g.route(p, e.Payload)
	return true
}

// moved takes word of calls that are open while their entity moves from this node to another.
func (g *gateway) moved(conn uint64, frames []byte) {
	p := g.find(conn)
	if p == nil {
		return
	}
	var refs []uint64
	eachReply(frames, func(r protocol.Reply, _ []byte) { refs = append(refs, r.Ref) })
	owner, _ := g.n.router.Table().OwnerOf(p.part)
	p.flight.Adopt(g.n.w.wall(), owner, refs, func(int) time.Duration { return inflight.OpenFor })
}

// changed sends what was not answered to the new owners, now that another table is in force.
func (g *gateway) changed() {
	t := g.n.router.Table()
	for _, p := range slices.Clone(g.ports) {
		if owner, owned := t.OwnerOf(p.part); owned && p.flight.Open() > 0 && p.flight.Owner() != owner {
			g.again(p, owner)
		}
	}
}

// sweep tries held calls again, and gives up those that are open for too long.
func (g *gateway) sweep() {
	for _, p := range slices.Clone(g.ports) {
		owner, _ := g.n.router.Table().OwnerOf(p.part)
		if p.flight.Look(g.n.w.wall(), owner, func(ref uint64) {
			p.receive(protocol.AppendReplyError(nil, ref, protocol.CodeUnavailable, "the owner does not answer", 1000))
		}) {
			g.again(p, owner)
		}
	}
}

// out writes what an entity sends to a socket.
func (g *gateway) out(e *envelope.Envelope) {
	if p := g.find(e.Conn); p != nil {
		if frames := p.flight.Answered(g.n.w.wall(), e.Payload); len(frames) > 0 {
			p.receive(slices.Clone(frames))
		}
	}
}
