package hostile

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// TestHalfOpenClient: a client that has gone without a word is closed two heartbeats after its last one; its session stays, with
// what was pushed meanwhile, and nobody is told that it left.
func TestHalfOpenClient(t *testing.T) {
	t.Parallel()
	const heartbeat = time.Second
	n := start(t, "--heartbeat", heartbeat.String())
	w := hire(t, n, 1, "chat:lobby")

	p, wel := mustLogin(t, n.Players, "gone", "")
	if wel.HeartbeatMS != heartbeat.Milliseconds() {
		t.Errorf("heartbeat_ms %d", wel.HeartbeatMS)
	}
	r, err := p.call(1, "chat:lobby", "join", nil)
	if err != nil || r.Status != protocol.CodeOK {
		t.Fatalf("join: %v %v", r.Status, err)
	}
	f := game.Payload(r.Payload).Fields()
	seen := uint64(f.Int("offset"))
	deaf := dial(t, n.Players) // does not even read
	if _, err := deaf.Write(hello("deaf", "")); err != nil {
		t.Fatal(err)
	}
	lines := dial(t, n.Players)
	if _, err := lines.Write([]byte(`[1,{"v":1,"name":"lines"}]` + "\n")); err != nil {
		t.Fatal(err)
	}
	last := time.Now()
	check := func(who string) {
		if d := time.Since(last); d < 2*heartbeat-200*time.Millisecond || d > 2*heartbeat+2*time.Second {
			t.Errorf("%s: closed after %v", who, d)
		}
	}
	if _, err := p.next(protocol.KindPing); err != nil {
		t.Error(err)
	}
	if g, ok, err := p.last(); err != nil || !ok || g.Code != protocol.CodeIdle || g.RetryMS < 0 {
		t.Errorf("GOAWAY %+v %v %v", g, ok, err)
	}
	check("binary")
	var all bytes.Buffer
	if _, err := all.ReadFrom(lines.r); err != nil || !strings.Contains(all.String(), `[8,{"code":"idle"`) {
		t.Errorf("JSON got %q %v", all.String(), err)
	}
	check("JSON")
	await(t, "the three are closed", func() bool { return n.metric(closedBy("idle")) == 3 })
	check("deaf")

	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if _, err := w.all[0].Call(ctx, "chat:lobby", "say", game.NewMap().Text("text", "0 still there?")); err != nil {
		t.Fatal(err)
	}
	back := dial(t, n.Players)
	again := protocol.AppendHello(nil, protocol.Hello{V: 1, HasName: true, Name: "gone", Session: wel.Session,
		Seen: []protocol.Seen{{Topic: "chat:lobby", Offset: seen}}})
	if _, err := back.Write(again); err != nil {
		t.Fatal(err)
	}
	b, err := back.next(protocol.KindWelcome)
	if err != nil {
		t.Fatal(err)
	}
	if wel, _ := protocol.ParseWelcome(b); !wel.Resumed {
		t.Errorf("not resumed: %+v", wel)
	}
	if b, err = back.next(protocol.KindPush); err != nil {
		t.Fatal(err)
	}
	push, _ := protocol.ParsePush(b)
	said := game.Payload(push.Payload).Fields()
	if text := said.Text("text"); push.Offset != seen+1 || text != "0 still there?" {
		t.Errorf("replayed: %d %q", push.Offset, text)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.bad {
		t.Error(b)
	}
	if got := n.metric(closedBy("idle")); got != 3 {
		t.Errorf("%v closed as idle", got)
	}
}
