package listener

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gamed/protocol"
)

// What a slow client reads is byte for byte what was sent, however the kernel cut it.
func TestDrainIsByteExact(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { o.SendBuffer, o.OutboxBytes, o.WriteTimeout = 64<<10, 8<<20, 10*patience })
	p := dial(t, s)
	_ = p.tcp.SetReadBuffer(64 << 10)
	p.hello("ann")
	c := h.only(t)
	r := rand.New(rand.NewPCG(7, 7))
	var want []byte
	for i := range uint64(600) {
		text := make([]byte, r.IntN(3000))
		for j := range text {
			text[j] = byte(r.Uint32())
		}
		want = protocol.AppendPush(want, "x:", i+1, "e", protocol.AppendBin(nil, text))
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for b := want; len(b) > 0; {
			n := 4 + frameLen(b)
			c.Send(b[:n])
			b = b[n:]
			for c.backlog() > 300_000 {
				runtime.Gosched()
			}
		}
	}()
	await(t, "the outbox is in use", func() bool { return c.backlog() > 0 })
	got := make([]byte, len(want))
	for at := 0; at < len(got); {
		n, err := p.r.Read(got[at:min(at+1+r.IntN(9000), len(got))])
		if err != nil {
			t.Fatal(err)
		}
		at += n
	}
	<-sent
	if !bytes.Equal(got, want) {
		t.Fatal("the bytes differ")
	}
	await(t, "nothing is blocked", func() bool { return value(t, s.m.blocked) == 0 })
}

func (c *Conn) backlog() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting()
}

// Who closes only his sending side still reads the answers; the end is seen whether it comes with the last bytes or later.
func TestHalfClose(t *testing.T) {
	for _, together := range []bool{true, false} {
		h := newEcho()
		p := dial(t, start(t, h, nil))
		p.hello("ann")
		p.send(call(1, strings.Repeat("x", 40_000)), call(2, "last"))
		if !together {
			p.expectReply(1, strings.Repeat("x", 40_000))
		}
		_ = p.Conn.(interface{ CloseWrite() error }).CloseWrite()
		if together {
			p.expectReply(1, strings.Repeat("x", 40_000))
		}
		p.expectReply(2, "last")
		p.expectEnd()
		if r := h.reason(t); r != ReasonPeer {
			t.Fatalf("reason %v", r)
		}
	}
}

func TestReset(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		h := newEcho()
		s := start(t, h, func(o *Options) { o.SendBuffer = 4096 })
		p := dial(t, s)
		p.hello("ann")
		c := h.only(t)
		if blocked {
			c.Send(make([]byte, 8<<20))
			await(t, "the outbox fills", func() bool { return value(t, s.m.blocked) == 1 })
		}
		_ = p.tcp.SetLinger(0)
		_ = p.tcp.Close()
		if r := h.reason(t); r != ReasonReset {
			t.Fatalf("blocked %v: reason %v", blocked, r)
		}
		await(t, "closed", func() bool { return s.Count() == 0 })
		if n := value(t, s.m.blocked); n != 0 {
			t.Fatalf("%v still count as blocked", n)
		}
		c.Send(call(1, "to nobody"))
		c.Close()
	}
}

// Descriptors are used again at once; what is sent to a closed connection must never reach the next owner of its number.
func TestChurn(t *testing.T) {
	h := newEcho()
	s := start(t, h, nil)
	stop := make(chan struct{})
	var pushers sync.WaitGroup
	for range 2 {
		pushers.Go(func() {
			for {
				h.mu.Lock()
				all := make([]*Conn, 0, len(h.conns))
				for _, c := range h.conns {
					all = append(all, c)
				}
				h.mu.Unlock()
				for i, c := range all {
					c.Send(protocol.AppendPush(nil, "", 0, c.Player(), nil))
					if i%64 == 0 {
						runtime.Gosched()
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			for n := range 60 {
				name := fmt.Sprintf("p%d-%d", i, n)
				if err := visit(s, name, n%3); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	pushers.Wait()
	await(t, "all are gone", func() bool { return s.Count() == 0 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ends != 16*60 || len(h.conns) != 16*60 {
		t.Fatalf("%d connections, %d ends", len(h.conns), h.ends)
	}
}

// visit logs in, reads 20 frames that must be its own, and leaves in one of three ways.
func visit(s *Server, name string, how int) error {
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(append(helloFrame(name), call(1, name)...)); err != nil {
		return err
	}
	var head [4]byte
	for range 20 {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		body := make([]byte, frameLen(head[:]))
		if _, err := io.ReadFull(conn, body); err != nil {
			return err
		}
		if f, ok := protocol.ParsePush(body); ok && string(f.Event) != name {
			return fmt.Errorf("got a push for %s", f.Event)
		} else if !ok && !bytes.Contains(body, []byte(name)) {
			return fmt.Errorf("got a frame of somebody else: %q", body)
		}
	}
	switch how {
	case 0:
		_ = conn.(*net.TCPConn).SetLinger(0)
	case 1:
		_, err = conn.Write(protocol.AppendBye(nil))
	}
	return err
}

// Thousands of connections are told to go, and gone, without a goroutine for each.
func TestShutdownOfThousands(t *testing.T) {
	const n = 3000
	h := newEcho()
	s := start(t, h, nil)
	before := runtime.NumGoroutine()
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(3 * patience))
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write(helloFrame("ann")); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	await(t, "all are welcome", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.hellos) == n })
	if g := runtime.NumGoroutine() - before; (g > 100) != (len(s.loops) == 0) {
		t.Fatalf("%d goroutines more with %d connections and %d loops", g, n, len(s.loops))
	}
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
		defer cancel()
		done <- s.Shutdown(ctx, protocol.CodeShutdown, "bye", func() int64 { return 5 })
	}()
	for _, conn := range conns {
		b, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		b = b[4+frameLen(b):]
		if g, ok := protocol.ParseGoaway(b[4:]); !ok || g.Code != protocol.CodeShutdown || g.RetryMS != 5 {
			t.Fatalf("goaway %+v", g)
		}
		_ = conn.Close()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// attacher attaches a value and wants it back.
type attacher struct{ echo }

func (h *attacher) Hello(c *Conn, hello protocol.Hello) {
	c.Attach(c.Player())
	h.echo.Hello(c, hello)
}

func (h *attacher) Frames(c *Conn, batch []byte) {
	if c.Attached() != any(c.Player()) {
		panic("another connection's value")
	}
	h.echo.Frames(c, batch)
}

func TestAttach(t *testing.T) {
	h := &attacher{echo: echo{conns: map[uint64]*Conn{}, closed: map[uint64]Reason{}}}
	s := start(t, h, nil)
	for _, name := range []string{"ann", "bob"} {
		p := dial(t, s)
		p.hello(name)
		p.send(call(1, "x"))
		p.expectReply(1, "x")
	}
}
