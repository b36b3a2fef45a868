package player

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// handedOver is what another owner gets of ann.
func (r *rig) handedOver() state.Sections {
	r.t.Helper()
	var c state.Change
	r.entity(func(w *shard.Worker, p *Entity) {
		if !p.Whole(&c) {
			r.t.Error("ann has no state")
		}
		p.Moved(w)
	})
	s := state.Sections{}
	if err := s.Apply(c.Append(nil)); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// op is one thing that happens to ann in the property test.
type op struct {
	kind string
	ref  uint64
	n    int
}

func drawOps(t *rapid.T) []op {
	one := rapid.Custom(func(t *rapid.T) op {
		return op{
			kind: rapid.SampledFrom([]string{"add", "add", "get", "push", "many", "tally", "wait", "defer", "release", "after", "join", "leave", "gone", "hello", "boom", "ask", "fresh"}).Draw(t, "kind"),
			ref:  rapid.Uint64Range(1, 400).Draw(t, "ref"),
			n:    rapid.IntRange(0, 30).Draw(t, "n"),
		}
	})
	return rapid.SliceOfN(one, 1, 40).Draw(t, "ops")
}

// life plays ops on a rig and knows what must be remembered.
type life struct {
	r       *rig
	conn    uint64
	session string
	changed map[uint64][]byte // first answers of calls that changed something
	used    map[uint64]bool
}

func (l *life) begin(session string) {
	l.session, l.changed, l.used = session, map[uint64][]byte{}, map[uint64]bool{}
}

func (l *life) call(ref uint64, event string, payload game.Payload) heard {
	h := l.r.send(l.conn, frames{}.call(ref, "probe:a", event, payload))
	switch event {
	case "add", "push", "tally":
		for i, re := range h.replies {
			if re.Ref == ref && re.Status == protocol.CodeOK && !l.used[ref] {
				l.changed[ref] = bytes.Clone(h.raw[i])
			}
		}
	}
	l.used[ref] = l.used[ref] || event != "boom"
	return h
}

func (l *life) do(o op) {
	r := l.r
	switch o.kind {
	case "hello", "fresh":
		l.conn++
		if l.session == "" || o.kind == "fresh" {
			l.begin(r.hello(l.conn, "").Session)
			return
		}
		w, _ := r.resume(l.conn, l.session, map[string]bool{"probe:a": false, "rooms:a": false, "rooms:b": false})
		if l.session != w.Session {
			r.t.Errorf("session %s became %s", l.session, w.Session)
		}
	case "gone":
		r.post(envelope.Envelope{Kind: envelope.Gone, Conn: l.conn, Node: far})
		l.do(op{kind: "hello"})
	case "many":
		for i := range uint64(o.n) {
			l.call(o.ref+i, "get", nil)
		}
	case "after":
		l.call(o.ref, o.kind, game.NewMap().Int("ms", 120_000+int64(o.n)*1000).Payload()) // not while the test lasts
	case "tally":
		l.call(o.ref, o.kind, game.NewMap().Text("round", fmt.Sprint("r", o.n)).Int("slot", 1).Payload())
	case "join", "leave":
		topic := []string{"probe:a", "rooms:a", "rooms:b"}[o.n%3]
		e := envelope.Envelope{Kind: envelope.Reply, Ref: o.ref, Session: l.session, FromTopic: topic, Event: "ok", Flags: envelope.FlagJoined}
		if o.kind == "leave" {
			e.Flags = envelope.FlagLeft
		}
		r.post(e)
	default:
		l.call(o.ref, o.kind, nil)
	}
}

// remembers checks that another node that went on from what this one left behaves as if ann had never moved.
func (l *life) remembers(what string, s state.Sections, tallied int64) {
	next := l.r.successor(s)
	defer next.workers.Close()
	m := &life{r: next, conn: l.conn + 1}
	m.begin(l.session)
	m.do(op{kind: "hello"})
	for ref, first := range l.changed {
		h := next.send(m.conn, frames{}.call(ref, "probe:a", "get", nil))
		switch {
		case len(h.raw) != 1:
			l.r.t.Errorf("%s: %d replies to %d", what, len(h.raw), ref)
		case h.replies[0].Status == protocol.CodeStaleRef: // it was dropped; see below
			if err := staleBy(l.r, ref); err != nil {
				l.r.t.Errorf("%s: %v", what, err)
			}
		case !bytes.Equal(h.raw[0], first):
			l.r.t.Errorf("%s: answer to %d is %q, was %q", what, ref, h.raw[0], first)
		}
	}
	want := l.r.call(l.conn, 1_000_000, "probe:a", "get", nil)
	got := next.call(m.conn, 1_000_000, "probe:a", "get", nil)
	if !bytes.Equal(want.Payload, got.Payload) {
		l.r.t.Errorf("%s: state %q, was %q", what, got.Payload, want.Payload)
	}
	if sum := next.tallySum(); sum != tallied {
		l.r.t.Errorf("%s: %d in the tallies, was %d", what, sum, tallied)
	}
	if a, b := l.r.shape(), next.shape(); a != b {
		l.r.t.Errorf("%s:\n%s, was\n%s", what, b, a)
	}
}

// staleBy says whether the first owner had dropped the answer to ref as well.
func staleBy(r *rig, ref uint64) (err error) {
	r.entity(func(_ *shard.Worker, p *Entity) {
		if v, _ := p.s.answers.judge(ref); v != refStale {
			err = fmt.Errorf("ref %d became stale", ref)
		}
	})
	return err
}

// tallySum is what all rounds of the property test hold.
func (r *rig) tallySum() (sum int64) {
	for n := range 31 {
		t := r.tallies.Sum(time.Now(), "probe:a", fmt.Sprint("r", n))
		sum += t.Slots[1]
	}
	return sum
}

// shape is what of ann can be seen from outside.
func (r *rig) shape() (s string) {
	r.entity(func(_ *shard.Worker, p *Entity) {
		var b strings.Builder
		fmt.Fprintf(&b, "topics %q own %d from %d timers %d", p.s.topics, p.own.Offset(), p.own.First(), p.timers.Len())
		for _, f := range p.own.Frames() {
			fmt.Fprintf(&b, " %x", f)
		}
		s = b.String()
	})
	return s
}

// leaks finds what the backup has and the player has not, or has otherwise.
func (r *rig) leaks() (found []string) {
	var c state.Change
	kept := r.copy()
	stale := 0
	r.entity(func(_ *shard.Worker, p *Entity) {
		forget := len(p.s.answers.forget)
		p.whole(&c)
		stale = forget
	})
	all := state.Sections{}
	if err := all.Apply(c.Append(nil)); err != nil {
		r.t.Fatal(err)
	}
	for name, b := range kept {
		switch v, ok := all[name]; {
		case name == refsSection, name == timersSection: // refs of calls that changed nothing; times are rounded
		case !ok && strings.HasPrefix(name, answerSection) && stale > 0:
			stale--
		case !ok:
			found = append(found, "too much: "+name)
		case !bytes.Equal(v, b):
			found = append(found, fmt.Sprintf("%s is %q, should be %q", name, b, v))
		}
	}
	for name, b := range all {
		if _, ok := kept[name]; !ok && len(b) > 0 && name != refsSection && !strings.HasPrefix(name, answerSection) {
			found = append(found, "missing: "+name)
		}
	}
	return found
}

func TestStateGoesRound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ops := drawOps(rt)
		crash := rapid.Bool().Draw(rt, "crash")
		if !t.Run("life", func(t *testing.T) {
			run(t, func(t *testing.T, r *rig) {
				l := &life{r: r}
				l.do(op{kind: "hello"})
				for _, o := range ops {
					l.do(o)
				}
				time.Sleep(time.Minute - time.Second) // calls end
				synctest.Wait()
				r.conn(l.conn)
				if found := r.leaks(); len(found) > 0 {
					t.Errorf("the backup: %q", found)
				}
				s := r.copy()
				if !crash {
					s = maps.Clone(r.handedOver())
				}
				tallied := r.tallySum()
				if !crash && tallied != 0 {
					t.Errorf("%d stays in the tallies", tallied)
				}
				if !crash {
					tallied = 0
					for name, b := range s {
						if strings.HasPrefix(name, tallySection) {
							c := protocol.NewCursor(b)
							c.Array()
							c.Int()
							n, _ := c.Int()
							tallied += n
						}
					}
				}
				l.remembers("after the move", s, tallied)
			})
		}) {
			rt.Fatalf("ops %+v", ops)
		}
	})
}

