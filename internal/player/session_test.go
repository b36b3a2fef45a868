package player

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// joinRoom makes ann a member of a topic, as its room would.
func (r *rig) joinRoom(conn, ref uint64, session, topic string) {
	r.t.Helper()
	r.send(conn, frames{}.call(ref, topic, "pass", nil))
	r.drain()
	r.post(envelope.Envelope{Kind: envelope.Reply, Ref: ref, Flags: envelope.FlagClient | envelope.FlagJoined, Session: session, FromTopic: topic, Event: "ok"})
	wantCode(r.t, r.conn(conn).reply(r.t, ref), protocol.CodeOK)
}

// resume says hello and answers for the rooms: missed by topic; what is not named cannot be found.
func (r *rig) resume(conn uint64, session string, rooms map[string]bool, seen ...protocol.Seen) (protocol.Welcome, []sent) {
	r.t.Helper()
	e := envelope.Envelope{Kind: envelope.Hello, Conn: conn, Node: far, Session: session, Payload: protocol.AppendSeen(nil, seen), Flags: envelope.FlagConfirm}
	r.post(e)
	asked := r.routed()
	for _, s := range asked {
		a := envelope.Envelope{Kind: envelope.Reply, Ref: s.Ref, FromTopic: s.Topic, Event: "ok"}
		missed, known := rooms[s.Topic]
		switch {
		case !known:
			a.Event = string(protocol.CodeNotFound)
		case missed:
			a.Offset = 1
		}
		r.post(a)
	}
	h := r.conn(conn)
	if h.welcome == nil {
		r.t.Fatalf("no welcome: %+v", h)
	}
	return *h.welcome, asked
}

func missedOf(w protocol.Welcome) map[string]bool {
	m := map[string]bool{}
	for _, x := range w.Missed {
		m[x.Topic] = x.Missed
	}
	return m
}

func push(n int) frames { return frames{}.call(uint64(1000+n), "solo:", "push", nil) }

func TestANewSession(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		if w.Player != "ann" || len(w.Session) != 32 || w.Resumed || len(w.Missed) != 0 || w.Node != far.Name || w.Limits.Outstanding != OpenCalls {
			t.Fatalf("welcome %+v", w)
		}
		v := r.hello(2, "0123456789abcdef0123456789abcdef")
		if v.Resumed || v.Session == w.Session {
			t.Fatalf("an unknown session: %+v", v)
		}
		if h := r.conn(1); h.goaway == nil || h.goaway.Code != protocol.CodeReplaced || h.goaway.RetryMS != -1 {
			t.Fatalf("the old socket got %+v", h.goaway)
		}
		if n := r.metrics.Live(); n != 1 {
			t.Fatalf("%d sessions", n)
		}
	})
}

func TestASocketThatEndedTakesNothingOver(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.post(envelope.Envelope{Kind: envelope.Hello, Conn: 2, Node: far})
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 2, Node: far}) // the gateway's word
		if h := r.conn(1); h.goaway != nil {
			t.Fatalf("the live socket got %+v", h.goaway)
		}
		wantN(t, r.call(1, 1, "solo:", "add", nil), 1)
	})
}

func TestCallsOfAnotherConnection(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		h := r.send(5, frames{}.call(1, "solo:", "add", nil))
		if h.goaway == nil || h.goaway.Code != protocol.CodeUnavailable {
			t.Fatalf("without a session: %+v", h)
		}
		r.hello(1, "")
		h = r.send(5, frames{}.call(1, "solo:", "add", nil).call(0, "solo:", "add", nil))
		wantCode(t, h.reply(t, 1), protocol.CodeUnavailable)
		wantN(t, r.call(1, 1, "solo:", "get", nil), 0)
	})
}

