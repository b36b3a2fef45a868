package hostile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"gamed/protocol"
)

// stream is a connection of which one side can be closed: TCP, or TLS over it.
type stream interface {
	net.Conn
	CloseWrite() error
}

func wrapPeer(c stream) *peer { return &peer{stream: c, r: bufio.NewReaderSize(c, 64)} }

// peer is a raw connection to the players' port. Reads and writes that take longer than patience fail.
type peer struct {
	stream
	r *bufio.Reader
}

func connect(addr string) (*peer, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	return wrapPeer(c.(stream)), nil
}

// dial connects for the length of the test.
func dial(t testing.TB, addr string) *peer {
	t.Helper()
	p, err := connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// frame reads the body of one frame; it must be a well-formed one.
func (p *peer) frame() ([]byte, error) {
	var h [protocol.LengthSize]byte
	if _, err := io.ReadFull(p.r, h[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n == 0 || n > protocol.MaxFrameOut {
		return nil, fmt.Errorf("the server sent a frame of length %d", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		return nil, fmt.Errorf("the server's frame is cut: %w", err)
	}
	if err := protocol.CheckFrame(b); err != nil {
		return nil, fmt.Errorf("the server's frame % x: %w", b[:min(n, 64)], err)
	}
	return b, nil
}

// next reads frames until one of the kind comes.
func (p *peer) next(kind protocol.Kind) ([]byte, error) {
	for {
		b, err := p.frame()
		if err != nil {
			return nil, fmt.Errorf("wait for a frame of kind %d: %w", kind, err)
		}
		switch k, _ := protocol.FrameKind(b); k {
		case kind:
			return b, nil
		case protocol.KindGoaway:
			g, _ := protocol.ParseGoaway(b)
			return nil, fmt.Errorf("wait for a frame of kind %d: GOAWAY %s: %s", kind, g.Code, g.Reason)
		}
	}
}

func hello(name, session string) []byte {
	return protocol.AppendHello(nil, protocol.Hello{V: protocol.Version, HasName: true, Name: name, Session: session})
}

// login says HELLO and waits for WELCOME.
func (p *peer) login(name, session string) (protocol.Welcome, error) {
	if _, err := p.Write(hello(name, session)); err != nil {
		return protocol.Welcome{}, err
	}
	b, err := p.next(protocol.KindWelcome)
	if err != nil {
		return protocol.Welcome{}, err
	}
	w, ok := protocol.ParseWelcome(b)
	if !ok {
		return w, fmt.Errorf("WELCOME % x", b)
	}
	return w, nil
}

// call calls and waits for the answer.
func (p *peer) call(ref uint64, topic, event string, payload []byte) (protocol.Reply, error) {
	if _, err := p.Write(protocol.AppendCall(nil, ref, topic, event, payload)); err != nil {
		return protocol.Reply{}, err
	}
	for {
		b, err := p.next(protocol.KindReply)
		if err != nil {
			return protocol.Reply{}, err
		}
		if r, ok := protocol.ParseReply(b); ok && r.Ref == ref {
			return r, nil
		}
	}
}

// last reads until the server ends the connection and gives its last frame if that is a GOAWAY.
func (p *peer) last() (g protocol.Goaway, ok bool, err error) {
	for {
		b, err := p.frame()
		switch {
		case err == io.EOF:
			return g, ok, nil
		case err != nil:
			return g, ok, err
		}
		g, ok = protocol.ParseGoaway(b)
	}
}

// mustLogin is dial and login.
func mustLogin(t testing.TB, addr, name, session string) (*peer, protocol.Welcome) {
	t.Helper()
	p := dial(t, addr)
	w, err := p.login(name, session)
	if err != nil {
		t.Fatalf("log %s in: %v", name, err)
	}
	return p, w
}
