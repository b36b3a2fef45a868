package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"

	"gamed/game"
	"gamed/protocol"
)

func TestCallReplyAndBye(t *testing.T) {
	s := serveTCP(t)
	got := dial(t, Options{}, s.addr)
	p := s.accept()
	if h := p.welcome("s1", false); h.V != protocol.Version || h.Name != "ann" || h.Session != "" || len(h.Seen) != 0 {
		t.Fatalf("hello %+v", h)
	}
	c := <-got
	if c.Player() != "ann" || c.Node() != "n1" || c.Session() != "s1" || !c.Connected() {
		t.Fatalf("after welcome: %q %q %q", c.Player(), c.Node(), c.Session())
	}
	r := goCall(t.Context(), c, "hi")
	call := p.call()
	if call.Ref != 1 || string(call.Topic) != "echo:" || string(call.Event) != "hi" || !bytes.Equal(call.Payload, game.EmptyMap) {
		t.Fatalf("call %+v", call)
	}
	p.ok(1, []byte{0x2a})
	if a := <-r; a.err != nil || !bytes.Equal(a.payload, []byte{0x2a}) {
		t.Fatalf("answer %x %v", a.payload, a.err)
	}
	go func() {
		if kind, _ := protocol.FrameKind(p.read()); kind != protocol.KindBye {
			t.Errorf("want BYE, got kind %d", kind)
		}
		p.conn.Close()
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, c.Err(), ErrClosed)
	_, err := c.Call(t.Context(), "echo:", "hi", nil)
	wantErr(t, err, ErrClosed)
}