func TestResumeReplaysTheOwnStream(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.send(1, push(1))
		r.send(1, push(2))
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far})
		r.post(envelope.Envelope{Kind: envelope.Cast, From: "rooms/x", Topic: "solo:", Event: "push"})
		check := func(conn uint64, want []uint64, missed bool, seen ...protocol.Seen) {
			t.Helper()
			e := envelope.Envelope{Kind: envelope.Hello, Conn: conn, Node: far, Session: w.Session, Payload: protocol.AppendSeen(nil, seen), Flags: envelope.FlagConfirm}
			r.post(e)
			h := r.conn(conn)
			if h.welcome == nil || !h.welcome.Resumed || h.welcome.Session != w.Session {
				t.Fatalf("welcome %+v", h.welcome)
			}
			if m := missedOf(*h.welcome); len(m) != 1 || m[""] != missed {
				t.Fatalf("missed %v, want %v", m, missed)
			}
			var got []uint64
			for _, p := range h.pushes {
				got = append(got, p.Offset)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("replayed %v, want %v", got, want)
			}
		}
		check(2, []uint64{3}, false, protocol.Seen{Topic: "", Offset: 2})
		check(3, []uint64{1, 2, 3}, false)                                                                            // not named: since the session began
		check(4, nil, false, protocol.Seen{Topic: "", Offset: 3})                                                     // nothing
		check(5, nil, true, protocol.Seen{Topic: "", Offset: 4})                                                      // the stream never was there
		check(6, []uint64{3}, false, protocol.Seen{Topic: "", Offset: 2}, protocol.Seen{Topic: "rooms:x", Offset: 9}) // not joined: ignored
		for n := range 70 {
			r.send(6, push(10+n))
		}
		check(7, nil, true, protocol.Seen{Topic: "", Offset: 3}) // beyond the history: all or nothing

		v := r.hello(8, "")
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 8, Node: far})
		w = v
		check(9, nil, false) // the numbers go on across sessions
		if h := r.send(9, push(200)); h.pushes[0].Offset != 74 {
			t.Fatalf("offset %d", h.pushes[0].Offset)
		}
	})
}

func TestResumeAsksTheRooms(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.joinRoom(1, 1, w.Session, "rooms:a")
		r.joinRoom(1, 2, w.Session, "rooms:b")
		r.joinRoom(1, 3, w.Session, "probe:c")
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far})
		got, asked := r.resume(2, w.Session, map[string]bool{"rooms:a": false, "rooms:b": true}, protocol.Seen{Topic: "rooms:a", Offset: 7})
		if len(asked) != 3 {
			t.Fatalf("asked %+v", asked)
		}
		for _, s := range asked {
			named := s.Topic == "rooms:a"
			if s.Flags&envelope.FlagResume == 0 || s.Session != w.Session || s.Conn != 2 || (s.Event == "seen") != named || named && s.Offset != 7 {
				t.Fatalf("asked %+v", s)
			}
		}
		m := missedOf(got)
		if len(m) != 4 || m["rooms:a"] || !m["rooms:b"] || !m["probe:c"] || m[""] {
			t.Fatalf("missed %v", m)
		}
		got, _ = r.resume(3, w.Session, map[string]bool{"rooms:a": false, "rooms:b": false})
		if m := missedOf(got); len(m) != 3 {
			t.Fatalf("a room that does not know the member is left: %v", m)
		}
	})
}

func TestAResumeWaitsForARoomThatFailsOver(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.joinRoom(1, 1, w.Session, "rooms:a")
		r.reach("rooms/a", false)
		e := envelope.Envelope{Kind: envelope.Hello, Conn: 2, Node: far, Session: w.Session, Flags: envelope.FlagConfirm}
		r.post(e)
		time.Sleep(2 * time.Second)
		if h := r.conn(2); h.welcome != nil || h.goaway != nil {
			t.Fatalf("while it fails over: %+v", h)
		}
		r.reach("rooms/a", true)
		time.Sleep(2 * resumeEvery)
		asked := r.routed()
		if len(asked) != 1 {
			t.Fatalf("asked %+v", asked)
		}
		r.post(envelope.Envelope{Kind: envelope.Reply, Ref: asked[0].Ref, FromTopic: "rooms:a", Event: "ok"})
		if h := r.conn(2); h.welcome == nil || !h.welcome.Resumed {
			t.Fatalf("then: %+v", h)
		}
		r.reach("rooms/a", false)
		e.Conn = 3
		r.post(e)
		time.Sleep(helloWait + time.Second)
		if h := r.conn(3); h.welcome != nil || h.goaway == nil || h.goaway.Code != protocol.CodeUnavailable || h.goaway.RetryMS < 0 {
			t.Fatalf("a room that stays away: %+v", h)
		}
	})
}

