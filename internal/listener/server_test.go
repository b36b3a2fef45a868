package listener

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gamed/protocol"
)

// starved is a listener whose accept fails for a while, as it does when no file descriptor is free.
type starved struct {
	net.Listener
	left atomic.Int64
	errs []error
}

func (l *starved) Accept() (net.Conn, error) {
	if n := l.left.Add(-1); n >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: l.errs[int(n)%len(l.errs)]}
	}
	return l.Listener.Accept()
}

func TestAcceptSurvivesErrors(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &starved{Listener: inner, errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, errors.New("odd")}}
	l.left.Store(6)
	s := start(t, newEcho(), func(o *Options) { o.Addr, o.Listener = "", l })
	begun := time.Now()
	p := dial(t, s)
	p.hello("ann")
	if n := value(t, s.m.acceptErrs); n != 6 {
		t.Fatalf("%v accept errors", n)
	}
	if d := time.Since(begun); d < 5*acceptPauseMin {
		t.Fatalf("six errors in %v: no pause between them", d)
	}
}

func TestRunEndsWithError(t *testing.T) {
	s, err := New(Options{Addr: "127.0.0.1:0"}, newEcho())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.port.Close() // somebody took the port away
	if err := s.Run(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Run: %v", err)
	}
}

func TestMaxConns(t *testing.T) {
	plainOnly(t)
	s := start(t, newEcho(), func(o *Options) { o.MaxConns = 2 })
	a := dial(t, s)
	a.hello("ann")
	dial(t, s).hello("bob")
	dial(t, s).expectClosed()
	if n := value(t, s.m.refused[refuseFull]); n != 1 {
		t.Fatalf("%v refused", n)
	}
	_ = a.Close()
	await(t, "one left", func() bool { return s.Count() == 1 })
	dial(t, s).hello("cid")
}

// Many silent sockets cost the oldest of them, not an honest login.
func TestCrowd(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { o.MaxEarly = 50 })
	honest := dial(t, s)
	honest.hello("ann")
	var crowd []*peer
	for range 200 {
		crowd = append(crowd, dial(t, s))
	}
	dial(t, s).hello("bob")
	await(t, "the crowd is thinned", func() bool { return value(t, s.m.closed[ReasonCrowded]) == 151 })
	crowd[0].expectClosed()
	if n := value(t, s.m.early); n != 49 {
		t.Fatalf("%v before hello", n)
	}
	honest.send(call(1, "still here"))
	honest.expectReply(1, "still here")
	crowd[199].hello("late")
}

func TestShutdown(t *testing.T) {
	h := newEcho()
	s := start(t, h, nil)
	var peers []*peer
	for range 30 {
		p := dial(t, s)
		p.hello("ann")
		peers = append(peers, p)
	}
	retry := int64(100)
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- s.Shutdown(ctx, protocol.CodeDraining, "bye", func() int64 { retry++; return retry })
	}()
	seen := map[int64]bool{}
	for _, p := range peers {
		seen[p.expectGoaway(protocol.CodeDraining).RetryMS] = true
	}
	if err := <-done; err != nil || len(seen) != 30 {
		t.Fatalf("%v, %d different retry_ms", err, len(seen))
	}
	late := dial(t, s) // is told where to go, instead of finding the door shut
	late.send(helloFrame("late"))
	late.expectGoaway(protocol.CodeDraining)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.closed {
		if r != ReasonDraining {
			t.Fatalf("reason %v", r)
		}
	}
}

func TestShutdownIsBounded(t *testing.T) {
	h := newEcho()
	s := start(t, h, nil)
	p := dial(t, s)
	p.hello("ann")
	ctx, cancel := context.WithTimeout(context.Background(), short)
	defer cancel()
	if err := s.Shutdown(ctx, protocol.CodeShutdown, "bye", func() int64 { return 1 }); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a client that does not close lingers, so: %v", err)
	}
}

// Sends, endings and reads from everywhere at once: for the race detector, and every Hello has its Closed.
func TestEverythingAtOnce(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { o.Heartbeat, o.SendBuffer = 100*time.Millisecond, 4096 })
	var clients sync.WaitGroup
	for i := range 24 {
		clients.Go(func() {
			p := dial(t, s)
			b := helloFrame("ann")
			for r := range uint64(200) {
				b = append(b, call(r+1, "some text that is echoed")...)
			}
			if i%4 == 0 {
				b = append(b, 0, 0, 0, 0)
			}
			_, _ = p.Write(b)
			if i%3 == 0 {
				_ = p.Close()
				return
			}
			buf := make([]byte, 1000)
			for n := 0; n < 5000; {
				m, err := p.r.Read(buf)
				n += m
				if err != nil {
					break
				}
			}
			_ = p.Close()
		})
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			push := protocol.AppendPush(nil, "x:", 0, "e", make([]byte, 100))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				h.mu.Lock()
				var all []*Conn
				for _, c := range h.conns {
					all = append(all, c)
				}
				h.mu.Unlock()
				for i, c := range all {
					c.Send(push)
					if (n+i)%500 == 499 {
						c.Goaway(protocol.CodeKicked, "out", -1)
					}
				}
			}
		})
	}
	clients.Wait()
	await(t, "all are gone", func() bool { return s.Count() == 0 })
	close(stop)
	others.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ends != len(h.hellos) || len(h.closed) != len(h.conns) {
		t.Fatalf("%d hellos, %d ends", len(h.hellos), h.ends)
	}
}
