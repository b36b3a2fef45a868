package tally

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"gamed/game"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Unix(1000, 0)

// here is a partition that the node had before any table here matters.
var here = Place{Part: 7, Term: 1}

func newSet() *Set { return NewSet(NewGate()) }

// collect closes a round and sums it up, as the first attempt by the table of term 5.
func (s *Set) collect(now time.Time, topic, name string) game.Tally {
	s.gate.Close(now, topic, name, 1, 5, nil)
	return s.Sum(now, topic, name)
}

func TestAddCloseAddIsRefused(t *testing.T) {
	s := newSet()
	if !s.Add(start, here, "trivia:friday", "1", 2, 3, "ann") || !s.Add(start, here, "trivia:friday", "1", 2, 1, "") {
		t.Fatal("refused")
	}
	for _, slot := range []int{-1, game.TallySlots, 1 << 40} {
		if s.Add(start, here, "trivia:friday", "1", slot, 1, "bob") {
			t.Fatalf("slot %d was taken", slot)
		}
	}
	sum := s.collect(start, "trivia:friday", "1")
	if sum.Slots[2] != 4 || !slices.Equal(sum.Names, []string{"ann"}) {
		t.Fatalf("sum %+v", sum)
	}
	sum.Names[0] = "mallory" // the caller's own
	if s.Add(start, here, "trivia:friday", "1", 2, 1, "late") {
		t.Fatal("a closed round took more")
	}
	if !s.Add(start, here, "trivia:friday", "2", 2, 1, "") || !s.Add(start, here, "trivia:monday", "1", 2, 1, "") {
		t.Fatal("another round suffers")
	}
	if again := s.collect(start, "trivia:friday", "1"); again.Slots != sum.Slots || !slices.Equal(again.Names, []string{"ann"}) {
		t.Fatalf("closed again: %+v", again)
	}
}

func TestCloseBeforeTheFirstAdd(t *testing.T) {
	s := newSet()
	if sum := s.collect(start, "t", "1"); sum.Slots != [game.TallySlots]int64{} || len(sum.Names) != 0 {
		t.Fatalf("sum %+v", sum)
	}
	if s.Add(start, here, "t", "1", 0, 1, "") {
		t.Fatal("added to what was collected")
	}
	if later := NewSet(s.gate); later.Add(start, here, "t", "1", 0, 1, "") { // a worker that began after it
		t.Fatal("a worker added to what was collected")
	}
}

func TestOldRoundsAreForgotten(t *testing.T) {
	s := newSet()
	now := start
	for i := range 10000 { // a round a second
		now = now.Add(time.Second)
		if !s.Add(now, here, "t", strconv.Itoa(i), 0, 1, "") {
			t.Fatal("refused")
		}
	}
	if limit := int((keep + sweepEvery) / time.Second); len(s.rounds) > limit+1 {
		t.Fatalf("%d rounds are kept of one a second", len(s.rounds))
	}
	if sum := s.collect(now, "t", strconv.Itoa(10000-int(keep/time.Second))); sum.Slots[0] != 1 {
		t.Fatal("a round was forgotten before its time")
	}
}

func TestARoundInUseIsKept(t *testing.T) {
	s := newSet()
	now := start
	for range 100 {
		if !s.Add(now, here, "t", "long", 0, 1, "") {
			t.Fatal("refused")
		}
		now = now.Add(keep - time.Second)
		s.Add(now, here, "t", now.String(), 0, 1, "")
	}
	if sum := s.collect(now, "t", "long"); sum.Slots[0] != 100 {
		t.Fatalf("sum %d", sum.Slots[0])
	}
}

func TestNamesAreBoundedAndOnce(t *testing.T) {
	s := newSet()
	for i := range 50 {
		for range 2 {
			s.Begin()
			s.Add(start, here, "t", "1", 0, 1, "p"+strconv.Itoa(i))
		}
	}
	sum := s.collect(start, "t", "1")
	if len(sum.Names) != game.TallyNames || sum.Slots[0] != 100 {
		t.Fatalf("%d names, %d added", len(sum.Names), sum.Slots[0])
	}
	if slices.Sort(sum.Names); len(slices.Compact(sum.Names)) != game.TallyNames {
		t.Fatal("a name twice")
	}
	var all game.Tally
	for range 3 {
		Merge(&all, sum)
	}
	if len(all.Names) != game.TallyNames || all.Slots[0] != 300 {
		t.Fatalf("merged: %d names, %d", len(all.Names), all.Slots[0])
	}
	full := game.Tally{Names: make([]string, game.TallyNames+5)} // from a node that knows no bound
	Merge(&full, sum)
}