func TestASessionOutlivesItsSocketByTheTTL(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.joinRoom(1, 1, w.Session, "probe:a")
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far})
		time.Sleep(time.Minute - time.Second)
		if r.metrics.Live() != 1 {
			t.Fatal("the session ended early")
		}
		r.drain()
		time.Sleep(2 * time.Second)
		if r.metrics.Live() != 0 {
			t.Fatal("the session did not end")
		}
		left := r.routed()
		if len(left) != 1 || left[0].Flags&envelope.FlagLeft == 0 || left[0].Key != "probe/a" || left[0].Session != w.Session {
			t.Fatalf("the room heard %+v", left)
		}
		if v := r.hello(2, w.Session); v.Resumed {
			t.Fatal("an expired session was resumed")
		}
	})
}

// The client may be connected on the other side of a split, where nobody says that his session ended.
func TestASessionOfASilentGatewayOutlivesASplit(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.joinRoom(1, 1, w.Session, "probe:a")
		gateway := func(m ...shard.Missing) {
			next := tableOf(here, backup)
			next.Term, next.Missing = r.Table().Term+1, m
			next.Seal()
			r.mu.Lock()
			r.table = next
			r.mu.Unlock()
			r.entity(func(w *shard.Worker, p *Entity) { p.Rebase(w, func(n envelope.NodeID) bool { return n != far }) })
		}
		gateway(shard.Missing{ID: far})
		time.Sleep(10 * time.Minute)
		if r.metrics.Live() != 1 {
			t.Fatal("the session ended while its gateway may live")
		}
		gateway(shard.Missing{ID: far, Dead: true})
		time.Sleep(2*time.Minute + time.Second)
		if r.metrics.Live() != 0 {
			t.Fatal("the session of a dead gateway did not end")
		}
	})
}

func TestByeEndsTheSession(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.call(1, 1, "solo:", "add", nil)
		r.joinRoom(1, 2, w.Session, "probe:a")
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 7, Node: far, Flags: envelope.FlagBye}) // another's
		if r.metrics.Live() != 1 {
			t.Fatal("another connection's bye")
		}
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far, Flags: envelope.FlagBye})
		if r.metrics.Live() != 0 {
			t.Fatal("the session did not end")
		}
		if s := r.copy(); s[sessionSection] != nil || s[answerName(1)] != nil || s[refsSection] != nil {
			t.Fatalf("the backup still has %v", s)
		}
		v := r.hello(2, w.Session)
		if v.Resumed {
			t.Fatal("resumed after bye")
		}
		wantN(t, r.call(2, 1, "solo:", "add", nil), 2) // refs begin anew, state stays
	})
}

func TestARoomHearsThatASessionEnded(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.joinRoom(1, 1, w.Session, "rooms:a")
		r.reach("rooms/a", false)
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far, Flags: envelope.FlagBye})
		time.Sleep(10 * time.Second)
		r.drain()
		r.reach("rooms/a", true)
		time.Sleep(2 * retryEvery)
		left := r.routed()
		if len(left) != 1 || left[0].Session != w.Session {
			t.Fatalf("the room heard %+v", left)
		}
		r.post(envelope.Envelope{Kind: envelope.Reply, Ref: left[0].Ref, FromTopic: "rooms:a", Event: "ok"})
		time.Sleep(20 * time.Second)
		if left := r.routed(); len(left) != 0 {
			t.Fatalf("told again: %+v", left)
		}
	})
}

func TestAJoinThatOutlivesItsSession(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.send(1, frames{}.call(1, "rooms:a", "join", nil))
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far, Flags: envelope.FlagBye})
		r.drain()
		r.post(envelope.Envelope{Kind: envelope.Reply, Ref: 1, Flags: envelope.FlagClient | envelope.FlagJoined, Session: w.Session, FromTopic: "rooms:a", Event: "ok"})
		left := r.routed()
		if len(left) != 1 || left[0].Flags&envelope.FlagLeft == 0 || left[0].Session != w.Session {
			t.Fatalf("the room heard %+v", left)
		}
	})
}

