package room

import (
	"slices"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// resume goes on with a member's stream; seen below 0: not named. It gives the room's answer and what the gateway got.
func (r *rig) resume(player string, conn uint64, seen int64) (answer sent, attach *sent) {
	r.t.Helper()
	e := envelope.Envelope{Kind: envelope.Call, Topic: topic, From: envelope.PlayerPrefix + player, FromTopic: topic, Ref: 77, Flags: envelope.FlagResume,
		Conn: conn, Node: far, Session: "session-of-" + player}
	if seen >= 0 {
		e.Event, e.Offset = "seen", uint64(seen)
	}
	r.drain()
	r.post(e)
	for _, s := range r.drain() {
		switch s.Kind {
		case envelope.Reply:
			answer = s
		case envelope.Attach:
			attach = &s
		}
	}
	return answer, attach
}

func TestResume(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		for range 3 {
			r.ok("ann", "say", text("before"))
		}
		r.ok("bob", "join", nil) // at 3
		for range 4 {
			r.ok("ann", "say", text("after"))
		}
		for _, c := range []struct {
			seen   int64
			want   []uint64
			missed bool
		}{
			{7, nil, false}, {5, []uint64{6, 7}, false}, {3, []uint64{4, 5, 6, 7}, false},
			{1, []uint64{4, 5, 6, 7}, false}, // below the offset at the join: counts as that
			{-1, nil, true}, {8, nil, true},
		} {
			a, at := r.resume("bob", 50, c.seen)
			if a.Event != "ok" || (a.Offset == 1) != c.missed || at == nil {
				t.Fatalf("seen %d: %+v %+v", c.seen, a, at)
			}
			if got := offsets(t, at.Payload); !slices.Equal(got, c.want) || at.Conn != 50 || at.Offset != 7 {
				t.Fatalf("seen %d: replayed %v at %d, want %v", c.seen, got, at.Offset, c.want)
			}
		}
		for range 70 {
			r.ok("ann", "say", text("much"))
		}
		if a, at := r.resume("bob", 51, 7); a.Offset != 1 || len(at.Payload) != 0 {
			t.Fatal("beyond the history: all or nothing")
		}
		if a, at := r.resume("cyn", 52, 7); a.Event != string(protocol.CodeNotFound) || at != nil {
			t.Fatalf("no member: %+v", a)
		}
		all, _ := r.ok("ann", "say", text("x"))
		if got := kinds(all); got != "[push→far reply→player/ann]" {
			t.Fatalf("sent %s", got)
		}
	})
}

func TestALateGatewayGetsWhatItMissed(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "say", text("1"))
		r.set(func() { r.down[far] = true })
		r.as("bob", "join", nil)
		r.ok("ann", "say", text("2"))
		time.Sleep(time.Second)
		r.drain()
		r.set(func() { r.down[far] = false })
		time.Sleep(2 * lateEvery)
		var at []sent
		for _, s := range r.drain() {
			if s.Kind == envelope.Attach {
				at = append(at, s)
			}
		}
		if len(at) != 1 || !slices.Equal(offsets(t, at[0].Payload), []uint64{2}) || at[0].Offset != 2 {
			t.Fatalf("attached %+v", at)
		}
	})
}

func TestALateGatewayThatMissedTooMuchIsSentAway(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.set(func() { r.down[far] = true })
		r.as("bob", "join", nil)
		for range 70 {
			r.ok("ann", "say", text("x"))
		}
		r.set(func() { r.down[far] = false })
		time.Sleep(2 * lateEvery)
		if out := r.of(envelope.Out); len(out) != 1 || out[0].Flags&envelope.FlagClose == 0 || out[0].Conn != connOf("bob") {
			t.Fatalf("sent away: %+v", out)
		}
	})
}

func TestRelaysAreToldWhereTheStreamIs(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("bob", "join", nil)
		r.set(func() { r.down[far] = true })
		r.as("ann", "say", text("lost"))
		time.Sleep(time.Second)
		r.drain()
		r.set(func() { r.down[far] = false })
		time.Sleep(time.Second)
		told := r.of(envelope.Push)
		if len(told) == 0 || told[0].Flags&envelope.FlagResync == 0 || told[0].Offset != 1 {
			t.Fatalf("told %+v", told)
		}
		r.post(envelope.Envelope{Kind: envelope.Cast, Topic: topic, Flags: envelope.FlagResume, Offset: 0, Node: far})
		got := r.of(envelope.Push)
		if len(got) != 2 || got[0].Flags&envelope.FlagResume == 0 || got[0].Offset != 0 || got[1].Offset != 1 || len(got[1].Payload) == 0 {
			t.Fatalf("the rest: %+v", got)
		}
		time.Sleep(5 * time.Second)
		if told := r.of(envelope.Push); len(told) != 0 {
			t.Fatalf("told for ever: %+v", told)
		}
	})
}

