package state

import (
	"cmp"
	"maps"
	"slices"

	"gamed/protocol"
)

// Sections that every kind of entity keeps as they are: whoever restores an entity takes them in and gives them on.
const (
	ForkSection  = "f" // where this life of the entity parted from another that may go on elsewhere; see Forks
	SpokeSection = "l" // when the client changed something last, by the wall clock in ms; written only while degraded
)

// Point is a moment in the life of an entity: what its backup had when it took over. By makes two owners differ who took over from
// the same copy: the boot id of the one who did. The zero Point is the beginning.
type Point struct {
	Term, Life, Seq uint64 // of the copy
	By              uint64
}

// Compare orders points of one life by time.
func (p Point) Compare(q Point) int {
	return cmp.Or(cmp.Compare(p.Term, q.Term), cmp.Compare(p.Life, q.Life), cmp.Compare(p.Seq, q.Seq), cmp.Compare(p.By, q.By))
}

// Fork is a place where the lives of an entity parted.
type Fork struct {
	At   Point
	From Point    // the life that was left: named by the point where it began itself
	Base Sections // what both had then, without ForkSection
}

// Forks is what an entity knows of its other lives: on each side of a split one may go on. It is kept in ForkSection, so that it
// travels with the state. A pure value: nothing of it is changed in place. The zero value is an entity that was never split.
type Forks struct {
	Life    Point   // the one that goes on here
	Merged  []Point // lives that ended in this one, whole
	Records []Fork  // of other lives: how far this one knows them
}

// maxForks bounds splits within splits; of more the oldest are forgotten.
const maxForks = 16

// Fork is to be called where an entity is made from its copy while the owner it had may live on, on the other side of a split. It
// writes down what both have at this moment. Damaged records are replaced.
func (s Sections) Fork(at Point) {
	f, _ := s.Forks() // what is damaged cannot be merged with anything, with or without it
	base := maps.Clone(s)
	delete(base, ForkSection)
	f.Records = append(slices.Clone(f.Records), Fork{At: at, From: f.Life, Base: base})
	f.Life = at
	if extra := len(f.Records) - maxForks; extra > 0 {
		f.Records = f.Records[extra:]
	}
	s.SetForks(f)
}

// Unfork forgets all other lives. It is to be called when none can come back: the table is not degraded, and nothing waits to be
// merged.
func (s Sections) Unfork() { delete(s, ForkSection) }

// Forks reads the section.
func (s Sections) Forks() (Forks, error) {
	b, ok := s[ForkSection]
	if !ok {
		return Forks{}, nil
	}
	return parseForks(b)
}

// SetForks writes the section; none is written for an entity that was never split.
func (s Sections) SetForks(f Forks) {
	if f.Life == (Point{}) && len(f.Merged) == 0 && len(f.Records) == 0 {
		delete(s, ForkSection)
		return
	}
	s[ForkSection] = f.append(nil)
}

// Meet finds what two lives of an entity had in common last: base is nil when they never had anything in common, and must not be
// changed. merged is what their union knows; mine is the one that goes on. again says that theirs is part of mine already, so that
// nothing is to be merged.
//
// It is exact in whatever order three sides of a split are merged, and more of them as long as one union takes the others in one by
// one. Of two unions of two sides each the common past may be more than any record tells.
func Meet(mine, theirs Forks) (base Sections, merged Forks, again bool) {
	if slices.Contains(mine.Merged, theirs.Life) || mine.Life == theirs.Life && mine.Life != (Point{}) {
		return nil, mine, true
	}
	var meet *Fork
	for _, f := range slices.Concat(mine.Records, theirs.Records) {
		a, b := mine.knows(f.From), theirs.knows(f.From)
		if a == nil || b == nil {
			continue
		}
		if first := a.earlier(b); first.fork != nil && (meet == nil || meet.At.Compare(first.fork.At) < 0) {
			meet = first.fork
		}
	}
	merged = Forks{Life: mine.Life}
	for _, p := range slices.Concat(mine.Merged, []Point{theirs.Life}, theirs.Merged) {
		if p != mine.Life && !slices.Contains(merged.Merged, p) {
			merged.Merged = append(merged.Merged, p)
		}
	}
	for _, f := range slices.Concat(mine.Records, theirs.Records) {
		merged.learn(f)
	}
	if meet != nil {
		base = meet.Base
	}
	return base, merged, false
}

// extent is how much of a life is known: up to a fork, or all of it.
type extent struct{ fork *Fork }

// knows says how much of a life is known; nil: nothing.
func (f *Forks) knows(life Point) *extent {
	if f.Life == life || slices.Contains(f.Merged, life) {
		return &extent{}
	}
	var most *extent
	for i := range f.Records {
		if r := &f.Records[i]; r.From == life && (most == nil || most.fork.At.Compare(r.At) < 0) {
			most = &extent{r}
		}
	}
	return most
}

func (e *extent) earlier(o *extent) *extent {
	if e.fork == nil || o.fork != nil && o.fork.At.Compare(e.fork.At) < 0 {
		return o
	}
	return e
}

// learn adds a record, unless more is known of that life; what it makes superfluous goes.
func (f *Forks) learn(r Fork) {
	if k := f.knows(r.From); k != nil && (k.fork == nil || k.fork.At.Compare(r.At) >= 0) {
		return
	}
	f.Records = append(slices.DeleteFunc(f.Records, func(o Fork) bool { return o.From == r.From }), r)
}

func (p Point) append(b []byte) []byte {
	for _, n := range []uint64{p.Term, p.Life, p.Seq, p.By} {
		b = protocol.AppendUint(b, n)
	}
	return b
}

// append encodes the same value always to the same bytes.
func (f *Forks) append(b []byte) []byte {
	b = f.Life.append(b)
	b = protocol.AppendArray(b, len(f.Merged))
	for _, p := range f.Merged {
		b = p.append(b)
	}
	b = protocol.AppendArray(b, len(f.Records))
	for _, r := range f.Records {
		b = r.From.append(r.At.append(b))
		var base Change
		for _, name := range slices.Sorted(maps.Keys(r.Base)) {
			base.Put(name, r.Base[name])
		}
		b = protocol.AppendBin(b, base.Append(nil))
	}
	return b
}

func parseForks(b []byte) (f Forks, err error) {
	c, good := protocol.NewCursor(b), true
	point := func() (p Point) {
		for _, n := range []*uint64{&p.Term, &p.Life, &p.Seq, &p.By} {
			var ok bool
			*n, ok = c.Uint()
			good = good && ok
		}
		return p
	}
	length := func() int {
		n, ok := c.Array()
		if good = good && ok && n >= 0 && n <= len(b); !good {
			return 0
		}
		return n
	}
	f.Life = point()
	for range length() {
		f.Merged = append(f.Merged, point())
	}
	for range length() {
		r := Fork{At: point(), From: point(), Base: Sections{}}
		base, ok := c.Text()
		if !ok || !good || r.Base.Apply(base) != nil {
			return Forks{}, ErrFormat
		}
		f.Records = append(f.Records, r)
	}
	if !good || len(c.Rest()) > 0 {
		return Forks{}, ErrFormat
	}
	return f, nil
}
