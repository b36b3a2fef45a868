package player

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/replica/merge"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// sides are two nodes that both run ann, as on two sides of a split.
type sides struct {
	t       *testing.T
	a, b    *rig
	session string // that both had before, at connection 1 of a
}

// split gives a player on both sides of a split, who had one session before it, and done n "add" to probe:a and sums:a.
func (r *rig) parted(n int) *sides {
	r.t.Helper()
	s := &sides{t: r.t, a: r, session: r.hello(1, "").Session}
	for i := range uint64(n) {
		r.send(1, frames{}.call(2*i+1, "probe:a", "add", nil).call(2*i+2, "sums:a", "add", nil))
	}
	r.post(envelope.Envelope{Kind: envelope.Reply, Ref: 90, Session: s.session, FromTopic: "rooms:a", Event: "ok", Flags: envelope.FlagJoined})
	copy := r.copy()
	copy.Fork(state.Point{Term: 1, Life: 1, Seq: r.seq, By: 7})
	s.b = r.successor(copy)
	s.b.drain()
	r.drain()
	s.a.split.Store(true)
	s.b.split.Store(true)
	return s
}

// heal merges what both sides have, a's being the one that goes on, into a third node.
func (s *sides) heal() (*rig, merge.Merged) {
	s.t.Helper()
	games := map[string]*game.Game{}
	for _, g := range testGames() {
		games[g.Name] = &g
	}
	merged, report := merge.Copies(Merge, games, ann, s.a.handedOver(), s.b.handedOver())
	return s.a.successor(merged), report
}

func (s *sides) close() { s.b.workers.Close() }

func (r *rig) n(conn, ref uint64, topic string) int64 {
	r.t.Helper()
	f := game.Payload(r.call(conn, ref, topic, "get", nil).Payload).Fields()
	return f.Int("n")
}

func TestMergeOfACopyThatDidNothing(t *testing.T) {
	for _, who := range []string{"mine", "theirs", "nobody"} {
		run(t, func(t *testing.T, r *rig) {
			s := r.parted(2)
			defer s.close()
			side, conn := s.a, uint64(1)
			if who == "theirs" { // the client's gateway was on the other side
				side = s.b
				r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far})
			}
			want := int64(2)
			if who != "nobody" {
				side.call(conn, 11, "probe:a", "add", nil)
				side.call(conn, 12, "sums:a", "add", nil)
				side.call(conn, 13, "probe:a", "push", nil)
				want = 3
			}
			next, report := s.heal()
			defer next.workers.Close()
			if report.Conflict || report.Loser != nil || len(report.Close) > 0 || report.Replaced != 0 {
				t.Errorf("%s: %+v", who, report)
			}
			next.post(envelope.Envelope{Kind: envelope.Seen, Conn: 1, Node: far, Offset: uint64(want - 2)})
			if a, b := next.n(1, 21, "probe:a"), next.n(1, 22, "sums:a"); a != want || b != want {
				t.Errorf("%s: %d and %d, want %d", who, a, b, want)
			}
			next.entity(func(_ *shard.Worker, p *Entity) {
				if p.s.id != s.session || !slices.Equal(p.s.topics, []string{"rooms:a"}) || p.own.Offset() != uint64(want-2) {
					t.Errorf("%s: session %+v, stream at %d", who, p.s, p.own.Offset())
				}
				if p.split == nil || p.split.forks == nil {
					t.Errorf("%s: the merged player does not know which lives are in him", who)
				}
			})
		})
	}
}

