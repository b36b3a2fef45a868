package ownership

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestCrashAtEachStepOfAMove moves the partition from a to b while three nodes speak, and has one of the nodes die after each step in
// turn, in many orders of what happens. Whoever is left, one node ends with the entity, with all that was acknowledged, in order.
func TestCrashAtEachStepOfAMove(t *testing.T) {
	orders := uint64(20)
	if testing.Short() {
		orders = 4
	}
	for _, dies := range []string{"a", "b", "c"} {
		t.Run("dies: "+dies, func(t *testing.T) {
			ran := 0
			for seed := range orders {
				for at, came := 1, dies != ""; came; at++ {
					var w *world
					if w, came = moveAndCrash(seed, dies, at, Sabotage{}); came {
						ran++
					}
					if wrong := w.judge(); len(wrong) > 0 {
						t.Fatalf("%s dies after step %d, order %d: %q\n%s", dies, at, seed, wrong, w.state())
					}
				}
			}
			if ran < 20*int(orders) {
				t.Fatalf("only %d crashes", ran)
			}
		})
	}
}

// TestMovesThatOvertakeEachOther moves the partition on before it has come, and back, with and without a crash.
func TestMovesThatOvertakeEachOther(t *testing.T) {
	for _, second := range []string{"a", "c", "d"} {
		for _, dies := range []string{"", "a", "b", "d"} {
			for seed := range uint64(60) {
				w, _ := moveAndCrash(seed, dies, 1+int(seed*7%90), Sabotage{}, second)
				if wrong := w.judge(); len(wrong) > 0 {
					t.Fatalf("to b and %s, %q dies, order %d: %q\n%s", second, dies, seed, wrong, w.state())
				}
			}
		}
	}
}

// TestASkippedMarkIsFound breaks a rule: without the marks order is lost.
func TestASkippedMarkIsFound(t *testing.T) {
	for seed := range uint64(2000) {
		w, _ := moveAndCrash(seed, "", 0, Sabotage{SkipMarks: true})
		if len(w.judge()) > 0 {
			return
		}
	}
	t.Fatal("nothing was found")
}

// moveAndCrash gives the world after a move in which a node dies after a number of steps, and says whether it came to that.
func moveAndCrash(seed uint64, dies string, at int, sabotage Sabotage, then ...string) (w *world, came bool) {
	r := rand.New(rand.NewPCG(seed, 7))
	w = newWorld("a", "b", "c", "d")
	for _, s := range w.nodes {
		s.Sabotage(sabotage)
	}
	speakers := []string{"a", "b", "d"}
	speak := func(from, to uint64) {
		for i := from; i < to; i++ {
			for n, name := range speakers {
				w.say(name, uint64(n+1)*100+i)
			}
		}
	}
	w.publish("a", "c", "a", "b", "c", "d")
	w.run(r.IntN)
	speak(0, 3)
	w.run(r.IntN)
	w.dies, w.dieAt, w.steps = dies, at, 0
	speak(3, 6)
	w.publish("b", "c", "a", "b", "c", "d")
	speak(6, 9)
	owner := "b"
	for _, next := range then {
		for range r.IntN(40) {
			w.runOne(r.IntN)
		}
		owner = next
		w.publish(owner, backupOf(owner), w.alive()...)
		speak(9, 12)
	}
	w.run(r.IntN)
	if came = dies != "" && w.dies == ""; came {
		if owner == dies {
			owner = backupOf(owner)
		}
		backup := backupOf(owner)
		if backup == dies {
			backup = w.alive()[0]
			if backup == owner {
				backup = w.alive()[1]
			}
		}
		w.publish(owner, backup, w.alive()...)
		w.run(r.IntN)
	}
	w.dies = ""
	w.pass(40*time.Second, r.IntN)
	speak(50, 51) // it goes on
	w.run(r.IntN)
	for n, name := range speakers {
		if !w.nodes[name].dead {
			w.needed = append(w.needed, uint64(n+1)*100+50)
		}
	}
	return w, came
}

// backupOf is who backs up what a node owns.
func backupOf(owner string) string {
	return map[string]string{"a": "c", "b": "c", "c": "a", "d": "c"}[owner]
}
