package player

import (
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// The player's own stream. The gateway knows by the offsets what its socket has, drops what comes twice and asks for what is
// missing. A new owner first asks it where it stands: the owner before may have died with pushes on their way, and then nothing
// else would tell that they are missed.

// askSeen is how often a gateway is asked what its socket has of the own stream, until it says so.
const askSeen = 500 * time.Millisecond

// push appends to the player's own stream.
func (p *Entity) push(event string, payload game.Payload) {
	frame := protocol.AppendPush(nil, "", p.own.Offset()+1, event, plain(payload))
	p.own.Push(&p.l.change, frame)
	if s := p.s; s != nil && s.conn != 0 && s.resume == nil && s.unseen.IsZero() {
		p.live([][]byte{frame})
	}
}

// live gives the newest pushes of the own stream to the connection.
func (p *Entity) live(frames [][]byte) {
	for _, f := range frames {
		p.l.out = append(p.l.out, f...)
		p.l.pushed = p.own.Offset()
	}
}

// askGateway asks whether the socket is still there, and what it has of the own stream; pushes wait for the answer.
func (p *Entity) askGateway(now time.Time) {
	s := p.s
	s.unseen = now.Add(askSeen)
	p.o.ToNode(s.node, &envelope.Envelope{Kind: envelope.Out, Key: p.key, Conn: s.conn})
}

// seen goes on with the own stream after what the socket has. When that cannot be, the client has to resume, to be told so.
func (p *Entity) seen(w *shard.Worker, e *envelope.Envelope) {
	s := p.s
	switch {
	case s == nil:
		p.lost(e)
		return
	case s.conn == 0: // its node was taken for gone, and is back
		p.lost(e)
		return
	case !p.current(e): // so was this one's, and the player came in elsewhere
		f := protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeReplaced, Reason: "the player said hello on another connection", RetryMS: -1})
		p.sendTo(p.gateway(e), e.Conn, envelope.FlagClose, f)
		return
	case s.resume != nil:
		return
	}
	s.unseen = time.Time{}
	frames, missed := p.own.Since(e.Offset)
	if missed {
		p.send(envelope.FlagClose, protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeUnavailable, Reason: "pushes were lost on the way: resume to be told so", RetryMS: 0}))
		p.cut(w)
		return
	}
	p.live(frames)
}

// Refused takes back pushes that could not be sent to the gateway of this connection: it is asked what it has.
func (p *Entity) Refused(w *shard.Worker, conn uint64) {
	if s := p.s; s != nil && s.conn == conn && s.resume == nil && s.unseen.IsZero() {
		s.unseen = w.Now().Add(askSeen)
		w.WakeAt(s.unseen)
	}
}
