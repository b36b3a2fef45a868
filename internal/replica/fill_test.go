package replica

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// large makes an entity whose whole state takes n pieces, or one more.
func large(e *entity, n int) {
	e.p.PieceSize = 100
	for i := range n {
		e.state[fmt.Sprintf("m/%03d", i)] = bytes.Repeat([]byte("x"), 80)
	}
}

// deliver gives a store what was sent, and the entity its answers, until there is no more.
func (e *entity) deliver(s *Store) (pieces int) {
	for list := e.replicated(); len(list) > 0; list = e.replicated() {
		for _, r := range list {
			if pieces++; s.Apply(&r) {
				e.ack(r)
			}
		}
	}
	return pieces
}

// No more is on the way than the backup has room for, what is changed meanwhile comes behind, and nothing leaves before all has come.
func TestALargeStateGoesInPieces(t *testing.T) {
	e, s := newEntity(t, table(1, nodeA, nodeB)), NewStore()
	large(e, 50)
	e.message("joined", 1)
	if n := len(e.w.rep); n != aheadPieces {
		t.Fatalf("%d pieces at once", n)
	}
	first := e.replicated()
	for _, r := range first {
		if len(r.Payload) > 164 {
			t.Fatalf("a piece of %d bytes", len(r.Payload))
		}
		if !s.Apply(&r) {
			t.Fatal("refused")
		}
	}
	e.message("during", 2)
	e.message("", 3)
	if s.Len() != 0 || len(s.Keys(shard.PartitionOf(key))) != 0 {
		t.Fatal("half a state is a copy")
	}
	e.wantLeft()
	for _, r := range first {
		e.ack(r)
	}
	e.wantLeft()
	if n := e.deliver(s); n < 30 || e.o.Waits() {
		t.Fatalf("%d more pieces, waits: %v", n, e.o.Waits())
	}
	e.wantLeft(1, 2, 3)
	got := s.Take(shard.PartitionOf(key))[key]
	if len(got) != len(e.state)+1 || got["during"] == nil || got["m/049"] == nil {
		t.Fatalf("the copy has %d sections, the state %d", len(got), len(e.state))
	}
}

// A message that changes nothing tells of what was acknowledged: it does not wait for another backup to be filled.
func TestAFillHoldsUpChangesOnly(t *testing.T) {
	e, s := newEntity(t, table(1, nodeA, nodeB)), NewStore()
	large(e, 30)
	e.message("x", 1)
	e.deliver(s)
	e.w.table = table(1, nodeA, nodeC)
	e.o.Again(&e.p, e.now, key, e.whole)
	e.message("", 2)
	e.wantLeft(1, 2)
	if !e.o.Waits() {
		t.Fatal("it could leave memory in the middle")
	}
	e.message("y", 3)
	e.message("", 4)
	e.wantLeft(1, 2)
	e.deliver(NewStore())
	e.wantLeft(1, 2, 3, 4)
}

// Pieces are lost: after a second without an answer all begins anew, and the copy that was there is kept until then.
func TestALostPieceBeginsAnew(t *testing.T) {
	e, s := newEntity(t, table(1, nodeA, nodeB)), NewStore()
	large(e, 20)
	e.message("old", 1)
	e.deliver(s)
	e.o = Outbox{} // another life
	e.message("new", 2)
	for i, r := range e.replicated() {
		if i != 3 && s.Apply(&r) {
			e.ack(r)
		}
	}
	for range 40 {
		e.tick(50 * time.Millisecond)
		if got := s.parts[shard.PartitionOf(key)].entities[key].Sections; e.o.Waits() && got["new"] != nil {
			t.Fatal("a state with a gap became the copy")
		}
		e.deliver(s)
	}
	e.wantLeft(1, 2)
	if got := s.Take(shard.PartitionOf(key))[key]; len(got) != len(e.state)+1 {
		t.Fatalf("the copy has %d sections", len(got))
	}
}

