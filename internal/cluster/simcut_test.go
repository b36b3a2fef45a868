package cluster

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gamed/internal/shard"
)

// oneWay cuts what goes from nodes to others, by their numbers; 0 heals.
func (w *world) oneWay(from, to []int, what simCut) {
	for _, i := range from {
		for _, j := range to {
			w.net.cut(hostOf(i), hostOf(j), what)
		}
	}
}

// linkOf says whether a node has a link to another.
func (n *simNode) linkOf(o *simNode) bool {
	for _, p := range n.mesh.Peers() {
		if p.ID == o.self {
			return p.Up
		}
	}
	return false
}

// checkFlapping wants no partition to have moved more than once in ten seconds, on the whole, and ten times in a minute, as each node
// saw it: who is lost must be replaced at once, and who comes back for the first time is taken in at once.
func (w *world) checkFlapping(since time.Time) {
	w.t.Helper()
	for _, n := range w.live() {
		_, times := moves(n.tablesSince(since))
		all := int(time.Since(since)/(10*time.Second)) + 3
		most, which := 0, uint16(0)
		for p, at := range times {
			if len(at) > all {
				w.t.Errorf("seed %d: %s: partition %d moved %d times in %v", w.net.seed, n.self, p, len(at), time.Since(since))
				return
			}
			for i := range at {
				k := i
				for k < len(at) && at[k].Sub(at[i]) < time.Minute {
					k++
				}
				if k-i > most {
					most, which = k-i, p
				}
			}
		}
		if w.t.Logf("%s: at most %d moves a minute", n.self, most); most > 10 {
			w.t.Errorf("seed %d: %s: partition %d moved %d times in a minute", w.net.seed, n.self, which, most)
		}
	}
}

// One link, or all of a kind, fails in some way between live nodes that others still reach: it is found, and moves nothing.
func TestSimLinkFails(t *testing.T) {
	all := []int{0, 1, 2, 3, 4}
	for name, c := range map[string]struct {
		cut   func(*world, simCut) // 0 heals
		what  simCut
		found bool // the link between 1 and 3 ends on both sides
	}{
		"one way":            {func(w *world, c simCut) { w.oneWay([]int{1}, []int{3}, c) }, cutAll, true},
		"the other way":      {func(w *world, c simCut) { w.oneWay([]int{3}, []int{1}, c) }, cutAll, true},
		"both ways":          {func(w *world, c simCut) { w.part([]int{1}, []int{3}, c) }, cutAll, true},
		"coordinator's":      {func(w *world, c simCut) { w.part([]int{0, 1}, []int{3}, c) }, cutAll, true},
		"a link's TCP":       {func(w *world, c simCut) { w.part([]int{1}, []int{3}, c) }, cutStreams, true},
		"a link's TCP, once": {func(w *world, c simCut) { w.oneWay([]int{1}, []int{3}, c) }, cutStreams, true},
		"a link's UDP":       {func(w *world, c simCut) { w.part([]int{1}, []int{3}, c) }, cutPackets, false},
		"a node's UDP":       {func(w *world, c simCut) { w.part([]int{1}, []int{0, 2, 3, 4}, c) }, cutPackets, false},
		"a node's UDP, in":   {func(w *world, c simCut) { w.oneWay([]int{0, 2, 3, 4}, []int{1}, c) }, cutPackets, false},
		"a node's UDP, out":  {func(w *world, c simCut) { w.oneWay([]int{1}, []int{0, 2, 3, 4}, c) }, cutPackets, false},
		"all UDP":            {func(w *world, c simCut) { w.part(all, all, c) }, cutPackets, false},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				w.form(5, nil)
				time.Sleep(20 * time.Second)
				began := time.Now()
				a, b := w.nodes[1], w.nodes[3]
				c.cut(w, c.what)
				if c.found {
					t.Logf("found after %v", w.within(3*time.Second, "end of the link on both sides", func() bool { return !a.linkOf(b) && !b.linkOf(a) }))
				}
				time.Sleep(30 * time.Second)
				for _, n := range w.live() {
					tables := n.tablesSince(began)
					if moved, _ := moves(tables); moved > 0 || len(tables) > 1 {
						t.Errorf("%s: %d tables and %d moves", n.self, len(tables)-1, moved)
					}
					if downs := n.eventsOf(began, EventLinkDown); len(downs) > 0 && !c.found {
						t.Errorf("%s: links ended: %v", n.self, downs)
					}
				}
				c.cut(w, 0)
				w.within(5*time.Second, "full mesh", w.whole)
			})
		})
	}
}

