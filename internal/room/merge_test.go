package room

import (
	"slices"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/replica/merge"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// parted gives a second node that runs the room too, as on the other side of a split: the sockets there are of nodes that are not here.
func (r *rig) parted() *rig {
	r.t.Helper()
	copy := r.copy()
	copy.Fork(state.Point{Term: 1, Life: 1, Seq: 1, By: 7})
	other := r.successor(copy)
	other.gone()
	r.split.Store(true)
	other.split.Store(true)
	r.drain()
	return other
}

// gone makes the gateway of all members one that is not there.
func (r *rig) gone() {
	r.t.Helper()
	r.home(func(w *shard.Worker, h *Home) {
		w.With(key, func(e shard.Entity) { e.Rebase(w, func(n envelope.NodeID) bool { return n != far }) })
	})
	r.drain()
}

// heal merges what both have, r's being the one that goes on, into a third node.
func (r *rig) heal(other *rig) (*rig, merge.Merged) {
	r.t.Helper()
	merged, report := merge.Copies(Merge, map[string]*game.Game{"club": {Name: "club", Room: func(string) game.Room { return &club{} }}}, key, r.handedOver(), other.handedOver())
	return r.successor(merged), report
}

func (r *rig) members() []string {
	r.t.Helper()
	_, f := r.ok("zed", "who", nil)
	var names []string
	for _, p := range f.List("members") {
		c := protocol.NewCursor(p)
		name, _ := c.Text()
		names = append(names, string(name))
	}
	return names
}

func TestMergeOfRoomsThatWentOn(t *testing.T) {
	for _, last := range []string{"mine", "theirs"} {
		run(t, func(t *testing.T, r *rig) {
			for _, p := range []string{"ann", "bob", "eve"} {
				r.ok(p, "join", nil)
			}
			r.ok("ann", "say", text("before"))
			other := r.parted()
			defer other.workers.Close()
			here, there := r, other
			if last == "theirs" {
				here, there = other, r
			}
			there.ok("cyn", "join", nil)
			there.ok("eve", "leave", nil) // she had no socket on the other side, or has it there
			there.ok("ann", "say", text("lost"))
			ref := there.ref
			there.ok("ann", "say", text("lost too"))
			there.ok("ann", "news", nil)
			time.Sleep(time.Second)
			here.ok("dan", "join", nil)
			here.ok("bob", "say", text("kept"))
			next, report := r.heal(other)
			defer next.workers.Close()
			if !report.Conflict || report.Winner != last {
				t.Errorf("%s spoke last: %+v", last, report)
			}
			want := []string{"ann", "bob", "eve", "dan", "cyn"}
			if got := next.members(); !slices.Equal(got, want) {
				t.Errorf("%s spoke last: members %q, want %q", last, got, want)
			}
			if _, f := next.ok("zed", "who", nil); f.Int("n") != 2 || f.Int("offset") != 2 {
				t.Errorf("%s spoke last: n %d and offset %d, want 2 and 2", last, f.Int("n"), f.Int("offset"))
			}
			var closed []uint64
			for _, s := range report.Close {
				closed = append(closed, s.Conn)
				if s.Code != protocol.CodeMoved || s.Retry != comeAgain || s.Node != far {
					t.Errorf("%+v", s)
				}
			}
			want2 := []uint64{connOf("cyn")}
			if last == "theirs" { // only they had sockets there
				want2 = []uint64{connOf("ann"), connOf("bob"), connOf("cyn")}
			}
			if slices.Sort(closed); !slices.Equal(closed, want2) {
				t.Errorf("%s spoke last: closed %v, want %v", last, closed, want2)
			}
			next.post(call("ann", ref, "say", text("lost"))) // it was answered there, but the answer got lost
			next.ref += 100
			next.ok("ann", "news", nil)
			if _, f := next.ok("zed", "who", nil); f.Int("n") != 2 {
				t.Errorf("%s spoke last: a call that was answered is done again", last)
			}
			next.home(func(_ *shard.Worker, h *Home) {
				if h.notices.last != 2 {
					t.Errorf("%s spoke last: notice %d, want 2", last, h.notices.last)
				}
			})
			missed := func(player string) bool {
				t.Helper()
				a, _ := next.resume(player, 5, 2)
				if a.Event != "ok" {
					t.Fatalf("%s: %s", player, a.Event)
				}
				return a.Offset == 1
			}
			if !missed("cyn") || missed("cyn") {
				t.Errorf("%s spoke last: cyn is to be told once that she missed something", last)
			}
			if got := missed("ann"); got != (last == "theirs") {
				t.Errorf("%s spoke last: ann missed something: %v", last, got)
			}
		})
	}
}

// Of a member whom only one side has still its own entity is asked: it resumes, or says that it has left.
func TestMergeAsksWhoIsNotSure(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		for _, p := range []string{"ann", "bob", "cyn"} {
			r.ok(p, "join", nil)
		}
		other := r.parted()
		defer other.workers.Close()
		r.gone()
		r.ok("ann", "leave", nil)
		r.ok("bob", "leave", nil)
		rejoin := call("cyn", 77, "join", nil) // two new sessions, one on each side
		rejoin.Session = "second"
		r.post(rejoin)
		rejoin.Session = "third"
		other.post(rejoin)
		next, report := r.heal(other)
		defer next.workers.Close()
		if report.Conflict || len(report.Close) > 0 {
			t.Errorf("nobody said anything: %+v", report)
		}
		var asked []string
		for _, s := range next.drain() {
			if s.Kind == envelope.Cast && s.Flags&envelope.FlagConfirm != 0 && s.From == key && s.Topic == topic {
				asked = append(asked, s.Key)
			}
		}
		if slices.Sort(asked); !slices.Equal(asked, []string{"player/ann", "player/bob", "player/cyn"}) {
			t.Errorf("asked %q", asked)
		}
		next.post(envelope.Envelope{Kind: envelope.Cast, Flags: envelope.FlagLeft, From: "player/bob", Topic: topic})
		e := envelope.Envelope{Kind: envelope.Call, Flags: envelope.FlagResume, Topic: topic, From: "player/ann", FromTopic: topic, Conn: 9, Node: far, Session: "session-of-ann", Ref: 3, Event: "seen"}
		next.post(e)
		if got := next.members(); !slices.Equal(got, []string{"cyn", "ann"}) && !slices.Equal(got, []string{"ann", "cyn"}) {
			t.Errorf("members %q", got)
		}
		next.home(func(_ *shard.Worker, h *Home) {
			if m := h.members.byName["ann"]; m == nil || m.session != "session-of-ann" || m.conn != 9 || !m.attached {
				t.Errorf("%+v", m)
			}
		})
		next.drain()
		next.gone() // another table: cyn is asked again
		if _, f := next.ok("zed", "who", nil); f.Err() != nil {
			t.Error(f.Err())
		}
	})
}