// Changes too long to be sent as such have the whole state sent again, and not from the beginning each time.
func TestLongChangesDoNotStarveAFill(t *testing.T) {
	e, s := newEntity(t, table(1, nodeA, nodeB)), NewStore()
	e.p.PieceSize = 100 << 10
	for i := range uint64(30) {
		e.long = 2 << 20
		e.message("long", i+1)
		for _, r := range e.replicated() {
			if s.Apply(&r) {
				e.ack(r)
			}
		}
		e.tick(5 * time.Millisecond)
	}
	if n := len(e.left()); n < 10 {
		t.Fatalf("%d of 30 left", n)
	}
	for range 3 {
		e.deliver(s)
		e.tick(5 * time.Millisecond)
	}
	if len(e.left()) != 30 || e.o.Waits() {
		t.Fatalf("%d of 30 left", len(e.left()))
	}
}

func TestChangesDuringAFillAreBounded(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	large(e, 20)
	e.message("x")
	for i := range 9 {
		if e.o.Full() {
			t.Fatalf("full after %d", i)
		}
		e.long = 500 << 10
		e.message("y")
	}
	if !e.o.Full() {
		t.Fatal("4 MiB wait behind a fill, and it is not full")
	}
	e.w.table = table(2, nodeB, nodeC)
	e.o.Abandon(func(*envelope.Envelope, envelope.NodeID) {})
	if e.o.Full() {
		t.Fatal("full of nothing")
	}
}

// A state that no backup may hold is not sent, and what it changes is not acknowledged.
func TestAStateThatIsTooLarge(t *testing.T) {
	e := newEntity(t, table(1, nodeA, nodeB))
	e.p.Pace = NewPacer(PacerOptions{})
	e.long = MaxState
	e.message("x", 1)
	if len(e.w.rep) != 0 || !e.o.Full() || e.p.Pace.TooLarge() != 1 || len(e.p.Pace.open) != 0 {
		t.Fatalf("%d pieces, full %v, counted %d", len(e.w.rep), e.o.Full(), e.p.Pace.TooLarge())
	}
	e.wantLeft()
	e.long = 10
	for range 3 {
		e.message("x", 2)
	}
	if e.wholes != 1 {
		t.Fatalf("the whole state was made %d times", e.wholes)
	}
	e.tick(largeEvery)
	e.deliver(NewStore())
	if e.wantLeft(1, 2, 2, 2); e.o.Full() {
		t.Fatal("still full")
	}
}

// A backup has everything when it has confirmed all pieces of the whole state: not before, not by what an earlier backup said, and from
// then on whatever is changed, because that waits for it.
func TestBackedUp(t *testing.T) {
	e, s := newEntity(t, table(1, nodeA, nodeB)), NewStore()
	large(e, 50)
	backed := func(want bool, when string) {
		t.Helper()
		if e.o.BackedUp(&e.p, key) != want {
			t.Fatalf("%s: %v", when, !want)
		}
	}
	e.message("joined", 1)
	backed(false, "first pieces sent")
	first := e.replicated()
	for _, r := range first[:len(first)-1] {
		s.Apply(&r)
		e.ack(r)
	}
	backed(false, "some confirmed")
	s.Apply(&first[len(first)-1])
	e.ack(first[len(first)-1])
	e.deliver(s)
	backed(true, "all confirmed")
	e.message("changed", 2)
	backed(true, "a change is on its way, and waits")
	e.deliver(s)
	e.message("changed", 3)
	late := e.replicated()
	e.w.table = table(1, nodeA, nodeC)
	backed(false, "another backup is named")
	e.o.Again(&e.p, e.now, key, e.whole)
	for _, r := range late {
		e.ack(r) // of the backup before
	}
	backed(false, "the new one was sent the first pieces")
	e.deliver(NewStore())
	backed(true, "the new one has confirmed all")
}
