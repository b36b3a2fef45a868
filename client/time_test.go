package client

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"gamed/protocol"
)

// bubble runs f in fake time with a client that is logged in.
func bubble(t *testing.T, o Options, f func(t *testing.T, c *Client, s *fakeServer, p *peer)) {
	synctest.Test(t, func(t *testing.T) {
		s, dialer := servePipe(t)
		o.Dialer = dialer
		got := dial(t, o, s.addr)
		p := s.accept()
		p.welcome("s1", false)
		c := <-got
		defer c.Abort()
		f(t, c, s, p)
	})
}

func TestRetryableCodesAreRetriedUnderTheSameRef(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, c *Client, _ *fakeServer, p *peer) {
		begin := time.Now()
		r := goCall(t.Context(), c, "x")
		ref := p.call().Ref
		p.send(protocol.AppendReplyError(nil, ref, protocol.CodeRateLimited, "slow down", 700))
		if again := p.call(); again.Ref != ref {
			t.Fatalf("retried as %d, want %d", again.Ref, ref)
		}
		if d := time.Since(begin); d < 700*time.Millisecond || d > 900*time.Millisecond {
			t.Fatalf("retried after %v, the server said 700 ms", d)
		}
		p.send(protocol.AppendReplyError(nil, ref, protocol.CodeMoved, "", -1))
		p.call()
		p.ok(ref, []byte{1})
		if a := <-r; a.err != nil {
			t.Fatal(a.err)
		}
		if n := c.Stats().Retries; n != 2 {
			t.Fatalf("%d retries", n)
		}
		r = goCall(t.Context(), c, "poison")
		p.send(protocol.AppendReplyError(nil, p.call().Ref, protocol.CodeInternal, "panic", 10))
		wantCode(t, (<-r).err, protocol.CodeInternal)
	})
}

func TestRetriesEndWithTheContext(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, c *Client, _ *fakeServer, p *peer) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		r := goCall(ctx, c, "x")
		for {
			select {
			case b := <-p.frames:
				call, _ := protocol.ParseCall(b)
				p.send(protocol.AppendReplyError(nil, call.Ref, protocol.CodeBusy, "full", -1))
				continue
			case a := <-r:
				wantCode(t, a.err, protocol.CodeBusy)
			}
			break
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Fatalf("ended after %v", d)
		}
		if len(c.slots) != 0 {
			t.Fatal("the slot was not given back")
		}
	})
}

func TestLostSessionWhileWaitingForARetry(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, c *Client, s *fakeServer, p *peer) {
		r := goCall(t.Context(), c, "durable")
		p.send(protocol.AppendReplyError(nil, p.call().Ref, protocol.CodeUnavailable, "in doubt", 5000))
		synctest.Wait()
		p.conn.Close()
		s.accept().welcome("s2", false)
		wantErr(t, (<-r).err, ErrSessionLost)
	})
}

func TestCallEndsByItsTimeout(t *testing.T) {
	bubble(t, Options{CallTimeout: 3 * time.Second}, func(t *testing.T, c *Client, _ *fakeServer, p *peer) {
		begin := time.Now()
		r := goCall(context.Background(), c, "x")
		wantErr(t, (<-r).err, context.DeadlineExceeded)
		if d := time.Since(begin); d != 3*time.Second {
			t.Fatalf("ended after %v", d)
		}
	})
}

func TestPingIsAnsweredAndSilenceFound(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, c *Client, s *fakeServer, p *peer) {
		p.send(protocol.AppendPing(nil, []byte{0x2a}))
		if v, ok := protocol.ParsePong(p.read()); !ok || v[0] != 0x2a {
			t.Fatalf("pong %x %v", v, ok)
		}
		begin := time.Now()
		if _, ok := protocol.ParsePing(p.read()); !ok || time.Since(begin) != 15*time.Second {
			t.Fatalf("own ping after %v", time.Since(begin))
		}
		p.send(protocol.AppendPong(nil, []byte{1})) // alive: the clock starts again
		begin = time.Now()
		if _, ok := protocol.ParsePing(p.read()); !ok || time.Since(begin) != 15*time.Second {
			t.Fatalf("second ping after %v", time.Since(begin))
		}
		p.ended()
		if d := time.Since(begin); d != 30*time.Second {
			t.Fatalf("given up after %v, want two heartbeats", d)
		}
		s.accept().welcome("s1", true)
	})
}

