package replica

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// change makes a Replicate envelope that puts one section.
func change(flags uint16, term, life, seq, before uint64, name string) *envelope.Envelope {
	var c state.Change
	c.Put(name, []byte("x"))
	return &envelope.Envelope{Kind: envelope.Replicate, Key: key, Part: shard.PartitionOf(key), Flags: flags, Term: term, Conn: life, Ref: seq,
		Offset: before, Payload: c.Append(nil)}
}

const whole = envelope.FlagWhole

func TestCopiesThatNobodyOwnsStay(t *testing.T) {
	s := NewStore()
	now := time.Now()
	part := shard.PartitionOf("chat/a")
	s.Keep(part, "chat/a", 1, state.Sections{"g": {1}}, now)
	s.Hold(part)
	s.Purge(now.Add(time.Hour))
	if s.Len() != 1 {
		t.Fatal("purged")
	}
	s.Retire(part, now)
	s.Purge(now.Add(time.Hour))
	if s.Len() != 0 {
		t.Fatal("kept for ever")
	}
}

func TestACopyTakesOnlyWhatFollows(t *testing.T) {
	type step struct {
		e    *envelope.Envelope
		want bool
	}
	for name, tt := range map[string]struct {
		steps []step
		keeps string // the sections in the end
	}{
		"a change of nothing":         {[]step{{change(0, 1, 5, 6, 5, "a"), false}}, ""},
		"whole, then changes":         {[]step{{change(whole, 1, 5, 6, 0, "a"), true}, {change(0, 1, 5, 7, 6, "b"), true}, {change(0, 1, 5, 8, 7, "c"), true}}, "abc"},
		"a gap":                       {[]step{{change(whole, 1, 5, 6, 0, "a"), true}, {change(0, 1, 5, 8, 7, "c"), false}}, "a"},
		"whole after a gap":           {[]step{{change(whole, 1, 5, 6, 0, "a"), true}, {change(0, 1, 5, 8, 7, "c"), false}, {change(whole, 1, 5, 9, 0, "d"), true}}, "d"},
		"twice":                       {[]step{{change(whole, 1, 5, 6, 0, "a"), true}, {change(0, 1, 5, 7, 6, "b"), true}, {change(0, 1, 5, 7, 6, "b"), true}, {change(whole, 1, 5, 6, 0, "a"), true}}, "ab"},
		"an old whole state":          {[]step{{change(whole, 1, 5, 9, 0, "d"), true}, {change(whole, 1, 5, 6, 0, "a"), true}}, "d"},
		"a later life, lower numbers": {[]step{{change(whole, 1, 5, 9, 0, "d"), true}, {change(whole, 1, 6, 3, 0, "a"), true}, {change(0, 1, 6, 4, 3, "b"), true}}, "ab"},
		"an earlier life":             {[]step{{change(whole, 1, 5, 9, 0, "d"), true}, {change(whole, 1, 4, 30, 0, "a"), false}, {change(0, 1, 5, 10, 9, "e"), true}}, "de"},
		"a change of another life":    {[]step{{change(whole, 1, 5, 9, 0, "d"), true}, {change(0, 1, 4, 10, 9, "e"), false}}, "d"},
		"an earlier owner":            {[]step{{change(whole, 2, 5, 9, 0, "d"), true}, {change(whole, 1, 7, 99, 0, "e"), false}, {change(0, 1, 5, 10, 9, "f"), false}}, "d"},
		"a later owner":               {[]step{{change(whole, 1, 5, 9, 0, "d"), true}, {change(0, 2, 4, 10, 9, "f"), false}, {change(whole, 2, 6, 7, 0, "e"), true}}, "e"},
		"a larger term, one owner":    {[]step{{change(whole, 1, 5, 9, 0, "d"), true}, {change(0, 2, 5, 10, 9, "f"), true}, {change(0, 1, 5, 11, 10, "g"), false}}, "df"},
		"dropped":                     {[]step{{change(whole, 1, 5, 9, 0, "d"), true}, {change(envelope.FlagDropped, 1, 5, 10, 0, ""), true}}, ""},
		"dropped by another life":     {[]step{{change(whole, 1, 5, 9, 0, "d"), true}, {change(envelope.FlagDropped, 1, 4, 10, 0, ""), true}}, "d"},
		"dropped by an earlier owner": {[]step{{change(whole, 2, 5, 9, 0, "d"), true}, {change(envelope.FlagDropped, 1, 5, 10, 0, ""), false}}, "d"},
	} {
		s := NewStore()
		for i, st := range tt.steps {
			if got := s.Apply(st.e); got != st.want {
				t.Errorf("%s: step %d: %v, want %v", name, i, got, st.want)
			}
		}
		got := s.Take(shard.PartitionOf(key))[key]
		if len(got) != len(tt.keeps) {
			t.Errorf("%s: kept %v, want %q", name, got, tt.keeps)
		}
		for _, c := range tt.keeps {
			if got[string(c)] == nil {
				t.Errorf("%s: kept %v, want %q", name, got, tt.keeps)
			}
		}
	}
}

