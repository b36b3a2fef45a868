package listener

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"gamed/protocol"
)

const short = 150 * time.Millisecond

func TestSilenceBeforeHello(t *testing.T) {
	for name, first := range map[string]string{"nothing": "", "half a header": "\x00\x00", "half a hello": "\x00\x00\x00\x09\x92",
		"JSON": "[1,", "words": "hel", "words without hello": "ping\n", "maybe GET": "GE"} {
		t.Run(name, func(t *testing.T) {
			h := newEcho()
			s := start(t, h, func(o *Options) { o.HelloTimeout = short })
			p := dial(t, s)
			begun := time.Now()
			p.send([]byte(first))
			var got []byte
			buf := make([]byte, 1000)
			for {
				n, err := p.r.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					break
				}
			}
			if d := time.Since(begun); d < short-tick || d > 5*time.Second {
				t.Fatalf("closed after %v", d)
			}
			said := strings.Contains(string(got), string(protocol.CodeHelloTimeout))
			if knows := first != "" && first != "GE"; said != knows {
				t.Fatalf("got %q", got)
			}
			if len(h.hellos) > 0 {
				t.Fatal("the handler heard of it")
			}
		})
	}
}

// Dripping bytes does not stretch the time for the whole HELLO.
func TestDrippedHello(t *testing.T) {
	s := start(t, newEcho(), func(o *Options) { o.HelloTimeout = short })
	p := dial(t, s)
	begun := time.Now()
	p.send([]byte{0, 0, 4, 0})
	p.drip()
	p.expectGoaway(protocol.CodeHelloTimeout)
	if d := time.Since(begun); d < short-tick || d > 5*time.Second {
		t.Fatalf("closed after %v", d)
	}
}

// drip sends a byte now and then until the connection or the test ends.
func (p *peer) drip() {
	stop, done := make(chan struct{}), make(chan struct{})
	p.t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if _, err := p.Write([]byte("x")); err != nil {
					return
				}
			}
		}
	}()
}

// frameOrEnd reads until the connection ends.
func (p *peer) frameOrEnd() []byte {
	var all []byte
	buf := make([]byte, 4096)
	for {
		n, err := p.r.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return all
		}
	}
}

func TestNoWelcome(t *testing.T) {
	h := newEcho()
	h.mute = func(*Conn) bool { return true }
	s := start(t, h, func(o *Options) { o.WelcomeTimeout = short })
	p := dial(t, s)
	p.send(helloFrame("ann"))
	if g := p.expectGoaway(protocol.CodeUnavailable); g.RetryMS < retrySoon || g.RetryMS >= 2*retrySoon {
		t.Fatalf("retry %d", g.RetryMS)
	}
	if r := h.reason(t); r != ReasonUnavailable {
		t.Fatalf("reason %v", r)
	}
}

func TestUnfinishedFrame(t *testing.T) {
	for _, hello := range []string{"", "[1,{\"v\":1,\"name\":\"ann\"}]\n", "hello ann\n"} {
		h := newEcho()
		s := start(t, h, func(o *Options) { o.FrameTimeout = short })
		p := dial(t, s)
		begun := time.Now()
		if hello == "" {
			p.hello("ann")
			p.send(call(1, "whole"), call(2, "cut short")[:9])
			p.expectReply(1, "whole")
			p.expectGoaway(protocol.CodeIdle)
		} else {
			p.send([]byte(hello + "[3"))
			if got := string(p.frameOrEnd()); !strings.Contains(got, "idle") {
				t.Fatalf("got %q", got)
			}
			_ = p.Close()
		}
		if d := time.Since(begun); d < short-tick || d > 5*time.Second {
			t.Fatalf("closed after %v", d)
		}
		if r := h.reason(t); r != ReasonIdle {
			t.Fatalf("reason %v", r)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { o.Heartbeat = short })
	p := dial(t, s)
	p.hello("ann")
	begun := time.Now()
	for range 4 { // answering keeps it alive
		v, ok := protocol.ParsePing(p.frame())
		if !ok {
			t.Fatal("want PING")
		}
		p.send(protocol.AppendPong(nil, v))
	}
	if d := time.Since(begun); d < 4*short-4*tick {
		t.Fatalf("4 pings in %v", d)
	}
	begun = time.Now()
	if _, ok := protocol.ParsePing(p.frame()); !ok {
		t.Fatal("want PING")
	}
	if g := p.expectGoaway(protocol.CodeIdle); g.RetryMS < 0 {
		t.Fatalf("retry %d", g.RetryMS)
	}
	if d := time.Since(begun); d < 2*short-3*tick || d > 5*time.Second {
		t.Fatalf("idle after %v", d)
	}
	if r := h.reason(t); r != ReasonIdle {
		t.Fatalf("reason %v", r)
	}
}

// A drip of bytes that never make a frame is no life.
func TestBytesAreNoLife(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { o.Heartbeat = short })
	p := dial(t, s)
	p.hello("ann")
	p.send(call(1, strings.Repeat("x", 60_000))[:10])
	p.drip()
	if r := h.reason(t); r != ReasonIdle {
		t.Fatalf("reason %v", r)
	}
}

