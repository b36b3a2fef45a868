package ownership

import (
	"testing"
	"time"

	"gamed/internal/shard"
)

// TestAGiverWhoNeverHeardOfTheMove: a split cuts an owner off while a partition is moved away from him. He may go on with it, so what the
// new owner makes from copies is another life of its entities.
func TestAGiverWhoNeverHeardOfTheMove(t *testing.T) {
	for _, dead := range []bool{false, true} {
		r := moving(t)
		left := tableOf(r.Table(), 3, "b", "c", "b", "c")
		left.Missing = []shard.Missing{{ID: id("a"), Dead: dead}}
		acts := r.install(left.Seal())
		g := find[Gather](r, acts)
		r.at += time.Millisecond
		if act := find[Activate](r, r.step(Gathered{Round: g.Round})); !act.Take || act.Fork == dead {
			t.Errorf("the giver is surely gone: %v; %+v", dead, act)
		}
	}
}
