package ownership

import (
	"slices"
	"time"

	"gamed/internal/shard"
)

// awaited is a partition that this node lets nothing into yet: its entities, or rival copies of them, have not come.
type awaited struct {
	part   uint16
	runs   bool         // its entities are here: only rival copies are awaited
	pass   bool         // it belongs to another node by now: what comes is passed on
	gone   bool         // with pass: its own was given on already, only rival copies may come
	other  bool         // with pass: what comes is of another lineage than the owner's
	next   *give        // with pass: to whom
	from   shard.NodeID // who gives it; zero: whoever had it by the table before, or it is put together from copies
	term   uint64       // its term in the table that said so
	token  uint64       // the term its giver had it with: what comes with a smaller one is of an earlier owner
	before uint64       // the hash of the table before
	here   bool         // everything of its own has come
	fork   bool
	needs  uint64 // Released of this term
	since  time.Duration
	rivals []rival

	gather     uint64 // round of the copies asked for; 0: none
	activating uint64 // round of the Activate; 0: none

	first []held // messages that came by way of the old owner
	rest  []held // those that came directly
	bytes int
}

// rival is who has the state of the other side of a split.
type rival struct {
	node   shard.NodeID // zero: copies are asked for
	term   uint64
	here   bool
	gather uint64
}

// await begins to wait for a partition. Rival copies that were awaited are awaited on.
func (m *Machine) await(p uint16) *awaited {
	a := &awaited{part: p, since: m.now, needs: m.table.Term, term: m.table.PartTerm[p]}
	if len(m.table.History) > 0 {
		a.before = m.table.History[0]
	}
	if old := m.parts[p]; old != nil {
		a.rivals = old.rivals
	}
	m.parts[p] = a
	return a
}

// ready goes on with a partition if everything it waits for is here.
func (m *Machine) ready(a *awaited) {
	switch {
	case m.parts[a.part] != a || a.activating != 0 || m.released < a.needs:
	case a.pass:
		m.passOn(a)
	case !a.runs && !a.here || slices.ContainsFunc(a.rivals, func(r rival) bool { return !r.here }):
	default:
		m.round++
		a.activating = m.round
		act := Activate{Part: a.part, Round: m.round, Take: !a.runs, Fork: a.fork}
		for _, r := range a.rivals {
			act.Merge = append(act.Merge, r.term)
		}
		m.do(act)
	}
}

// active lets in what was held.
func (m *Machine) active(ev Active) {
	a := m.parts[ev.Part]
	if a == nil || a.pass || a.activating != ev.Round {
		return
	}
	for _, r := range a.rivals {
		m.merged[a.part] = max(m.merged[a.part], r.term)
	}
	delete(m.parts, a.part)
	for _, h := range m.empty(a) {
		m.do(Let{h.from, h.env})
	}
	for _, e := range m.notices {
		m.do(Tell{e})
	}
	if len(m.parts) == 0 {
		m.notices = nil
	}
}

// passOn gives what has come of a partition, which belongs to another node by now, to that one.
func (m *Machine) passOn(a *awaited) {
	if a.here && !a.gone {
		a.gone = true
		g := m.nextOf(a)
		switch {
		case g == nil:
		case a.other:
			g.Rival = true
			m.do(SetAside{Part: a.part, Term: g.Term, Fork: a.fork})
			m.give(g, true, g.Term)
		default:
			m.ahead[a.part] = g
			m.give(g, true, 0)
		}
		m.passHeld(a, g)
	}
	a.rivals = slices.DeleteFunc(a.rivals, func(r rival) bool {
		if g := m.nextOf(a); r.here && g != nil {
			rest := *g
			rest.Rival, rest.Token = true, r.term
			m.give(&rest, true, r.term)
		}
		return r.here
	})
	if a.gone && len(a.rivals) == 0 {
		delete(m.parts, a.part)
	}
}

// passHeld sends on what was held; to nobody: it is refused.
func (m *Machine) passHeld(a *awaited, g *give) {
	for _, h := range m.empty(a) {
		if g != nil {
			m.pass(g.to, h.env, g.Term)
		} else {
			m.do(Refuse{h.from, h.env, NoOwner})
		}
	}
}

// nextOf is to whom a partition is passed on: who got it from this node, or else its owner; nil when there is none.
func (m *Machine) nextOf(a *awaited) *give {
	if owner, owned := m.table.OwnerOf(a.part); a.next == nil && owned && owner != m.self {
		a.next = &give{Origin: Origin{Part: a.part, Term: m.table.PartTerm[a.part], Token: a.term}, to: owner}
	}
	return a.next
}

