package agreement

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gamed/internal/shard"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed only, with its trace")
	seeds   = flag.Uint64("seeds", 1500, "number of seeds; 5,000 where GAMED_SIM_SEEDS is set")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Nodes start, crash, restart, leave, drain, pause and are split at random, messages are delayed, reordered and lost. Terms
// never fall, tables are well formed, and when the faults are over all that live have one table, of all that live, in which
// no fencing token contradicts one that any of them ever knew.
func TestSimulation(t *testing.T) {
	if *oneSeed != 0 {
		if s := simulate(*oneSeed); s.failed != "" {
			t.Fatalf("seed %d: %s\n%s", *oneSeed, s.failed, strings.Join(s.trace, "\n"))
		} else {
			t.Logf("seed %d holds:\n%s", *oneSeed, strings.Join(s.trace, "\n"))
		}
		return
	}
	switch {
	case testing.Short():
		*seeds = min(*seeds, 300)
	case os.Getenv("GAMED_SIM_SEEDS") != "":
		*seeds = max(*seeds, 5000)
	}
	const shards = 4
	for i := range uint64(shards) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			made := 0
			for seed := i + 1; seed <= *seeds; seed += shards {
				s := simulate(seed)
				if s.failed != "" {
					t.Fatalf("seed %d (go test -run Simulation -seed %d): %s\n%s", seed, seed, s.failed, strings.Join(s.trace, "\n"))
				}
				made += s.made
			}
			t.Logf("%d tables made", made)
		})
	}
}

func simulate(seed uint64) *sim {
	slots := 2 + int(seed%5)
	s := newSim(seed, Config{Search: true}, slots)
	if seed%3 == 0 {
		s.cfg.Expect = slots/2 + 1
		s.cfg.Quorum = seed%6 != 0
	}
	s.drop = 0.05
	for i := range slots {
		s.after(s.between(0, 2*time.Second), func() { s.start(i) })
	}
	s.run(3 * time.Second)
	for range 4 + s.rnd.IntN(8) {
		s.fault()
		s.run(s.now + s.between(0, 3*time.Second))
	}
	s.heal()
	s.converge(20 * time.Second)
	return s
}

// fault does one random thing.
func (s *sim) fault() {
	slot := s.rnd.IntN(len(s.lives))
	l := s.lives[slot]
	if l == nil {
		if s.rnd.IntN(4) == 0 {
			s.forget(fmt.Sprintf("gamed-%d", slot+1))
		}
		s.start(slot)
		return
	}
	if s.cfg.Quorum && s.rnd.IntN(2) == 0 {
		s.vote(l)
		return
	}
	switch s.rnd.IntN(12) {
	case 0, 1:
		s.end(l, s.rnd.IntN(3) > 0)
		if s.rnd.IntN(2) == 0 {
			s.after(s.between(0, time.Second), func() {
				if s.lives[slot] == nil {
					s.start(slot)
				}
			})
		}
	case 2:
		s.leave(l)
	case 3:
		s.drain(l)
	case 4:
		s.pause(l, s.between(500*time.Millisecond, 8*time.Second))
	case 5:
		side := s.rnd.IntN(1 << len(s.lives))
		s.logf("split %b", side)
		for i := range s.lives {
			for j := range i {
				if (side>>i)&1 != (side>>j)&1 {
					s.split(i, j)
				}
			}
		}
	case 6:
		s.split(slot, s.rnd.IntN(len(s.lives)))
	case 7:
		s.healLinks()
	case 8: // three sides
		side := make([]int, len(s.lives))
		for i := range side {
			side[i] = s.rnd.IntN(3)
		}
		s.logf("split %v", side)
		for i := range s.lives {
			for j := range i {
				if side[i] != side[j] {
					s.split(i, j)
				}
			}
		}
	case 9: // packets are lost in one direction only
		o := s.rnd.IntN(len(s.lives))
		s.cutOneWay(slot, o)
	case 10: // the end of a split while other things happen
		s.healLinks()
		s.after(s.between(0, 4*time.Second), func() {
			if !s.quiet {
				s.fault()
			}
		})
	case 11: // an operator gives up a node that is gone, or seems to be
		if s.cfg.Quorum && l != nil {
			return // there it is his vote
		}
		s.forget(fmt.Sprintf("gamed-%d", slot+1))
	}
}

// vote makes majorities hard to tell: single links fail and come back, nodes forget what they agreed to.
func (s *sim) vote(l *life) {
	o := s.rnd.IntN(len(s.lives))
	switch s.rnd.IntN(4) {
	case 0, 1:
		s.split(l.slot, o)
	case 2:
		s.end(l, true)
		s.after(s.between(0, 500*time.Millisecond), func() {
			if s.lives[l.slot] == nil && !s.quiet {
				s.start(l.slot)
			}
		})
	case 3:
		delete(s.cut, [2]int{l.slot, o})
		delete(s.cut, [2]int{o, l.slot})
		if o := s.lives[o]; o != nil && o != l {
			s.connect(l, o)
		}
	}
}

func (s *sim) leave(l *life) {
	if l.paused {
		return
	}
	s.logf("leave %s", l.id)
	l.left = s.now
	for _, o := range s.peersOf(l) {
		s.send(l, o, Left{l.id})
	}
	s.step(l, Leave{})
	s.after(100*time.Millisecond, func() { s.end(l, true) })
}

