package room

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

func members(f game.Fields) (names []string) {
	for _, p := range f.List("members") {
		c := protocol.NewCursor(p)
		b, _ := c.Text()
		names = append(names, string(b))
	}
	return names
}

func wantMembers(t *testing.T, f game.Fields, want ...string) {
	t.Helper()
	if got := members(f); !slices.Equal(got, want) {
		t.Fatalf("members %q, want %q", got, want)
	}
}

func TestJoin(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.ok("ann", "say", text("1"))
		all, f := r.ok("bob", "join", nil)
		wantMembers(t, f, "ann", "bob")
		if f.Int("offset") != 1 {
			t.Fatalf("offset %d", f.Int("offset"))
		}
		// The socket gets the stream before anybody hears of the member, and the answer comes last.
		if got := kinds(all); got != "[attach→far push→far reply→player/bob]" {
			t.Fatalf("sent %s", got)
		}
		if a := all[0]; a.Offset != 1 || a.Conn != connOf("bob") || a.From != "bob" || len(a.Payload) != 0 {
			t.Fatalf("attach %+v", a)
		}
		if p := all[1]; p.From != "bob" || p.Offset != 0 {
			t.Fatalf("announced %+v", p)
		}
		if a := all[2]; a.Flags&envelope.FlagJoined == 0 || a.FromTopic != topic {
			t.Fatalf("answer %+v", a)
		}
		all, _ = r.ok("ann", "say", text("2"))
		if p := all[0]; p.Kind != envelope.Push || p.Offset != 2 || p.node != far {
			t.Fatalf("push %+v", p)
		}
		all, f = r.ok("bob", "join", nil)
		if f.Bool("fresh") || len(all) != 1 {
			t.Fatalf("joined twice: %s", kinds(all))
		}
		if all[0].Flags&envelope.FlagJoined == 0 {
			t.Fatal("a member is told that it is one, in case it has not heard")
		}
	})
}

func TestLeave(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.ok("bob", "join", nil)
		all, f := r.ok("ann", "leave", nil)
		wantMembers(t, f, "bob")
		if got := kinds(all); got != "[detach→far reply→player/ann]" || all[1].Flags&envelope.FlagLeft == 0 {
			t.Fatalf("sent %s %+v", got, all)
		}
		all, _ = r.ok("ann", "kick", text("bob"))
		if got := kinds(all); got != "[detach→far cast→player/bob reply→player/ann]" {
			t.Fatalf("sent %s", got)
		}
		if c := all[1]; c.Flags&envelope.FlagLeft == 0 || c.Session != "session-of-bob" || c.Topic != topic {
			t.Fatalf("bob is told %+v", c)
		}
		if all, _ = r.ok("ann", "say", text("x")); len(all) != 1 {
			t.Fatalf("nobody listens: %s", kinds(all))
		}
	})
}

func TestInAndOutWithinOneMessage(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		_, a := r.as("ann", "turn", nil)
		if a.Flags&envelope.FlagJoined != 0 {
			t.Fatal("told that she is a member")
		}
		r.ok("bob", "join", nil)
		all, a := r.as("bob", "again", nil)
		if a.Flags&envelope.FlagJoined == 0 || kinds(all) != "[detach→far attach→far reply→player/bob]" {
			t.Fatalf("sent %s", kinds(all))
		}
		next := r.successor(r.copy())
		defer next.workers.Close()
		_, f := next.ok("bob", "who", nil)
		wantMembers(t, f, "bob")
	})
}

func TestANewSessionReplacesAMember(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		e := call("ann", 7, "join", nil)
		e.Session, e.Conn = "another", 99
		r.post(e)
		all := r.drain()
		if got := kinds(all); got != "[detach→far attach→far push→far reply→player/ann]" || all[0].Conn != connOf("ann") || all[1].Conn != 99 {
			t.Fatalf("sent %s", got)
		}
		r.post(envelope.Envelope{Kind: envelope.Call, Flags: envelope.FlagLeft, From: "player/ann", Session: "session-of-ann", Ref: 3}) // the old one's
		if all := r.drain(); kinds(all) != "[reply→player/ann]" {
			t.Fatalf("the old session's leave: %s", kinds(all))
		}
		_, f := r.ok("bob", "who", nil)
		wantMembers(t, f, "ann")
	})
}

func TestASessionEnds(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.ok("bob", "join", nil)
		e := envelope.Envelope{Kind: envelope.Call, Flags: envelope.FlagLeft, From: "player/ann", Session: "session-of-ann", Ref: 3}
		r.post(e)
		all := r.drain()
		if got := kinds(all); got != "[detach→far push→far reply→player/ann]" {
			t.Fatalf("sent %s", got)
		}
		if p, _ := protocol.ParsePush(all[1].Payload[4:]); string(p.Event) != "left" {
			t.Fatalf("announced %s", p.Event)
		}
		r.post(e)
		if all := r.drain(); kinds(all) != "[reply→player/ann]" || all[0].Event != "ok" {
			t.Fatalf("told again: %s", kinds(all))
		}
		if s := r.copy(); s["m/ann"] != nil || s["m/bob"] == nil {
			t.Fatalf("the backup has %v", s)
		}
	})
}

