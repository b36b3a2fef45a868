package room

import (
	"testing"
	"testing/synctest"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// part says which third of the partitions a node owns in these tests.
func third(n int) (have Coverage) {
	for p := range shard.Partitions {
		if p%3 == n {
			have.Add(uint16(p))
		}
	}
	return have
}

// tallied is a node's answer: n in slot 0, and a name.
func tallied(asked sent, term uint64, have Coverage, n int64, name string) envelope.Envelope {
	sum := game.Tally{Names: []string{name}}
	sum.Slots[0] = n
	return envelope.Envelope{Kind: envelope.Tallied, Topic: topic, Event: asked.Event, Ref: asked.Ref, Offset: term, Payload: AppendTallied(nil, &have, &sum)}
}

// summed gives the sum that the room told, -1 for none yet.
func (r *rig) summed() int64 {
	r.t.Helper()
	for _, s := range r.of(envelope.Push) {
		p, ok := protocol.ParsePush(s.Payload[min(len(s.Payload), 4):])
		if !ok || string(p.Event) != "sum" {
			continue
		}
		f := game.Payload(p.Payload).Fields()
		c := protocol.NewCursor(f.List("slots")[0])
		n, _ := c.Int()
		return n
	}
	return -1
}

// askedAgain gives the question of another attempt to each node: first all hear that it begins, then what the room tells again.
func (r *rig) askedAgain() (asked []sent) {
	r.t.Helper()
	begun, told := 0, 0
	for _, s := range r.drain() {
		switch {
		case s.Kind == envelope.Notify && s.Event == "retold":
			if told++; begun != 3 {
				r.t.Errorf("told again when %d nodes knew of the attempt", begun)
			}
		case s.Kind != envelope.Collect:
		case s.Flags&envelope.FlagResume != 0:
			begun++
		default:
			if asked = append(asked, s); told == 0 {
				r.t.Error("asked again before all was told again")
			}
		}
	}
	return asked
}

// collects begins a collect and gives the question to each node.
func (r *rig) collects() (asked []sent) {
	r.t.Helper()
	r.ok("ann", "join", nil)
	r.ref++
	r.post(call("ann", r.ref, "collect", nil))
	asked = r.of(envelope.Collect)
	if len(asked) != 3 || asked[0].Key != key || asked[0].Event != "r" {
		r.t.Fatalf("asked %+v", asked)
	}
	return asked
}

func TestCollect(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		asked := r.collects()
		r.post(tallied(asked[0], 1, third(0), 1, "a"))
		r.post(tallied(asked[0], 1, third(0), 1, "a")) // duplicated
		r.post(tallied(asked[0], 1, third(1), 10, "b"))
		if n := r.summed(); n != -1 {
			t.Fatalf("told %d before all answered", n)
		}
		r.post(tallied(asked[0], 1, third(2), 100, "c"))
		if n := r.summed(); n != 111 {
			t.Fatalf("sum %d", n)
		}
		r.post(tallied(asked[0], 1, third(2), 100, "c"))
		time.Sleep(5 * time.Second)
		if all := r.of(envelope.Collect); len(all) != 0 {
			t.Fatal("asked for a round that was told")
		}
	})
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		first := r.collects()
		r.post(tallied(first[0], 1, third(0), 1, "a"))
		r.post(tallied(first[0], 1, third(1), 10, "b"))
		time.Sleep(collectEvery + time.Millisecond)
		again := r.askedAgain()
		if len(again) != 3 || again[0].Ref == first[0].Ref {
			t.Fatalf("asked again %+v", again)
		}
		r.post(tallied(first[0], 1, third(2), 100, "c")) // of the first attempt, which was thrown away whole
		r.post(tallied(again[0], 1, third(0), 1, "a"))
		r.post(tallied(again[0], 1, third(1), 10, "b"))
		if n := r.summed(); n != -1 {
			t.Fatalf("mixed attempts: %d", n)
		}
		r.post(tallied(again[0], 1, third(2), 200, "c"))
		if n := r.summed(); n != 211 {
			t.Fatalf("sum %d", n)
		}
	})
}

