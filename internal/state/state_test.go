package state

import (
	"bytes"
	"testing"
)

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
