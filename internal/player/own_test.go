package player

import (
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/protocol"
)

// says has the gateway say what the socket has of the own stream.
func (r *rig) says(conn, offset uint64) heard {
	r.t.Helper()
	r.post(envelope.Envelope{Kind: envelope.Seen, Conn: conn, Node: far, Offset: offset})
	return r.conn(conn)
}

func offsets(list []protocol.Push) (all []uint64) {
	for _, p := range list {
		all = append(all, p.Offset)
	}
	return all
}

func wantPushes(t *testing.T, h heard, want ...uint64) {
	t.Helper()
	got := offsets(h.pushes)
	if len(got) != len(want) {
		t.Fatalf("pushes %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("pushes %v, want %v", got, want)
		}
	}
}

// pushed has ann with n pushes of her own stream on connection 1, and what the backup has of her.
func pushed(t *testing.T, r *rig, n uint64) (session string) {
	t.Helper()
	session = r.hello(1, "").Session
	for i := range n {
		r.call(1, i+1, "probe:a", "push", nil)
	}
	return session
}

func TestANewOwnerSendsWhatTheSocketDoesNotHave(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		pushed(t, r, 3)
		next := r.successor(r.copy())
		defer next.workers.Close()
		if h := next.conn(1); h.probes != 1 || len(h.pushes) > 0 {
			t.Fatalf("asked %d times, sent %d pushes", h.probes, len(h.pushes))
		}
		wantPushes(t, next.send(1, frames{}.call(9, "probe:a", "push", nil))) // it would overtake those that are missed
		wantPushes(t, next.says(1, 1), 2, 3, 4)
		wantPushes(t, next.send(1, frames{}.call(10, "probe:a", "push", nil)), 5)
		wantPushes(t, next.says(1, 4), 5) // one was lost later
		wantPushes(t, next.says(2, 0))    // of another connection
	})
}

func TestASocketWhoseNodeWasTakenForGoneMustResume(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		session := r.hello(1, "").Session
		r.entity(func(w *shard.Worker, p *Entity) { p.Rebase(w, func(envelope.NodeID) bool { return false }) })
		if h := r.says(1, 0); h.goaway == nil || h.goaway.Code != protocol.CodeUnavailable {
			t.Fatalf("the session has no socket, heard %+v", h)
		}
		if w := r.hello(2, session); !w.Resumed {
			t.Fatalf("%+v", w)
		}
		if h := r.says(1, 0); h.goaway == nil || h.goaway.Code != protocol.CodeReplaced {
			t.Fatalf("the session has another socket, heard %+v", h)
		}
		if h := r.says(2, 0); h.goaway != nil {
			t.Fatalf("this is its socket, heard %+v", h)
		}
	})
}

func TestTheGatewayIsAskedUntilItAnswers(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		pushed(t, r, 1)
		next := r.successor(r.copy())
		defer next.workers.Close()
		time.Sleep(4*askSeen + askSeen/2)
		if h := next.conn(1); h.probes != 5 {
			t.Fatalf("asked %d times", h.probes)
		}
		wantPushes(t, next.says(1, 0), 1)
		time.Sleep(4 * askSeen)
		if h := next.conn(1); h.probes != 0 {
			t.Fatalf("asked %d times after the answer", h.probes)
		}
	})
}

func TestASocketThatCannotBeServedOnMustResume(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		session := pushed(t, r, 70)
		h := r.says(1, 2) // the history has 64
		if h.goaway == nil || h.goaway.Code != protocol.CodeUnavailable || len(h.pushes) > 0 {
			t.Fatalf("heard %+v", h)
		}
		w := r.hello(2, session, protocol.Seen{Topic: "", Offset: 2})
		if !w.Resumed || len(w.Missed) != 1 || !w.Missed[0].Missed {
			t.Fatalf("welcome %+v", w)
		}
		wantPushes(t, r.send(2, frames{}.call(99, "probe:a", "push", nil)), 71)
		if h := r.says(2, 100); h.goaway == nil { // it has what no copy had
			t.Fatalf("heard %+v", h)
		}
	})
}