func TestSumsOfDifferentTablesAreNotMixed(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		first := r.collects()
		r.post(tallied(first[0], 1, third(0), 1, "a"))
		r.post(tallied(first[0], 2, third(1), 10, "b")) // that node has a newer table: a player may have moved meanwhile
		r.post(tallied(first[0], 1, third(2), 100, "c"))
		if n := r.summed(); n != -1 {
			t.Fatalf("sum %d", n)
		}
		next := tableOf(2, here, backup, far)
		r.set(func() { r.table = next })
		r.home(func(w *shard.Worker, h *Home) { h.Rebase(w, func(envelope.NodeID) bool { return true }) })
		again := r.askedAgain()
		if len(again) != 3 || again[0].Ref == first[0].Ref {
			t.Fatalf("the new table makes it ask again: %+v", again)
		}
		for i := range 3 {
			r.post(tallied(again[0], 2, third(i), 1, "a"))
		}
		if n := r.summed(); n != 3 {
			t.Fatalf("sum %d", n)
		}
	})
}

func TestADamagedSumIsNotCounted(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		asked := r.collects()
		e := tallied(asked[0], 1, third(0), 1, "a")
		for n := range e.Payload {
			bad := e
			bad.Payload = e.Payload[:n]
			r.post(bad)
		}
		for i := range 3 {
			r.post(tallied(asked[0], 1, third(i), 1, "a"))
		}
		if n := r.summed(); n != 3 {
			t.Fatalf("sum %d", n)
		}
	})
}

func TestASuccessorAsksAgain(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		first := r.collects()
		next := r.successor(r.copy())
		defer next.workers.Close()
		again := next.askedAgain()
		if len(again) != 3 || again[0].Ref <= first[0].Ref+1000 {
			t.Fatalf("asked again %+v after %d", again, first[0].Ref)
		}
		for i := range 3 {
			next.post(tallied(first[0], 1, third(i), 7, "a")) // the old home's
			next.post(tallied(again[0], 1, third(i), 1, "a"))
		}
		if n := next.summed(); n != 3 {
			t.Fatalf("sum %d", n)
		}
	})
}

func TestNoticesAreToldAgainWhenTheTableChanges(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.ok("ann", "join", nil)
		r.ok("ann", "news", nil)
		_, a := r.as("bob", "join", nil)
		if a.Offset != 1 {
			t.Fatalf("bob is told that he hears notices after %d", a.Offset)
		}
		r.ok("ann", "news", nil)
		numbers := func(list []sent) (out []uint64) {
			for _, s := range list {
				if s.Kind == envelope.Notify {
					out = append(out, s.Offset)
				}
			}
			return out
		}
		r.home(func(w *shard.Worker, h *Home) { h.Rebase(w, func(envelope.NodeID) bool { return true }) })
		if got := numbers(r.drain()); len(got) != 2 || got[0] != 1 || got[1] != 2 {
			t.Fatalf("told again %v", got)
		}
		next := r.successor(r.copy())
		defer next.workers.Close()
		if got := numbers(next.drain()); len(got) != 2 {
			t.Fatalf("the successor told %v", got)
		}
		next.ok("ann", "news", nil)
		for range 2 * maxNotices {
			all, _ := next.ok("ann", "news", nil)
			if got := numbers(all); len(got) != 1 {
				t.Fatalf("told %v", got)
			}
		}
		n := 0
		for name := range next.copy() {
			if len(name) > 2 && name[:2] == noticeSection {
				n++
			}
		}
		if n != maxNotices {
			t.Fatalf("%d notices on the backup", n)
		}
		time.Sleep(2 * noticeFor)
		synctest.Wait()
		next.drain()
		next.home(func(w *shard.Worker, h *Home) { h.Rebase(w, func(envelope.NodeID) bool { return true }) })
		if got := numbers(next.drain()); len(got) != 0 {
			t.Fatalf("old news: %v", got)
		}
	})
}

func TestWhatIsOnItsWayIsAskedForSoon(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		asked := r.collects()
		r.post(tallied(asked[0], 1, third(0), 1, "a"))
		r.post(tallied(asked[0], 1, third(1), 10, "b"))
		r.post(tallied(asked[0], 1, Coverage{}, 0, "c"))
		time.Sleep(collectSoon + 2*time.Millisecond)
		if again := r.askedAgain(); len(again) != 3 {
			t.Fatalf("asked again %+v", again)
		}
	})
}
