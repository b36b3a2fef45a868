package player

import (
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// TestCallsOfPartsAreAnsweredAfterAMove: the answer to a part's call comes to wherever its player is by then; after a crash, where it
// may have been lost, the call fails at once.
func TestCallsOfPartsAreAnsweredAfterAMove(t *testing.T) {
	cases := []struct {
		story string
		give  func(r *rig) state.Sections
		heard string
	}{
		{"a move", (*rig).handedOver, string(protocol.CodeOK)},
		{"a crash", (*rig).copy, string(protocol.CodeUnavailable)},
	}
	for _, c := range cases {
		t.Run(c.story, func(t *testing.T) {
			run(t, func(t *testing.T, r *rig) {
				r.hello(1, "")
				r.drain()
				r.send(1, frames{}.call(1, "probe:a", "ask", nil))
				var ref uint64
				for _, s := range r.routed() {
					if s.Kind == envelope.Call && s.Event == "question" {
						ref = s.Ref
					}
				}
				if ref == 0 {
					t.Fatal("no call left")
				}
				next := r.successor(c.give(r))
				defer next.workers.Close()
				next.post(envelope.Envelope{Kind: envelope.Reply, Ref: ref, Event: string(protocol.CodeOK), Payload: game.EmptyMap})
				time.Sleep(10 * time.Millisecond)
				var heard []string
				next.entity(func(_ *shard.Worker, p *Entity) {
					for _, f := range p.own.Frames() {
						push, _ := protocol.ParsePush(f[protocol.LengthSize:])
						fields := game.Payload(push.Payload).Fields()
						heard = append(heard, fields.Text("status"))
					}
				})
				if len(heard) != 1 || heard[0] != c.heard {
					t.Fatalf("the part heard %q, want %q", heard, c.heard)
				}
			})
		})
	}
}

func FuzzMovedCalls(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0xa1, 'a', 0xa1, 'b', 0xa1, 'c', 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(parseMoved(b)); n*5 > len(b) {
			t.Fatalf("%d calls of %d bytes", n, len(b))
		}
	})
}
