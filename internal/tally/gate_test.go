package tally

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gamed/game"
)

func TestWhatCameSinceIsOpenForTheNextAttemptOnly(t *testing.T) {
	g := NewGate()
	old, moved, away := Place{1, 3}, Place{2, 6}, Place{3, 5}
	takes := func(want ...bool) {
		t.Helper()
		for i, p := range []Place{old, moved, away} {
			if g.Takes("t", "1", p) != want[i] {
				t.Fatalf("partition %d: takes %v", p.Part, !want[i])
			}
		}
	}
	g.Begin(start, "t", "1", 1)
	takes(true, true, true)
	if !g.Close(start, "t", "1", 1, 5, map[uint16]bool{3: true}) {
		t.Fatal("not closed")
	}
	takes(false, false, false) // as far as is known, this attempt may be complete
	g.Begin(start, "t", "1", 1)
	takes(false, false, false)
	g.Begin(start, "t", "1", 2)
	takes(false, true, true)
	if g.Close(start, "t", "1", 1, 6, nil) {
		t.Fatal("an attempt was closed after the next had begun")
	}
	takes(false, true, true)
	if !g.Close(start, "t", "1", 2, 6, nil) {
		t.Fatal("not closed")
	}
	takes(false, false, false)
	g.Begin(start, "t", "1", 3)
	takes(false, false, false) // nothing came
}

// An attempt that reaches a node only when the next one has begun there does not close the round for it.
func TestALateAttemptDoesNotCloseTheNext(t *testing.T) {
	g := NewGate()
	g.Begin(start, "t", "1", 2)
	if g.Close(start, "t", "1", 1, 5, nil) || !g.Takes("t", "1", here) {
		t.Fatal("closed by an attempt that is over")
	}
	if !g.Close(start, "t", "1", 2, 5, nil) || g.Takes("t", "1", here) {
		t.Fatal("not closed")
	}
}

func TestClosedRoundsAreForgottenInTheEnd(t *testing.T) {
	g := NewGate()
	now := start
	for i := range 5000 {
		now = now.Add(time.Second)
		g.Close(now, "t", strconv.Itoa(i), 1, 5, nil)
	}
	if limit := int((keep + sweepEvery) / time.Second); len(g.rounds) > limit+1 {
		t.Fatalf("%d rounds are kept of one a second", len(g.rounds))
	}
	if g.Takes("t", strconv.Itoa(5000-int(keep/time.Second)), here) {
		t.Fatal("a round was forgotten before its time")
	}
}

// member is a player in a partition of his own.
type member struct {
	name  string
	node  *clusterNode // nil: on the way
	to    *clusterNode
	place Place
	gave  bool // as his state says, which is on the backup
}

type clusterNode struct {
	gate  *Gate
	set   *Set
	alive bool
}

// A round is collected while partitions move and nodes crash. All do once what they are told before each attempt, others add whenever
// they like: the sum of the attempt that is complete is what was accepted, nothing is accepted after it, and all have been asked.
func TestARoundIsCollectedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []*clusterNode
		for range 4 {
			g := NewGate()
			nodes = append(nodes, &clusterNode{g, NewSet(g), true})
		}
		table, attempt := uint64(1), uint64(0)
		var members []*member
		for i := range 6 {
			members = append(members, &member{name: "p" + strconv.Itoa(i), node: nodes[i%4], place: Place{uint16(i), 1}})
		}
		living := func() (list []*clusterNode) {
			for _, n := range nodes {
				if n.alive {
					list = append(list, n)
				}
			}
			return list
		}
		one := func(label string) *clusterNode { return rapid.SampledFrom(living()).Draw(t, label) }
		slots := []int64{1}
		add := func(m *member) bool {
			if m.node == nil || m.gave || !m.node.set.Add(start, m.place, "t", "win", 0, 1, m.name) {
				return false
			}
			m.gave = true
			return true
		}
		arrive := func(m *member, n *clusterNode) {
			if m.node, m.to = n, nil; m.gave {
				n.set.Restore(start, "t", "win", slots, m.name, true)
			}
		}
		var done *game.Tally
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				if add(rapid.SampledFrom(members).Draw(t, "who")) && done != nil {
					t.Fatal("added to what was collected")
				}
			},
			"move": func(t *rapid.T) {
				m, to := rapid.SampledFrom(members).Draw(t, "who"), one("to")
				if m.node == nil || m.node == to {
					return
				}
				table++
				if m.gave {
					m.node.set.Remove(start, "t", "win", slots, m.name)
				}
				m.node, m.to, m.place.Term = nil, to, table
			},
			"arrive": func(t *rapid.T) {
				if m := rapid.SampledFrom(members).Draw(t, "who"); m.node == nil {
					arrive(m, m.to)
				}
			},
			"crash": func(t *rapid.T) {
				dead := one("dead")
				if len(living()) == 1 {
					return
				}
				dead.alive = false
				table++
				for _, m := range members {
					switch heir := one("heir"); {
					case m.node == dead:
						m.place.Term = table
						arrive(m, heir)
					case m.to == dead:
						m.to, m.place.Term = heir, table
					}
				}
			},
			"collect": func(t *rapid.T) {
				if done != nil {
					return
				}
				attempt++
				if attempt > 1 {
					for _, n := range living() {
						n.gate.Begin(start, "t", "win", attempt)
					}
				}
				for _, m := range members { // told
					add(m)
				}
				var sum game.Tally
				complete := rapid.Bool().Draw(t, "heard")
				for _, n := range living() {
					away := map[uint16]bool{}
					for _, m := range members {
						if m.to == n {
							away[m.place.Part], complete = true, false
						}
					}
					n.gate.Close(start, "t", "win", attempt, table, away)
					Merge(&sum, n.set.Sum(start, "t", "win"))
				}
				if complete {
					done = &sum
				}
			},
			"": func(t *rapid.T) {
				if done == nil {
					return
				}
				var names []string
				for _, m := range members {
					if !m.gave {
						t.Fatalf("%s was not asked", m.name)
					}
					names = append(names, m.name)
				}
				got := slices.Sorted(slices.Values(done.Names))
				if done.Slots[0] != int64(len(names)) || !slices.Equal(got, names) {
					t.Fatalf("%d of %v, want %v", done.Slots[0], got, names)
				}
			},
		})
	})
}
