package ownership

import (
	"slices"

	"gamed/internal/shard"
)

// gathering is copies asked for.
type gathering struct {
	parts []uint16
	term  uint64 // of rival copies; 0: not those
	tries int
}

// gather asks for copies of partitions; term is that of rival copies, or 0.
func (m *Machine) gather(parts []uint16, term uint64, tries int) {
	if len(parts) == 0 {
		return
	}
	m.round++
	m.gathers[m.round] = &gathering{parts, term, tries}
	for _, p := range parts {
		a := m.parts[p]
		switch {
		case a == nil:
		case term == 0:
			a.gather = m.round
		default:
			for i := range a.rivals {
				if a.rivals[i].term == term {
					a.rivals[i].gather = m.round
				}
			}
		}
	}
	m.do(Gather{Round: m.round, Term: m.table.Term, Table: m.table.Hash, Parts: parts, Aside: term})
}

// gathered takes what has come as all there is, unless somebody who is still in the table did not answer.
func (m *Machine) gathered(ev Gathered) {
	g := m.gathers[ev.Round]
	if g == nil {
		return
	}
	delete(m.gathers, ev.Round)
	var again []uint16
	silent := slices.ContainsFunc(ev.Silent, m.table.Has) && g.tries < askTries
	for _, p := range g.parts {
		a := m.parts[p]
		if a == nil {
			continue
		}
		mine := g.term == 0 && a.gather == ev.Round
		for i := range a.rivals {
			if a.rivals[i].term == g.term && a.rivals[i].gather == ev.Round {
				mine, a.rivals[i].here = true, a.rivals[i].here || !silent
			}
		}
		switch {
		case !mine:
			continue
		case silent:
			again = append(again, p)
			continue
		case g.term == 0:
			a.gather, a.here = 0, true
		}
		m.ready(a)
	}
	m.gather(again, g.term, g.tries+1)
}

// overdue gives up what has waited too long.
func (m *Machine) overdue() {
	var lost []uint16
	rivals := map[uint64][]uint16{}
	var terms []uint64
	m.each(func(p uint16, a *awaited) {
		m.late(a)
		if a.pass && m.now-a.since > PassedFor {
			m.empty(a)
			delete(m.parts, p)
			return
		}
		if !a.runs && !a.gone && !a.here && a.gather == 0 && (m.quiet(a, a.from) || !a.from.IsZero() && !m.table.Has(a.from)) {
			// Whoever is in the table and gave nothing may have another one, and go on.
			a.fork = a.fork || a.from.IsZero() || m.table.Has(a.from) || mayLive(m.table, a.from)
			lost = append(lost, p)
		}
		for i := range a.rivals {
			if r := &a.rivals[i]; !r.here && r.gather == 0 && (r.node.IsZero() || !m.table.Has(r.node) || m.quiet(a, r.node)) {
				if rivals[r.term] == nil {
					terms = append(terms, r.term)
				}
				rivals[r.term] = append(rivals[r.term], p)
			}
		}
	})
	m.gather(lost, 0, 1)
	for _, term := range terms {
		m.gather(rivals[term], term, 1)
	}
}

// quiet says whether nothing has come from the node for long; from zero: from anybody.
func (m *Machine) quiet(a *awaited, from shard.NodeID) bool {
	if from.IsZero() {
		return m.now-max(a.since, m.came) > AnybodyFor
	}
	return m.now-max(a.since, m.heard[from]) > AwaitedFor
}
