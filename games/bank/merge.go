package bank

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Merge implements game.Merger: what both sides added and took counts. What both did under one id, or in one and the same call of a
// session, counts once; the same holds for credits, the larger amount counting, and for transfers received. Transfers that are under
// way on either side are completed; one that began on both under one id goes out twice, and no money appears or vanishes by it.
//
// What cannot be kept is said in the error: an account never ends below 0 or above the limit.
func (a *account) Merge(base, mine, theirs []byte) ([]byte, error) {
	var b, m, t account
	if base != nil {
		if err := b.Restore(base); err != nil {
			return nil, fmt.Errorf("the state before the split: %w", err)
		}
	}
	if err := errors.Join(m.Restore(mine), t.Restore(theirs)); err != nil {
		return nil, err
	}
	g := union{base: &b, mine: &m, theirs: &t}
	g.balance = m.balance + t.balance - b.balance
	g.seq = max(m.seq, t.seq)
	g.operations()
	g.granted()
	g.received()
	g.called()
	g.sent()
	g.senders()
	g.clamp()
	return g.Snapshot(nil), errors.Join(g.notes...)
}

// union is the account that two became.
type union struct {
	account
	base, mine, theirs *account
	notes              []error
}

func (g *union) note(format string, args ...any) {
	g.notes = append(g.notes, fmt.Errorf(format, args...))
}

// twice calls f with what is on both sides but was not there before.
func twice[T any, K comparable](base, mine, theirs []T, key func(T) K, f func(m, t T)) {
	find := func(list []T, k K) int { return slices.IndexFunc(list, func(v T) bool { return key(v) == k }) }
	for _, m := range mine {
		if i := find(theirs, key(m)); i >= 0 && find(base, key(m)) < 0 {
			f(m, theirs[i])
		}
	}
}

// unite gives what both lists have, each key once, the last n of both alike; the first list counts.
func unite[T any, K comparable](mine, theirs []T, key func(T) K, n int) []T {
	var out []T // newest first
	known := map[K]bool{}
	for i := 1; len(out) < n && (i <= len(mine) || i <= len(theirs)); i++ {
		for _, list := range [][]T{mine, theirs} {
			if i > len(list) {
				continue
			}
			if v := list[len(list)-i]; !known[key(v)] && len(out) < n {
				known[key(v)] = true
				out = append(out, v)
			}
		}
	}
	slices.Reverse(out)
	return out
}

func (g *union) operations() {
	key := func(o operation) string { return o.id }
	twice(g.base.done, g.mine.done, g.theirs.done, key, func(m, t operation) {
		switch {
		case m.kind != t.kind || m.amount != t.amount || m.to != t.to:
			g.note("id %q was used for two operations, and both count", m.id)
		case m.kind == "transfer":
			g.note("the transfer of %d to %s with id %q was made on both sides", m.amount, m.to, m.id)
		default:
			g.balance -= m.delta()
		}
	})
	g.done = unite(g.mine.done, g.theirs.done, key, kept)
}

func (g *union) granted() {
	key := func(c credit) string { return c.id }
	larger := func(m, t credit) credit { m.amount = max(m.amount, t.amount); return m }
	twice(g.base.credits, g.mine.credits, g.theirs.credits, key, func(m, t credit) { g.balance -= min(m.amount, t.amount) })
	g.credits = unite(g.mine.credits, g.theirs.credits, key, kept)
	for i, c := range g.credits {
		for _, t := range g.theirs.credits {
			if t.id == c.id {
				g.credits[i] = larger(c, t)
			}
		}
	}
}

func (g *union) received() {
	type id struct {
		from string
		seq  int64
	}
	key := func(r receipt) id { return id{r.from, r.seq} }
	twice(g.base.got, g.mine.got, g.theirs.got, key, func(m, _ receipt) { g.balance -= m.amount })
	g.got = unite(g.mine.got, g.theirs.got, key, kept)
}

// called takes calls that were done on both sides once: the client, or its gateway, asked the other side when this one was cut off.
func (g *union) called() {
	g.calls = g.mine.calls
	if g.theirs.calls.session != g.mine.calls.session {
		return
	}
	var before []call
	if g.base.calls.session == g.calls.session {
		before = g.base.calls.done
	}
	key := func(c call) uint64 { return c.ref }
	twice(before, g.mine.calls.done, g.theirs.calls.done, key, func(m, t call) {
		if m.delta == t.delta {
			g.balance -= m.delta
		}
	})
	g.calls.done = unite(g.mine.calls.done, g.theirs.calls.done, key, keptCalls)
}

// sent keeps transfers that are under way: those that began before the split until one side has settled them.
func (g *union) sent() {
	index := func(list []transfer, seq int64) int {
		return slices.IndexFunc(list, func(t transfer) bool { return t.seq == seq })
	}
	for _, t := range g.mine.out {
		i := index(g.theirs.out, t.seq)
		if i < 0 && index(g.base.out, t.seq) >= 0 {
			continue // settled on the other side
		}
		t.settled = t.settled || i >= 0 && g.theirs.out[i].settled
		g.out = append(g.out, t)
	}
	for _, t := range g.theirs.out {
		if index(g.mine.out, t.seq) < 0 && index(g.base.out, t.seq) < 0 {
			g.out = append(g.out, t)
		}
	}
	slices.SortFunc(g.out, func(a, b transfer) int { return cmp.Compare(a.seq, b.seq) })
}

// senders unites what is known of those who sent. The lower mark counts: what lies above it may come again.
func (g *union) senders() {
	g.in = slices.Clone(g.mine.in)
	for _, t := range g.theirs.in {
		i := slices.IndexFunc(g.in, func(s sender) bool { return s.name == t.name })
		if i < 0 {
			g.in = append(g.in, t)
			continue
		}
		s := &g.in[i]
		s.low, s.seen, s.open = min(s.low, t.low), max(s.seen, t.seen), slices.Clone(s.open)
		for _, o := range t.open {
			switch j := slices.IndexFunc(s.open, func(p outcome) bool { return p.seq == o.seq }); {
			case j < 0:
				s.open = append(s.open, o)
			case o.doubt == 0 && (s.open[j].doubt != 0 || !o.refused):
				s.open[j] = o
			}
		}
	}
}

func (g *union) clamp() {
	under := int64(0)
	for _, t := range g.out {
		if !t.settled {
			under += t.amount
		}
	}
	if g.balance < 0 {
		g.note("both sides together took %d more than there was: the account is at 0", -g.balance)
		g.balance = 0
	}
	if most := max(0, Max-under); g.balance > most {
		g.note("the account holds at most %d: %d are lost", int64(Max), g.balance-most)
		g.balance = most
	}
}
