package inflight

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gamed/internal/envelope"
	"gamed/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ownerA = envelope.NodeID{Name: "a", Boot: 1}
	ownerB = envelope.NodeID{Name: "b", Boot: 2}
)

func calls(refs ...uint64) []byte {
	var b []byte
	for _, r := range refs {
		b = protocol.AppendCall(b, r, "echo:", "e", nil)
	}
	return b
}

func replies(refs ...uint64) []byte {
	var b []byte
	for _, r := range refs {
		b = protocol.AppendReply(b, r, nil)
	}
	return b
}

func openRefs(f *Calls) []uint64 {
	var refs []uint64
	for _, c := range f.open {
		refs = append(refs, c.ref)
	}
	return refs
}

func TestKeepsCallsUntilTheyAreAnswered(t *testing.T) {
	var f Calls
	now := time.Now()
	refuse := func([]byte) { t.Fatal("refused") }
	batch := calls(1, 0, 2, 3)
	if got := f.keep(now, batch, refuse); string(got) != string(batch) {
		t.Fatal("the batch was changed")
	}
	if got := openRefs(&f); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Fatalf("kept %v: casts must not be", got)
	}
	if got := f.Answered(now, replies(2)); string(got) != string(replies(2)) {
		t.Fatal("an answer did not get through")
	}
	if got := openRefs(&f); !slices.Equal(got, []uint64{1, 3}) {
		t.Fatalf("open %v", got)
	}
	for i := range f.open {
		f.open[i].again = true // sent to a second owner
	}
	push := protocol.AppendPush(nil, "chat:lobby", 7, "said", nil)
	mixed := append(append(replies(1), push...), replies(3)...)
	if got := f.Answered(now, mixed); string(got) != string(mixed) {
		t.Fatal("first answers and pushes must get through")
	}
	if got := f.Answered(now, mixed); string(got) != string(push) {
		t.Fatal("the second answers must not reach the client, the push must")
	}
	f.keep(now, calls(3), refuse) // the client itself sends it again
	if got := f.Answered(now, replies(3)); string(got) != string(replies(3)) {
		t.Fatal("a call that the client sent again must be answered")
	}
	if len(f.open) != 0 || f.bytes != 0 {
		t.Fatalf("left: %v, %d bytes", openRefs(&f), f.bytes)
	}
}

func TestIsBounded(t *testing.T) {
	var f Calls
	var refused []uint64
	refuse := func(frame []byte) {
		c, _ := protocol.ParseCall(frame[4:])
		refused = append(refused, c.Ref)
	}
	for ref := uint64(1); ref <= MaxOpen; ref++ {
		f.keep(time.Now(), calls(ref), refuse)
	}
	batch := calls(1000, 0, 1001)
	before := slices.Clone(batch)
	got := f.keep(time.Now(), batch, refuse)
	if !slices.Equal(refused, []uint64{1000, 1001}) || string(got) != string(calls(0)) {
		t.Fatalf("refused %v, %d bytes left of the batch", refused, len(got))
	}
	if string(batch) != string(before) {
		t.Fatal("the caller's bytes were changed")
	}
}

func TestOpenCallsGoToTheNextOwnerFirst(t *testing.T) {
	var c Calls
	now := time.Now()
	none := func([]byte) { t.Fatal("refused") }
	lost := func(ref uint64) { t.Fatalf("%d given up", ref) }
	if got := c.Begin(now, calls(1, 0), ownerA, none); string(got) != string(calls(1, 0)) {
		t.Fatalf("sent %x", got)
	}
	if got := c.Begin(now, calls(2), ownerB, none); string(got) != string(calls(1, 2)) || c.Owner() != ownerB {
		t.Fatalf("to the next owner: %x", got)
	}
	c.Failed()
	if got := c.Begin(now, calls(3), ownerB, none); got != nil {
		t.Fatalf("overtakes: %x", got)
	}
	if !c.Look(now, ownerB, lost) || c.Look(now, envelope.NodeID{}, lost) {
		t.Fatal("held calls are tried while there is an owner")
	}
	if got := c.Again(now, ownerB, lost); string(got) != string(calls(1, 2, 3)) || c.Held() {
		t.Fatalf("again: %x", got)
	}
	if c.Look(now, ownerB, lost) || !c.Look(now, ownerA, lost) {
		t.Fatal("sent again though nothing changed, or not though the owner did")
	}
	if got := c.Answered(now, replies(1, 2, 3)); string(got) != string(replies(1, 2, 3)) || c.Open() != 0 || c.Idle() {
		t.Fatalf("%x is for the client, %d open", got, c.Open())
	}
}

