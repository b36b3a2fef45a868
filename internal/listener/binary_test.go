package listener

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gamed/game"
	"gamed/protocol"
)

func TestEcho(t *testing.T) {
	h := newEcho()
	s := start(t, h, nil)
	p := dial(t, s)
	p.send(helloFrame("ann"), call(1, "before welcome"), call(0, "cast"), call(2, "b"))
	if w, ok := protocol.ParseWelcome(p.frame()); !ok || w.Player != "ann" {
		t.Fatalf("welcome %+v", w)
	}
	p.expectReply(1, "before welcome")
	p.expectReply(2, "b")
	p.send(protocol.AppendPing(nil, protocol.AppendStr(nil, "t")))
	if b := p.frame(); !bytes.Equal(b, protocol.AppendPong(nil, protocol.AppendStr(nil, "t"))[4:]) {
		t.Fatalf("pong % x", b)
	}
	c := h.only(t)
	if c.ID() == 0 || c.Player() != "ann" || c.Role() != game.AnyRole || c.Text() || !c.RemoteAddr().Addr().IsLoopback() {
		t.Fatalf("conn %d %q %q %v %v", c.ID(), c.Player(), c.Role(), c.Text(), c.RemoteAddr())
	}
	p.send(call(3, "last"), protocol.AppendBye(nil), call(4, "after bye"))
	p.expectReply(3, "last")
	p.expectEnd()
	if r := h.reason(t); r != ReasonBye || h.byes != 1 || len(h.calls) != 4 {
		t.Fatalf("reason %v, %d byes, calls %q", r, h.byes, h.calls)
	}
}

// However the bytes are cut, the frames are the same.
func TestSplits(t *testing.T) {
	h := newEcho()
	s := start(t, h, nil)
	var all []byte
	all = append(all, helloFrame("ann")...)
	const calls = 300
	for i := range calls {
		all = append(all, call(uint64(i+1), strings.Repeat("x", i%7*i%97))...)
		all = append(all, protocol.AppendPong(nil, nil)...)
	}
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := dial(t, s)
		go func() {
			for b := all; len(b) > 0; {
				n := min(1+r.IntN(1+int(seed)*int(seed)*int(seed)*10), len(b))
				if _, err := p.Write(b[:n]); err != nil {
					return
				}
				b = b[n:]
			}
		}()
		if _, ok := protocol.ParseWelcome(p.frame()); !ok {
			t.Fatal("no welcome")
		}
		for i := range calls {
			p.expectReply(uint64(i+1), strings.Repeat("x", i%7*i%97))
		}
		_ = p.Close()
	}
}

func TestLargestFrame(t *testing.T) {
	s := start(t, newEcho(), nil)
	p := dial(t, s)
	p.hello("ann")
	head := len(call(1, "")) - 4 + 2 // str 16 has 2 bytes more than a short one
	text := strings.Repeat("y", protocol.MaxFrameIn-head)
	f := call(1, text)
	if frameLen(f) != protocol.MaxFrameIn {
		t.Fatalf("the test's frame has %d bytes", frameLen(f))
	}
	for ref := range uint64(3) {
		p.send(call(ref+1, text))
		p.expectReply(ref+1, text)
	}
	p.send(call(9, text+"z")[:4])
	if g := p.expectGoaway(protocol.CodeFrameTooLarge); g.RetryMS != -1 {
		t.Fatalf("retry %d", g.RetryMS)
	}
}

func raw(body ...byte) []byte { return append([]byte{0, 0, 0, byte(len(body))}, body...) }