// Both sides change everything: the one that spoke last wins, sums add up, and the loser's copy is reported.
func TestMergeOfTwoThatWentOn(t *testing.T) {
	for _, last := range []string{"mine", "theirs"} {
		run(t, func(t *testing.T, r *rig) {
			s := r.parted(2)
			defer s.close()
			r.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far})
			conn, ref := map[*rig]uint64{s.a: 1, s.b: 2}, uint64(100)
			s.a.resume(1, s.session, map[string]bool{"rooms:a": false})
			s.b.resume(2, s.session, map[string]bool{"rooms:a": false})
			first, second := s.a, s.b
			if last == "mine" {
				first, second = s.b, s.a
			}
			for i, side := range []*rig{first, second} {
				time.Sleep(time.Second)
				for range i + 1 {
					ref++
					side.send(conn[side], frames{}.call(ref, "probe:a", "add", nil).call(ref+100, "sums:a", "add", nil).call(ref+200, "probe:a", "push", nil))
				}
			}
			next, report := s.heal()
			defer next.workers.Close()
			if !report.Conflict || report.Winner != last || report.Loser == nil || report.Kept == nil {
				t.Errorf("%s spoke last: %+v", last, report)
			}
			if _, there := report.Loser[state.ForkSection]; there {
				t.Error("the loser's copy goes to the log with its forks")
			}
			if len(report.Close) != 1 || report.Close[0].Conn != conn[first] || report.Close[0].Code != protocol.CodeReplaced || report.Close[0].Node != far {
				t.Errorf("connection %d is to be closed, not %+v", conn[first], report.Close)
			}
			if a, b := next.n(conn[second], 901, "probe:a"), next.n(conn[second], 902, "sums:a"); a != 4 || b != 5 {
				t.Errorf("%s spoke last: the winner's %d, the sum %d; want 4 and 5", last, a, b)
			}
			for ref := uint64(101); ref <= 103; ref++ { // answered on one side or the other
				if next.call(conn[second], ref+100, "sums:a", "add", nil); next.n(conn[second], 910+ref, "sums:a") != 5 {
					t.Fatalf("call %d was done again", ref+100)
				}
			}
		})
	}
}

// A client that has seen pushes of the side that lost is told that it missed something, once.
func TestMergeOfTwoStreams(t *testing.T) {
	for _, gone := range []bool{true, false} { // it has no socket; or the only socket, on the side whose stream lost
		run(t, func(t *testing.T, r *rig) {
			s := r.parted(1)
			defer s.close()
			s.a.call(1, 101, "probe:a", "push", game.NewMap().Text("side", "a").Payload())
			time.Sleep(time.Second)
			s.b.call(1, 102, "probe:a", "push", game.NewMap().Text("side", "b").Payload())
			s.b.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far})
			if gone {
				s.a.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far})
			}
			next, report := s.heal()
			defer next.workers.Close()
			switch {
			case gone && len(report.Close) == 0:
			case !gone && len(report.Close) == 1 && report.Close[0].Conn == 1 && report.Close[0].Code == protocol.CodeMoved && report.Close[0].Retry == comeAgain:
			default:
				t.Errorf("closed %+v", report.Close)
			}
			w, _ := next.resume(3, s.session, map[string]bool{"rooms:a": false}, protocol.Seen{Topic: "", Offset: 1})
			if !slices.Contains(w.Missed, protocol.Missed{Topic: "", Missed: true}) {
				t.Errorf("%+v: the client has pushes of another stream", w)
			}
			w, _ = next.resume(4, s.session, map[string]bool{"rooms:a": false}, protocol.Seen{Topic: "", Offset: 1})
			if !slices.Contains(w.Missed, protocol.Missed{Topic: "", Missed: false}) {
				t.Errorf("%+v: nothing was missed since", w)
			}
		})
	}
}