func TestAFenceHoldsFromItsMoment(t *testing.T) {
	s := NewStore()
	part := shard.PartitionOf(key)
	s.Apply(change(whole, 3, 5, 6, 0, "a"))
	s.Fence(part, 4)
	s.Fence(part, 2) // never down
	if s.Apply(change(0, 3, 5, 7, 6, "b")) {
		t.Fatal("an owner that was replaced was heard")
	}
	if got := s.Take(part)[key]; len(got) != 1 {
		t.Fatalf("kept %v", got)
	}
	if s.Apply(change(whole, 3, 5, 8, 0, "c")) {
		t.Fatal("the fence fell with the copies")
	}
	if !s.Apply(change(whole, 4, 9, 1, 0, "c")) {
		t.Fatal("the new owner was not heard")
	}
}

func TestDamageChangesNothing(t *testing.T) {
	s := NewStore()
	s.Apply(change(whole, 1, 5, 6, 0, "a"))
	bad := change(0, 1, 5, 7, 6, "b")
	bad.Payload = bad.Payload[:len(bad.Payload)-1]
	if s.Apply(bad) {
		t.Fatal("half a change was taken")
	}
	bad = change(whole, 1, 5, 7, 0, "b")
	bad.Payload = []byte{0xdd, 0xff, 0xff, 0xff, 0xff}
	if s.Apply(bad) {
		t.Fatal("a bomb was taken")
	}
	for _, part := range []uint16{0, shard.PartitionOf(key) + 1, shard.Partitions, 1<<16 - 1} {
		wrong := change(whole, 1, 5, 9, 0, "b")
		wrong.Part = part
		if s.Apply(wrong) {
			t.Fatalf("taken into partition %d", part)
		}
	}
	if !s.Apply(change(0, 1, 5, 7, 6, "c")) {
		t.Fatal("the chain broke")
	}
	if got := s.Take(shard.PartitionOf(key))[key]; len(got) != 2 || got["a"] == nil || got["c"] == nil {
		t.Fatalf("kept %v", got)
	}
}

func TestCopiesDoNotAliasTheWire(t *testing.T) {
	s := NewStore()
	e := change(whole, 1, 5, 6, 0, "a")
	wire := e.Append(nil)
	var got envelope.Envelope
	if err := got.Decode(wire); err != nil || !s.Apply(&got) {
		t.Fatal(err)
	}
	clear(wire)
	if kept := s.Take(shard.PartitionOf(key)); string(kept[key]["a"]) != "x" {
		t.Fatalf("kept %v", kept)
	}
}

