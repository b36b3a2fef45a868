package node

import (
	"slices"
	"testing"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

var (
	oldOwner = shard.NodeID{Name: "old", Boot: 1}
	sender   = shard.NodeID{Name: "sender", Boot: 2}
)

func numbered(ref, term uint64) *envelope.Envelope {
	return &envelope.Envelope{Kind: envelope.Call, Part: 7, Key: "chat/a", Ref: ref, Term: term, Payload: []byte{1}}
}

// let ends the wait for partition 7 and gives the refs in the order in which they are let in.
func (m *moving) let() (refs []uint64) {
	_, _ = m.end(7, func(e *envelope.Envelope) error { refs = append(refs, e.Ref); return nil })
	return refs
}

func TestWhatTheOldOwnerPassesOnComesFirst(t *testing.T) {
	var m moving
	m.expect(7, oldOwner, 2, 2, time.Now())
	m.meet(sender, numbered(3, 2), 2)
	m.meet(oldOwner, numbered(1, 1), 2)
	_, _ = m.hold(numbered(4, 2))
	m.meet(oldOwner, numbered(2, 1), 2)
	if got := m.let(); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Fatalf("let in %v", got)
	}
	if m.busy.Load() != 0 {
		t.Fatal("something still moves")
	}
}

func TestMessagesAheadOfTheTableWait(t *testing.T) {
	var m moving
	for ref := range uint64(3) {
		if what, _ := m.meet(sender, numbered(ref+1, 2), 1); what != held {
			t.Fatalf("%d: %v", ref, what)
		}
	}
	m.meet(sender, numbered(9, 3), 1) // two tables ahead
	table := tableOf("a", "b")
	table.PartTerm[7] = 2
	m.expect(7, oldOwner, 2, 2, time.Now())
	if rest := m.catchUp(table); len(rest) != 0 {
		t.Fatalf("let through %v", rest)
	}
	if what, _ := m.meet(sender, numbered(4, 2), 2); what != held {
		t.Fatal("overtakes")
	}
	if got := m.let(); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Fatalf("let in %v", got)
	}
	if late := m.tooEarly(time.Now().Add(2 * earlyFor)); len(late) != 1 || late[0].Ref != 9 {
		t.Fatalf("given up %v", late)
	}
}

func TestTheOldOwnerPassesOn(t *testing.T) {
	var m moving
	m.leave(7, sender, 2)
	if what, to := m.meet(oldOwner, numbered(1, 1), 2); what != ahead || to != sender {
		t.Fatalf("%v to %v", what, to)
	}
	m.left(7, 1) // of another table
	if what, _ := m.meet(oldOwner, numbered(2, 1), 2); what != ahead {
		t.Fatal("it ended too soon")
	}
	m.left(7, 2)
	if what, _ := m.meet(oldOwner, numbered(3, 1), 2); what != passes {
		t.Fatal("it goes on")
	}
	nodes := []shard.NodeID{oldOwner, sender}
	m.marked(sender, 1)
	if !m.unmarked(nodes, oldOwner, 2) {
		t.Fatal("the mark is of an older table")
	}
	m.marked(sender, 2)
	if m.unmarked(nodes, oldOwner, 2) {
		t.Fatal("the mark does not count")
	}
}

func TestWhatIsHeldIsBoundedAndEnds(t *testing.T) {
	var m moving
	now := time.Now()
	m.expect(7, oldOwner, 2, 2, now)
	for ref := range uint64(maxHeldMessages) {
		if what, _ := m.meet(sender, numbered(ref, 2), 2); what != held {
			t.Fatalf("message %d: %v", ref, what)
		}
	}
	if what, _ := m.meet(sender, numbered(1, 2), 2); what != refused {
		t.Fatal("no bound")
	}
	if late, lost := m.overdue(now.Add(awaitedFor/2), 2); len(late) != 0 || len(lost) != 0 {
		t.Fatalf("too soon: %d %v", len(late), lost)
	}
	late, lost := m.overdue(time.Now().Add(heldFor+time.Second), 5)
	if len(late) != maxHeldMessages || !slices.Equal(lost, []uint16{7}) {
		t.Fatalf("%d late, lost %v", len(late), lost)
	}
	if !m.begin(7, 5) || m.begin(7, 2) {
		t.Fatal("it is to be put together by the table in force")
	}
}

func TestAHandoffMayComeBeforeTheTable(t *testing.T) {
	var m moving
	if ends, _ := m.came(7, 2); ends {
		t.Fatal("nothing was awaited")
	}
	if !m.expect(7, oldOwner, 2, 2, time.Now()) {
		t.Fatal("all of it is here")
	}
	if ends, _ := m.came(7, 1); ends {
		t.Fatal("of an older term")
	}
	m.passOn(7, time.Now())
	if ends, pass := m.came(7, 2); !ends || !pass {
		t.Fatal("it belongs to another node")
	}
}
