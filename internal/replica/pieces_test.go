package replica

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

const more = envelope.FlagMore

func TestACopyIsReplacedOnlyByAWholeState(t *testing.T) {
	type step struct {
		e    *envelope.Envelope
		want bool
	}
	old := []step{{change(whole, 1, 5, 6, 0, "a"), true}}
	for name, tt := range map[string]struct {
		steps []step
		keeps string // the sections in the end
	}{
		"all pieces":               {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(more, 1, 5, 9, 8, "c"), true}, {change(0, 1, 5, 10, 9, "d"), true}}, "bcd"},
		"then a change":            {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(0, 1, 5, 9, 8, "c"), true}, {change(0, 1, 5, 10, 9, "d"), true}}, "bcd"},
		"half":                     {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(more, 1, 5, 9, 8, "c"), true}}, "a"},
		"a gap":                    {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(more, 1, 5, 10, 9, "d"), false}, {change(0, 1, 5, 11, 10, "e"), false}}, "a"},
		"a gap before the last":    {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(0, 1, 5, 10, 9, "d"), false}}, "a"},
		"a piece twice":            {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(more, 1, 5, 9, 8, "c"), true}, {change(more, 1, 5, 9, 8, "c"), true}, {change(whole|more, 1, 5, 8, 0, "b"), true}, {change(0, 1, 5, 10, 9, "d"), true}}, "bcd"},
		"all of it twice":          {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(0, 1, 5, 9, 8, "c"), true}, {change(whole|more, 1, 5, 8, 0, "b"), true}, {change(0, 1, 5, 9, 8, "c"), true}, {change(0, 1, 5, 10, 9, "d"), true}}, "bcd"},
		"begun anew":               {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(whole|more, 1, 5, 20, 0, "x"), true}, {change(more, 1, 5, 9, 8, "c"), true}, {change(0, 1, 5, 21, 20, "y"), true}}, "xy"},
		"the last, late":           {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(whole|more, 1, 5, 20, 0, "x"), true}, {change(0, 1, 5, 9, 8, "c"), false}}, "a"},
		"another life's piece":     {[]step{{change(whole|more, 1, 6, 8, 0, "b"), true}, {change(more, 1, 7, 9, 8, "c"), false}, {change(0, 1, 6, 9, 8, "d"), true}}, "bd"},
		"an earlier life":          {[]step{{change(whole|more, 1, 4, 8, 0, "b"), false}, {change(0, 1, 4, 9, 8, "c"), false}}, "a"},
		"an earlier life half way": {[]step{{change(whole|more, 1, 7, 8, 0, "b"), true}, {change(whole|more, 1, 6, 90, 0, "x"), false}, {change(0, 1, 7, 9, 8, "c"), true}}, "bc"},
		"an earlier owner":         {[]step{{change(whole|more, 2, 5, 8, 0, "b"), true}, {change(more, 1, 5, 9, 8, "c"), false}, {change(0, 2, 5, 9, 8, "d"), true}}, "bd"},
		"the old copy goes on":     {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(0, 1, 5, 7, 6, "c"), true}}, "ac"},
		"a piece of nothing":       {[]step{{change(more, 1, 5, 9, 8, "c"), false}}, "a"},
		"at once, half way":        {[]step{{change(whole|more, 1, 5, 8, 0, "b"), true}, {change(whole, 1, 5, 30, 0, "x"), true}, {change(more, 1, 5, 9, 8, "c"), true}, {change(0, 1, 5, 10, 9, "d"), true}}, "x"},
	} {
		s := NewStore()
		for i, st := range append(old, tt.steps...) {
			before := s.Refused()
			if got := s.Apply(st.e); got != st.want {
				t.Errorf("%s: step %d: %v, want %v", name, i, got, st.want)
			}
			if (s.Refused() > before) == st.want {
				t.Errorf("%s: step %d: refused %d, then %d", name, i, before, s.Refused())
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
		if s.growing != 0 {
			t.Errorf("%s: %d bytes of pieces are left of nothing", name, s.growing)
		}
	}
}

// A state without end is refused at its bound, counted, and forgotten; the copy before it stays.
func TestPiecesWithoutEnd(t *testing.T) {
	s := NewStore()
	s.Apply(change(whole, 1, 5, 6, 0, "a"))
	var c state.Change
	c.Put("b", make([]byte, 1<<20))
	e := change(whole|more, 1, 5, 8, 0, "b")
	taken := 0
	for ; taken < 100; taken++ {
		if e.Payload = c.Append(nil); !s.Apply(e) {
			break
		}
		e.Flags, e.Offset, e.Ref = more, e.Ref, e.Ref+1
	}
	if taken < 60 || taken > 66 || s.Refused() != 1 || s.growing != 0 {
		t.Fatalf("%d MiB were taken, %d refused, %d bytes kept", taken, s.Refused(), s.growing)
	}
	e.Flags, e.Offset, e.Ref = 0, e.Ref, e.Ref+1
	if s.Apply(e) {
		t.Fatal("it went on")
	}
	if got := s.Take(shard.PartitionOf(key))[key]; len(got) != 1 || got["a"] == nil {
		t.Fatalf("kept %v", got)
	}
}

// Many at once are bounded together, and those nobody goes on with are forgotten.
func TestHalfStatesAreBoundedTogether(t *testing.T) {
	s := NewStore()
	var c state.Change
	c.Put("b", make([]byte, 4<<20-100))
	payload, taken := c.Append(nil), 0
	for i := range 200 {
		e := change(whole|more, 1, 5, 8, 0, "")
		e.Key = fmt.Sprintf("player/%d", i)
		e.Part, e.Payload = shard.PartitionOf(e.Key), payload
		if s.Apply(e) {
			taken++
		}
	}
	if taken > maxGrowing/len(payload) || taken < 60 {
		t.Fatalf("%d half states were taken", taken)
	}
	s.Purge(epoch)
	if s.growing == 0 {
		t.Fatal("forgotten too soon")
	}
	s.Purge(epoch)
	s.Purge(epoch)
	if s.growing != 0 || s.Len() != 0 {
		t.Fatalf("%d bytes of half states are kept for ever", s.growing)
	}
}

// A copy that grows by changes stops at the bound, too.
func TestChangesWithoutEnd(t *testing.T) {
	s := NewStore()
	s.Apply(change(whole, 1, 5, 6, 0, "a"))
	e := change(0, 1, 5, 7, 6, "b")
	n := 0
	for ; n < 100; n++ {
		var c state.Change
		c.Put(fmt.Sprint(n), make([]byte, 1<<20))
		if e.Payload = c.Append(nil); !s.Apply(e) {
			break
		}
		e.Offset, e.Ref = e.Ref, e.Ref+1
	}
	if n < 60 || n > 64 {
		t.Fatalf("%d MiB were taken", n)
	}
	var c state.Change
	for i := range n {
		c.Delete(fmt.Sprint(i))
	}
	if e.Payload = c.Append(nil); !s.Apply(e) {
		t.Fatal("it may shrink")
	}
}

// Copies of several nodes come at the same time, in pieces: the newest one that is complete counts.
func TestTheNewestCompleteCopyIsFilled(t *testing.T) {
	s, part := NewStore(), shard.PartitionOf(key)
	pieces := func(term, life, seq uint64, names ...string) (list []*envelope.Envelope) {
		var c state.Change
		for _, n := range names {
			c.Put(n, bytes.Repeat([]byte("x"), defaultPiece-200))
		}
		e := envelope.Envelope{Kind: envelope.Replicate, Part: part, Key: key, Term: term, Conn: life, Ref: seq, Flags: envelope.FlagFill}
		if err := Pieces(e, &c, func(p *envelope.Envelope) error { x := copied(p); list = append(list, &x); return nil }); err != nil {
			t.Fatal(err)
		}
		return list
	}
	older, newer, newest := pieces(1, 5, 6, "a", "b", "c"), pieces(1, 5, 9, "a", "d", "e"), pieces(2, 1, 1, "f", "g", "h")
	if len(older) != 3 || len(newest) != 3 {
		t.Fatalf("%d pieces", len(older))
	}
	for i := range 3 {
		if !s.Fill(nodeA, older[i]) || !s.Fill(nodeB, newer[i]) || i < 2 && !s.Fill(nodeC, newest[i]) {
			t.Fatal("refused")
		}
	}
	if s.Fill(nodeB, newest[2]) {
		t.Fatal("a piece from another node ended it")
	}
	c, whole, _ := s.Peek(part, key)
	if got := whole.Sections(); c.Seq != 9 || len(got) != 3 || got["d"] == nil {
		t.Fatalf("kept %d: %d sections", c.Seq, len(got))
	}
	for _, p := range newest { // asked once more
		s.Fill(nodeC, p)
	}
	if got := s.TakeCopies(part)[key]; got.Term != 2 || got.Life != 1 || got.Seq != 1 || got.Sections["h"] == nil || s.growing != 0 {
		t.Fatalf("kept %d/%d/%d, %d bytes grow", got.Term, got.Life, got.Seq, s.growing)
	}
	stop := errors.New("stop")
	if err := Pieces(envelope.Envelope{}, &state.Change{}, func(*envelope.Envelope) error { return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
}

// What goes to yet another node is no copy of ours.
func TestPassedCopies(t *testing.T) {
	s, part := NewStore(), shard.PartitionOf(key)
	s.Fence(part, 9)
	if !s.Pass(change(whole|more, 3, 0, 1, 0, "a"), epoch) || !s.Pass(change(0, 3, 0, 2, 1, "b"), epoch) || s.Len() != 1 {
		t.Fatal("not kept")
	}
	s.Purge(epoch.Add(1))
	if s.Len() != 0 {
		t.Fatal("kept for ever")
	}
	s.Apply(change(whole, 9, 1, 5, 0, "mine"))
	if got := s.Take(part)[key]; len(got) != 1 || got["mine"] == nil {
		t.Fatalf("kept %v", got)
	}
}

// What was retired, used again and given away is kept from then on.
func TestACopyThatIsKeptIsNotOfLongAgo(t *testing.T) {
	s, part := NewStore(), shard.PartitionOf(key)
	s.Apply(change(whole, 1, 5, 6, 0, "a"))
	s.Retire(part, epoch)
	s.Take(part)
	s.Keep(part, key, 2, state.Sections{"a": nil}, epoch.Add(time.Hour))
	if s.Purge(epoch.Add(time.Minute)); s.Len() != 1 {
		t.Fatal("purged")
	}
}

// Whatever comes: no panic, what is refused changes no copy, what is half does not count, and the bytes of pieces are counted right.
func FuzzStore(f *testing.F) {
	f.Add([]byte{0, 0x83, 5, 1, 0, 'a', 0, 2, 5, 2, 1, 'b', 0, 0, 5, 3, 2, 'c'})
	f.Add([]byte{1, 0x83, 5, 1, 0, 'a', 2, 3, 5, 1, 0, 'b', 3, 3, 5, 2, 1, 'c', 0, 4, 5, 9, 0, 'x'})
	f.Add([]byte{0, 1, 5, 6, 0, 'a', 0, 0, 5, 7, 6, 0xdd, 0, 0, 5, 7, 6, 'z'})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewStore()
		part := shard.PartitionOf(key)
		have := func() map[string]string {
			m := map[string]string{}
			for k, c := range s.part(part).entities {
				m[k] = fmt.Sprint(c.Copy)
			}
			return m
		}
		for b = b[:min(len(b), 600)]; len(b) >= 6; b = b[6:] {
			flags := uint16(0)
			for i, f := range []uint16{envelope.FlagWhole, envelope.FlagMore, envelope.FlagDropped, envelope.FlagFill} {
				if b[1]>>i&1 != 0 {
					flags |= f
				}
			}
			e := change(flags, uint64(b[1]>>4&3), uint64(b[2]&3), uint64(b[3]&15), uint64(b[4]&15), string(b[5:6]))
			if b[5]&0x80 != 0 {
				e.Payload = b // anything
			}
			before, ok := have(), false
			switch b[0] % 3 {
			case 0:
				ok = s.Apply(e)
			case 1:
				ok = s.Pass(e, epoch)
			case 2:
				ok = s.Fill(envelope.NodeID{Name: "n", Boot: uint64(b[0] >> 2 & 1)}, e)
			}
			if (!ok || flags&envelope.FlagMore != 0 && flags&envelope.FlagDropped == 0) && !maps.Equal(before, have()) {
				t.Fatalf("%+v: %v, and the copies changed from %v to %v", e, ok, before, have())
			}
			sum := 0
			for _, g := range s.part(part).growing {
				sum += g.taken
			}
			if sum != s.growing {
				t.Fatalf("%d bytes of pieces, counted %d", sum, s.growing)
			}
		}
	})
}

// What an owner let go of is newer than what its backups of the same term have, and older than what the next owner's have.
func TestWhatTheOwnerKeptIsNewerThanItsBackupsCopies(t *testing.T) {
	s, part := NewStore(), shard.PartitionOf(key)
	fill := func(term, life, seq uint64, name string) {
		e := envelope.Envelope{Kind: envelope.Replicate, Part: part, Key: key, Term: term, Conn: life, Ref: seq, Flags: envelope.FlagWhole | envelope.FlagFill,
			Payload: state.Sections{name: nil}.Change().Append(nil)}
		if !s.Fill(nodeB, &e) {
			t.Fatalf("the copy %q was refused", name)
		}
	}
	has := func(name string) {
		t.Helper()
		if c, whole, ok := s.Peek(part, key); !ok || whole.Sections()[name] == nil {
			t.Fatalf("%q was kept: %+v", name, c)
		}
	}
	s.Keep(part, key, 7, state.Sections{"own": {}}, epoch)
	fill(7, 3, 900, "backup")
	has("own")
	fill(8, 1, 1, "next")
	has("next")
	s.Keep(part, key, 7, state.Sections{"own": {}}, epoch) // a worker was slow to let go
	has("next")
}