func TestTakePurgeLen(t *testing.T) {
	s := NewStore()
	parts := map[uint16]int{}
	for i := range 100 {
		e := change(whole, 1, 5, 6, 0, "a")
		e.Key = fmt.Sprintf("player/%d", i)
		e.Part = shard.PartitionOf(e.Key)
		parts[e.Part]++
		if !s.Apply(e) {
			t.Fatal("refused")
		}
	}
	left := 100
	for p, n := range parts {
		if s.Len() != left {
			t.Fatalf("%d copies, want %d", s.Len(), left)
		}
		left -= n
		if p%2 == 0 {
			s.Retire(p, epoch)
			s.Purge(epoch)
			if s.Len() != left+n {
				t.Fatal("a copy was dropped before its time")
			}
			s.Purge(epoch.Add(1))
		} else if got := len(s.Take(p)); got != n {
			t.Fatalf("took %d of %d", got, n)
		}
	}
	if s.Len() != 0 || len(s.Take(0)) != 0 {
		t.Fatal("not all gone")
	}
	s.Retire(1020, epoch)
}

func TestAPartitionThatIsUsedAgainIsNotPurged(t *testing.T) {
	s := NewStore()
	s.Apply(change(whole, 1, 5, 6, 0, "a"))
	s.Retire(shard.PartitionOf(key), epoch)
	if !s.Apply(change(0, 1, 5, 7, 6, "b")) {
		t.Fatal("refused")
	}
	s.Purge(epoch.Add(time.Hour))
	if s.Len() != 1 {
		t.Fatal("purged although the owner still sends")
	}
}

func TestKeptAndFilledCopiesYieldToTheOwners(t *testing.T) {
	s, part := NewStore(), shard.PartitionOf(key)
	s.Keep(part, key, 1, state.Sections{"kept": nil}, epoch)
	fill := func(term, life, seq uint64, name string) *envelope.Envelope {
		return change(whole|envelope.FlagFill, term, life, seq, 0, name)
	}
	s.Fill(nodeC, fill(0, 9, 9, "older"))
	c, peeked, ok := s.Peek(part, key)
	if !ok || c.Term != 1 || c.Life != OwnState|1 || len(peeked.Sections()) != 1 || peeked.Sections()["kept"] == nil {
		t.Fatalf("peeked %+v: %v", c, peeked)
	}
	if _, _, ok = s.Peek(part, "player/bob"); ok || len(s.Keys(part)) != 1 || len(s.Keys(part+1)) != 0 {
		t.Fatal("peeked too much")
	}
	if s.Apply(change(0, 1, 0, 2, 0, "b")) {
		t.Fatal("a change followed a copy of no owner")
	}
	if !s.Apply(change(whole, 2, 5, 6, 0, "a")) || !s.Apply(change(0, 2, 5, 7, 6, "b")) {
		t.Fatal("the owner was refused")
	}
	s.Fill(nodeC, fill(2, 5, 6, "older"))
	s.Fill(nodeC, fill(2, 4, 99, "older"))
	if got := s.Take(part)[key]; len(got) != 2 || got["a"] == nil || got["b"] == nil {
		t.Fatalf("kept %v", got)
	}
	s.Fill(nodeC, fill(2, 5, 8, "filled"))
	s.Fill(nodeB, fill(2, 6, 2, "newest"))
	s.Fill(nodeB, fill(2, 6, 1, "older"))
	if got := s.TakeCopies(part)[key]; got.Sections["newest"] == nil || got.Term != 2 || got.Life != 6 || got.Seq != 2 {
		t.Fatalf("kept %v", got)
	}
}

var epoch = time.Unix(1e9, 0)

func TestAStoreHasManyUsers(t *testing.T) {
	s := NewStore()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				e := change(whole, 1, uint64(g+1), uint64(i+1), 0, "a")
				e.Key = fmt.Sprintf("player/%d", i%20)
				e.Part = shard.PartitionOf(e.Key)
				s.Apply(e)
				s.Len()
				s.Fence(e.Part, 1)
			}
		})
	}
	wg.Wait()
	if s.Len() != 20 {
		t.Fatalf("%d copies", s.Len())
	}
}
