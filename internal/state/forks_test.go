package state

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// counted is a state that counts how often each operation is in it.
type counted struct {
	Sections
	seq uint64
}

func (c *counted) do(op string) {
	c.seq++
	c.Sections["n/"+op] = []byte{1}
}

// merge adds up, as a game does whose changes are sums.
func (c *counted) merge(t rapid.TB, o *counted) {
	a, err1 := c.Forks()
	b, err2 := o.Forks()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	base, forks, again := Meet(a, b)
	if again {
		t.Fatal("two copies were taken for one")
	}
	for name, n := range o.Sections {
		if name != ForkSection {
			mine := byte(0)
			if v := c.Sections[name]; v != nil {
				mine = v[0]
			}
			c.Sections[name] = []byte{mine + n[0]}
		}
	}
	for name, n := range base {
		c.Sections[name] = []byte{c.Sections[name][0] - n[0]}
	}
	c.SetForks(forks)
	if _, _, again := Meet(forks, b); !again && (b.Life != Point{} || a.Life != Point{}) {
		t.Fatal("what was merged can be merged again")
	}
	c.seq = max(c.seq, o.seq)
}

// However three sides part and come together again, and more as long as they come together one after the other, each operation is in
// the end in the state once.
func TestForksMeetExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		copies, made := []*counted{{Sections: Sections{}}}, uint64(0)
		pick := func(label string) int { return rapid.IntRange(0, len(copies)-1).Draw(t, label) }
		work := func() {
			for range rapid.IntRange(0, 4).Draw(t, "operations") {
				made++
				copies[pick("who works")].do(fmt.Sprint(made))
			}
		}
		splits := rapid.IntRange(1, 6).Draw(t, "splits")
		for range splits {
			work()
			from := copies[pick("who is split")]
			made++
			side := &counted{Sections: maps.Clone(from.Sections), seq: from.seq}
			side.Fork(Point{Term: made, Seq: from.seq, By: made}) // terms grow with time
			copies = append(copies, side)
		}
		for union := pick("the union"); len(copies) > 1; {
			work()
			i, j := pick("mine"), pick("theirs")
			if splits > 2 {
				i = union % len(copies)
			}
			if i == j {
				j = (i + 1) % len(copies)
			}
			if rapid.Bool().Draw(t, "the other way round") {
				i, j = j, i
			}
			copies[i].merge(t, copies[j])
			if union = i; j < i {
				union--
			}
			copies = slices.Delete(copies, j, j+1)
		}
		for name, n := range copies[0].Sections {
			if strings.HasPrefix(name, "n/") && n[0] != 1 {
				t.Fatalf("operation %s is in it %d times", name, int8(n[0]))
			}
		}
		left, _ := copies[0].Forks()
		if len(left.Records) > 0 {
			t.Fatalf("all sides are merged, and yet there are records of others: %v", left.Records)
		}
	})
}

// A copy that was promoted twice from one and the same state is two lives.
func TestForksOfOneCopyAreTwo(t *testing.T) {
	a, b := Sections{"x": {1}}, Sections{"x": {1}}
	a.Fork(Point{1, 2, 3, 10})
	b.Fork(Point{1, 2, 3, 11})
	x, _ := a.Forks()
	y, _ := b.Forks()
	base, _, again := Meet(x, y)
	if again || string(base["x"]) != "\x01" {
		t.Errorf("base %v, again %v", base, again)
	}
	if _, _, again := Meet(x, x); !again {
		t.Error("a copy was taken for two")
	}
}

func TestForksTravel(t *testing.T) {
	s := Sections{"a": {1}, "b": {}}
	s.Fork(Point{1, 2, 3, 4})
	s["a"] = []byte{2}
	for i := range uint64(30) {
		s.Fork(Point{2, i, 0, 5})
	}
	got, err := s.Forks()
	if err != nil || len(got.Records) != maxForks || got.Life != (Point{2, 29, 0, 5}) {
		t.Fatalf("%d records of %v, %v", len(got.Records), got.Life, err)
	}
	last := got.Records[maxForks-1]
	if want := (Sections{"a": {2}, "b": {}}); !reflect.DeepEqual(last.Base, want) || last.From != (Point{2, 28, 0, 5}) {
		t.Errorf("the last record is %+v", last)
	}
	for i := range len(s[ForkSection]) {
		if _, err := parseForks(s[ForkSection][:i]); err == nil {
			t.Fatalf("%d bytes of %d were taken for a record", i, len(s[ForkSection]))
		}
	}
	s.Unfork()
	if f, err := s.Forks(); err != nil || !reflect.DeepEqual(f, Forks{}) || len(s) != 2 {
		t.Errorf("after Unfork: %v, %v", f, err)
	}
}

func FuzzForks(f *testing.F) {
	s := Sections{"a": {1}}
	s.Fork(Point{1, 2, 3, 4})
	f.Add(s[ForkSection])
	f.Add([]byte{0, 0, 0, 0, 0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		forks, err := parseForks(b)
		if err != nil {
			return
		}
		again, err := parseForks(forks.append(nil))
		if err != nil || !reflect.DeepEqual(again, forks) {
			t.Fatalf("%v became %v, %v", forks, again, err)
		}
		Meet(forks, again)
	})
}