func TestIdleWords(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { o.IdleWord, o.Heartbeat = 4*short, short })
	p := dial(t, s)
	p.send([]byte("hello ann\n"))
	begun := time.Now()
	p.line()
	p.expectLine("-idle nothing was heard for too long") // and no PING before
	if d := time.Since(begun); d < 4*short-2*tick {
		t.Fatalf("after %v", d)
	}
	p.expectEnd()
}

func TestRateOnTheWire(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { o.Rate, o.Burst = 1, 3 })
	p := dial(t, s)
	p.send(helloFrame("ann"))
	var all []byte
	for range 50 {
		all = append(all, protocol.AppendPong(nil, nil)...) // free
	}
	for ref := range uint64(5) {
		all = append(all, call(ref+1, "x")...)
	}
	all = append(all, call(0, "cast")...)
	all = append(all, protocol.AppendPing(nil, nil)...)
	p.send(all)
	p.frame()
	var ok, limited int
	for range 5 {
		r, isReply := protocol.ParseReply(p.frame())
		switch {
		case !isReply:
			t.Fatal("want a reply")
		case r.Status == protocol.CodeOK:
			ok++
		case r.Status == protocol.CodeRateLimited:
			limited++
			if f, _ := protocol.ParseFailure(r.Payload); f.RetryMS < 1 || f.RetryMS > 1000 {
				t.Fatalf("retry %+v", f)
			}
		}
	}
	if ok != 3 || limited != 2 {
		t.Fatalf("%d ok, %d limited", ok, limited)
	}
	if a, b := value(t, s.m.dropped[dropCast]), value(t, s.m.dropped[dropPing]); a != 1 || b != 1 {
		t.Fatalf("dropped %v casts, %v pings", a, b)
	}
	p.send(protocol.AppendBye(nil))
	p.expectEnd()
}

func slowOptions(o *Options) { o.SendBuffer, o.OutboxBytes = 16<<10, 64<<10 }

func TestSlowClientByBytes(t *testing.T) {
	h := newEcho()
	s := start(t, h, slowOptions)
	p := dial(t, s)
	_ = p.tcp.SetReadBuffer(64 << 10)
	p.hello("ann")
	c := h.only(t)
	frame := protocol.AppendPush(nil, "chat:x", 1, "said", protocol.AppendStr(nil, strings.Repeat("x", 8000)))
	for {
		h.mu.Lock()
		over := len(h.closed) > 0
		h.mu.Unlock()
		if over {
			break
		}
		c.Send(frame)
		c.mu.Lock()
		queued := 0
		if c.out != nil {
			queued = cap(c.out.b)
		}
		c.mu.Unlock()
		if queued > 256<<10 {
			t.Fatalf("the outbox has room for %d bytes", queued)
		}
		runtime.Gosched()
	}
	if r := h.reason(t); r != ReasonSlowConsumer {
		t.Fatalf("reason %v", r)
	}
	// It still reads, if slowly: what it gets is whole frames and then GOAWAY, for as long as the server waits.
	var last []byte
	for {
		body := p.frame()
		if k, _ := protocol.FrameKind(body); k != protocol.KindPush {
			last = body
			break
		}
	}
	if g, ok := protocol.ParseGoaway(last); !ok || g.Code != protocol.CodeSlowConsumer {
		t.Fatalf("last frame % x", last)
	}
	await(t, "nothing is blocked", func() bool { return value(t, s.m.blocked) == 0 })
}

func TestSlowClientByTime(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { slowOptions(o); o.WriteTimeout = short; o.OutboxBytes = 8 << 20 })
	p := dial(t, s)
	_ = p.tcp.SetReadBuffer(64 << 10)
	p.hello("ann")
	c := h.only(t)
	c.Send(make([]byte, 1<<20)) // one write into an empty outbox may be long
	begun := time.Now()
	if r := h.reason(t); r != ReasonSlowConsumer {
		t.Fatalf("reason %v", r)
	}
	if d := time.Since(begun); d < short-tick {
		t.Fatalf("closed after %v", d)
	}
	await(t, "closed", func() bool { return s.Count() == 0 })
}

// A slow client that does read gets everything, in order, through the outbox.
func TestOutboxKeepsOrder(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) { o.SendBuffer = 4096; o.OutboxBytes = 1 << 20 })
	p := dial(t, s)
	p.hello("ann")
	c := h.only(t)
	const n = 5000
	go func() {
		for i := range uint64(n) {
			for {
				c.mu.Lock()
				room := c.waiting() < 500_000
				c.mu.Unlock()
				if room {
					break
				}
				runtime.Gosched()
			}
			c.Send(protocol.AppendPush(nil, "x:", i+1, "e", protocol.AppendStr(nil, strings.Repeat("y", int(i%900)))))
		}
	}()
	for i := range uint64(n) {
		f, ok := protocol.ParsePush(p.frame())
		if !ok || f.Offset != i+1 {
			t.Fatalf("push %d, want %d", f.Offset, i+1)
		}
	}
	await(t, "the drainer is gone", func() bool { return value(t, s.m.blocked) == 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out != nil || c.blocked.Load() {
		t.Fatal("an idle connection holds an outbox")
	}
}