func TestAHandlerThatFailsChangesNothing(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		for _, name := range []string{"ann", "bob", "cyn", "dan"} {
			r.ok(name, "join", nil)
		}
		r.ok("ann", "say", text("1"))
		all, a := r.as("eve", "boom", nil)
		if a.Event != string(protocol.CodeInternal) || len(all) != 1 {
			t.Fatalf("%s: %s", a.Event, kinds(all))
		}
		_, f := r.ok("ann", "who", nil)
		wantMembers(t, f, "ann", "bob", "cyn", "dan")
		if f.Int("n") != 1 || f.Int("offset") != 1 {
			t.Fatalf("n %d offset %d", f.Int("n"), f.Int("offset"))
		}
		if len(r.dead) != 1 || r.dead[0].Key != key || r.dead[0].What != topic+" boom" {
			t.Fatalf("dead letters %+v", r.dead)
		}
		all, _ = r.ok("bob", "leave", nil) // the places are right, too
		if got := kinds(all); got != "[detach→far reply→player/bob]" {
			t.Fatalf("sent %s", got)
		}
		_, f = r.ok("ann", "who", nil)
		wantMembers(t, f, "ann", "cyn", "dan")
		for range 4 {
			r.as("eve", "boom", nil)
		}
		if _, a = r.as("ann", "who", nil); a.Event != string(protocol.CodeUnavailable) {
			t.Fatalf("in quarantine: %s", a.Event)
		}
		time.Sleep(time.Second)
		r.ok("ann", "who", nil)
	})
}

func TestACallThatComesAgainIsDoneOnce(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		_, first := r.as("ann", "say", text("1"))
		_, left := r.as("ann", "leave", nil)
		next := r.successor(r.copy()) // the player's owner and the room's died together
		defer next.workers.Close()
		again := func(a sent, event string) {
			t.Helper()
			next.drain()
			next.post(call("ann", a.Ref, event, text("1")))
			all := next.drain()
			if len(all) != 1 || !bytes.Equal(all[0].Payload, a.Payload) || all[0].Event != a.Event {
				t.Fatalf("%s again: %+v, was %+v", event, all, a)
			}
		}
		again(left, "leave")
		next.ok("ann", "join", nil)
		_, second := next.as("ann", "say", text("2"))
		again(second, "say")
		next.ok("ann", "leave", nil)
		_, f := next.ok("bob", "who", nil)
		if f.Int("offset") != 2 {
			t.Fatalf("offset %d", f.Int("offset"))
		}
		_ = first
		// Another session may use the same ref.
		e := call("bob", second.Ref, "say", text("3"))
		next.post(e)
		if all := next.of(envelope.Reply); len(all) != 1 || bytes.Equal(all[0].Payload, second.Payload) {
			t.Fatalf("another player's call with the same ref: %+v", all)
		}
	})
}

func TestRememberedCallsAreBounded(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		for range 3 * recentCalls {
			r.ok("ann", "say", text("x"))
			r.ok("zed", "say", text("x")) // of nobody in the room
		}
		n := 0
		for name := range r.copy() {
			if name[0] == 'r' {
				n++
			}
		}
		if n != recentCalls+pastCalls {
			t.Fatalf("the backup remembers %d calls", n)
		}
	})
}

func TestTimersOutliveAHandlerThatFails(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.ok("ann", "after", game.NewMap().Int("ms", 100).Payload())
		time.Sleep(200 * time.Millisecond)
		if all := r.of(envelope.Push); len(all) != 0 {
			t.Fatalf("rang: %+v", all)
		}
		r.ok("ann", "say", nil)
		r.ok("ann", "say", nil)
		time.Sleep(retryEvery)
		if all := r.of(envelope.Push); len(all) == 0 || all[0].Offset != 3 {
			t.Fatalf("did not ring: %+v", all)
		}
	})
}

func TestEveryCallOfARoomIsAnswered(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.ok("ann", "ask", game.NewMap().Int("times", 4100).Payload())
		time.Sleep(10 * time.Millisecond)
		if n := r.position(); n != 4 {
			t.Fatalf("%d calls failed at once", n)
		}
		time.Sleep(game.CallTimeout)
		if n := r.position(); n != 4100 {
			t.Fatalf("%d calls were answered", n)
		}
	})
}

func (r *rig) position() (n uint64) {
	r.t.Helper()
	r.home(func(_ *shard.Worker, h *Home) { n = h.stream.Offset() })
	return n
}

func TestCallsToDeadNodesFail(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "ask", game.NewMap().Int("times", 2).Payload())
		r.home(func(w *shard.Worker, h *Home) { h.Rebase(w, func(n envelope.NodeID) bool { return n != here }) })
		if n := r.position(); n != 2 {
			t.Fatalf("%d were answered", n)
		}
	})
}

func TestADeferredJoin(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		_, a := r.as("ann", "defer", nil)
		if a.Flags&envelope.FlagJoined == 0 || a.Flags&envelope.FlagClient == 0 {
			t.Fatalf("answer %+v", a)
		}
	})
}

func TestCloseRoom(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		for _, name := range []string{"ann", "bob"} {
			r.ok(name, "join", nil)
		}
		r.home(func(w *shard.Worker, h *Home) { h.CloseRoom(w) })
		told := 0
		for _, s := range r.of(envelope.Cast) {
			if s.Flags&envelope.FlagLeft != 0 {
				told++
			}
		}
		if told != 2 {
			t.Fatalf("%d members were told", told)
		}
		_, f := r.ok("cyn", "who", nil)
		wantMembers(t, f)
	})
}

func TestNoSuchRoom(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		e := call("ann", 1, "join", nil)
		e.Key = "nogame/x"
		e.Part = shard.PartitionOf(e.Key)
		if err := r.workers.Post(&e); err != nil {
			t.Fatal(err)
		}
		if all := r.drain(); len(all) != 1 || all[0].Event != string(protocol.CodeNotFound) {
			t.Fatalf("answer %+v", all)
		}
	})
}