func TestHalfAFrameSurvivesAHeartbeat(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, c *Client, _ *fakeServer, p *peer) {
		r := goCall(t.Context(), c, "x")
		frame := protocol.AppendReply(nil, p.call().Ref, []byte{9})
		p.send(frame[:7])
		if _, ok := protocol.ParsePing(p.read()); !ok {
			t.Fatal("want a ping")
		}
		p.send(frame[7:])
		if a := <-r; a.err != nil || a.payload[0] != 9 {
			t.Fatalf("%v %v", a.payload, a.err)
		}
	})
}

func TestReconnectBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		s, up := servePipe(t)
		refuse := false
		got := dial(t, Options{Dialer: func(ctx context.Context, addr string) (net.Conn, error) {
			if refuse {
				at = append(at, time.Now())
				if len(at) < 12 {
					return nil, errors.New("refused")
				}
			}
			return up(ctx, addr)
		}}, "one")
		p := s.accept()
		p.welcome("s1", false)
		c := <-got
		defer c.Abort()
		refuse = true
		p.conn.Close()
		s.accept().welcome("s1", true)
		for i := 1; i < len(at); i++ {
			d := at[i].Sub(at[i-1])
			top := min(50*time.Millisecond<<i, 5*time.Second)
			if d < top/2 || d > top {
				t.Errorf("pause %d was %v, want %v to %v", i, d, top/2, top)
			}
		}
		if len(at) != 12 {
			t.Fatalf("%d attempts", len(at))
		}
	})
}

func TestServerThatWelcomesAndClosesIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dialer := servePipe(t)
		got := dial(t, Options{Dialer: dialer}, "one")
		p := s.accept()
		p.welcome("s1", false)
		c := <-got
		defer c.Abort()
		begin := time.Now()
		for range 10 {
			p.conn.Close()
			p = s.accept()
			p.welcome("s1", true)
		}
		if d := time.Since(begin); d < 5*time.Second {
			t.Fatalf("ten reconnects in %v", d)
		}
	})
}

func TestGoawayRetryIsObeyed(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, c *Client, s *fakeServer, p *peer) {
		begin := time.Now()
		p.send(protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeShutdown, Reason: "restart", RetryMS: 4000}))
		s.accept().welcome("s1", true)
		if d := time.Since(begin); d < 4*time.Second || d > 5*time.Second {
			t.Fatalf("came back after %v", d)
		}
	})
}

func TestSlowCallbackStopsReadingAndLosesNothing(t *testing.T) {
	gate := make(chan struct{})
	var seen []uint64
	bubble(t, Options{PushQueue: 4, OnPush: func(p Push) {
		<-gate
		seen = append(seen, p.Offset)
	}}, func(t *testing.T, c *Client, _ *fakeServer, p *peer) {
		gate = make(chan struct{}) // made in the bubble
		go func() {
			for i := range uint64(20) {
				p.push("", i+1)
			}
		}()
		time.Sleep(time.Second)
		c.mu.Lock()
		read := c.seen.position("")
		c.mu.Unlock()
		if read > 6 {
			t.Fatalf("%d pushes read with a queue of 4", read)
		}
		close(gate)
		time.Sleep(time.Second)
		synctest.Wait()
		for i, offset := range seen {
			if offset != uint64(i+1) {
				t.Fatalf("order %v", seen)
			}
		}
		if len(seen) != 20 {
			t.Fatalf("%d of 20 pushes", len(seen))
		}
	})
}

func TestDialGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := Dial(t.Context(), []string{"a", "b"}, Options{Name: "ann",
			Dialer: func(ctx context.Context, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }})
		wantErr(t, err, context.DeadlineExceeded)
		if d := time.Since(begin); d != 15*time.Second {
			t.Fatalf("gave up after %v", d)
		}
	})
}

func TestCloseWaitsNoLongerThanItSays(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, c *Client, _ *fakeServer, p *peer) {
		begin := time.Now()
		c.Close() // the server never closes
		if d := time.Since(begin); d > byeTimeout {
			t.Fatalf("closed after %v", d)
		}
	})
}
