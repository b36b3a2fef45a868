package state

import (
	"bytes"
	"errors"
	"maps"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"gamed/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Changes applied one after the other, to what travelled whole at any point, give what a map gives.
func TestChangesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got, want := Sections{}, Sections{}
		var c Change
		t.Repeat(map[string]func(*rapid.T){
			"message": func(t *rapid.T) {
				c.Reset()
				for range rapid.IntRange(0, 5).Draw(t, "puts and deletes") {
					name := rapid.SampledFrom([]string{"", "a", "p/bank:", "y/t\x00r"}).Draw(t, "name")
					if rapid.Bool().Draw(t, "put") {
						v := rapid.SliceOf(rapid.Byte()).Draw(t, "value")
						c.Put(name, v)
						want[name] = append([]byte{}, v...)
						clear(v)
					} else {
						c.Delete(name)
						delete(want, name)
					}
				}
				if err := got.Apply(c.Append(nil)); err != nil {
					t.Fatal(err)
				}
			},
			"whole": func(t *rapid.T) {
				anew := Sections{}
				if err := anew.Apply(got.Change().Append(nil)); err != nil {
					t.Fatal(err)
				}
				got = anew
			},
			"": func(t *rapid.T) {
				if !maps.EqualFunc(got, want, bytes.Equal) {
					t.Fatalf("got %v, want %v", got, want)
				}
				for name, v := range got {
					if v == nil {
						t.Fatalf("section %q is nil: it looks as if it were not there", name)
					}
				}
			},
		})
	})
}

func TestAChangeIsReused(t *testing.T) {
	var c Change
	if !c.Empty() {
		t.Fatal("a new change is not empty")
	}
	c.Put("big", make([]byte, 2<<20))
	if c.Empty() {
		t.Fatal("empty with a put")
	}
	c.Reset()
	if !c.Empty() || cap(c.b) != 0 {
		t.Fatalf("after Reset: %d bytes are kept", cap(c.b))
	}
	c.Delete("x")
	if c.Empty() {
		t.Fatal("a delete is a change")
	}
	n := testing.AllocsPerRun(100, func() {
		c.Reset()
		c.Put("p/bank:", []byte("0123456789"))
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestWhatIsNoChangeIsRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": nil, "a bomb": {0xdd, 0xff, 0xff, 0xff, 0xff}, "a count and no more": protocol.AppendUint(nil, 1<<63),
		"a negative count": protocol.AppendInt(nil, -1), "a number for a name": {1, 1, 0xc0}, "a number for a value": {1, 0xa0, 1},
		"bytes after it": {1, 0xa0, 0xc0, 0xc0}, "a value without end": {1, 0xa0, 0xc6, 0xff, 0xff, 0xff, 0xff},
	} {
		s := Sections{"a": {1}}
		if err := s.Apply(b); !errors.Is(err, ErrFormat) || len(s) != 1 {
			t.Errorf("%s: %v, %v", name, err, s)
		}
	}
}

func TestChangeIsAppliedWholeOrNotAtAll(t *testing.T) {
	var c Change
	c.Put("a", []byte("1"))
	c.Put("b", nil)
	c.Delete("gone")
	s := Sections{"gone": []byte("x"), "stays": []byte("y")}
	b := c.Append(nil)
	for cut := range len(b) {
		if err := s.Apply(b[:cut]); err == nil {
			t.Fatalf("a change cut at %d of %d was applied", cut, len(b))
		}
		if len(s) != 2 {
			t.Fatalf("a refused change left %v", s)
		}
	}
	if err := s.Apply(b); err != nil {
		t.Fatal(err)
	}
	if string(s["a"]) != "1" || s["b"] == nil || len(s["b"]) != 0 || s["gone"] != nil || string(s["stays"]) != "y" || len(s) != 3 {
		t.Fatalf("got %v", s)
	}
}

func TestAppliedSectionsAreCopies(t *testing.T) {
	var c Change
	c.Put("a", []byte("1"))
	b := c.Append(nil)
	s := Sections{}
	if err := s.Apply(b); err != nil {
		t.Fatal(err)
	}
	copy(b, bytes.Repeat([]byte{0xff}, len(b)))
	if string(s["a"]) != "1" {
		t.Fatal("a section aliases the bytes it came in")
	}
}

func FuzzApply(f *testing.F) {
	var c Change
	c.Put("a", []byte("1"))
	c.Delete("b")
	f.Add(c.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := Sections{"z": {1}}
		if err := s.Apply(b); err != nil && len(s) != 1 {
			t.Fatal("a refused change was applied in part")
		}
	})
}

// Equal states are encoded equally, so that a run of a simulation can be repeated.
func TestEqualStatesAreEncodedEqually(t *testing.T) {
	var first []byte
	for range 20 {
		s := Sections{}
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			s[name] = []byte(name)
		}
		b := s.Change().Append(nil)
		if first == nil {
			first = b
		}
		if !bytes.Equal(b, first) {
			t.Fatalf("%q, then %q", first, b)
		}
	}
}
