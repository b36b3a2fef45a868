package stream

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// sections are a copy that takes changes.
type sections map[string][]byte

func (s sections) Put(name string, value []byte) { s[name] = bytes.Clone(value) }
func (s sections) Delete(name string)            { delete(s, name) }

// What a copy has after any pushes is the stream, whether it took them one by one or as a whole, and no more than its history.
func TestACopyOfAStreamIsTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Stream
		copied := sections{}
		s.Record(copied)
		for _, size := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, MaxBytes+2)), 0, 200).Draw(t, "sizes") {
			frame := bytes.Repeat([]byte{byte(s.Offset())}, size)
			s.Push(copied, frame)
		}
		whole := sections{}
		s.Record(whole)
		if len(whole) != len(copied) || len(whole) != len(s.Frames())+1 {
			t.Fatalf("%d sections one by one, %d as a whole, of %d pushes", len(copied), len(whole), len(s.Frames()))
		}
		for _, c := range []sections{copied, whole} {
			var again Stream
			again.Load(c)
			if again.Offset() != s.Offset() || again.First() != s.First() {
				t.Fatalf("stands at %d from %d, want %d from %d", again.Offset(), again.First(), s.Offset(), s.First())
			}
			for i, f := range again.Frames() {
				if !bytes.Equal(f, s.Frames()[i]) {
					t.Fatalf("push %d differs", i)
				}
			}
		}
	})
}

func TestAHistoryWithAGapBeginsAfterIt(t *testing.T) {
	var s, again Stream
	c := sections{}
	for i := range 10 {
		s.Push(c, []byte{byte(i)})
	}
	delete(c, section(4))
	again.Load(c)
	if again.Offset() != 10 || again.First() != 5 {
		t.Fatalf("stands at %d from %d", again.Offset(), again.First())
	}
	again.Load(nil)
	if again.Offset() != 0 || len(again.Frames()) != 0 {
		t.Fatal("nothing is a new stream")
	}
}