func TestMoreSlotsThanThereAreDoNoHarm(t *testing.T) {
	s := newSet()
	many := make([]int64, game.TallySlots+1)
	many[game.TallySlots] = 1
	s.Restore(start, "t", "1", many, "ann", true)
	s.Remove(start, "t", "1", many, "ann")
	s.Restore(start, "t", "1", []int64{1}, "ann", false)
	if sum := s.collect(start, "t", "1"); sum.Slots[0] != 1 || len(sum.Names) != 0 {
		t.Fatalf("sum %+v", sum)
	}
}

// Players add, messages are undone, players move between two nodes, rounds are closed: the sum over the nodes is what was
// accepted, always.
func TestSumsAreExact(t *testing.T) {
	type player struct {
		node  int
		given map[string][]int64
		named map[string]bool
	}
	rapid.Check(t, func(t *rapid.T) {
		nodes := []*Set{newSet(), newSet()}
		closed := []map[string]bool{{}, {}}
		players := map[string]*player{}
		for i := range 5 {
			players["p"+strconv.Itoa(i)] = &player{node: i % 2, given: map[string][]int64{}, named: map[string]bool{}}
		}
		names := rapid.SampledFrom([]string{"p0", "p1", "p2", "p3", "p4"})
		rounds := rapid.SampledFrom([]string{"1", "2"})
		now := start
		t.Repeat(map[string]func(*rapid.T){
			"message": func(t *rapid.T) {
				name := names.Draw(t, "player")
				p := players[name]
				now = now.Add(time.Second)
				s := nodes[p.node]
				s.Begin()
				type addition struct {
					round string
					slot  int
					n     int64
					named bool
				}
				var added []addition
				for range rapid.IntRange(0, 3).Draw(t, "adds") {
					a := addition{rounds.Draw(t, "round"), rapid.IntRange(0, 3).Draw(t, "slot"), rapid.Int64Range(1, 5).Draw(t, "n"), rapid.Bool().Draw(t, "named")}
					mark := ""
					if a.named {
						mark = name
					}
					ok := s.Add(now, here, "t", a.round, a.slot, a.n, mark)
					if ok == closed[p.node][a.round] {
						t.Fatalf("round %s: closed %v, added %v", a.round, closed[p.node][a.round], ok)
					}
					if ok {
						added = append(added, a)
					}
				}
				if rapid.Bool().Draw(t, "panics") {
					s.Undo()
					s.Undo() // once is enough
					return
				}
				for _, a := range added {
					if p.given[a.round] == nil {
						p.given[a.round] = make([]int64, game.TallySlots)
					}
					p.given[a.round][a.slot] += a.n
					p.named[a.round] = p.named[a.round] || a.named
				}
			},
			"move": func(t *rapid.T) {
				name := names.Draw(t, "player")
				p := players[name]
				for round, slots := range p.given {
					nodes[p.node].Remove(now, "t", round, slots, name)
					nodes[1-p.node].Restore(now, "t", round, slots, name, p.named[round])
				}
				p.node = 1 - p.node
			},
			"close": func(t *rapid.T) {
				n, round := rapid.IntRange(0, 1).Draw(t, "node"), rounds.Draw(t, "round")
				nodes[n].gate.Close(now, "t", round, 1, 5, nil)
				closed[n][round] = true
			},
			"": func(t *rapid.T) {
				for _, round := range []string{"1", "2"} {
					var got, want game.Tally
					for _, s := range nodes {
						r := s.rounds[id{"t", round}]
						if r == nil {
							continue
						}
						Merge(&got, r.sum)
					}
					for name, p := range players {
						for i, v := range p.given[round] {
							want.Slots[i] += v
						}
						if p.named[round] {
							want.Names = append(want.Names, name)
						}
					}
					slices.Sort(got.Names)
					slices.Sort(want.Names)
					if got.Slots != want.Slots || !slices.Equal(got.Names, want.Names) {
						t.Fatalf("round %s: %v %v, want %v %v", round, got.Slots[:4], got.Names, want.Slots[:4], want.Names)
					}
				}
			},
		})
	})
}