func TestOutputThatWaitedForTheBackupMovesAlong(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		r.hush()
		h := r.send(1, frames{}.call(1, "solo:", "add", nil).call(2, "rooms:a", "say", nil).call(3, "solo:", "defer", nil))
		if out := r.routed(); len(h.replies) != 0 || len(out) != 0 {
			t.Fatalf("left before the backup had it: %+v %+v", h.replies, out)
		}
		s := r.handedOver()
		if h := r.conn(1); len(h.replies) != 0 {
			t.Fatalf("the old owner said %+v", h.replies)
		}
		next := r.successor(s)
		defer next.workers.Close()
		var said []sent
		for _, e := range next.drain() {
			switch e.Kind {
			case envelope.Call:
				said = append(said, e)
			case envelope.Out:
				h.parse(t, e.Payload)
			}
		}
		wantN(t, h.reply(t, 1), 1)
		if len(said) != 1 || said[0].Key != "rooms/a" || said[0].Ref != 2 {
			t.Fatalf("said to the room: %+v", said)
		}
		next.post(envelope.Envelope{Kind: envelope.Reply, Ref: 2, Flags: envelope.FlagClient, Session: w.Session, FromTopic: "rooms:a", Event: "ok"})
		wantCode(t, next.conn(1).reply(t, 2), protocol.CodeOK)
		h = next.send(1, frames{}.call(3, "solo:", "defer", nil).call(4, "solo:", "release", nil))
		wantN(t, h.reply(t, 3), 3) // it was open, and is answered by the part that moved
		if len(h.replies) != 2 {
			t.Fatalf("replies %+v", h.replies)
		}
	})
}

