package room

import (
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// TestCallsOfRoomsAreAnsweredAfterAMove: the answer to a room's call comes to wherever the room is by then; after a crash, where it
// may have been lost, the call fails at once.
func TestCallsOfRoomsAreAnsweredAfterAMove(t *testing.T) {
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
				r.ok("ann", "join", nil)
				r.drain()
				r.post(call("ann", 7, "ask", game.NewMap().Int("times", 1).Payload()))
				asked := r.of(envelope.Call)
				if len(asked) != 1 {
					t.Fatalf("asked %+v", asked)
				}
				next := r.successor(c.give(r))
				defer next.workers.Close()
				next.post(envelope.Envelope{Kind: envelope.Reply, Ref: asked[0].Ref, Event: string(protocol.CodeOK), Payload: game.EmptyMap})
				time.Sleep(10 * time.Millisecond)
				var heard []string
				next.home(func(_ *shard.Worker, h *Home) {
					for _, f := range h.stream.Frames() {
						p, _ := protocol.ParsePush(f[protocol.LengthSize:])
						fields := game.Payload(p.Payload).Fields()
						heard = append(heard, fields.Text("status"))
					}
				})
				if len(heard) != 1 || heard[0] != c.heard {
					t.Fatalf("the room heard %q, want %q", heard, c.heard)
				}
			})
		})
	}
}
