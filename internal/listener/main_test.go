package listener

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gamed/internal/auth"
	"gamed/protocol"
)

// What the servers under test get as Options.Loops and Options.TLS; with TLS dial is inside it.
var (
	loops     int
	underTest *tls.Config
)

// TestMain runs everything over each transport, and inside TLS: they must not differ.
func TestMain(m *testing.M) {
	flag.Parse()
	secure, err := serverTLS()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	transports := []struct {
		loops int
		tls   *tls.Config
	}{{-1, nil}, {2, nil}, {2, secure}}
	switch f := flag.Lookup("test.fuzz"); {
	case f.Value.String() != "":
		transports = transports[:1]
	case loopsByDefault() < 1:
		transports = slices.Delete(transports, 1, 2)
	}
	for _, tr := range transports {
		loops, underTest = tr.loops, tr.tls
		fmt.Printf("transport: %d loops, TLS %v\n", max(loops, 0), underTest != nil)
		if code := m.Run(); code != 0 {
			os.Exit(code)
		}
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// serverTLS is a certificate for all servers of the run.
func serverTLS() (*tls.Config, error) {
	ca, _, err := auth.NewCA("test", time.Hour)
	if err != nil {
		return nil, err
	}
	p, err := ca.Server(time.Hour, "localhost")
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(p.Cert, p.Key)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, err
}

// plainOnly skips a test that is about bytes before TLS, or about sockets without it.
func plainOnly(t testing.TB) {
	t.Helper()
	if underTest != nil {
		t.Skip("without TLS only")
	}
}

const patience = 10 * time.Second

var noDeadline time.Time

// await polls until cond holds.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("still not: %s", what)
		case <-tick.C:
		}
	}
}

// echo is a handler that answers every call with its payload, and records what happened.
type echo struct {
	mute func(*Conn) bool // no WELCOME for this one

	mu     sync.Mutex
	hellos []protocol.Hello
	conns  map[uint64]*Conn
	calls  []string
	byes   int
	closed map[uint64]Reason
	ends   int
}

func newEcho() *echo { return &echo{conns: map[uint64]*Conn{}, closed: map[uint64]Reason{}} }

func welcomeFrame(player string) []byte {
	return protocol.AppendWelcome(nil, protocol.Welcome{Player: player, Session: "s", Node: "n"})
}

func (e *echo) Hello(c *Conn, h protocol.Hello) {
	e.mu.Lock()
	e.hellos = append(e.hellos, h)
	e.conns[c.ID()] = c
	e.mu.Unlock()
	if e.mute == nil || !e.mute(c) {
		c.Welcome(welcomeFrame(c.Player()))
	}
}

func (e *echo) Frames(c *Conn, batch []byte) {
	out := lend()
	defer giveBack(out)
	for len(batch) > 0 {
		n := frameLen(batch)
		call, ok := protocol.ParseCall(batch[4 : 4+n])
		if !ok {
			panic("the listener handed over something that is no call")
		}
		batch = batch[4+n:]
		e.mu.Lock()
		e.calls = append(e.calls, string(call.Topic)+" "+string(call.Event))
		e.mu.Unlock()
		switch {
		case string(call.Event) == "fail":
			out.b = protocol.AppendReplyError(out.b, call.Ref, protocol.CodeForbidden, "no", -1)
		case call.Ref > 0:
			out.b = protocol.AppendReply(out.b, call.Ref, call.Payload)
		}
	}
	c.Send(out.b)
}

func (e *echo) Bye(c *Conn) {
	e.mu.Lock()
	e.byes++
	e.mu.Unlock()
	c.Close()
}

func (e *echo) Closed(c *Conn, r Reason) {
	e.mu.Lock()
	e.ends++
	e.closed[c.ID()] = r
	e.mu.Unlock()
}

// only is the one connection that said HELLO.
func (e *echo) only(t testing.TB) *Conn {
	t.Helper()
	await(t, "one connection said HELLO", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.conns) == 1 })
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.conns {
		return c
	}
	return nil
}

// reason waits for the end of the one connection.
func (e *echo) reason(t testing.TB) (r Reason) {
	t.Helper()
	await(t, "the connection ended", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.closed) == 1 })
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r = range e.closed {
	}
	if e.ends != len(e.conns) {
		t.Fatalf("Closed was called %d times for %d connections", e.ends, len(e.conns))
	}
	return r
}