func TestCallsAreSentInOrderAndAnswersMayOvertake(t *testing.T) {
	s := serveTCP(t)
	got := dial(t, Options{}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	a := goCall(t.Context(), c, "a")
	first := p.call()
	b := goCall(t.Context(), c, "b")
	second := p.call()
	if second.Ref <= first.Ref {
		t.Fatalf("refs %d, %d do not increase", first.Ref, second.Ref)
	}
	p.ok(second.Ref, []byte{2})
	if r := <-b; r.err != nil || r.payload[0] != 2 {
		t.Fatalf("b: %v", r)
	}
	p.ok(first.Ref, []byte{1})
	if r := <-a; r.err != nil || r.payload[0] != 1 {
		t.Fatalf("a: %v", r)
	}
}

func TestErrorAnswerCarriesCode(t *testing.T) {
	s := serveTCP(t)
	got := dial(t, Options{NoRetry: true}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	for _, code := range []protocol.Code{protocol.CodeForbidden, protocol.CodeBusy, protocol.CodeInternal} {
		r := goCall(t.Context(), c, "x")
		p.send(protocol.AppendReplyError(nil, p.call().Ref, code, "because", 70))
		err := (<-r).err
		wantCode(t, err, code)
		e, _ := errors.AsType[*Error](err)
		if e.Message != "because" || !e.HasRetry || e.Retry.Milliseconds() != 70 {
			t.Fatalf("error %+v", e)
		}
	}
}

func TestFramesTheServerWouldRefuseAreNotSent(t *testing.T) {
	s := serveTCP(t)
	got := dial(t, Options{}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	deep := game.Payload(bytes.Repeat([]byte{0x91}, 20))
	for name, payload := range map[string]any{
		"too large": strings.Repeat("x", protocol.MaxFrameIn), "too deep": append(deep, 1),
		"not a value": game.Payload{0xc1}, "two values": game.Payload{1, 2}, "not encodable": make(chan int),
	} {
		if _, err := c.Call(t.Context(), "echo:", "x", payload); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := c.Cast("echo:", "cast", 7); err != nil {
		t.Fatal(err)
	}
	if call := p.call(); call.Ref != 0 || string(call.Event) != "cast" || !bytes.Equal(call.Payload, []byte{7}) {
		t.Fatalf("cast %+v", call)
	}
}

func TestOutstandingLimitHolds(t *testing.T) {
	s := serveTCP(t)
	got := dial(t, Options{}, s.addr)
	p := s.accept()
	p.welcome("s1", false) // 4 outstanding
	c := <-got
	defer c.Abort()
	var results []chan result
	for range 4 {
		results = append(results, goCall(t.Context(), c, "x"))
	}
	var refs []uint64
	for range 4 {
		refs = append(refs, p.call().Ref)
	}
	ctx, cancel := context.WithCancel(t.Context())
	fifth := goCall(ctx, c, "fifth")
	cancel()
	if err := (<-fifth).err; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "never sent") {
		t.Fatalf("fifth: %v", err)
	}
	sixth := goCall(t.Context(), c, "sixth")
	p.ok(refs[0], []byte{1})
	call := p.call()
	if string(call.Event) != "sixth" {
		t.Fatalf("after a slot was free: %s", call.Event)
	}
	p.ok(call.Ref, []byte{1})
	if r := <-sixth; r.err != nil {
		t.Fatal(r.err)
	}
	for _, ref := range refs[1:] {
		p.ok(ref, []byte{1})
	}
	for _, r := range results {
		if a := <-r; a.err != nil {
			t.Fatal(a.err)
		}
	}
}

func TestManyCallersOneConnection(t *testing.T) {
	s := serveTCP(t)
	got := dial(t, Options{}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	go func() {
		for b := range p.frames {
			if call, ok := protocol.ParseCall(b); ok {
				p.ok(call.Ref, call.Payload)
			}
		}
	}()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 50 {
				want := protocol.AppendUint(nil, uint64(i*1000+j))
				r, err := c.Call(t.Context(), "echo:", "n", game.Payload(want))
				if err != nil || !bytes.Equal(r, want) {
					t.Errorf("sent %x, got %x %v", want, r, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestMalformedFramesOfTheServerEndTheConnectionOnly(t *testing.T) {
	for name, frame := range map[string][]byte{
		"length 0":     {0, 0, 0, 0},
		"length":       {0xff, 0xff, 0xff, 0xff},
		"bomb":         {0, 0, 0, 5, 0xdd, 0xff, 0xff, 0xff, 0xff},
		"wrong types":  {0, 0, 0, 3, 0x92, 0x04, 0xa0},
		"no array":     {0, 0, 0, 1, 0x01},
		"second value": {0, 0, 0, 3, 0x91, 0x09, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveTCP(t)
			lost := make(chan error, 1)
			got := dial(t, Options{OnDisconnect: func(err error) { lost <- err }}, s.addr)
			p := s.accept()
			p.welcome("s1", false)
			c := <-got
			defer c.Abort()
			p.send(frame)
			if err := <-lost; err == nil {
				t.Fatal("no reason given")
			}
			if h := s.accept().welcome("s1", true); h.Session != "s1" {
				t.Fatalf("resume with session %q", h.Session)
			}
			if c.Err() != nil {
				t.Fatal(c.Err())
			}
		})
	}
}

func TestUnknownKindsAreIgnored(t *testing.T) {
	s := serveTCP(t)
	got := dial(t, Options{}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	p.send([]byte{0, 0, 0, 3, 0x92, 0x63, 0x01}) // [99, 1]
	r := goCall(t.Context(), c, "x")
	p.ok(p.call().Ref, []byte{1})
	if a := <-r; a.err != nil {
		t.Fatal(a.err)
	}
}

func TestDialErrors(t *testing.T) {
	for name, o := range map[string]Options{"nobody": {}, "both": {Name: "ann", Token: "t"}, "bad name": {Name: "an n"}} {
		if _, err := Dial(t.Context(), []string{"127.0.0.1:1"}, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Dial(t.Context(), nil, Options{Name: "ann"}); err == nil {
		t.Error("no addresses: no error")
	}
	s := serveTCP(t)
	done := make(chan error, 1)
	go func() {
		_, err := Dial(t.Context(), []string{s.addr}, Options{Token: "old"})
		done <- err
	}()
	p := s.accept()
	if h := p.hello(); h.Token != "old" || h.HasName {
		t.Fatalf("hello %+v", h)
	}
	p.send(protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeExpiredToken, Reason: "yesterday", RetryMS: -1}))
	err := <-done
	wantCode(t, err, protocol.CodeExpiredToken)
}

func TestTLSWantsATrustedServer(t *testing.T) {
	s := serveTCP(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Name: "ann", TLS: &tls.Config{MinVersion: tls.VersionTLS13}}
	done := make(chan error, 1)
	go func() { _, err := Dial(ctx, []string{s.addr}, o); done <- err }()
	s.accept().conn.Close() // instead of an answer to the TLS hello
	s.accept()
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "last attempt") {
		t.Fatalf("want the last attempt's error, got %v", err)
	}
}
