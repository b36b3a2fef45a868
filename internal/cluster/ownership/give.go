package ownership

import (
	"slices"
	"time"

	"gamed/internal/shard"
)

// give is a partition that this node gives to another.
type give struct {
	Origin
	to         shard.NodeID
	round      uint64         // the term of the table that says so
	nodes      []shard.NodeID // of that table: who may follow the one before
	sent, said bool
	sentAt     time.Duration
	pieces     int
}

// give begins to give a partition to its owner.
func (m *Machine) give(g *give, copies bool, aside uint64) {
	g.round, g.nodes = m.table.Term, m.table.Nodes
	m.gives = append(m.gives, g)
	m.do(Give{To: g.to, Origin: g.Origin, Round: g.round, Copies: copies, Aside: aside})
}

func (m *Machine) sent(ev Sent) {
	for _, g := range m.gives {
		if g.Part == ev.Part && g.Term == ev.Term && !g.sent {
			g.sent, g.sentAt, g.pieces = true, m.now, ev.Pieces
			return
		}
	}
}

// say gives the word for what is sent, when nobody follows the table before any more. Those who do not say so are not followed any
// longer after MarkWait.
func (m *Machine) say() {
	rest := m.gives[:0]
	round, marked := uint64(0), false // of many gives of one table only the first is judged
	for _, g := range m.gives {
		if g.round != round {
			round, marked = g.round, m.sabotage.SkipMarks || !m.unmarked(g)
		}
		if g.sent && !g.said && (marked || m.now-g.sentAt >= MarkWait) {
			g.said = true
			m.do(Say{g.to, g.Origin, g.pieces})
		}
		if g.said && marked {
			if m.ahead[g.Part] == g {
				delete(m.ahead, g.Part)
			}
			continue
		}
		rest = append(rest, g)
	}
	clear(m.gives[len(rest):])
	m.gives = rest
}

// unmarked says whether somebody may still follow the table before.
func (m *Machine) unmarked(g *give) bool {
	return slices.ContainsFunc(g.nodes, func(id shard.NodeID) bool { return m.unmarkedBy(g, id) })
}

func (m *Machine) unmarkedBy(g *give, id shard.NodeID) bool {
	return id != m.self && m.marks[id] < g.round && m.table.Has(id) && slices.Contains(g.nodes, id)
}

// cancel ends what is given to nodes that are gone: the table says who puts the partition together. What is still sent by a table
// before is not followed any longer.
func (m *Machine) cancel() {
	for _, g := range m.gives {
		if !m.table.Has(g.to) {
			g.sent, g.said = true, true
		}
	}
	m.each(func(_ uint16, a *awaited) {
		if a.next != nil && !m.table.Has(a.next.to) {
			a.next = nil
		}
	})
	for id := range m.marks {
		if !m.table.Has(id) {
			delete(m.marks, id)
		}
	}
	for id := range m.heard {
		if !m.table.Has(id) {
			delete(m.heard, id)
		}
	}
}

// release has others know that this node follows the table, and begins with what had to wait for the workers.
func (m *Machine) release(term uint64) {
	if term <= m.released {
		return
	}
	m.released = term
	m.mark()
	m.each(func(_ uint16, a *awaited) { m.ready(a) })
}

// mark tells the others that this node follows the table, if it does. A mark that was lost with its link is made good by the next.
func (m *Machine) mark() {
	if m.released < m.table.Term {
		return
	}
	m.markedAt = m.now
	others := slices.DeleteFunc(slices.Clone(m.table.Nodes), func(id shard.NodeID) bool { return id == m.self })
	if len(others) > 0 {
		m.do(Mark{others, m.released})
	}
}
