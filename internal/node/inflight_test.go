package node

import (
	"slices"
	"testing"
	"time"

	"gamed/protocol"
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

func openRefs(f *inflight) []uint64 {
	var refs []uint64
	for _, c := range f.calls {
		refs = append(refs, c.ref)
	}
	return refs
}

func TestInflightKeepsCallsUntilTheyAreAnswered(t *testing.T) {
	var f inflight
	now := time.Now()
	refuse := func([]byte) { t.Fatal("refused") }
	batch := calls(1, 0, 2, 3)
	if got := f.keep(batch, now, refuse); string(got) != string(batch) {
		t.Fatal("the batch was changed")
	}
	if got := openRefs(&f); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Fatalf("kept %v: casts must not be", got)
	}
	if got := f.answered(replies(2)); string(got) != string(replies(2)) {
		t.Fatal("an answer did not get through")
	}
	if got := openRefs(&f); !slices.Equal(got, []uint64{1, 3}) {
		t.Fatalf("open %v", got)
	}
	for i := range f.calls {
		f.calls[i].again = true // sent to a second owner
	}
	push := protocol.AppendPush(nil, "chat:lobby", 7, "said", nil)
	mixed := append(append(replies(1), push...), replies(3)...)
	if got := f.answered(mixed); string(got) != string(mixed) {
		t.Fatal("first answers and pushes must get through")
	}
	if got := f.answered(mixed); string(got) != string(push) {
		t.Fatal("the second answers must not reach the client, the push must")
	}
	f.keep(calls(3), now, refuse) // the client itself sends it again
	if got := f.answered(replies(3)); string(got) != string(replies(3)) {
		t.Fatal("a call that the client sent again must be answered")
	}
	if len(f.calls) != 0 || f.bytes != 0 {
		t.Fatalf("left: %v, %d bytes", openRefs(&f), f.bytes)
	}
}

func TestInflightIsBounded(t *testing.T) {
	var f inflight
	var refused []uint64
	refuse := func(frame []byte) {
		c, _ := protocol.ParseCall(frame[4:])
		refused = append(refused, c.Ref)
	}
	for ref := uint64(1); ref <= maxFlying; ref++ {
		f.keep(calls(ref), time.Now(), refuse)
	}
	batch := calls(1000, 0, 1001)
	before := slices.Clone(batch)
	got := f.keep(batch, time.Now(), refuse)
	if !slices.Equal(refused, []uint64{1000, 1001}) || string(got) != string(calls(0)) {
		t.Fatalf("refused %v, %d bytes left of the batch", refused, len(got))
	}
	if string(batch) != string(before) {
		t.Fatal("the caller's bytes were changed")
	}
}
