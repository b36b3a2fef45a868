package ownership

import (
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// held is a message that stays longer than the step it came with.
type held struct {
	from shard.NodeID
	env  *envelope.Envelope
	at   time.Duration
}

func (m *Machine) keep(from shard.NodeID, e *envelope.Envelope) held {
	c := *e
	c.Key = string(append([]byte(nil), e.Key...))
	c.Payload = append([]byte(nil), e.Payload...)
	return held{from, &c, m.now}
}

// message decides on a message that comes while something moves.
func (m *Machine) message(ev Message) {
	e := ev.Env
	if int(e.Part) >= shard.Partitions || e.Term > m.table.Term+TermsAhead {
		m.do(Stale{"message"})
		return
	}
	a, g, acked := m.parts[e.Part], m.ahead[e.Part], e.Kind == envelope.Acked
	local := ev.From.IsZero()
	switch {
	case !local && e.Term > m.table.PartTerm[e.Part]:
		m.tooEarly(ev)
	case !local && !acked && g != nil && e.Term < g.Term && !g.said: // its sender follows a table before, even if the partition is to come back
		m.pass(g.to, e, g.Term)
	case !local && !acked && g != nil && e.Term < g.Term && m.unmarkedBy(g, ev.From) && !m.sabotage.SkipMarks:
		m.do(Refuse{ev.From, e, Late})
	case a == nil || a.gone, acked && a.runs:
		m.do(Receive(ev))
	case acked: // of nobody who is here
	default: // also if it is to be passed on: behind what comes from the old owner
		if !m.hold(a, ev.From, e) {
			m.do(Refuse{ev.From, e, Full})
		}
	}
}

// tooEarly keeps a message that was sent by a table which this node does not have yet.
func (m *Machine) tooEarly(ev Message) {
	if e := ev.Env; len(m.early) >= MaxEarly || m.earlyBytes+len(e.Payload) > MaxEarlyBytes {
		m.do(Refuse{ev.From, e, Full})
		return
	}
	m.early = append(m.early, m.keep(ev.From, ev.Env))
	m.earlyBytes += len(ev.Env.Payload)
}

// pass sends a message on to the partition's next owner, with the term it is owner by: if he does not have that table yet, he keeps
// the message until he does.
func (m *Machine) pass(to shard.NodeID, e *envelope.Envelope, term uint64) {
	e.Term = term
	e.Flags |= envelope.FlagPassed
	m.do(Pass{to, e})
}

// hold keeps a message until its partition is here; false when too much is held.
func (m *Machine) hold(a *awaited, from shard.NodeID, e *envelope.Envelope) bool {
	n := len(e.Payload)
	if len(a.first)+len(a.rest) >= MaxHeld || a.bytes+n > MaxHeldBytes || m.held >= MaxAllHeld || m.heldBytes+n > MaxAllHeldBytes {
		return false
	}
	a.bytes += n
	m.held++
	m.heldBytes += n
	if e.Flags&envelope.FlagPassed != 0 {
		m.heard[from] = m.now
		a.first = append(a.first, m.keep(from, e))
	} else {
		a.rest = append(a.rest, m.keep(from, e))
	}
	return true
}

// empty takes all that is held of a partition, in the order in which it is to be let in.
func (m *Machine) empty(a *awaited) []held {
	all := append(a.first, a.rest...)
	m.held -= len(all)
	m.heldBytes -= a.bytes
	a.first, a.rest, a.bytes = nil, nil, 0
	return all
}

// late gives up messages that were held for too long.
func (m *Machine) late(a *awaited) {
	for _, list := range []*[]held{&a.first, &a.rest} {
		n := 0
		for n < len(*list) && m.now-(*list)[n].at > HeldFor {
			h := (*list)[n]
			a.bytes -= len(h.env.Payload)
			m.heldBytes -= len(h.env.Payload)
			m.held--
			m.do(Refuse{h.from, h.env, NoOwner})
			n++
		}
		*list = (*list)[n:]
	}
}

// catchUp lets in what was ahead of the table before and is not any more.
func (m *Machine) catchUp() {
	list := m.early
	m.early, m.earlyBytes = nil, 0
	for _, h := range list {
		a := m.parts[h.env.Part]
		switch {
		case h.env.Term > m.table.PartTerm[h.env.Part]:
			m.early = append(m.early, h)
			m.earlyBytes += len(h.env.Payload)
		case a != nil && !a.gone && m.hold(a, h.from, h.env):
		default:
			m.do(Receive{h.from, h.env})
		}
	}
}