func TestMembersOnADeadNodeWaitUntilTheyResume(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.home(func(w *shard.Worker, h *Home) { h.Rebase(w, func(n envelope.NodeID) bool { return n != far }) })
		all, _ := r.ok("ann", "say", text("x"))
		if len(all) != 1 {
			t.Fatalf("sent %s", kinds(all))
		}
		if _, at := r.resume("ann", 9, 0); at == nil || !slices.Equal(offsets(t, at.Payload), []uint64{1}) {
			t.Fatalf("attached %+v", at)
		}
	})
}

// handedOver is what another owner gets of the room.
func (r *rig) handedOver() state.Sections {
	r.t.Helper()
	var c state.Change
	r.home(func(w *shard.Worker, h *Home) {
		if !h.Whole(&c) {
			r.t.Error("the room has no state")
		}
		h.Moved(w)
	})
	s := state.Sections{}
	if err := s.Apply(c.Append(nil)); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func TestARoomGoesOnElsewhere(t *testing.T) {
	for _, how := range []string{"crash", "move"} {
		t.Run(how, func(t *testing.T) {
			run(t, func(t *testing.T, r *rig) {
				r.ok("ann", "join", nil)
				r.ok("bob", "join", nil)
				for range 70 {
					r.ok("ann", "say", text("x"))
				}
				r.ok("ann", "leave", nil)
				r.ok("cyn", "join", nil)
				r.ok("ann", "join", nil)
				r.ok("ann", "after", game.NewMap().Int("ms", 5000).Payload())
				s := r.copy()
				if how == "move" {
					s = r.handedOver()
				}
				next := r.successor(s)
				defer next.workers.Close()
				if got := next.of(envelope.Push); len(got) != 1 || got[0].Flags&envelope.FlagResync == 0 || got[0].Offset != 70 || got[0].node != far {
					t.Fatalf("the relays are told %+v", got)
				}
				_, f := next.ok("bob", "who", nil)
				wantMembers(t, f, "bob", "cyn", "ann")
				if f.Int("n") != 70 || f.Int("offset") != 70 {
					t.Fatalf("n %d offset %d", f.Int("n"), f.Int("offset"))
				}
				if _, at := next.resume("bob", 9, 6); at == nil || len(offsets(t, at.Payload)) != 64 {
					t.Fatal("the history did not come along")
				}
				all, _ := next.ok("zed", "say", text("y"))
				if got := kinds(all); got != "[push→far reply→player/zed]" {
					t.Fatalf("sent %s", got)
				}
				time.Sleep(6 * time.Second)
				if n := next.position(); n != 72 {
					t.Fatalf("the timer did not ring: %d", n)
				}
			})
		})
	}
}

func TestOutputThatWaitedForTheBackupMovesAlong(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.set(func() { r.mute = true })
		r.post(call("ann", 50, "say", text("1")))
		if all := r.drain(); len(all) != 0 {
			t.Fatalf("left before the backup had it: %s", kinds(all))
		}
		next := r.successor(r.handedOver())
		defer next.workers.Close()
		pushes, replies := 0, 0
		for _, s := range next.drain() {
			switch {
			case s.Kind == envelope.Push && s.Offset == 1 && s.Flags == 0:
				pushes++
			case s.Kind == envelope.Reply && s.Ref == 50 && s.Event == "ok":
				replies++
			}
		}
		if pushes != 1 || replies != 1 || len(r.drain()) != 0 {
			t.Fatalf("%d pushes, %d replies", pushes, replies)
		}
	})
}

func TestAnEmptyRoomIsNotKept(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "who", nil)
		r.home(func(w *shard.Worker, h *Home) {
			if !h.Idle(w) {
				t.Error("an empty room is not idle")
			}
		})
		r.ok("ann", "join", nil)
		r.home(func(w *shard.Worker, h *Home) {
			if h.Idle(w) {
				t.Error("a room with members is idle")
			}
		})
	})
}
