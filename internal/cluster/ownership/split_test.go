package ownership

import (
	"math/rand/v2"
	"testing"
	"time"

	"gamed/internal/shard"
)

// TestCrashAtEachStepOfAHeal splits a and b from c and d, has both sides acknowledge messages, and heals; one of the nodes dies after each
// step of the heal in turn. Whoever is left has everything that either side acknowledged, merged once.
func TestCrashAtEachStepOfAHeal(t *testing.T) {
	orders := uint64(12)
	if testing.Short() {
		orders = 3
	}
	for _, dies := range []string{"", "a", "b", "c", "d"} {
		t.Run("dies: "+dies, func(t *testing.T) {
			ran := 0
			for seed := range orders {
				for at, came := 1, true; came; at++ {
					var w *world
					if w, came = splitAndHeal(seed, dies, at, Sabotage{}); came {
						ran++
					}
					if wrong := w.judge(); len(wrong) > 0 {
						t.Fatalf("%q dies after step %d, order %d: %q\n%s", dies, at, seed, wrong, w.state())
					}
				}
			}
			if dies != "" && ran < 10*int(orders) {
				t.Fatalf("only %d crashes", ran)
			}
		})
	}
}

// splitAndHeal gives the world after a heal in which a node dies after a number of steps, and says whether it came to that.
func splitAndHeal(seed uint64, dies string, at int, sabotage Sabotage) (w *world, came bool) {
	r := rand.New(rand.NewPCG(seed, 11))
	w = newWorld("a", "b", "c", "d")
	for _, s := range w.nodes {
		s.Sabotage(sabotage)
	}
	speak := func(from, to uint64) {
		for i := from; i < to; i++ {
			for n, name := range w.names {
				w.say(name, uint64(n+1)*100+i)
			}
		}
		w.run(r.IntN)
	}
	w.publish("a", "c", w.names...)
	w.run(r.IntN)
	speak(0, 2)
	common := w.last
	w.cut = map[string]int{"a": 1, "b": 1, "c": 2, "d": 2}
	mine := without(tableOf(common, 2, "a", "b", "a", "b"), "c", "d")
	theirs := without(tableOf(common, 2, "c", "d", "c", "d"), "a", "b")
	w.spread(mine, "a", "b")
	w.spread(theirs, "c", "d")
	w.run(r.IntN)
	speak(2, 5)

	w.cut = nil
	union := tableOf(mine, 3, "a", "b", w.names...)
	union.Rival[part] = 2 // c
	union.PartTerm[part] = 3
	union.Absorbed = []uint64{theirs.Hash}
	w.last = union.Seal()
	w.dies, w.dieAt, w.steps = dies, at, 0
	w.spread(union, w.names...)
	speak(5, 7)
	if came = dies != "" && w.dies == ""; came {
		owner, backup := "a", "b"
		switch dies {
		case "a":
			owner, backup = "b", "c"
		case "b":
			backup = "c"
		}
		w.publish(owner, backup, w.alive()...)
		w.run(r.IntN)
	}
	w.dies = ""
	w.pass(40*time.Second, r.IntN)
	speak(50, 51)
	for n, name := range w.names {
		if !w.nodes[name].dead {
			w.needed = append(w.needed, uint64(n+1)*100+50)
		}
	}
	return w, came
}

// without names nodes that are missing from a table, and may live.
func without(t *shard.Table, names ...string) *shard.Table {
	for _, n := range names {
		t.Missing = append(t.Missing, shard.Missing{ID: id(n)})
	}
	return t.Seal()
}