// All connections are reset again and again: they are made anew, and nothing moves.
func TestSimResets(t *testing.T) {
	simulate(t, func(w *world) {
		w.form(5, nil)
		time.Sleep(20 * time.Second)
		began := time.Now()
		for range 20 {
			for i := range 5 {
				for j := range i {
					w.net.sever(hostOf(i), hostOf(j))
				}
			}
			w.within(time.Second, "full mesh", w.whole)
			time.Sleep(3 * time.Second)
		}
		for _, n := range w.live() {
			if tables := n.tablesSince(began); len(tables) > 1 {
				t.Errorf("%s: %d tables", n.self, len(tables)-1)
			}
			if downs := n.eventsOf(began, EventLinkDown); len(downs) < 20 {
				t.Errorf("%s: %d links were reset", n.self, len(downs))
			}
		}
	})
}

// A node cannot be heard, or cannot hear, or both: it is out of the table, and both sides go on; then all is one again.
func TestSimNodeCutOff(t *testing.T) {
	others := []int{0, 1, 3, 4}
	for name, c := range map[string]struct {
		cut  func(*world, simCut)
		what simCut
	}{
		"deaf":        {func(w *world, c simCut) { w.oneWay(others, []int{2}, c) }, cutAll},
		"mute":        {func(w *world, c simCut) { w.oneWay([]int{2}, others, c) }, cutAll},
		"cut off":     {func(w *world, c simCut) { w.part([]int{2}, others, c) }, cutAll},
		"without TCP": {func(w *world, c simCut) { w.part([]int{2}, others, c) }, cutStreams},
		"TCP one way": {func(w *world, c simCut) { w.oneWay([]int{2}, others, c) }, cutStreams},
		"but for UDP in": {func(w *world, c simCut) {
			w.part([]int{2}, others, c)
			w.oneWay(others, []int{2}, c&cutStreams)
		}, cutAll},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				w.form(5, nil)
				time.Sleep(20 * time.Second)
				c.cut(w, c.what)
				rest := []*simNode{w.nodes[0], w.nodes[1], w.nodes[3], w.nodes[4]}
				t.Logf("table of the rest after %v", w.within(4*time.Second, "table of the rest", func() bool { return oneTable(rest...) }))
				t.Logf("of the one after %v", w.within(5*time.Second, "table of the one", func() bool { return oneTable(w.nodes[2]) }))
				settled := time.Now()
				time.Sleep(40 * time.Second)
				for _, n := range w.live() {
					if tables := n.tablesSince(settled.Add(10 * time.Second)); len(tables) > 1 {
						t.Errorf("%s: %d tables while nothing changed", n.self, len(tables)-1)
					}
				}
				c.cut(w, 0)
				w.heals()
				w.checkOrder()
			})
		})
	}
}

// heals wants the full mesh within 5 s of now, one table within 15 s, and all in place some time later.
func (w *world) heals() {
	w.t.Helper()
	mesh := w.within(5*time.Second, "full mesh", func() bool { return meshed(w.live()...) })
	table := w.within(15*time.Second-mesh, "one table", w.whole)
	placed := w.within(20*time.Second, "partitions in place", w.placed)
	w.t.Logf("full mesh %v, one table %v, in place %v after the heal", mesh, mesh+table, mesh+table+placed)
}

// quorate makes options of a cluster of five under policy quorum.
func quorate(o *Options) { o.Policy, o.Expect = Quorum, 5 }

