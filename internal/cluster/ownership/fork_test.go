package ownership

import (
	"testing"
	"time"

	"gamed/internal/shard"
)

// Who makes entities from copies, because nobody gave them, notes where he began: whoever had them may be in the table without
// following it, go on, and come with a table that heals.
func TestForkWhereNobodyGave(t *testing.T) {
	for _, c := range []struct {
		what string
		old  *shard.Table
	}{
		{"it was in a table of the other side", tableOf(shard.Empty(), 3, "a", "a", "a")},
		{"it was in no table", shard.Empty()},
	} {
		m := New(id("c"))
		now, round, forked := time.Second, uint64(0), false
		step := func(ev Event) {
			for _, a := range m.Step(now, ev) {
				switch a := a.(type) {
				case Gather:
					round = a.Round
				case Activate:
					forked = a.Fork
				}
			}
		}
		if c.old.Term > 0 {
			step(Install{c.old})
		}
		step(Install{tableOf(tableOf(shard.Empty(), 2, "a", "b", "a", "b"), 4, "c", "b", "b", "a", "c")})
		step(Released{4})
		for range 100 {
			now += 100 * time.Millisecond
			step(Tick{})
		}
		step(Gathered{Round: round})
		if !forked {
			t.Errorf("%s: no fork was noted (%s)", c.what, m.Describe(part))
		}
	}
}
