package node

import (
	"encoding/binary"
	"slices"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/player"
	"gamed/internal/shard"
	"gamed/protocol"
)

// inflight are the calls of one connection whose player lives on another node, until they are answered. When that node dies, or
// nobody owns the player for a moment, they are sent again, in order: the player's session knows their refs, so each is done once
// whoever got it first. Casts are sent at most once and are not kept. It belongs to a link and is guarded by its mutex.
type inflight struct {
	calls   []sentCall
	bytes   int
	held    bool            // the last try failed: everything waits for an owner, so that nothing overtakes
	owner   envelope.NodeID // whom the calls were sent to
	twice   []uint64        // refs answered after they were sent twice: a second answer is not for the client
	twiceAt time.Time       // when the last of them was
}

type sentCall struct {
	ref   uint64
	frame []byte
	since time.Time
	again bool
}

// Bounds of what is kept for one connection, and how long.
const (
	maxFlying  = 256
	flyingMax  = 256 << 10
	holdFor    = 4 * time.Second        // without an owner: then unavailable
	openFor    = 10 * time.Second       // no call is open longer
	suspicious = 3 * time.Second        // without an answer: sent again, in case the link lost it
	sweepEvery = 100 * time.Millisecond // how often held calls are tried
)

// keep notes the calls of a batch; what does not fit is refused at once. It returns what may be sent.
func (f *inflight) keep(batch []byte, now time.Time, refuse func([]byte)) []byte {
	whole := batch
	if len(f.twice) > 0 && now.Sub(f.twiceAt) > openFor { // no second answers are on the way any more
		f.twice = nil
	}
	for rest := batch; len(rest) >= protocol.LengthSize; {
		n := protocol.LengthSize + int(binary.BigEndian.Uint32(rest))
		if n > len(rest) {
			break
		}
		frame := rest[:n]
		rest = rest[n:]
		c, ok := protocol.ParseCall(frame[protocol.LengthSize:])
		if !ok || c.Ref == 0 {
			continue
		}
		if len(f.calls) >= maxFlying || f.bytes+n > flyingMax {
			refuse(frame)
			if len(whole) == len(batch) { // leave it out of what is sent
				whole = slices.Clone(batch)
			}
			whole = without(whole, c.Ref)
			continue
		}
		f.bytes += n
		f.calls = append(f.calls, sentCall{ref: c.Ref, frame: slices.Clone(frame), since: now})
		if i := slices.Index(f.twice, c.Ref); i >= 0 {
			f.twice = slices.Delete(f.twice, i, i+1)
		}
	}
	return whole
}

