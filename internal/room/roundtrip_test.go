package room

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

type op struct {
	who, what string
	ref       uint64
}

// leaks finds what the backup has and the room has not, or has otherwise.
func (r *rig) leaks() (found []string) {
	var c state.Change
	r.home(func(_ *shard.Worker, h *Home) { h.whole(&c) })
	all := state.Sections{}
	if err := all.Apply(c.Append(nil)); err != nil {
		r.t.Fatal(err)
	}
	kept := r.copy()
	if kept == nil {
		return nil
	}
	for name, b := range kept {
		switch v, ok := all[name]; {
		case name == timersSection, name == roundsSection: // times are rounded, attempts go on
		case !ok:
			found = append(found, "too much: "+name)
		case !bytes.Equal(v, b):
			found = append(found, fmt.Sprintf("%s is %q, should be %q", name, b, v))
		}
	}
	for name, b := range all {
		if _, ok := kept[name]; !ok && len(b) > 0 && name != roundsSection && name != lastSection && name != offsetSection {
			found = append(found, "missing: "+name)
		}
	}
	return found
}

func TestStateGoesRound(t *testing.T) {
	one := rapid.Custom(func(t *rapid.T) op {
		return op{
			who:  rapid.SampledFrom([]string{"ann", "bob", "cyn", "dan"}).Draw(t, "who"),
			what: rapid.SampledFrom([]string{"join", "join", "leave", "say", "say", "turn", "again", "boom", "news", "collect", "ask", "after", "end", "resume", "who"}).Draw(t, "what"),
			ref:  rapid.Uint64Range(1, 30).Draw(t, "ref"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		ops := rapid.SliceOfN(one, 1, 60).Draw(rt, "ops")
		move := rapid.Bool().Draw(rt, "move")
		if !t.Run("life", func(t *testing.T) {
			run(t, func(t *testing.T, r *rig) {
				r.ok("zed", "join", nil)
				for _, o := range ops {
					switch o.what {
					case "end":
						r.post(envelope.Envelope{Kind: envelope.Call, Flags: envelope.FlagLeft, From: "player/" + o.who, Session: "session-of-" + o.who, Ref: 1})
					case "resume":
						r.resume(o.who, o.ref, 0)
					case "ask":
						r.post(call(o.who, o.ref, o.what, game.NewMap().Int("times", 1).Payload()))
					case "after":
						r.post(call(o.who, o.ref, o.what, game.NewMap().Int("ms", 100_000).Payload()))
					default:
						r.post(call(o.who, o.ref, o.what, text("x")))
					}
				}
				time.Sleep(2 * game.CallTimeout)
				r.ok("zed", "say", text("last"))
				if found := r.leaks(); len(found) > 0 {
					t.Errorf("the backup: %q", found)
				}
				s := r.copy()
				if move {
					s = r.handedOver()
				}
				next := r.successor(s)
				defer next.workers.Close()
				_, want := r.as("zed", "who", nil)
				_, got := next.as("zed", "who", nil)
				if !bytes.Equal(want.Payload, got.Payload) {
					t.Errorf("%q, was %q", got.Payload, want.Payload)
				}
				for _, o := range ops {
					r.drain()
					next.drain()
					e := call(o.who, o.ref, "who", nil) // whatever was asked first
					if o.what == "join" || o.what == "again" || o.what == "boom" || o.what == "turn" {
						continue
					}
					r.post(e)
					next.post(e)
					a, b := r.of(envelope.Reply), next.of(envelope.Reply)
					if len(a) != 1 || len(b) != 1 || !bytes.Equal(a[0].Payload, b[0].Payload) || a[0].Event != b[0].Event || a[0].Flags != b[0].Flags {
						t.Errorf("ref %d of %s: %+v, was %+v", o.ref, o.who, b, a)
					}
				}
			})
		}) {
			rt.Fatalf("ops %+v", ops)
		}
	})
}