func TestPushesFollowWelcome(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		session := pushed(t, r, 3)
		r.drain()
		r.post(envelope.Envelope{Kind: envelope.Hello, Conn: 2, Node: far, Session: session, Flags: envelope.FlagConfirm,
			Payload: protocol.AppendSeen(nil, []protocol.Seen{{Topic: "", Offset: 1}})})
		var welcomed bool
		for _, s := range r.drain() {
			switch {
			case s.Kind != envelope.Out || s.Conn != 2:
			case s.Flags&envelope.FlagWelcome != 0:
				if welcomed = true; s.Offset != 1 {
					t.Errorf("the stream goes on after %d", s.Offset)
				}
			case s.Offset != 3 || !welcomed || s.Key != ann:
				t.Errorf("pushes up to %d, welcomed %v, key %q", s.Offset, welcomed, s.Key)
			}
		}
		if !welcomed {
			t.Error("no welcome")
		}
	})
}

func TestTheSameHelloTwiceIsOneSession(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		session := pushed(t, r, 2)
		next := r.successor(r.copy())
		defer next.workers.Close()
		if w := next.hello(1, ""); w.Session != session || w.Resumed {
			t.Fatalf("welcome %+v, the session was %s", w, session)
		}
		wantPushes(t, next.says(1, 1), 2)
		if w := next.hello(2, ""); w.Session == session {
			t.Fatal("another connection began no session of its own")
		}
	})
}

func TestPushesThatCannotBeSentAreAskedFor(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		pushed(t, r, 1)
		r.drain()
		r.reach(far.Name, false)
		r.send(1, frames{}.call(5, "probe:a", "push", nil))
		r.entity(func(w *shard.Worker, p *Entity) { p.Refused(w, 1) })
		r.reach(far.Name, true)
		time.Sleep(askSeen)
		if h := r.conn(1); h.probes != 1 {
			t.Fatalf("asked %d times", h.probes)
		}
		wantPushes(t, r.says(1, 1), 2)
	})
}

// A player whose backup is far behind is told so at once, and goes on when it has caught up.
func TestABackupThatIsFarBehindMakesThePlayerBusy(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.hush()
		long := game.NewMap().Text("text", strings.Repeat("x", 1<<20)).Payload()
		var refused []protocol.Reply
		ref := uint64(0)
		for len(refused) == 0 {
			if ref++; ref > 2*replica.MaxHeldBytes>>20 {
				t.Fatal("takes more and more")
			}
			refused = r.send(1, frames{}.call(ref, "probe:a", "push", long)).replies
		}
		if refused[0].Ref != ref || refused[0].Status != protocol.CodeBusy {
			t.Fatalf("answered %+v", refused)
		}
		r.speak()
		time.Sleep(5 * time.Second)
		if a := r.call(1, ref, "probe:a", "add", nil); a.Status != protocol.CodeOK {
			t.Fatalf("the same ref again: %+v", a)
		}
	})
}

// A sum waits for members who have not heard what the room told before it.
func TestWhoHasNotHeardANoticeIsKnown(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		id := r.hello(1, "").Session
		heard := func(number uint64) (all bool) {
			r.entity(func(*shard.Worker, *Entity) { all = r.local.Heard("probe:a", number) })
			return all
		}
		if !heard(5) {
			t.Fatal("nobody is in the room")
		}
		r.call(1, 1, "probe:a", "add", nil)
		r.post(envelope.Envelope{Kind: envelope.Reply, Session: id, FromTopic: "probe:a", Flags: envelope.FlagJoined, Offset: 3, Event: "ok"})
		if !heard(3) || heard(4) {
			t.Fatal("she is a member since the third")
		}
		deaf := func(number uint64) (keys []string) {
			r.entity(func(*shard.Worker, *Entity) { keys = r.local.Deaf("probe:a", number) })
			return keys
		}
		if len(deaf(3)) != 0 || len(deaf(4)) != 1 || len(deaf(0)) != 1 {
			t.Fatal("she is to be told the fourth, and what has no number")
		}
		r.entity(func(w *shard.Worker, p *Entity) { p.Notice(w, "probe:a", "news", 4, nil) })
		if !heard(4) || heard(5) || len(deaf(4)) != 0 {
			t.Fatal("she has heard the fourth")
		}
	})
}