// start runs a server until the test ends.
func start(t testing.TB, h Handler, change func(*Options)) *Server {
	t.Helper()
	o := DefaultOptions()
	o.Addr, o.Rate, o.Burst, o.Loops, o.TLS = "127.0.0.1:0", 0, 0, loops, underTest
	if change != nil {
		change(&o)
	}
	s, err := New(o, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not end")
		}
		if n := s.Count(); n != 0 {
			t.Errorf("%d connections after Run", n)
		}
	})
	return s
}

// peer is a client's end.
type peer struct {
	t testing.TB
	net.Conn
	r   *bufio.Reader
	tcp *net.TCPConn // beneath TLS, if there is
}

func dial(t testing.TB, s *Server) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if underTest == nil {
		return wrap(t, conn)
	}
	inside := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := inside.Handshake(); err != nil {
		t.Fatal(err)
	}
	return wrap(t, inside)
}

func wrap(t testing.TB, conn net.Conn) *peer {
	_ = conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = conn.Close() })
	p := &peer{t: t, Conn: conn, r: bufio.NewReaderSize(conn, 256<<10)}
	if inside, ok := conn.(*tls.Conn); ok {
		conn = inside.NetConn()
	}
	p.tcp, _ = conn.(*net.TCPConn)
	return p
}

func (p *peer) send(b ...[]byte) {
	p.t.Helper()
	for _, b := range b {
		if _, err := p.Write(b); err != nil {
			p.t.Fatal(err)
		}
	}
}

// frame reads the body of the next frame.
func (p *peer) frame() []byte {
	p.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		p.t.Fatalf("read frame: %v", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(p.r, body); err != nil {
		p.t.Fatalf("read frame: %v", err)
	}
	if err := protocol.CheckFrame(body); err != nil {
		p.t.Fatalf("the server sent % x: %v", body, err)
	}
	return body
}

func (p *peer) line() string {
	p.t.Helper()
	s, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatalf("read line: %v (%q)", err, s)
	}
	return s[:len(s)-1]
}

func (p *peer) expectLine(want string) {
	p.t.Helper()
	if got := p.line(); got != want {
		p.t.Fatalf("line\n got %s\nwant %s", got, want)
	}
}

func (p *peer) hello(name string) {
	p.t.Helper()
	p.send(helloFrame(name))
	if w, ok := protocol.ParseWelcome(p.frame()); !ok || w.Player != name {
		p.t.Fatalf("welcome: %+v %v", w, ok)
	}
}

func helloFrame(name string) []byte {
	return protocol.AppendHello(nil, protocol.Hello{V: 1, Name: name, HasName: true})
}

func call(ref uint64, text string) []byte {
	return protocol.AppendCall(nil, ref, "echo:", "e", protocol.AppendStr(nil, text))
}

func (p *peer) expectReply(ref uint64, text string) {
	p.t.Helper()
	r, ok := protocol.ParseReply(p.frame())
	if want := string(protocol.AppendStr(nil, text)); !ok || r.Ref != ref || r.Status != protocol.CodeOK || string(r.Payload) != want {
		p.t.Fatalf("reply %+v (%v), want ref %d %q", r, ok, ref, text)
	}
}

func (p *peer) expectGoaway(code protocol.Code) protocol.Goaway {
	p.t.Helper()
	g, ok := protocol.ParseGoaway(p.frame())
	if !ok || g.Code != code {
		p.t.Fatalf("goaway %+v (%v), want %s", g, ok, code)
	}
	p.expectEnd()
	return g
}

// expectEnd wants a clean end of the stream, no reset.
func (p *peer) expectEnd() {
	p.t.Helper()
	if b, err := io.ReadAll(p.r); err != nil || len(b) > 0 {
		p.t.Fatalf("want the end of the stream, got %q %v", b, err)
	}
	_ = p.Close()
}

// expectClosed wants the connection to be over, a reset will do, without a byte sent.
func (p *peer) expectClosed() {
	p.t.Helper()
	b, err := io.ReadAll(p.r)
	if len(b) > 0 || (err != nil && !errors.Is(err, syscall.ECONNRESET)) {
		p.t.Fatalf("want nothing and the end, got %q %v", b, err)
	}
	_ = p.Close()
}
