package node

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"gamed/protocol"
)

// raw is a connection that speaks frames, for what package client would not do.
type raw struct {
	t       *testing.T
	c       net.Conn
	welcome protocol.Welcome
	pushes  []protocol.Push
}

// rawDial says hello to a node.
func rawDial(t *testing.T, n *running, h protocol.Hello) *raw {
	t.Helper()
	c, err := net.DialTimeout("tcp", n.Addrs().Players, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := &raw{t: t, c: c}
	h.V, h.HasName = protocol.Version, true
	r.write(protocol.AppendHello(nil, h))
	body := r.until(protocol.KindWelcome)
	w, ok := protocol.ParseWelcome(body)
	if !ok {
		t.Fatalf("no welcome: %x", body)
	}
	r.welcome = w
	return r
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.c.Write(b); err != nil {
		r.t.Fatalf("write: %v", err)
	}
}

// read gives the next frame's body.
func (r *raw) read() ([]byte, error) {
	_ = r.c.SetReadDeadline(time.Now().Add(15 * time.Second))
	var head [protocol.LengthSize]byte
	if _, err := io.ReadFull(r.c, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(r.c, body)
	return body, err
}

// until reads up to a frame of a kind, and keeps the pushes before it.
func (r *raw) until(kind protocol.Kind) []byte {
	r.t.Helper()
	for {
		body, err := r.read()
		if err != nil {
			r.t.Fatalf("waiting for a frame of kind %d: %v", kind, err)
		}
		k, _ := protocol.FrameKind(body)
		if k == protocol.KindPush {
			p, _ := protocol.ParsePush(body)
			r.pushes = append(r.pushes, p)
		}
		if k == kind {
			return body
		}
		if k == protocol.KindGoaway {
			g, _ := protocol.ParseGoaway(body)
			r.t.Fatalf("goaway %s: %s", g.Code, g.Reason)
		}
	}
}

// call makes a call and gives its REPLY frame's body.
func (r *raw) call(ref uint64, topic, event string, payload []byte) (protocol.Reply, []byte) {
	r.t.Helper()
	r.write(protocol.AppendCall(nil, ref, topic, event, payload))
	for {
		body := r.until(protocol.KindReply)
		if p, ok := protocol.ParseReply(body); ok && p.Ref == ref {
			return p, body
		}
	}
}
