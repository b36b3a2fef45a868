package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gamed/game"
	"gamed/protocol"
)

func TestOpenCallsAreSentAgainUnderTheirRefs(t *testing.T) {
	s := serveTCP(t)
	up := make(chan Connected, 4)
	got := dial(t, Options{OnConnect: func(c Connected) { up <- c }}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	<-up
	a := goCall(t.Context(), c, "a")
	first := p.call()
	b := goCall(t.Context(), c, "b")
	second := p.call()
	p.conn.Close()

	p = s.accept()
	if h := p.welcome("s1", true, protocol.Missed{Topic: ""}); h.Session != "s1" {
		t.Fatalf("resumed with session %q", h.Session)
	}
	if u := <-up; !u.Resumed || u.Missed[""] || len(u.Missed) != 1 {
		t.Fatalf("connected %+v", u)
	}
	for _, want := range []protocol.Call{first, second} {
		if again := p.call(); again.Ref != want.Ref || string(again.Event) != string(want.Event) {
			t.Fatalf("sent again: %d %s, want %d %s", again.Ref, again.Event, want.Ref, want.Event)
		}
	}
	p.ok(first.Ref, []byte{1})
	p.ok(second.Ref, []byte{2})
	for _, r := range []chan result{a, b} {
		if out := <-r; out.err != nil {
			t.Fatal(out.err)
		}
	}
	if n := c.Stats().Resent; n != 2 {
		t.Fatalf("resent %d", n)
	}
}

func TestLostSessionFailsWhatWasSentAndSendsWhatWasNot(t *testing.T) {
	s := serveTCP(t)
	down := make(chan error, 4)
	got := dial(t, Options{OnDisconnect: func(err error) { down <- err }}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	sent := goCall(t.Context(), c, "sent")
	p.call()
	p.conn.Close()
	<-down
	p = s.accept()
	unsent := goCall(t.Context(), c, "unsent")
	awaitOpen(t, c, 2)
	if h := p.welcome("s2", false); h.Session != "s1" {
		t.Fatalf("asked for session %q", h.Session)
	}
	wantErr(t, (<-sent).err, ErrSessionLost)
	call := p.call()
	if string(call.Event) != "unsent" {
		t.Fatalf("got %s", call.Event)
	}
	p.ok(call.Ref, []byte{1})
	if r := <-unsent; r.err != nil {
		t.Fatal(r.err)
	}
	if c.Session() != "s2" || c.Stats().Sessions != 2 {
		t.Fatalf("session %q, stats %+v", c.Session(), c.Stats())
	}
}

func TestGivenUpCallKeepsItsSlotUntilAnswered(t *testing.T) {
	s := serveTCP(t)
	got := dial(t, Options{}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	var refs []uint64
	for range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		r := goCall(ctx, c, "x")
		refs = append(refs, p.call().Ref)
		cancel()
		if err := (<-r).err; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "outcome unknown") {
			t.Fatalf("given up: %v", err)
		}
	}
	if n := len(c.slots); n != 4 {
		t.Fatalf("%d slots taken, want 4: the server has the calls open", n)
	}
	p.ok(refs[0], []byte{1})
	r := goCall(t.Context(), c, "next")
	call := p.call()
	p.conn.Close() // the others' slots come back with the connection, and they are not sent again

	p = s.accept()
	p.welcome("s1", true)
	if again := p.call(); again.Ref != call.Ref {
		t.Fatalf("ref %d sent again, want %d alone", again.Ref, call.Ref)
	}
	p.ok(call.Ref, []byte{1})
	if a := <-r; a.err != nil {
		t.Fatal(a.err)
	}
	if n := len(c.slots); n != 0 {
		t.Fatalf("%d slots still taken", n)
	}
}

func TestStreamsDropDuplicatesTellGapsAndResume(t *testing.T) {
	s := serveTCP(t)
	pushes, gaps := make(chan Push, 64), make(chan Gap, 64)
	got := dial(t, Options{OnPush: func(p Push) { pushes <- p }, OnGap: func(g Gap) { gaps <- g }}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	join := func(topic string, offset int64) {
		t.Helper()
		done := make(chan error, 1)
		go func() { _, err := c.Join(t.Context(), topic); done <- err }()
		call := p.call()
		if string(call.Event) != "join" || string(call.Topic) != topic {
			t.Fatalf("join: %s %s", call.Topic, call.Event)
		}
		p.ok(call.Ref, game.NewMap().Int("offset", offset).Payload())
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	next := func(topic string, offset uint64) {
		t.Helper()
		if got := <-pushes; got.Topic != topic || got.Offset != offset {
			t.Fatalf("push %s %d, want %s %d", got.Topic, got.Offset, topic, offset)
		}
	}
	join("chat:a", 5)
	p.push("chat:a", 5) // seen: the join's position
	p.push("chat:a", 6)
	p.push("chat:a", 6)
	p.push("chat:a", 0)
	p.push("", 3)
	next("chat:a", 6)
	next("chat:a", 0)
	next("", 3)
	p.push("chat:a", 9)
	if g := <-gaps; g != (Gap{Topic: "chat:a", From: 7, To: 8}) {
		t.Fatalf("gap %+v", g)
	}
	next("chat:a", 9)
	join("chat:b", 0)
	p.conn.Close()

	p = s.accept()
	h := p.welcome("s1", true, protocol.Missed{Topic: ""}, protocol.Missed{Topic: "chat:a"}, protocol.Missed{Topic: "chat:b", Missed: true})
	slices.SortFunc(h.Seen, func(a, b protocol.Seen) int { return strings.Compare(a.Topic, b.Topic) })
	if want := []protocol.Seen{{Topic: "", Offset: 3}, {Topic: "chat:a", Offset: 9}, {Topic: "chat:b", Offset: 0}}; !slices.Equal(h.Seen, want) {
		t.Fatalf("seen %v, want %v", h.Seen, want)
	}
	p.push("chat:a", 9)
	p.push("chat:a", 10)
	p.push("chat:b", 44) // after missed: any place, and no gap
	next("chat:a", 10)
	next("chat:b", 44)
	join("chat:b", 2) // below what was seen: the stream began anew
	p.push("chat:b", 3)
	next("chat:b", 3)
	if n := c.Stats(); n.Gaps != 1 || n.Duplicates != 3 || len(gaps) != 0 {
		t.Fatalf("stats %+v", n)
	}
}

func TestPushesBeforeTheJoinsAnswer(t *testing.T) {
	st := streams{}
	st.accept([]byte("chat:a"), 8)
	st.accept([]byte("chat:a"), 9)
	st.joined("chat:a", 7, 0)
	if _, fresh, missing := st.accept([]byte("chat:a"), 10); !fresh || missing != 0 {
		t.Fatal("offset 10 after 9 is neither a duplicate nor a gap")
	}
}

func TestSeenFitsIntoAHello(t *testing.T) {
	st := streams{}
	for i := range maxStreams {
		st.accept([]byte("trivia:"+strings.Repeat("x", 50)+string(rune('a'+i%26))+string(rune('a'+i/26))), 1<<60)
	}
	st.accept(nil, 7) // one too many
	delete(st, st.anyTopic())
	st.accept(nil, 7)
	h := protocol.Hello{V: 1, HasToken: true, Token: strings.Repeat("t", 1000), Session: strings.Repeat("s", 64)}
	h.Seen = st.list(1064)
	if n := len(protocol.AppendHello(nil, h)) - 4; n > protocol.MaxFrameHello || n < protocol.MaxFrameHello/2 {
		t.Fatalf("hello of %d bytes", n)
	}
	if h.Seen[0] != (protocol.Seen{Topic: "", Offset: 7}) {
		t.Fatalf("the player's own stream is not first: %v", h.Seen[0])
	}
}

func (s streams) anyTopic() string {
	for topic := range s {
		return topic
	}
	return ""
}

func TestGoawayEndsOrMoves(t *testing.T) {
	a, b := serveTCP(t), serveTCP(t)
	got := dial(t, Options{}, a.addr)
	p := a.accept()
	p.welcome("s1", false)
	c := <-got
	defer c.Abort()
	open := goCall(t.Context(), c, "x")
	p.call()
	p.send(protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeDraining, Reason: "drain", RetryMS: 1, Addrs: []string{b.addr}}))
	p = b.accept() // learned from the GOAWAY, and tried first
	p.welcome("s1", true)
	p.ok(p.call().Ref, []byte{1})
	if r := <-open; r.err != nil {
		t.Fatal(r.err)
	}
	open = goCall(t.Context(), c, "y")
	p.call()
	p.send(protocol.AppendGoaway(nil, protocol.Goaway{Code: protocol.CodeReplaced, Reason: "elsewhere", RetryMS: -1}))
	err := (<-open).err
	wantErr(t, err, ErrClosed)
	wantCode(t, err, protocol.CodeReplaced)
	<-c.Done()
	wantCode(t, c.Err(), protocol.CodeReplaced)
}

func TestCloseFromACallbackAndNoCallbackAfterIt(t *testing.T) {
	s := serveTCP(t)
	var c *Client
	ready, calls := make(chan struct{}), make(chan int, 8)
	got := dial(t, Options{OnPush: func(p Push) {
		<-ready
		calls <- int(p.Offset)
		c.Close()
	}}, s.addr)
	p := s.accept()
	p.welcome("s1", false)
	c = <-got
	p.push("", 1)
	p.push("", 2)
	r := goCall(t.Context(), c, "x")
	p.call() // the pushes were written before; they are read before the answer to this
	p.send(protocol.AppendReply(nil, 1, []byte{1}))
	<-r
	close(ready)
	<-c.Done()
	if n := <-calls; n != 1 || len(calls) != 0 {
		t.Fatalf("callbacks after Close: %d", len(calls))
	}
}