// without is a batch less the call with this ref.
func without(batch []byte, ref uint64) []byte {
	out := batch[:0]
	for rest := batch; len(rest) >= protocol.LengthSize; {
		n := protocol.LengthSize + int(binary.BigEndian.Uint32(rest))
		if n > len(rest) {
			break
		}
		if c, ok := protocol.ParseCall(rest[protocol.LengthSize:n]); !ok || c.Ref != ref {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	return out
}

// adopt notes calls whose frames are not here: they went to this node, and their player has moved to another since.
func (f *inflight) adopt(refs []uint64, now time.Time) {
	for _, ref := range refs {
		if !slices.ContainsFunc(f.calls, func(c sentCall) bool { return c.ref == ref }) {
			f.calls = append(f.calls, sentCall{ref: ref, since: now, again: true})
		}
	}
}

// answered takes the calls that frames answer off the list, and gives the frames that are for the client.
func (f *inflight) answered(frames []byte) []byte {
	if len(f.calls) == 0 && len(f.twice) == 0 {
		return frames
	}
	var out []byte // set once something is left out
	for at := 0; at+protocol.LengthSize <= len(frames); {
		n := protocol.LengthSize + int(binary.BigEndian.Uint32(frames[at:]))
		if at+n > len(frames) {
			break
		}
		frame := frames[at : at+n]
		drop := false
		if kind, ok := protocol.FrameKind(frame[protocol.LengthSize:]); ok && kind == protocol.KindReply {
			if r, ok := protocol.ParseReply(frame[protocol.LengthSize:]); ok {
				drop = f.settle(r.Ref)
			}
		}
		switch {
		case drop && out == nil:
			out = append(make([]byte, 0, len(frames)), frames[:at]...)
		case !drop && out != nil:
			out = append(out, frame...)
		}
		at += n
	}
	if out == nil {
		return frames
	}
	return out
}

// settle notes the answer to ref; true: the client has one already.
func (f *inflight) settle(ref uint64) bool {
	i := slices.IndexFunc(f.calls, func(c sentCall) bool { return c.ref == ref })
	if i < 0 {
		return slices.Contains(f.twice, ref)
	}
	if f.calls[i].again {
		if len(f.twice) == maxFlying {
			f.twice = slices.Delete(f.twice, 0, 1)
		}
		f.twice, f.twiceAt = append(f.twice, ref), time.Now()
	}
	f.bytes -= len(f.calls[i].frame)
	f.calls[i].frame = nil
	if i == 0 { // the usual case
		f.calls = f.calls[1:]
	} else {
		f.calls = slices.Delete(f.calls, i, i+1)
	}
	if len(f.calls) == 0 && cap(f.calls) > 16 {
		f.calls = nil
	}
	return false
}

// route sends a read's calls to the player's owner. The link's mutex is held.
func (g *gateway) route(l *link, batch []byte) {
	owner, owned := g.router.Table().OwnerOf(l.part)
	if owned && owner == g.router.Self() && len(l.flight.calls) == 0 && len(l.flight.twice) == 0 {
		if err := g.send(l, batch); err != nil {
			l.conn.Send(player.RefuseFrames(nil, batch, err))
		}
		return
	}
	batch = l.flight.keep(batch, time.Now(), func(frame []byte) { l.conn.Send(player.RefuseFrames(nil, frame, shard.ErrBusy)) })
	l.remote.Store(true)
	if !g.flying.Load() {
		g.flying.Store(true)
	}
	if l.flight.held {
		return
	}
	if len(l.flight.calls) > 0 && l.flight.owner != owner { // sent to another owner, not answered: first those
		g.resend(l, owner)
		return
	}
	l.flight.owner = owner
	if err := g.send(l, batch); err != nil {
		l.flight.held = true
	}
}

// moved takes word of calls that are open while their player moves from this node to another.
func (g *gateway) moved(l *link, refs []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.flight.calls) == 0 {
		l.flight.owner, _ = g.router.Table().OwnerOf(l.part)
	}
	l.flight.adopt(refs, time.Now())
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
	var all []byte
	for _, c := range slices.Clone(l.flight.calls) {
		if c.frame == nil { // it cannot be sent again from here, so the client has to
			l.conn.Send(protocol.AppendReplyError(nil, c.ref, protocol.CodeUnavailable, "the player's owner changed: ask again", 100))
			l.flight.settle(c.ref)
		}
	}
	for i := range l.flight.calls {
		l.flight.calls[i].again = true
		all = append(all, l.flight.calls[i].frame...)
	}
	l.flight.owner = owner
	l.flight.held = g.send(l, all) != nil
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
	f := &l.flight
	limit := openFor
	if f.held {
		limit = holdFor
	}
	for len(f.calls) > 0 && now.Sub(f.calls[0].since) > limit {
		l.conn.Send(protocol.AppendReplyError(nil, f.calls[0].ref, protocol.CodeUnavailable, "the player's owner does not answer", 1000))
		f.settle(f.calls[0].ref)
	}
	if len(f.calls) == 0 {
		f.held = false
		return false
	}
	owner, owned := g.router.Table().OwnerOf(l.part)
	last := f.calls[len(f.calls)-1]
	switch {
	case !owned || l.waits || l.ended:
	case f.held, owner != f.owner:
		g.resend(l, owner)
	case now.Sub(f.calls[0].since) > suspicious && !last.again:
		g.resend(l, owner)
	}
	return true
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