// copied decides where a copy belongs.
func (m *Machine) copied(ev Copy) {
	p := ev.Part
	if int(p) >= shard.Partitions || ev.Term > m.table.Term+TermsAhead {
		m.do(Stale{"copy"})
		return
	}
	m.heard[ev.From], m.came = m.now, m.now
	a := m.parts[p]
	fits := false
	switch {
	case ev.Rival:
		fits = m.rivalFits(p, ev.Term)
	case ev.Asked:
		fits = a != nil && !a.runs && !a.here && a.gather != 0
	case a != nil:
		fits = a.takes(ev.From, &ev.Origin)
	case ev.Term > m.table.PartTerm[p]:
		fits = true // its table is on its way
	default:
		a = m.skippedOver(ev.From, &ev.Origin)
		fits = a != nil
	}
	if !fits {
		m.do(Stale{"copy"})
		return
	}
	if a != nil {
		a.since = m.now
	}
	if !ev.Asked {
		m.count(&ev)
	}
	m.do(Keep{Rival: ev.Rival, Pass: a != nil && a.pass})
}

// count counts a piece that is kept.
func (m *Machine) count(ev *Copy) {
	k := arrival{ev.Part, ev.Rival}
	c := m.pieces[k]
	if c.from != ev.From || c.origin != ev.Origin {
		c = pieces{from: ev.From, origin: ev.Origin}
	}
	c.n, c.at = c.n+1, m.now
	m.pieces[k] = c
}

// complete says whether all has come that a word speaks of.
func (m *Machine) complete(w *Word) bool {
	k := arrival{w.Part, w.Rival}
	c := m.pieces[k]
	delete(m.pieces, k)
	return w.Pieces == 0 || c.from == w.From && c.origin == w.Origin && c.n == w.Pieces
}

// takes says whether what a node gives is what is awaited.
func (a *awaited) takes(from shard.NodeID, o *Origin) bool {
	if a.runs || a.gone || a.here || a.gather != 0 || o.Term < a.term {
		return false
	}
	return from == a.from && o.Token >= a.token || a.before != 0 && o.Follows == a.before
}

// word notes that everything of a partition has come.
func (m *Machine) word(ev Word) {
	p := ev.Part
	if int(p) >= shard.Partitions || ev.Term > m.table.Term+TermsAhead {
		m.do(Stale{"word"})
		return
	}
	m.heard[ev.From], m.came = m.now, m.now
	if ev.Rival {
		m.rivalWord(ev)
		return
	}
	a := m.parts[p]
	switch {
	case a == nil && ev.Term > m.table.PartTerm[p]:
		if ev.Token >= m.words[p].Token {
			m.words[p] = early{ev, m.now}
		}
		return
	case a == nil:
		a = m.skippedOver(ev.From, &ev.Origin)
	}
	if a == nil || !a.takes(ev.From, &ev.Origin) {
		m.do(Stale{"word"})
		return
	}
	if !m.complete(&ev) {
		m.do(Stale{"word of what is lost"})
		if !a.pass {
			m.gather([]uint16{p}, 0, 1)
		}
		return
	}
	a.here = true
	m.ready(a)
}

// skippedOver begins to pass on a partition that was for this node by a table it never had; nil when that is not so.
func (m *Machine) skippedOver(from shard.NodeID, o *Origin) *awaited {
	p, s := o.Part, m.skipped
	if m.owns(p) || s.at == 0 || m.now-s.at > PassedFor || o.Term <= s.after || o.Term >= s.before || o.Term >= m.table.PartTerm[p] {
		return nil
	}
	a := m.await(p)
	a.pass, a.from, a.term, a.token, a.needs = true, from, o.Term, o.Token, 0
	return a
}

// rivalFits says whether rival copies of a table's term are to be kept.
func (m *Machine) rivalFits(p uint16, term uint64) bool {
	if m.merged[p] >= term && !m.sabotage.MergeTwice {
		return false
	}
	if term > m.table.PartTerm[p] {
		return true // its table is on its way
	}
	a := m.parts[p]
	if a != nil && slices.ContainsFunc(a.rivals, func(r rival) bool { return r.term == term && !r.here }) {
		return true
	}
	// Not expected, but of the last heal: of who came by the partition after the other side's table was fetched.
	return m.owns(p) && m.healed > 0 && term >= m.healed && m.now-m.healedAt < HealFor
}

func (m *Machine) rivalWord(ev Word) {
	p := ev.Part
	if !m.rivalFits(p, ev.Term) {
		m.do(Stale{"rival word"})
		return
	}
	if ev.Term > m.table.PartTerm[p] {
		m.rivals[p] = early{ev, m.now}
		return
	}
	a := m.parts[p]
	if a == nil {
		a = m.await(p)
		a.runs = true
	}
	i := slices.IndexFunc(a.rivals, func(r rival) bool { return r.term == ev.Term })
	if i < 0 {
		a.rivals = append(a.rivals, rival{node: ev.From, term: ev.Term})
		i = len(a.rivals) - 1
		a.activating = 0
	}
	if !m.complete(&ev) {
		m.do(Stale{"word of what is lost"})
		m.gather([]uint16{p}, ev.Term, 1)
		return
	}
	a.rivals[i].here = true
	m.ready(a)
}