func TestCallsAreGivenUpInTime(t *testing.T) {
	now := time.Now()
	for _, held := range []bool{true, false} {
		var c Calls
		var lost []uint64
		giveUp := func(ref uint64) { lost = append(lost, ref) }
		limit := OpenFor
		c.Begin(now, calls(1), ownerA, nil)
		if held {
			c.Failed()
			limit = HoldFor
		}
		c.Begin(now.Add(time.Second), calls(2), ownerA, nil)
		c.Look(now.Add(limit), ownerA, giveUp)
		if len(lost) > 0 {
			t.Fatalf("held %v: %v given up too soon", held, lost)
		}
		c.Look(now.Add(limit+1), ownerA, giveUp)
		if !slices.Equal(lost, []uint64{1}) || c.Open() != 1 {
			t.Fatalf("held %v: gave up %v", held, lost)
		}
		if c.Look(now.Add(limit+2*time.Second), ownerA, giveUp); c.Open() != 0 || c.Held() {
			t.Fatal("it goes on to hold")
		}
	}
}

func TestASilentOwnerIsAskedOnceMore(t *testing.T) {
	var c Calls
	now := time.Now()
	lost := func(ref uint64) { t.Fatalf("%d given up", ref) }
	c.Begin(now, calls(1), ownerA, nil)
	if c.Look(now.Add(suspicious), ownerA, lost) || !c.Look(now.Add(suspicious+1), ownerA, lost) {
		t.Fatal("wrong time")
	}
	c.Again(now, ownerA, lost)
	if c.Look(now.Add(suspicious+1), ownerA, lost) {
		t.Fatal("again and again")
	}
}

func TestAdoptedCallsCannotBeSentAgain(t *testing.T) {
	var c Calls
	now := time.Now()
	c.Adopt(now, ownerA, []uint64{7, 8}, func(int) time.Duration { return OpenFor })
	c.Begin(now, calls(9), ownerA, nil)
	if got := c.Answered(now, replies(7)); string(got) != string(replies(7)) {
		t.Fatal("an answer did not get through")
	}
	var lost []uint64
	if got := c.Again(now, ownerB, func(ref uint64) { lost = append(lost, ref) }); string(got) != string(calls(9)) || !slices.Equal(lost, []uint64{8}) {
		t.Fatalf("again %x, given up %v", got, lost)
	}
	if got := c.Answered(now, replies(8)); len(got) != 0 {
		t.Fatal("it was answered before")
	}
}

// A call that moved with its player is open no longer than one that did not.
func TestAdoptedCallsKeepTheirTime(t *testing.T) {
	var c Calls
	now := time.Now()
	c.Begin(now, calls(9), ownerA, nil)
	left := []time.Duration{time.Second, time.Hour, -time.Second}
	c.Adopt(now, ownerA, []uint64{1, 2, 3}, func(i int) time.Duration { return left[i] })
	var lost []uint64
	give := func(ref uint64) { lost = append(lost, ref) }
	for _, s := range []struct {
		after time.Duration
		lost  []uint64
	}{{1, []uint64{3}}, {time.Second, []uint64{3}}, {time.Second + 1, []uint64{3, 1}}, {OpenFor + 1, []uint64{3, 1, 9, 2}}} {
		if c.Look(now.Add(s.after), ownerA, give); !slices.Equal(lost, s.lost) {
			t.Errorf("given up after %v: %v, want %v", s.after, lost, s.lost)
		}
	}
}
