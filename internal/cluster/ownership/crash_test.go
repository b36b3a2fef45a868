package ownership

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestCrashAtEachStepOfAMove moves the partition from a to b while three nodes speak, and has one of the nodes die after each step in
// turn, in many orders of what happens. Whoever is left, one node ends with the entity, with all that was acknowledged, in order.
func TestCrashAtEachStepOfAMove(t *testing.T) {
	orders := uint64(60)
	if testing.Short() {
		orders = 6
	}
	for _, dies := range []string{"", "a", "b", "c"} {
		t.Run("dies: "+dies, func(t *testing.T) {
			ran := 0
			for seed := range orders {
				for at := 1; ; at++ {
					if !moveAndCrash(t, dies, at, seed) || dies == "" {
						break
					}
					ran++
				}
			}
			if dies != "" && ran < 20*int(orders) {
				t.Fatalf("only %d crashes", ran)
			}
		})
	}
}

// moveAndCrash says whether the crash came.
func moveAndCrash(t *testing.T, dies string, at int, seed uint64) bool {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	w := newWorld(t, "a", "b", "c", "d")
	w.publish("a", "c", "a", "b", "c", "d")
	w.run(r.IntN)
	for i := range uint64(3) {
		for n, from := range []string{"a", "b", "d"} {
			w.say(from, uint64(n+1)*100+i)
		}
	}
	w.run(r.IntN)
	w.dies, w.dieAt, w.steps = dies, at, 0
	w.publish("b", "c", "a", "b", "c", "d")
	for i := uint64(3); i < 8; i++ {
		for n, from := range []string{"a", "b", "d"} {
			w.say(from, uint64(n+1)*100+i)
		}
	}
	w.run(r.IntN)
	came := dies != "" && w.dies == ""
	if came {
		owner, backup := "b", "c"
		switch dies {
		case "b":
			owner, backup = "c", "a"
		case "c":
			backup = "a"
		}
		w.publish(owner, backup, w.alive()...)
		w.run(r.IntN)
	}
	w.dies = ""
	w.pass(40*time.Second, r.IntN)
	for n, from := range []string{"a", "b", "d"} { // it goes on
		w.say(from, uint64(n+1)*100+50)
	}
	w.run(r.IntN)
	wrong := w.judge()
	for n, from := range []string{"a", "b", "d"} {
		if ref := uint64(n+1)*100 + 50; !w.nodes[from].dead && !contains(w.acked, ref) {
			wrong = append(wrong, fmt.Sprintf("%d is not acknowledged in the end", ref))
		}
	}
	if len(wrong) > 0 {
		t.Fatalf("%s dies after step %d, order %d: %q\n%s", dies, at, seed, wrong, w.state())
	}
	return came
}

func contains(list []uint64, ref uint64) bool {
	for _, r := range list {
		if r == ref {
			return true
		}
	}
	return false
}