// A side that was silent yields: who is connected there gets the rest from its relay, and the numbers of notices go on.
func TestMergeWithASilentSide(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.ok("ann", "news", nil)
		other := r.parted()
		defer other.workers.Close()
		other.ok("bob", "join", nil)
		r.ok("ann", "news", nil)
		for range 3 {
			r.ok("ann", "say", text("x"))
		}
		next, report := other.heal(r)
		defer next.workers.Close()
		if report.Conflict || report.Winner != merge.Theirs || len(report.Close) > 0 {
			t.Errorf("%+v", report)
		}
		next.home(func(_ *shard.Worker, h *Home) {
			if h.stream.Offset() != 3 || h.notices.last != 2 || len(h.notices.kept) != 2 || h.impl.(*club).n != 3 {
				t.Errorf("offset %d, notices %+v, n %d", h.stream.Offset(), h.notices, h.impl.(*club).n)
			}
			for _, name := range []string{"ann", "bob"} {
				if m := h.members.byName[name]; m == nil || !m.attached || m.joined == otherStream {
					t.Errorf("%s: %+v", name, m)
				}
			}
			if h.split == nil {
				t.Error("the forks are gone")
			}
		})
		next.home(func(w *shard.Worker, h *Home) { h.Unfork(w) })
		if copy := next.copy(); copy[state.ForkSection] != nil || copy[state.SpokeSection] != nil {
			t.Error("the forks are still there")
		}
	})
}

// turner is a club that goes on as the other side.
type turner struct{ club }

func (r *turner) Merge(_, _, theirs []byte) ([]byte, error) { return slices.Clone(theirs), nil }

func TestAGameDecidesWhichRoomGoesOn(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		other := r.parted()
		defer other.workers.Close()
		other.ok("bob", "join", nil)
		other.ok("bob", "say", text("1"))
		other.ok("bob", "after", game.NewMap().Int("ms", 60_000).Payload())
		time.Sleep(time.Second)
		r.ok("ann", "say", text("1"))
		r.ok("ann", "say", text("2"))
		mine, theirs := r.handedOver(), other.handedOver()
		games := map[string]*game.Game{"club": {Name: "club", Room: func(string) game.Room { return &turner{} }}}
		merged, report := merge.Copies(Merge, games, key, mine, theirs)
		if report.Winner != merge.Theirs || !merge.Same(report.Kept, theirs, offsetSection) || !merge.Same(report.Loser, mine, offsetSection) || merged[state.ForkSection] == nil {
			t.Errorf("%+v", report)
		}
		if merge.Spoke(merged) != merge.Spoke(mine) || merge.Spoke(mine) <= merge.Spoke(theirs) {
			t.Errorf("spoke %d, of %d and %d", merge.Spoke(merged), merge.Spoke(mine), merge.Spoke(theirs))
		}
		if len(report.Close) != 1 || report.Close[0].Conn != connOf("ann") {
			t.Errorf("closed %+v", report.Close)
		}
		next := r.successor(merged)
		defer next.workers.Close()
		next.home(func(_ *shard.Worker, h *Home) {
			if h.stream.Offset() != 1 || h.timers.Len() != 1 || h.impl.(*club).n != 1 || h.members.Len() != 2 {
				t.Errorf("offset %d, %d timers, n %d, %d members", h.stream.Offset(), h.timers.Len(), h.impl.(*club).n, h.members.Len())
			}
		})
	})
}

// A gateway is back that was taken for gone: members whose sockets are still there are to resume, or they hear nothing of the room.
func TestSocketsOfANodeThatIsBackAreAskedFor(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		asked := func() (n int) {
			for _, s := range r.drain() {
				if s.Key == "player/ann" && s.Flags&envelope.FlagConfirm != 0 {
					n++
				}
			}
			return n
		}
		table := func(back bool) {
			r.home(func(w *shard.Worker, h *Home) {
				w.With(key, func(e shard.Entity) { e.Rebase(w, func(n envelope.NodeID) bool { return back || n != far }) })
			})
		}
		for i, c := range []struct {
			back bool
			want int
		}{{true, 0}, {false, 0}, {false, 0}, {true, 1}, {true, 1}} {
			if table(c.back); asked() != c.want {
				t.Errorf("table %d: not asked %d times", i, c.want)
			}
		}
		r.resume("ann", 9, 0)
		if table(true); asked() != 0 {
			t.Error("asked although she has resumed")
		}
	})
}