// Two sessions: the one with a socket stays, of two the one that spoke last; rooms hear that the other ended.
func TestMergeOfTwoSessions(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := r.parted(1)
		defer s.close()
		time.Sleep(time.Second)
		fresh := s.b.hello(5, "").Session
		s.b.post(envelope.Envelope{Kind: envelope.Reply, Ref: 91, Session: fresh, FromTopic: "rooms:b", Event: "ok", Flags: envelope.FlagJoined})
		next, report := s.heal()
		defer next.workers.Close()
		if report.Replaced != 1 || len(report.Close) != 1 || report.Close[0].Conn != 1 || report.Close[0].Code != protocol.CodeReplaced || report.Close[0].Retry >= 0 {
			t.Errorf("%+v", report)
		}
		f := report.Close[0].Envelope()
		if g, ok := protocol.ParseGoaway(f.Payload[4:]); !ok || g.Code != protocol.CodeReplaced || g.RetryMS != -1 || f.Flags&envelope.FlagClose == 0 {
			t.Errorf("%+v %+v", f, g)
		}
		time.Sleep(time.Millisecond)
		left := next.routed()
		if !slices.ContainsFunc(left, func(e sent) bool {
			return e.Key == "rooms/a" && e.Flags&envelope.FlagLeft != 0 && e.Session == s.session
		}) {
			t.Errorf("rooms:a does not hear that its member's session ended: %+v", left)
		}
		next.entity(func(_ *shard.Worker, p *Entity) {
			if p.s.id != fresh || p.s.conn != 5 || !slices.Equal(p.s.topics, []string{"rooms:b"}) {
				t.Errorf("session %+v", p.s)
			}
		})
	})
	run(t, func(t *testing.T, r *rig) { // it spoke last, but has no socket
		s := r.parted(1)
		defer s.close()
		time.Sleep(time.Second)
		fresh := s.b.hello(5, "").Session
		s.b.post(envelope.Envelope{Kind: envelope.Gone, Conn: 5, Node: far})
		next, report := s.heal()
		defer next.workers.Close()
		next.entity(func(_ *shard.Worker, p *Entity) {
			if p.s.id != s.session || p.s.id == fresh || p.s.conn != 1 || len(report.Close) > 0 {
				t.Errorf("session %+v, closed %+v", p.s, report.Close)
			}
		})
	})
}

// Both sessions are in one room: it does not hear that he left, and the client resumes, so that the room knows which one it is.
func TestMergeOfTwoSessionsInOneRoom(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := r.parted(1)
		defer s.close()
		time.Sleep(time.Second)
		fresh := s.b.hello(5, "").Session
		for _, left := range s.b.routed() { // the room on that side knows already
			s.b.post(envelope.Envelope{Kind: envelope.Reply, Ref: left.Ref, FromTopic: "rooms:a", Event: "ok"})
		}
		s.b.post(envelope.Envelope{Kind: envelope.Reply, Ref: 91, Session: fresh, FromTopic: "rooms:a", Event: "ok", Flags: envelope.FlagJoined})
		next, report := s.heal()
		defer next.workers.Close()
		time.Sleep(time.Millisecond)
		if left := next.routed(); len(left) > 0 {
			t.Errorf("sent %+v", left)
		}
		codes := map[uint64]protocol.Code{}
		for _, c := range report.Close {
			codes[c.Conn] = c.Code
		}
		if len(codes) != 2 || codes[1] != protocol.CodeReplaced || codes[5] != protocol.CodeMoved {
			t.Errorf("closed %v", codes)
		}
		next.resume(6, fresh, map[string]bool{"rooms:a": false})
	})
}

// A player whom this side does not have is the other side's.
func TestMergeWithNobody(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := r.parted(1)
		defer s.close()
		theirs := s.b.handedOver()
		merged, report := merge.Copies(Merge, nil, ann, state.Sections{}, theirs)
		if report.Conflict || report.Winner != merge.Theirs || !maps.EqualFunc(merged, theirs, bytes.Equal) {
			t.Errorf("%v, %+v", merged, report)
		}
	})
}

// A room that two sides of a split know differently asks: who is a member resumes and says so, of who is none it hears.
func TestARoomAsks(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		id := r.hello(1, "").Session
		r.post(envelope.Envelope{Kind: envelope.Reply, Ref: 90, Session: id, FromTopic: "rooms:a", Event: "ok", Flags: envelope.FlagJoined})
		ask := func(topic string) {
			r.post(envelope.Envelope{Kind: envelope.Cast, Topic: topic, FromTopic: topic, From: envelope.RoomKey(topic), Flags: envelope.FlagConfirm})
		}
		ask("rooms:b")
		if got := r.routed(); len(got) != 1 || got[0].Key != "rooms/b" || got[0].Flags&envelope.FlagLeft == 0 || got[0].From != ann || got[0].Session != "" {
			t.Errorf("sent %+v", got)
		}
		ask("rooms:a")
		if h := r.conn(1); h.goaway == nil || h.goaway.Code != protocol.CodeMoved || h.goaway.RetryMS != comeAgain.Milliseconds() {
			t.Errorf("%+v", h)
		}
		ask("rooms:a")
		if got := r.routed(); len(got) > 0 {
			t.Errorf("the session may still resume, and yet %+v", got)
		}
		r.resume(2, id, map[string]bool{"rooms:a": false})
	})
}

