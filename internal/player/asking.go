package player

import (
	"slices"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// asking is a HELLO that would replace a live connection: it takes over only when its gateway has said that its socket is still
// there. A HELLO that was long on its way may be of a socket that ended, and must not push out the one that came after it.
type asking struct {
	hello  envelope.Envelope
	frames []byte // calls that followed it
}

// maxAskedFrames bounds the calls kept of a connection that has not taken over yet.
const maxAskedFrames = 64 << 10

// ask says whether a HELLO has to wait for its gateway's word; the gateway is asked then.
func (p *Entity) ask(e *envelope.Envelope) bool {
	s := p.s
	if s == nil || s.conn == 0 || p.current(e) || e.Flags&envelope.FlagConfirm != 0 {
		return false
	}
	h := *e
	h.Key, h.Node = p.key, p.gateway(e)
	h.Payload = slices.Clone(e.Payload)
	p.asked = &asking{hello: h}
	p.o.ToNode(h.Node, &envelope.Envelope{Kind: envelope.Out, Conn: e.Conn, Key: p.key, Flags: envelope.FlagConfirm})
	return true
}

// isAsked says whether e comes from the connection whose HELLO waits.
func (p *Entity) isAsked(e *envelope.Envelope) bool {
	return p.asked != nil && p.asked.hello.Conn == e.Conn && p.asked.hello.Node == p.gateway(e)
}

// keepAsked keeps calls of a connection whose HELLO waits.
func (p *Entity) keepAsked(e *envelope.Envelope) {
	if len(p.asked.frames)+len(e.Payload) > maxAskedFrames {
		if back, _, ok := Refuse(e, shard.ErrBusy); ok {
			p.o.ToNode(p.asked.hello.Node, &back)
		}
		return
	}
	p.asked.frames = append(p.asked.frames, e.Payload...)
}

// confirmed runs what was kept, after the HELLO that its gateway has confirmed.
func (p *Entity) confirmed(w *shard.Worker, e *envelope.Envelope) {
	a := p.asked
	if !p.isAsked(e) {
		return
	}
	p.asked = nil
	if len(a.frames) > 0 {
		p.frames(w, &envelope.Envelope{Kind: envelope.Frames, Key: p.key, Conn: e.Conn, Node: e.Node, Payload: a.frames})
	}
}
