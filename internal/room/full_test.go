package room

import (
	"strings"
	"testing"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/protocol"
)

// A room whose backup is far behind says so at once, does nothing, and goes on when the backup has caught up.
func TestABackupThatIsFarBehindMakesTheRoomBusy(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.set(func() { r.mute = true })
		said, refused := 0, sent{}
		for refused.Kind == 0 {
			if said++; said > replica.MaxHeldBytes>>20+1 {
				t.Fatal("takes more and more")
			}
			r.ref++
			r.post(call("ann", r.ref, "say", text(strings.Repeat("x", 1<<20))))
			for _, s := range r.drain() {
				if s.Kind == envelope.Reply && s.Ref == r.ref {
					refused = s
				}
			}
		}
		if refused.Event != string(protocol.CodeBusy) || refused.Flags != envelope.FlagClient || refused.Session == "" {
			t.Fatalf("answered %+v", refused.Envelope)
		}
		r.post(envelope.Envelope{Kind: envelope.Cast, Topic: topic, Event: "say", From: "player/bob", Payload: text("hi")})
		for _, s := range r.drain() {
			t.Errorf("sent %+v", s.Envelope)
		}
		r.set(func() { r.mute = false })
		time.Sleep(5 * time.Second)
		r.drain()
		if _, f := r.ok("ann", "say", text("hi")); f.Int("offset") != int64(said) {
			t.Fatalf("offset %d after %d", f.Int("offset"), said-1)
		}
	})
}
