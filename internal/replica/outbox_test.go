package replica

import (
	"errors"
	"slices"
	"testing"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

func (e *entity) wantLeft(refs ...uint64) {
	e.t.Helper()
	if got := e.left(); !slices.Equal(got, refs) {
		e.t.Fatalf("left: %v, want %v", got, refs)
	}
}

func TestNothingLeavesBeforeTheBackupHasIt(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.message("", 1) // tells of nothing
	e.wantLeft(1)
	e.message("x", 2, 3)
	e.message("", 4) // behind what waits
	e.message("y", 5)
	e.wantLeft(1)
	rep := e.replicated()
	if len(rep) != 2 || !e.o.Waits() {
		t.Fatalf("%d changes sent", len(rep))
	}
	e.ack(rep[0])
	e.wantLeft(1, 2, 3, 4)
	e.message("", 6)
	e.ack(rep[1])
	e.wantLeft(1, 2, 3, 4, 5, 6)
	if e.o.Waits() {
		t.Fatal("it waits for nothing")
	}
	e.message("", 7)
	e.wantLeft(1, 2, 3, 4, 5, 6, 7)
}

func TestANewBackupGetsTheWholeStateThenChanges(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.message("x")
	e.message("y")
	rep := e.replicated()
	if len(rep) != 2 || rep[0].Flags != envelope.FlagWhole || rep[1].Flags != 0 || rep[1].Offset != rep[0].Ref || rep[1].Ref != rep[0].Ref+1 ||
		rep[0].Key != key || rep[0].Part != shard.PartitionOf(key) || rep[0].Term != 1 || rep[0].Conn == 0 || rep[1].Conn != rep[0].Conn {
		t.Fatalf("sent: %+v", rep)
	}
	e.ack(rep[1])
	e.w.table = table(2, nodeA, nodeC)
	e.o.Again(&e.p, e.now, key, e.whole)
	rep = e.replicated()
	if len(rep) != 1 || rep[0].Flags != envelope.FlagWhole || !e.o.Waits() {
		t.Fatalf("to another backup: %+v", rep)
	}
	e.o.Again(&e.p, e.now, key, e.whole) // asked too often
	e.message("z", 1)
	if rep = e.replicated(); len(rep) != 1 || rep[0].Flags != 0 {
		t.Fatalf("then: %+v", rep)
	}
}

func TestWithoutABackupNothingWaits(t *testing.T) {
	e := newEntity(t, table(1, nodeA, none))
	e.message("x", 1)
	e.wantLeft(1)
	if e.o.Waits() || len(e.w.rep) != 0 || e.wholes != 0 {
		t.Fatal("a node alone works for nobody")
	}
	e.w.table = table(2, nodeA, nodeB)
	e.o.Again(&e.p, e.now, key, e.whole)
	e.message("y", 2)
	e.wantLeft(1)
	e.w.table = table(3, nodeA, none) // it went before it answered
	e.o.Again(&e.p, e.now, key, e.whole)
	e.wantLeft(1, 2)
	e.message("z", 3)
	e.wantLeft(1, 2, 3)
}

// Between the new table and the word to its entities a replaced owner must neither acknowledge anything nor tell the backup of
// its successor, in the successor's term, what is not so.
func TestAnOwnerThatWasReplacedSaysNothing(t *testing.T) {
	for name, tab := range map[string]*shard.Table{"by its backup": table(2, nodeB, nodeC), "by nobody": table(2, none, nodeC), "alone": table(2, nodeB, none)} {
		t.Run(name, func(t *testing.T) {
			e := newEntity(t, table(1, nodeA, nodeB))
			e.message("x", 1)
			old := e.replicated()
			e.w.table = tab
			e.message("y", 2)
			e.message("", 3)
			for range 50 {
				e.tick(100 * time.Millisecond)
			}
			e.o.Again(&e.p, e.now, key, e.whole)
			e.o.Drop(&e.p, key)
			e.wantLeft()
			if len(e.replicated()) != 0 {
				t.Fatal("it told the backup of its successor")
			}
			if at, ok := e.o.Deadline(); !ok || !at.After(e.now) {
				t.Fatalf("deadline %v, %v: it would wake for ever", at, ok)
			}
			e.ack(old[0]) // the old backup had that one
			e.wantLeft(1)
			var given []uint64
			e.o.Abandon(func(env *envelope.Envelope, _ envelope.NodeID) { given = append(given, env.Ref) })
			if !slices.Equal(given, []uint64{2, 3}) {
				t.Fatalf("given up: %v", given)
			}
			if e.o.Abandon(func(*envelope.Envelope, envelope.NodeID) { t.Fatal("twice") }); e.o.Full() {
				t.Fatal("full of nothing")
			}
		})
	}
}

// TestWhatAnEntityWasNotToldOf: others may have owned the partition between the table that the entity knows and the one in force. Until
// it is told, the backup hears nothing of it under the new term.
func TestWhatAnEntityWasNotToldOf(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.message("x", 1)
	e.ackAll()
	e.replicated()
	e.w.table = table(3, nodeA, nodeC) // by table 2 it was another's
	e.message("y", 2)
	e.now = e.now.Add(2 * resendAfter)
	e.o.Due(&e.p, e.now, key, e.whole)
	if rep := e.replicated(); len(rep) > 0 {
		t.Fatalf("sent: %+v", rep)
	}
	e.wantLeft(1)
	e.o.Told() // it was not
	e.message("z", 3)
	if rep := e.replicated(); len(rep) == 0 || rep[0].Term != 3 {
		t.Fatalf("sent: %+v", rep)
	}
	e.ackAll()
	e.wantLeft(1, 2, 3)
}

func TestAnOwnerThatOwnsAgainSendsTheWholeState(t *testing.T) {
	e := newEntity(t, table(1, nodeB, nodeA)) // restored before the table is in force
	e.message("x", 1)
	e.wantLeft()
	e.w.table = table(2, nodeA, nodeB)
	e.o.Again(&e.p, e.now, key, e.whole)
	rep := e.replicated()
	if len(rep) != 1 || rep[0].Flags != envelope.FlagWhole {
		t.Fatalf("sent: %+v", rep)
	}
	e.ack(rep[0])
	e.wantLeft(1)
}

// A change is lost, and others follow all the time: the whole state must come all the same, within two seconds.
func TestAGapIsMendedUnderLoad(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	s := NewStore()
	e.message("first", 1)
	deliver := func() {
		for _, r := range e.replicated() {
			if s.Apply(&r) {
				e.ack(r)
			}
		}
	}
	deliver()
	e.message("lost", 2)
	e.replicated()
	start := e.now
	for ref := uint64(3); e.o.Waits(); ref++ {
		if e.now.Sub(start) > 2100*time.Millisecond {
			t.Fatalf("not mended after %v", e.now.Sub(start))
		}
		e.message("load", ref)
		deliver()
		e.tick(50 * time.Millisecond)
		deliver()
	}
	if e.wholes != 2 {
		t.Fatalf("the whole state was made %d times", e.wholes)
	}
	if got := e.left(); !slices.IsSorted(got) || len(got) < 20 {
		t.Fatalf("left: %v", got)
	}
}

// A backup that is slow, but answers, is not buried under whole states.
func TestASlowBackupIsNotFlooded(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	var wire []envelope.Envelope
	for i := range 200 { // ten seconds; answers take 1.5 s
		e.message("x", uint64(i+1))
		e.tick(50 * time.Millisecond)
		wire = append(wire, e.replicated()...)
		if len(wire) > 30 {
			e.ack(wire[0])
			wire = wire[1:]
		}
	}
	if e.wholes > 2 {
		t.Fatalf("%d whole states in ten seconds", e.wholes)
	}
}

// A link whose queue is full gets one whole state a second from an entity, not one for each change.
func TestALinkThatRefusesIsNotFlooded(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.message("x", 1)
	e.ack(e.replicated()[0])
	e.w.out, e.wholes = nil, 0
	e.w.fail = errors.New("busy")
	for i := range 100 { // five seconds
		e.message("y", uint64(i+2))
		e.tick(50 * time.Millisecond)
	}
	if e.wholes > 5 {
		t.Fatalf("%d whole states in five seconds", e.wholes)
	}
	e.wantLeft()
	e.w.fail = nil
	e.tick(time.Second)
	rep := e.replicated()
	if len(rep) != 1 || rep[0].Flags != envelope.FlagWhole {
		t.Fatalf("after it healed: %d", len(rep))
	}
	e.ack(rep[0])
	if len(e.left()) != 100 || len(e.refused) != 0 {
		t.Fatalf("%d of 100 left, %d refused", len(e.left()), len(e.refused))
	}
}

func TestLocalDoesNotWaitButResends(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.p.Local = true
	e.message("x", 1)
	e.wantLeft(1)
	if len(e.replicated()) != 1 || !e.o.Waits() {
		t.Fatal("the backup gets it all the same")
	}
	e.tick(time.Second)
	if rep := e.replicated(); len(rep) != 1 || rep[0].Flags != envelope.FlagWhole {
		t.Fatalf("not sent again: %+v", rep)
	}
}

func TestForeignAnswersReleaseNothing(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.message("x", 1)
	rep := e.replicated()
	for _, ref := range []uint64{0, 1, rep[0].Ref - 2, rep[0].Ref + 1, 1<<64 - 1} {
		for _, flags := range []uint16{0, envelope.FlagMore} {
			e.ack(envelope.Envelope{Key: key, Conn: rep[0].Conn, Ref: ref, Flags: flags})
			e.ack(envelope.Envelope{Key: key, Conn: rep[0].Conn + 1, Ref: rep[0].Ref, Flags: flags})
		}
	}
	e.wantLeft()
	e.ack(rep[0])
	e.wantLeft(1)
}

// An answer to an earlier life, on this node or another, is not taken for one to this.
func TestNumbersOfLivesAreApart(t *testing.T) {
	number := func(term uint64) uint64 {
		e := newEntity(t, table(term, nodeA, nodeB))
		e.message("x")
		return e.replicated()[0].Ref
	}
	const changes = 1 << 30 // of one life
	for term := uint64(1); term < 1000; term++ {
		if now, later := number(term), number(term+1); now+changes >= later {
			t.Fatalf("term %d: %d, next term: %d", term, now, later)
		}
	}
	e := newEntity(t, table(1, nodeA, nodeB))
	e.message("x", 1)
	first := e.replicated()[0]
	e.o = Outbox{} // revived
	e.message("x", 2)
	second := e.replicated()[0]
	if first.Conn >= second.Conn {
		t.Fatalf("lives %d and %d", first.Conn, second.Conn)
	}
	e.ack(first)
	e.wantLeft()
	e.ack(second)
	e.wantLeft(2)
}

func TestFullByCountAndBytes(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	for i := range MaxHeld {
		if e.o.Full() {
			t.Fatalf("full with %d", i)
		}
		e.message("x", 1)
	}
	if !e.o.Full() {
		t.Fatal("not full")
	}
	e.ackAll()
	if e.o.Full() || len(e.left()) != MaxHeld {
		t.Fatal("full of nothing")
	}
	for range 8 {
		e.o.ToNode(nodeC, &envelope.Envelope{Kind: envelope.Out, Payload: make([]byte, 1<<20)})
		if e.o.Full() {
			t.Fatal("full too soon")
		}
		e.message("y")
	}
	if !e.o.Full() {
		t.Fatal("8 MiB wait, and it is not full")
	}
	e.ackAll()
	if e.o.Full() || e.o.bytes != 0 {
		t.Fatalf("%d bytes of nothing", e.o.bytes)
	}
}

func TestWhatIsHeldIsACopy(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	b := []byte("one")
	e.o.ToNode(nodeC, &envelope.Envelope{Kind: envelope.Out, Conn: 9, Payload: b})
	e.message("x")
	copy(b, "two")
	e.ackAll()
	if len(e.w.out) != 1 || string(e.w.out[0].env.Payload) != "one" || e.w.out[0].node != nodeC || e.w.out[0].env.Conn != 9 {
		t.Fatalf("left: %+v", e.w.out)
	}
}

func TestWhatCannotBeSentIsRefused(t *testing.T) {
	e := newEntity(t, table(1, nodeA, none))
	e.w.fail = errors.New("no link")
	e.message("x", 1, 2)
	if len(e.refused) != 2 || e.refused[0].Ref != 1 || e.refused[1].Ref != 2 {
		t.Fatalf("refused: %+v", e.refused)
	}
}

func TestDropTellsTheBackupThatHasIt(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.o.Drop(&e.p, key)
	if len(e.replicated()) != 0 {
		t.Fatal("there was nothing to drop")
	}
	e.message("x")
	s := NewStore()
	for _, r := range e.replicated() {
		s.Apply(&r)
	}
	if s.Len() != 1 {
		t.Fatal("not kept")
	}
	mine := e.w.table
	e.w.table = table(2, nodeC, nodeB)
	if e.o.Drop(&e.p, key); len(e.replicated()) != 0 {
		t.Fatal("an owner that was replaced dropped its successor's copy")
	}
	e.w.table = mine
	e.o.Drop(&e.p, key)
	for _, r := range e.replicated() {
		if !s.Apply(&r) {
			t.Fatal("refused")
		}
	}
	if s.Len() != 0 {
		t.Fatal("not dropped")
	}
}

func TestUnchangedStateCostsNothing(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.w = nil
	e.p.Router = silent{table(1, nodeA, nodeB)}
	var none state.Change
	env := envelope.Envelope{Kind: envelope.Out, Conn: 1, Payload: make([]byte, 100)}
	n := testing.AllocsPerRun(100, func() {
		e.o.ToNode(nodeA, &env)
		e.o.Finish(&e.p, e.now, key, &none, e.whole)
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

type silent struct{ t *shard.Table }

func (silent) Self() envelope.NodeID                            { return nodeA }
func (s silent) Table() *shard.Table                            { return s.t }
func (silent) Route(*envelope.Envelope) error                   { return nil }
func (silent) ToNode(envelope.NodeID, *envelope.Envelope) error { return nil }

func BenchmarkFinish(b *testing.B) {
	p := Policy{Router: silent{table(1, nodeA, nodeB)}}
	env := envelope.Envelope{Kind: envelope.Out, Conn: 1, Payload: make([]byte, 100)}
	for _, changed := range []bool{false, true} {
		b.Run(map[bool]string{false: "unchanged", true: "changed"}[changed], func(b *testing.B) {
			b.ReportAllocs()
			var o Outbox
			var c state.Change
			if changed {
				c.Put("p/bank:", make([]byte, 40))
			}
			whole := func(all *state.Change) { all.Put("p/bank:", nil) }
			for b.Loop() {
				o.ToNode(nodeA, &env)
				o.Finish(&p, time.Unix(1, 0), key, &c, whole)
				o.Acked(&p, time.Unix(1, 0), &envelope.Envelope{Conn: o.life, Ref: o.seq})
			}
		})
	}
}
