package state

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// However long the sections and however small the pieces: applied in order they make the same state, none is much longer than
// asked for, and their number is known before.
func TestPiecesMakeTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Change
		want := Sections{}
		for i := range rapid.IntRange(0, 40).Draw(t, "sections") {
			name := fmt.Sprintf("m/%d", i)
			want[name] = bytes.Repeat([]byte{byte(i)}, rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 9000)).Draw(t, "length"))
			c.Put(name, want[name])
		}
		size := rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1000, 6000)).Draw(t, "size")
		cut := c.Cut(size)
		own := rapid.Bool().Draw(t, "own")
		n, got, grown := cut.Pieces(), Sections{}, 0
		for i, more := 0, true; more; i++ {
			var b []byte
			b, more = cut.Next([]byte("before"))
			add := got.Grow
			if own {
				add = got.Adopt
			}
			g, err := add(b[len("before"):])
			if err != nil {
				t.Fatal(err)
			}
			grown += g
			if len(b) > size+64 {
				t.Fatalf("a piece of %d bytes, asked for %d", len(b), size)
			}
			if more != (i < n-1) {
				t.Fatalf("piece %d of %d: more %v", i, n, more)
			}
		}
		if !maps.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("made %v of %v", got, want)
		}
		if !maps.EqualFunc(c.Sections(), want, bytes.Equal) {
			t.Fatal("the sections of a change are others")
		}
		sum := 0
		for name, v := range want {
			sum += len(name) + len(v)
		}
		if grown != sum {
			t.Fatalf("grown by %d, it is %d", grown, sum)
		}
	})
}

func TestGrowCountsWhatGoes(t *testing.T) {
	s := Sections{"a": []byte("12345"), "b": []byte("1")}
	var c Change
	c.Delete("a")
	c.Delete("none")
	c.Put("b", []byte("123"))
	if n, err := s.Grow(c.Append(nil)); err != nil || n != -6+2 {
		t.Fatalf("grown by %d, %v", n, err)
	}
}

// Pieces that follow do not write where an earlier state is read.
func TestAPieceLeavesEarlierBytesAlone(t *testing.T) {
	var c Change
	c.Put("a", bytes.Repeat([]byte("x"), 50))
	cut := c.Cut(20)
	s := Sections{}
	for more := true; more; {
		var b []byte
		b, more = cut.Next(nil)
		before := s["a"]
		was := bytes.Clone(before)
		if err := s.Apply(b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, was) {
			t.Fatal("written over")
		}
	}
}