func TestRefusals(t *testing.T) {
	hello := helloFrame("ann")
	withV := func(h protocol.Hello) []byte { h.V = 1; return protocol.AppendHello(nil, h) }
	tests := []struct {
		name  string
		login bool
		sent  []byte
		code  protocol.Code
	}{
		{"call first", false, call(1, "x"), protocol.CodeHelloRequired},
		{"ping first", false, protocol.AppendPing(nil, nil), protocol.CodeHelloRequired},
		{"length 0", false, []byte{0, 0, 0, 0}, protocol.CodeBadFrame},
		{"4097 before welcome, header only", false, []byte{0, 0, 0x10, 1}, protocol.CodeFrameTooLarge},
		{"4 GiB", false, []byte{0, 0xff, 0xff, 0xff}, protocol.CodeFrameTooLarge},
		{"no array", false, raw(0xc0), protocol.CodeBadFrame},
		{"version 2", false, protocol.AppendHello(nil, protocol.Hello{V: 2, Name: "ann", HasName: true}), protocol.CodeBadVersion},
		{"no version", false, protocol.AppendHello(nil, protocol.Hello{Name: "ann", HasName: true}), protocol.CodeBadVersion},
		{"no name", false, withV(protocol.Hello{}), protocol.CodeBadName},
		{"token instead of name", false, withV(protocol.Hello{Token: "x", HasToken: true}), protocol.CodeBadName},
		{"bad name", false, withV(protocol.Hello{Name: "a b", HasName: true}), protocol.CodeBadName},
		{"name is a number", false, raw(0x92, 1, 0x82, 0xa1, 'v', 1, 0xa4, 'n', 'a', 'm', 'e', 7), protocol.CodeBadFrame},
		{"second hello", true, hello, protocol.CodeBadFrame},
		{"server's kind", true, protocol.AppendReply(nil, 1, nil), protocol.CodeBadFrame},
		{"unknown kind", true, raw(0x91, 77), protocol.CodeBadFrame},
		{"negative ref", true, raw(0x94, 3, 0xff, 0xa0, 0xa0), protocol.CodeBadFrame},
		{"event is a map", true, raw(0x94, 3, 1, 0xa0, 0x80), protocol.CodeBadFrame},
		{"trailing byte", true, raw(0x91, 9, 9), protocol.CodeBadFrame},
		{"ext", true, raw(0x95, 3, 1, 0xa0, 0xa1, 'e', 0xd4, 74, 0), protocol.CodeBadFrame},
		{"bomb", true, raw(0x95, 3, 1, 0xa0, 0xa1, 'e', 0xdd, 0xff, 0xff, 0xff, 0xff), protocol.CodeBadFrame},
		{"deep", true, raw(bytes.Repeat([]byte{0x91}, 100)...), protocol.CodeBadFrame},
		{"65537 after welcome", true, []byte{0, 1, 0, 1}, protocol.CodeFrameTooLarge},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			h := newEcho()
			s := start(t, h, func(o *Options) { o.Addrs = func() []string { return []string{"127.0.0.9:7300"} } })
			p := dial(t, s)
			if tc.login {
				p.hello("ann")
				p.send(call(5, "before the mistake"))
				p.expectReply(5, "before the mistake")
			}
			p.send(tc.sent)
			g := p.expectGoaway(tc.code)
			if g.RetryMS != -1 || len(g.Addrs) != 1 || g.Reason == "" {
				t.Fatalf("goaway %+v", g)
			}
			if tc.login {
				if r := h.reason(t); r.String() != string(tc.code) {
					t.Fatalf("reason %v", r)
				}
			}
			await(t, "closed", func() bool { return s.Count() == 0 })
			if len(h.hellos) > 0 != tc.login {
				t.Fatalf("the handler heard %d hellos", len(h.hellos))
			}
		})
	}
}

func TestNoDialect(t *testing.T) {
	for _, first := range []string{"\x01", "\x80abc", "\x16\x03\x01\x00\x05hello", "\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\xff"} {
		t.Run(fmt.Sprintf("%q", first), func(t *testing.T) {
			s := start(t, newEcho(), nil)
			p := dial(t, s)
			p.send([]byte(first))
			p.expectClosed()
			await(t, "closed", func() bool { return s.Count() == 0 })
		})
	}
	t.Run("GET in pieces", func(t *testing.T) {
		s := start(t, newEcho(), nil)
		p := dial(t, s)
		for _, b := range []byte("GET ") {
			p.send([]byte{b})
		}
		p.expectClosed()
	})
}

// A client that is still sending when it made its mistake must be able to read why.
func TestGoawaySurvivesUnreadInput(t *testing.T) {
	s := start(t, newEcho(), nil)
	for range 20 {
		p := dial(t, s)
		p.send(append(raw(0xc0), bytes.Repeat([]byte("junk"), 4000)...))
		p.expectGoaway(protocol.CodeBadFrame)
	}
}

func TestTokens(t *testing.T) {
	h := newEcho()
	s := start(t, h, func(o *Options) {
		o.Authenticate = func(token string) (Identity, protocol.Code, error) {
			switch token {
			case "good":
				return Identity{Player: "ann", Role: "host"}, protocol.CodeOK, nil
			case "odd":
				return Identity{Player: "not a name"}, protocol.CodeOK, nil
			case "old":
				return Identity{}, protocol.CodeExpiredToken, errors.New("expired an hour ago")
			}
			return Identity{}, protocol.CodeBadToken, errors.New("signature")
		}
	})
	for _, tc := range []struct {
		h    protocol.Hello
		code protocol.Code
	}{
		{protocol.Hello{V: 1, Name: "ann", HasName: true}, protocol.CodeBadToken},
		{protocol.Hello{V: 1, Token: "stolen", HasToken: true}, protocol.CodeBadToken},
		{protocol.Hello{V: 1, Token: "odd", HasToken: true}, protocol.CodeBadToken},
		{protocol.Hello{V: 1, Token: "old", HasToken: true}, protocol.CodeExpiredToken},
	} {
		p := dial(t, s)
		p.send(protocol.AppendHello(nil, tc.h))
		p.expectGoaway(tc.code)
	}
	p := dial(t, s)
	p.send(protocol.AppendHello(nil, protocol.Hello{V: 1, Token: "good", HasToken: true, Name: "bob", HasName: true}))
	if w, _ := protocol.ParseWelcome(p.frame()); w.Player != "ann" {
		t.Fatalf("the name won over the token: %+v", w)
	}
	if c := h.only(t); c.Role() != "host" {
		t.Fatalf("role %q", c.Role())
	}
}