func TestADeferredChangeIsNotMadeAgain(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.send(1, frames{}.call(1, "solo:", "defer", nil))
		next := r.successor(r.copy()) // the owner dies
		defer next.workers.Close()
		h := next.send(1, frames{}.call(1, "solo:", "defer", nil).call(2, "solo:", "get", nil))
		wantN(t, h.reply(t, 2), 1)
		if len(h.replies) != 1 {
			t.Fatalf("replies %+v", h.replies)
		}
		next.post(envelope.Envelope{Kind: envelope.Cast, From: "rooms/x", Topic: "solo:", Event: "release"})
		wantN(t, next.conn(1).reply(t, 1), 2)
		last := next.successor(next.copy())
		defer last.workers.Close()
		wantN(t, last.call(1, 1, "solo:", "defer", nil), 2) // its answer is kept
	})
}

func TestARestoredSessionAsksForItsSocket(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := r.hello(1, "")
		next := r.successor(r.copy())
		defer next.workers.Close()
		if h := next.conn(1); h.probes != 1 {
			t.Fatalf("asked %d times", h.probes)
		}
		next.post(envelope.Envelope{Kind: envelope.Gone, Conn: 1, Node: far}) // no, it is not
		time.Sleep(2 * time.Minute)
		if v := next.hello(2, w.Session); v.Resumed {
			t.Fatal("the session lived on")
		}
	})
}

func TestDeadNodesAreNotWaitedFor(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.send(1, frames{}.call(1, "rooms:a", "say", nil).call(2, "solo:", "ask", nil))
		r.entity(func(w *shard.Worker, p *Entity) {
			p.Rebase(w, func(n envelope.NodeID) bool { return n != here })
		})
		h := r.conn(1)
		wantCode(t, h.reply(t, 1), protocol.CodeUnavailable)
		if len(h.pushes) != 1 {
			t.Fatalf("the part heard %+v", h.pushes)
		}
		r.entity(func(w *shard.Worker, p *Entity) {
			p.Rebase(w, func(n envelope.NodeID) bool { return n != far })
			if p.s.conn != 0 {
				t.Error("a socket on a dead node")
			}
		})
		time.Sleep(2 * time.Minute)
		if r.metrics.Live() != 0 {
			t.Fatal("its session did not end")
		}
	})
}

func TestThatAnswersWaitForTheBackup(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.hello(1, "")
		r.hush()
		if h := r.send(1, frames{}.call(1, "solo:", "add", nil).call(2, "solo:", "get", nil)); len(h.replies) != 0 {
			t.Fatalf("acknowledged: %+v", h.replies)
		}
		r.speak()
		if h := r.conn(1); len(h.replies) != 2 {
			t.Fatalf("%d replies", len(h.replies))
		}
	})
}