func (s *sim) pause(l *life, d time.Duration) {
	s.logf("pause %s for %v", l.id, d)
	l.paused = true
	if d > 1500*time.Millisecond {
		for _, o := range s.peersOf(l) {
			s.breakLink(l, o)
		}
	}
	s.after(d, func() { s.resume(l) })
}

func (s *sim) resume(l *life) {
	if !l.paused || l.dead {
		return
	}
	s.logf("resume %s", l.id)
	l.paused = false
	held := l.held
	l.held = nil
	for _, do := range held {
		do()
	}
}

func (s *sim) split(i, j int) { s.cutLinks(i, j, true) }

func (s *sim) cutOneWay(i, j int) { s.cutLinks(i, j, false) }

// cutLinks loses the packets from slot i to slot j, and back if it is both.
func (s *sim) cutLinks(i, j int, both bool) {
	if i == j || s.cut[[2]int{i, j}] {
		return
	}
	s.logf("cut gamed-%d gamed-%d both=%v", i+1, j+1, both)
	s.cut[[2]int{i, j}] = true
	if both {
		s.cut[[2]int{j, i}] = true
	}
	a, b := s.lives[i], s.lives[j]
	if a == nil || b == nil {
		return
	}
	if _, ok := a.links[b]; ok {
		s.breakLink(a, b)
	}
	if !both {
		return // gossip asks others, and finds them alive
	}
	s.after(s.between(2*time.Second, 9*time.Second), func() {
		if s.isCut(a, b) {
			s.step(a, Lost{b.id})
			s.step(b, Lost{a.id})
		}
	})
}

func (s *sim) healLinks() {
	s.logf("heal")
	s.cut = map[[2]int]bool{}
	for i, a := range s.lives {
		for _, b := range s.lives[:i] {
			if a != nil && b != nil {
				s.connect(a, b)
			}
		}
	}
}

// heal ends all faults, and sees to it that somebody lives.
func (s *sim) heal() {
	s.drop, s.quiet = 0, true
	s.healLinks()
	for i, l := range s.lives {
		if l == nil {
			s.start(i)
		} else {
			s.resume(l)
		}
	}
}

// converge waits until all agree and are where they should be, and fails after the time.
func (s *sim) converge(limit time.Duration) {
	end, why := s.now+limit, ""
	for s.failed == "" && s.now < end {
		s.run(s.now + 250*time.Millisecond)
		if why = s.apart(); why == "" {
			before := s.made
			s.run(s.now + 1500*time.Millisecond)
			if why = s.apart(); why == "" && before == s.made {
				s.checkTokens()
				return
			}
		}
	}
	for _, l := range s.lives {
		s.logf("%s has %+v, leaves %v, waits until %v, pending %+v, lease %+v, ahead %v", l.id, l.m.force, l.m.leaving, l.m.held, l.m.pending, l.m.lease, l.m.ahead != nil)
		for _, p := range l.m.linked() {
			s.logf("%s knows %+v", l.id, *p)
		}
	}
	s.fail("no agreement %v after the last fault: %s", limit, why)
}

// apart says what is still wrong, "" when all that live have one table of all that live, well placed.
func (s *sim) apart() string {
	var first *shard.Table
	var names []string
	for i, l := range s.lives {
		if l == nil {
			s.start(i) // it left, or was replaced, at the end: agreement must hold with everybody there
		}
	}
	for _, l := range s.lives {
		if first == nil {
			first = l.m.Table()
		}
		if l.m.Table().Hash != first.Hash {
			return fmt.Sprintf("%s has %x, not %x", l.id, l.m.Table().Hash, first.Hash)
		}
		if w := l.m.Waiting(); w != "" {
			return l.id.String() + ": " + w
		}
		if !l.drained {
			names = append(names, l.id.Name)
		}
	}
	if len(first.Nodes) != len(s.lives) {
		return fmt.Sprintf("%d of %d nodes in the table", len(first.Nodes), len(s.lives))
	}
	if len(names) == 0 {
		return ""
	}
	want := remembered(sortedNames(names))
	for p := range shard.Partitions {
		if o, _ := first.OwnerOf(uint16(p)); o.Name != want.Names[want.Owner[p]] {
			return fmt.Sprintf("partition %d is at %s", p, o)
		}
	}
	return ""
}

// checkTokens compares the last table with every table that a node still living ever installed.
func (s *sim) checkTokens() {
	last := s.lives[0].m.Table()
	seen := map[uint64]bool{}
	for _, l := range s.lives {
		for _, t := range l.tables {
			if seen[t.Hash] {
				continue
			}
			seen[t.Hash] = true
			for p := range uint16(shard.Partitions) {
				was, _ := t.OwnerOf(p)
				is, _ := last.OwnerOf(p)
				if last.PartTerm[p] < t.PartTerm[p] || last.PartTerm[p] == t.PartTerm[p] && was != is {
					s.fail("partition %d: %s with term %d in table %d, %s with %d in the last", p, was, t.PartTerm[p], t.Term, is, last.PartTerm[p])
					return
				}
			}
		}
	}
}

func sortedNames(names []string) []string { return slices.Sorted(slices.Values(names)) }