func TestTheRoomEndsTheMembership(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.joinRoom(1, 1, w.Session, "probe:a")
		e := envelope.Envelope{Kind: envelope.Cast, Topic: "probe:a", Flags: envelope.FlagLeft, From: "probe/a", Session: "another"}
		r.post(e)
		if h := r.conn(1); len(h.pushes) != 0 {
			t.Fatal("of another session")
		}
		e.Session = w.Session
		r.post(e)
		if h := r.conn(1); len(h.pushes) != 1 || string(h.pushes[0].Event) != "left" {
			t.Fatalf("the part heard %+v", h.pushes)
		}
		r.entity(func(_ *shard.Worker, p *Entity) {
			if len(p.s.topics) != 0 || len(r.local.Deaf("probe:a", 0)) != 0 {
				t.Error("still a member")
			}
		})
	})
}

func TestKick(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.entity(func(w *shard.Worker, p *Entity) {
			if !p.Kick(w, "enough") || p.Kick(w, "again") {
				t.Error("kick")
			}
		})
		if h := r.conn(1); h.goaway == nil || h.goaway.Code != protocol.CodeKicked || h.goaway.RetryMS != -1 {
			t.Fatalf("goaway %+v", h.goaway)
		}
	})
}

func TestTimersOutliveAHandlerThatFails(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.send(1, frames{}.call(1, "solo:", "after", game.NewMap().Int("ms", 500).Payload()))
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		if len(r.dead) != 1 {
			t.Fatalf("%d dead letters", len(r.dead))
		}
		for ref := uint64(2); ref < 5; ref++ {
			r.call(1, ref, "solo:", "add", nil)
		}
		time.Sleep(retryEvery)
		if h := r.conn(1); len(h.pushes) != 1 || string(h.pushes[0].Event) != "rang" {
			t.Fatalf("pushes %+v", h.pushes)
		}
		if len(r.dead) != 1 {
			t.Fatalf("%d dead letters", len(r.dead))
		}
	})
}

func TestEveryCallOfAPartIsAnswered(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		const many = 5000
		r.post(envelope.Envelope{Kind: envelope.Cast, From: "rooms/x", Topic: "solo:", Event: "ask", Payload: game.NewMap().Int("times", many).Payload()})
		time.Sleep(10 * time.Millisecond)
		if h := r.conn(1); len(h.pushes) != many-4096 {
			t.Fatalf("%d calls failed at once", len(h.pushes))
		}
		time.Sleep(game.CallTimeout)
		wantN(t, r.call(1, 1, "solo:", "get", nil), many)
	})
}

func TestAnAnswerToAPart(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.send(1, frames{}.call(1, "solo:", "ask", nil))
		out := r.routed()
		if len(out) != 1 || out[0].Key != "rooms/far" || out[0].Flags&envelope.FlagClient != 0 || out[0].Session != "" {
			t.Fatalf("asked %+v", out)
		}
		for range 2 {
			r.post(envelope.Envelope{Kind: envelope.Reply, Ref: out[0].Ref, Event: "forbidden"})
		}
		h := r.conn(1)
		if len(h.pushes) != 1 {
			t.Fatalf("answered %d times", len(h.pushes))
		}
		f := game.Payload(h.pushes[0].Payload).Fields()
		if f.Text("status") != "forbidden" || f.Text("tag") != "tag" {
			t.Fatalf("push %q", h.pushes[0].Payload)
		}
	})
}

func TestNoticesComeOnce(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		notice := func(seq uint64) {
			r.entity(func(w *shard.Worker, p *Entity) { p.Notice(w, "probe:a", "news", seq, nil) })
		}
		notice(1)
		r.send(1, frames{}.call(1, "probe:a", "get", nil))
		notice(1) // not a member
		r.send(1, frames{}.call(2, "probe:a", "pass", nil))
		r.post(envelope.Envelope{Kind: envelope.Reply, Ref: 2, Flags: envelope.FlagClient | envelope.FlagJoined, Session: w.Session, FromTopic: "probe:a", Event: "ok", Offset: 4})
		r.conn(1)
		for _, seq := range []uint64{3, 4, 5, 5, 6, 5} {
			notice(seq)
		}
		if h := r.conn(1); len(h.pushes) != 2 {
			t.Fatalf("heard %d notices, want 5 and 6", len(h.pushes))
		}
		next := r.successor(r.copy())
		next.entity(func(w *shard.Worker, p *Entity) { p.Notice(w, "probe:a", "news", 6, nil) })
		if h := next.conn(1); len(h.pushes) != 0 {
			t.Fatal("heard again on another node")
		}
		next.workers.Close()
	})
}
