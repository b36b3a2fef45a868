package agreement

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gamed/internal/shard"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata print into them")

// Each script in testdata tells a story: lines of commands to a cluster in which every delay is the shortest, and after ---- what
// came of them. # begins a comment. The commands:
//
//	nodes 3 [quorum]     a cluster of so many, which expects so many
//	run 3s               time passes
//	kill 2 | crash 2     the process ends; crash: and nobody tells its peers
//	start 2              another life of it
//	pause 2 | resume 2   the process stands still, links to it die of silence; it goes on
//	cut 1|23             the network is split into such sides
//	oneway 1 2           what 1 sends to 2 is lost
//	heal                 the network is whole
//	leave 2 | drain 2    it says goodbye; it wants to own nothing
//	forget 2             an operator gives it up
//	table                who has which table, and what it says
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil { //nolint:gosec // read by people
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("another story (go test -run Scripts -rewrite to take it, then read the difference):\n%s", got)
			}
		})
	}
}

// play runs a script and gives it back with what was printed.
func play(t *testing.T, text string) string {
	var out strings.Builder
	var s *sim
	printing := false
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case line == "----":
			printing = true
			out.WriteString(line + "\n")
			for _, l := range s.trace {
				out.WriteString(strings.TrimRight(l, " ") + "\n")
			}
			s.trace = nil
			if s.failed != "" {
				t.Error(s.failed)
			}
			continue
		case printing && line != "":
			continue // what was printed the last time
		}
		printing = false
		out.WriteString(line + "\n")
		words := strings.Fields(strings.Split(line, "#")[0])
		if len(words) > 0 {
			s = command(t, s, words)
		}
	}
	return out.String()
}

func command(t *testing.T, s *sim, words []string) *sim {
	t.Helper()
	arg := func(i int) string {
		if i >= len(words) {
			t.Fatalf("%v: too short", words)
		}
		return words[i]
	}
	slot := func(i int) int {
		n, err := strconv.Atoi(arg(i))
		if err != nil || n < 1 || n > len(s.lives) {
			t.Fatalf("%v: no such node", words)
		}
		return n - 1
	}
	switch words[0] {
	case "nodes":
		n, err := strconv.Atoi(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		s = newSim(1, Config{Search: true, Expect: n, Quorum: len(words) > 2 && words[2] == "quorum"}, n)
		s.still = true
		for i := range n {
			s.start(i)
		}
	case "run":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		s.run(s.now + d)
	case "kill", "crash":
		s.end(s.lives[slot(1)], words[0] == "kill")
	case "start":
		s.start(slot(1))
	case "pause":
		s.pause(s.lives[slot(1)], time.Hour)
	case "resume":
		s.resume(s.lives[slot(1)])
	case "leave":
		s.leave(s.lives[slot(1)])
	case "drain":
		s.drain(s.lives[slot(1)])
	case "cut":
		s.cutSides(arg(1))
	case "oneway":
		s.cutOneWay(slot(1), slot(2))
	case "heal":
		s.healLinks()
	case "forget":
		s.forget(fmt.Sprintf("gamed-%d", slot(1)+1))
	case "table":
		s.show()
	default:
		t.Fatalf("no command %q", words[0])
	}
	return s
}

// cutSides splits the network: 1|23.
func (s *sim) cutSides(sides string) {
	of := map[int]int{}
	for side, slots := range strings.Split(sides, "|") {
		for _, c := range slots {
			of[int(c-'1')] = side
		}
	}
	for i := range s.lives {
		for j := range i {
			if of[i] != of[j] {
				s.split(i, j)
			}
		}
	}
}

func (s *sim) forget(name string) {
	s.logf("forget %s", name)
	for _, l := range s.all {
		if l.id.Name == name {
			s.given[l.id] = true
		}
	}
	for _, l := range s.lives {
		if l != nil {
			s.step(l, Forget{name})
		}
	}
}

func (s *sim) drain(l *life) {
	l.drained = !l.drained
	s.step(l, Drain{l.drained})
}

// show prints the tables of all who live.
func (s *sim) show() {
	for _, l := range s.lives {
		if l == nil {
			continue
		}
		t := l.m.Table()
		owned, rivals, nobody := map[string]int{}, map[string]int{}, 0
		for p := uint16(0); p < shard.Partitions; p++ {
			o, ok := t.OwnerOf(p)
			if !ok {
				nobody++
				continue
			}
			owned[o.Name]++
			if r, ok := t.RivalOf(p); ok {
				rivals[r.Name+" for "+o.Name]++
			}
		}
		why := l.m.Waiting()
		s.logf("%s: table %d by %s, owned %v, nobody's %d, rivals %v, degraded %v %s", l.id, t.Term, t.Coordinator, owned, nobody, rivals, t.Degraded(), why)
	}
}
