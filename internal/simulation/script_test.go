package simulation

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scriptRuns is how many seeds each story is told with: delays and what clients do differ.
func scriptRuns() uint64 {
	if underRace {
		return 2
	}
	return 60
}

// TestSimScripts plays the stories in testdata: named races that were thought of, or found. A line is a time and what happens then:
//
//	4s     kill 2            the process of gamed-2 ends; dark: its machine vanishes
//	4s     start 2           another life of it
//	4s     drain 2
//	4s     pause 2 9s
//	4s     split 1|2,3       the sides; clients stay on both
//	4s     cut 1 3           nothing gets from gamed-1 to gamed-3; both: nor back
//	4s     uncut 1 3
//	4s     lose 1 3          the link between the two breaks, and is made again
//	4s     mend
//	moved+10ms kill 2        so long after the next table was put in force anywhere
//
// The first lines say how many nodes there are, the policy, and how slow the network is. In the end everything has to be as after any other run.
func TestSimScripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) < 5 {
		t.Fatalf("%d stories", len(files))
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for seed := uint64(1); seed <= scriptRuns(); seed++ {
				w := play(t, seed, string(text), false)
				if w.failed != "" {
					w = play(t, seed, string(text), true)
					t.Fatalf("seed %d: %s\n%s", seed, w.failed, w.story())
				}
			}
		})
	}
}

// play tells a story with one seed.
func play(t *testing.T, seed uint64, text string, tracing bool) *world {
	t.Helper()
	set := choose(seed)
	set.kind, set.quorum, set.forks, set.fault, set.expect = crashing, false, false, sound, 0
	var w *world
	last, slow := time.Duration(0), time.Duration(0)
	begin := func() {
		if w == nil {
			set.first = set.slots
			w = newWorld(seed, set)
			w.tracing = tracing
			w.build()
			w.run(5 * time.Second)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nodes":
			set.slots = number(t, words[1])
			if len(words) > 2 && words[2] == "quorum" {
				set.kind, set.quorum, set.expect = voting, true, set.slots
			}
			if len(words) > 2 && words[2] == "forks" {
				set.kind, set.forks = splitting, true
			}
			continue
		}
		if words[0] == "slow" {
			slow = duration(t, words[1])
			continue
		}
		begin()
		w.net.slow = max(w.net.slow, slow)
		do := action(t, w, words[1:])
		if after, ok := strings.CutPrefix(words[0], "moved+"); ok {
			at := last
			w.after(max(at+5*time.Second-w.now, 0), func() { w.onMove(duration(t, after), do) })
			continue
		}
		last = duration(t, words[0])
		w.after(max(last+5*time.Second-w.now, 0), do)
	}
	w.run(w.now + last + 4*time.Second)
	w.heal()
	w.settle()
	if w.failed == "" {
		w.check.judge()
	}
	return w
}

// onMove does something so long after the next table was put in force.
func (w *world) onMove(d time.Duration, do func()) {
	term := w.check.newest
	var look func()
	look = func() {
		if w.check.newest > term {
			w.after(d, do)
			return
		}
		if !w.healed {
			w.after(time.Millisecond, look)
		}
	}
	look()
}

func action(t *testing.T, w *world, words []string) func() {
	t.Helper()
	slot := func(i int) int {
		if i >= len(words) {
			return 0
		}
		return number(t, words[i]) - 1
	}
	is := func(i int, word string) bool { return i < len(words) && words[i] == word }
	on := func(do func(n *node)) func() {
		s := slot(1)
		return func() {
			if n := w.slots[s]; n != nil {
				do(n)
			}
		}
	}
	switch words[0] {
	case "kill":
		return on(func(n *node) { n.kill(is(2, "dark")) })
	case "start":
		s := slot(1)
		return func() {
			if w.slots[s] == nil {
				w.start(s)
			}
		}
	case "drain":
		return on((*node).drain)
	case "pause":
		d := duration(t, words[2])
		return on(func(n *node) { n.pause(d) })
	case "mend":
		return w.mend
	case "cut":
		a, b := slot(1), slot(2)
		return func() {
			w.net.setCut(a, b, true)
			if is(3, "both") {
				w.net.setCut(b, a, true)
			}
		}
	case "uncut":
		a, b := slot(1), slot(2)
		return func() { w.net.setCut(a, b, false) }
	case "lose":
		a, b := slot(1), slot(2)
		return func() { w.net.lose(w.slots[a], w.slots[b]) }
	case "split":
		side := make([]int, w.set.slots)
		for i, group := range strings.Split(words[1], "|") {
			for _, name := range strings.Split(group, ",") {
				side[number(t, name)-1] = i
			}
		}
		return func() { w.divide(side) }
	}
	t.Fatalf("unknown: %s", fmt.Sprint(words))
	return nil
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