func TestHeldBeforeWelcome(t *testing.T) {
	h := newEcho()
	h.mute = func(*Conn) bool { return true }
	s := start(t, h, nil)
	p := dial(t, s)
	p.send(helloFrame("ann"), call(1, "early"))
	c := h.only(t)
	await(t, "the early call", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.calls) == 1 })
	c.Send(protocol.AppendPush(nil, "chat:x", 1, "said", nil))
	c.Send(protocol.AppendPush(nil, "chat:x", 2, "said", nil))
	c.Welcome(welcomeFrame("ann"))
	c.Welcome(welcomeFrame("again"))
	c.Send(protocol.AppendPush(nil, "chat:x", 3, "said", nil))
	if w, ok := protocol.ParseWelcome(p.frame()); !ok || w.Player != "ann" {
		t.Fatalf("welcome first, got %+v", w)
	}
	p.expectReply(1, "early")
	for i := range uint64(3) {
		if f, ok := protocol.ParsePush(p.frame()); !ok || f.Offset != i+1 {
			t.Fatalf("push %+v, want offset %d", f, i+1)
		}
	}
}

func TestTooMuchHeld(t *testing.T) {
	h := newEcho()
	h.mute = func(*Conn) bool { return true }
	s := start(t, h, func(o *Options) { o.OutboxBytes = 1000 })
	p := dial(t, s)
	p.send(helloFrame("ann"))
	c := h.only(t)
	c.Send(make([]byte, 900))
	c.Send(make([]byte, 101))
	p.expectGoaway(protocol.CodeSlowConsumer)
	if r := h.reason(t); r != ReasonSlowConsumer {
		t.Fatalf("reason %v", r)
	}
}

func TestGoawayAndClose(t *testing.T) {
	h := newEcho()
	s := start(t, h, nil)
	p := dial(t, s)
	p.hello("ann")
	c := h.only(t)
	c.Goaway(protocol.CodeReplaced, "elsewhere", -1)
	c.Goaway(protocol.CodeKicked, "second", -1)
	c.Send(call(1, "dropped"))
	if g := p.expectGoaway(protocol.CodeReplaced); g.Reason != "elsewhere" {
		t.Fatalf("%+v", g)
	}
	if r := h.reason(t); r != ReasonReplaced {
		t.Fatalf("reason %v", r)
	}
	c.Send(call(1, "dropped too"))
	c.Close()

	h = newEcho()
	s = start(t, h, nil)
	p = dial(t, s)
	p.hello("bob")
	c = h.only(t)
	c.Send(protocol.AppendPush(nil, "", 1, "last", nil))
	c.Close()
	if f, ok := protocol.ParsePush(p.frame()); !ok || string(f.Event) != "last" {
		t.Fatal("what was sent before Close must arrive")
	}
	p.expectEnd()
	if r := h.reason(t); r != ReasonClosed {
		t.Fatalf("reason %v", r)
	}
}

func TestPeerCloses(t *testing.T) {
	h := newEcho()
	s := start(t, h, nil)
	p := dial(t, s)
	p.hello("ann")
	p.send(call(1, "with the end"))
	_ = p.Close()
	if r := h.reason(t); r != ReasonPeer && r != ReasonReset {
		t.Fatalf("reason %v", r)
	}
	if len(h.calls) != 1 {
		t.Fatalf("calls %q", h.calls)
	}
}

// late answers a call only when the test says so, and closes after BYE when it has.
type late struct {
	collector
	bye chan *Conn
}

func (h *late) Bye(c *Conn) { h.bye <- c }

func TestByeWaitsForTheAnswersBeforeIt(t *testing.T) {
	h := &late{collector: collector{got: make(chan uint64, 4)}, bye: make(chan *Conn, 4)}
	p := dial(t, start(t, h, nil))
	p.send(helloFrame("ann"), call(1, "x"), protocol.AppendBye(nil))
	if w, ok := protocol.ParseWelcome(p.frame()); !ok || w.Player != "ann" {
		t.Fatal("no WELCOME")
	}
	c := <-h.bye
	c.Send(protocol.AppendReply(nil, 1, game.EmptyMap))
	c.Close()
	if r, ok := protocol.ParseReply(p.frame()); !ok || r.Ref != 1 {
		t.Fatal("the answer to a call before BYE was lost")
	}
	p.expectEnd()
}