// Whoever is asked to go on, both sides come to the same state; what both merge again, or nobody changed, changes nothing.
func TestMergeIsTheSameBothWays(t *testing.T) {
	games := map[string]*game.Game{}
	for _, g := range testGames() {
		games[g.Name] = &g
	}
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			defer r.workers.Close()
			s := r.parted(rapid.IntRange(0, 2).Draw(rt, "before"))
			defer s.close()
			for i, side := range []*rig{s.a, s.b} {
				time.Sleep(time.Duration(rapid.IntRange(0, 2).Draw(rt, "seconds")) * time.Second)
				l := &life{r: side, conn: 1}
				l.begin(s.session)
				for _, o := range drawOps(rt) {
					if o.ref += uint64(i * 1000); slices.Contains([]string{"hello", "fresh", "gone"}, o.kind) {
						o.kind = "add"
					}
					l.do(o)
				}
			}
			mine, theirs := s.a.handedOver(), s.b.handedOver()
			before := maps.Clone(mine)
			x, rx := merge.Copies(Merge, games, ann, mine, theirs)
			y, ry := merge.Copies(Merge, games, ann, theirs, mine)
			if !maps.EqualFunc(before, mine, bytes.Equal) {
				t.Fatal("a copy was changed")
			}
			for name := range maps.Keys(mergeKeys(x, y)) {
				if name != state.ForkSection && name != timersSection && name != callsSection && !merge.Same(x, y, name) {
					t.Fatalf("section %q is %q, the other way round %q", name, x[name], y[name])
				}
			}
			if rx.Conflict != ry.Conflict || rx.Conflict && rx.Winner == ry.Winner {
				t.Fatalf("%+v, the other way round %+v", rx, ry)
			}
			if again, r2 := merge.Copies(Merge, games, ann, x, theirs); r2.Conflict || !maps.EqualFunc(again, x, bytes.Equal) {
				t.Fatalf("merged again it is another: %+v", r2)
			}
			next := r.successor(x)
			next.workers.Close()
		})
	})
}

func mergeKeys(a, b state.Sections) map[string]bool {
	all := map[string]bool{}
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	return all
}

// What a game says it had to give up is in the report; what is no state is the winner's.
func TestMergeNotes(t *testing.T) {
	games := map[string]*game.Game{}
	for _, g := range testGames() {
		games[g.Name] = &g
	}
	at := func(n int64) state.Sections {
		return state.Sections{"p/sums:a": protocol.AppendArray(protocol.AppendInt(nil, n), 0), "p/gone:a": fmt.Appendf(nil, "%d", n)}
	}
	merged, report := Merge(games, ann, at(1), at(900), at(902))
	if got := at(1801)["p/sums:a"]; !bytes.Equal(merged["p/sums:a"], got) || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "sums:a: more than 1000") {
		t.Errorf("%x, %q", merged["p/sums:a"], report.Notes)
	}
	damaged := at(902)
	damaged["p/sums:a"] = []byte{0xc1}
	damaged[sessionSection] = []byte("no session")
	damaged[callsSection] = []byte{1, 2, 3}
	damaged[timersSection] = []byte{1, 2, 3}
	for _, pair := range [][2]state.Sections{{at(900), damaged}, {damaged, at(900)}} {
		merged, report = Merge(games, ann, at(1), pair[0], pair[1])
		if len(report.Notes) != 1 || !report.Conflict || merged["p/sums:a"] == nil {
			t.Errorf("%x, %+v", merged, report)
		}
	}
}
