package ownership

import (
	"testing"
	"time"

	"gamed/internal/shard"
)

// Who is of another side of a split gets no copies: what was done here since would be served there, and merged once more later.
func TestCopiesGoToTheOwnSideOnly(t *testing.T) {
	split := tableOf(one, 2, "a", "b", "a", "b")
	other := tableOf(one, 2, "c", "b", "c", "b")
	union := tableOf(split, 3, "a", "b", "a", "b", "c")
	for _, c := range []struct {
		name   string
		asker  *shard.Table
		answer bool
	}{
		{"the same table", split, true},
		{"one before it", one, true},
		{"of the other side", other, false},
		{"one that is to come", union, false},
	} {
		r := newRig(t, "a")
		r.install(one)
		r.install(split)
		if acts := r.step(Asked{1, c.asker.Term, c.asker.Hash}); has[SendCopies](acts) != c.answer {
			t.Errorf("%s: %+v", c.name, acts)
		}
		if got := has[SendCopies](r.install(union)); got != (c.asker == union) {
			t.Errorf("%s, after the heal: %v", c.name, got)
		}
	}
}

// A partition was on its way to b, from c of the other side, and b was asking for copies when the sides met. What b has was run by
// nobody since, and c went on with it: its copies are given as they were, and as nothing new.
func TestCopiesThatWereAskedForAreNoLifeOfTheirOwn(t *testing.T) {
	r := newRig(t, "b")
	r.install(tableOf(shard.Empty(), 1, "c", "b", "a", "b", "c"))
	r.install(tableOf(r.Table(), 2, "b", "a", "a", "b", "c"))
	r.at += AwaitedFor + time.Second
	g := find[Gather](r, r.step(Tick{}))
	find[Keep](r, r.step(Copy{From: id("a"), Asked: true, Origin: Origin{Part: part}}))
	their := tableOf(shard.Empty(), 3, "c", "a", "a", "b", "c")
	their.Absorbed = []uint64{r.Table().Hash}
	acts := r.install(their.Seal())
	if s := find[SetAside](r, acts); !s.Fork {
		t.Error("they count as changes")
	}
	if g := find[Give](r, acts); !g.Rival || g.To != id("c") {
		t.Errorf("%+v", g)
	}
	if acts := r.step(Copy{From: id("a"), Asked: true, Origin: Origin{Part: part}}); !has[Stale](acts) {
		t.Errorf("a copy of the other side is mixed with them: %+v", acts)
	}
	if acts := r.step(Gathered{Round: g.Round}); len(acts) > 0 {
		t.Errorf("they are given twice: %+v", acts)
	}
}