// watch looks all the time, under quorum, whether two nodes may act as the owner of one partition.
func (w *world) watch() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			w.checkLeases()
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (w *world) checkLeases() {
	var acting []*simNode
	for _, n := range w.live() {
		if n.Lease().Held() {
			acting = append(acting, n)
		}
	}
	for i, a := range acting {
		for _, b := range acting[:i] {
			ta, tb := a.Table(), b.Table()
			if ta.Hash == tb.Hash || ta.Newer(tb) && ta.Has(b.self) || tb.Newer(ta) && tb.Has(a.self) {
				continue // one table, or a planned move: the new owner waits for the old one
			}
			for p := range uint16(shard.Partitions) {
				oa, _ := ta.OwnerOf(p)
				ob, _ := tb.OwnerOf(p)
				if oa == a.self && ob == b.self {
					w.t.Errorf("seed %d, %v: partition %d is served by %s (term %d of %s) and %s (term %d of %s)", w.net.seed, time.Since(w.began), p,
						a.self, ta.Term, ta.Coordinator, b.self, tb.Term, tb.Coordinator)
					return
				}
			}
		}
	}
}

// Three and two nodes are apart for a while. Each policy does what it says, and after the heal there is one table again.
func TestSimSplit(t *testing.T) {
	lengths := []time.Duration{time.Second, 4 * time.Second, 15 * time.Second, 2 * time.Minute}
	switch {
	case simHours() > 0:
		lengths = append(lengths, time.Hour)
	case testing.Short():
		lengths = lengths[1:2]
	}
	for _, policy := range []string{Available, Quorum} {
		for _, split := range lengths {
			for name, few := range map[string][]int{"with the coordinator": {0, 3}, "without": {2, 4}} {
				t.Run(strings.Join([]string{policy, split.String(), name}, " "), func(t *testing.T) {
					simulate(t, func(w *world) { w.split(policy, split, few) })
				})
			}
		}
	}
}

func (w *world) split(policy string, length time.Duration, few []int) {
	t := w.t
	w.form(5, func(o *Options) {
		if policy == Quorum {
			quorate(o)
		}
	})
	if policy == Quorum {
		defer w.watch()()
	}
	time.Sleep(20 * time.Second)
	began := time.Now()
	var many []int
	var minority, majority []*simNode
	for i, n := range w.nodes {
		if i == few[0] || i == few[1] {
			minority = append(minority, n)
		} else {
			many, majority = append(many, i), append(majority, n)
		}
	}
	w.part(many, few, cutAll)
	if length > 10*time.Second {
		t.Logf("majority's table after %v", w.within(5*time.Second, "the majority's table", func() bool { return oneTable(majority...) }))
		if policy == Available {
			w.within(5*time.Second, "the minority's table", func() bool { return oneTable(minority...) })
		}
	}
	time.Sleep(length - time.Since(began))
	if length > 10*time.Second && policy == Quorum {
		for _, n := range minority {
			if ok, _ := n.Ready(); ok || n.Lease().Held() {
				t.Errorf("%s is ready in a minority", n.self)
			}
		}
	}
	w.part(many, few, 0)
	w.heals()
	w.checkOrder()
}

// A link, or all of a node's, comes and goes: no partition moves more than once in 10 s.
func TestSimFlapping(t *testing.T) {
	for name, c := range map[string]struct {
		others []int
		still  bool
	}{"a link": {[]int{3}, true}, "a node": {[]int{0, 1, 3, 4}, false}, "to the first two": {[]int{0, 1}, true}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				w.form(5, nil)
				time.Sleep(20 * time.Second)
				began := time.Now()
				chance := rand.New(rand.NewPCG(w.net.seed, 1))
				for time.Since(began) < min(quietTime(5*time.Minute), time.Hour) {
					w.part([]int{2}, c.others, cutAll)
					time.Sleep(time.Duration(chance.Int64N(int64(6 * time.Second))))
					w.part([]int{2}, c.others, 0)
					time.Sleep(time.Duration(chance.Int64N(int64(6 * time.Second))))
				}
				for _, n := range w.live() {
					tables := n.tablesSince(began)
					moved, _ := moves(tables)
					t.Logf("%s: %d tables, %d moves, %d ends of links", n.self, len(tables)-1, moved, len(n.eventsOf(began, EventLinkDown)))
					if c.still && moved > 0 {
						t.Errorf("%s: %d moves", n.self, moved)
					}
				}
				w.heals()
				w.checkFlapping(began)
				w.checkOrder()
			})
		})
	}
}
