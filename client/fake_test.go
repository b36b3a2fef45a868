package client

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gamed/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer takes connections and leaves to the test what to say on them.
type fakeServer struct {
	t     *testing.T
	addr  string
	peers chan *peer
	stop  func()
}

// serveTCP is a server on a real socket.
func serveTCP(t *testing.T) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{t: t, addr: l.Addr().String(), peers: make(chan *peer, 16), stop: func() { l.Close() }}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.peers <- newPeer(t, conn)
		}
	}()
	t.Cleanup(s.stop)
	return s
}

// servePipe is a server behind the Dialer it returns, for synctest bubbles.
func servePipe(t *testing.T) (*fakeServer, func(context.Context, string) (net.Conn, error)) {
	s := &fakeServer{t: t, addr: "pipe", peers: make(chan *peer, 16)}
	return s, func(context.Context, string) (net.Conn, error) {
		near, far := net.Pipe()
		s.peers <- newPeer(t, far)
		return near, nil
	}
}

func (s *fakeServer) accept() *peer {
	s.t.Helper()
	select {
	case p := <-s.peers:
		return p
	case <-time.After(time.Minute):
		s.t.Fatal("no connection came")
		return nil
	}
}

// peer is the server's end of one connection.
type peer struct {
	t      *testing.T
	conn   net.Conn
	frames chan []byte // bodies; closed at the end of the connection
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	p := &peer{t: t, conn: conn, frames: make(chan []byte, 1024)}
	go func() {
		defer close(p.frames)
		for {
			var head [4]byte
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				return
			}
			body := make([]byte, int(head[1])<<16|int(head[2])<<8|int(head[3]))
			if _, err := io.ReadFull(conn, body); err != nil {
				return
			}
			p.frames <- body
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return p
}

func (p *peer) read() []byte {
	p.t.Helper()
	select {
	case b, ok := <-p.frames:
		if !ok {
			p.t.Fatal("the connection ended")
		}
		return b
	case <-time.After(10 * time.Minute): // fake time in bubbles; the test's own limit elsewhere
		p.t.Fatal("no frame came")
		return nil
	}
}

// ended waits for the client's end of the connection.
func (p *peer) ended() {
	p.t.Helper()
	for {
		select {
		case _, open := <-p.frames:
			if !open {
				return
			}
		case <-time.After(10 * time.Minute):
			p.t.Fatal("the connection did not end")
		}
	}
}

func (p *peer) hello() protocol.Hello {
	p.t.Helper()
	h, ok := protocol.ParseHello(p.read())
	if !ok {
		p.t.Fatal("the first frame is no HELLO")
	}
	return h
}

func (p *peer) call() protocol.Call {
	p.t.Helper()
	b := p.read()
	c, ok := protocol.ParseCall(b)
	if !ok {
		p.t.Fatalf("want a CALL, got %x", b)
	}
	return c
}

func (p *peer) send(frame []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(frame); err != nil {
		p.t.Fatalf("write to the client: %v", err)
	}
}

func (p *peer) welcome(session string, resumed bool, missed ...protocol.Missed) protocol.Hello {
	p.t.Helper()
	h := p.hello()
	p.send(protocol.AppendWelcome(nil, protocol.Welcome{Player: "ann", Session: session, Node: "n1", Resumed: resumed, Missed: missed,
		HeartbeatMS: 15000, Limits: protocol.Limits{Frame: protocol.MaxFrameIn, Rate: 60, Burst: 120, Outstanding: 4}}))
	return h
}

func (p *peer) ok(ref uint64, payload []byte) {
	p.t.Helper()
	p.send(protocol.AppendReply(nil, ref, payload))
}

func (p *peer) push(topic string, offset uint64) {
	p.t.Helper()
	p.send(protocol.AppendPush(nil, topic, offset, "said", protocol.AppendUint(nil, offset)))
}

// dial logs ann in; the test speaks for the server meanwhile.
func dial(t *testing.T, o Options, addrs ...string) chan *Client {
	t.Helper()
	o.Name = "ann"
	out := make(chan *Client, 1)
	go func() {
		c, err := Dial(t.Context(), addrs, o)
		if err != nil {
			t.Errorf("dial: %v", err)
		}
		out <- c
	}()
	return out
}

// result is a call's outcome.
type result struct {
	payload []byte
	err     error
}

func goCall(ctx context.Context, c *Client, event string) chan result {
	out := make(chan result, 1)
	go func() {
		p, err := c.Call(ctx, "echo:", event, nil)
		out <- result{p, err}
	}()
	return out
}

func wantCode(t *testing.T, err error, want protocol.Code) {
	t.Helper()
	if got, ok := CodeOf(err); !ok || got != want {
		t.Fatalf("want code %s, got %v", want, err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("want %v, got %v", want, err)
	}
}
