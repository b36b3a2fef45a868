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
	a := m.parts[e.Part]
	switch acked := e.Kind == envelope.Acked; {
	case a != nil && !a.pass && acked && !a.runs: // of nobody who is here
	case a != nil && !a.pass && !acked:
		if !m.hold(a, ev.From, e) {
			m.do(Refuse{ev.From, e, Full})
		}
	case ev.From.IsZero() || acked:
		m.do(Receive(ev))
	default:
		m.foreign(ev)
	}
}

// foreign decides on a message of another node for a partition that is not awaited.
func (m *Machine) foreign(ev Message) {
	e := ev.Env
	if g := m.ahead[e.Part]; g != nil {
		switch {
		case !g.said:
			m.do(Pass{g.to, e})
		case m.unmarkedBy(g, ev.From):
			m.do(Refuse{ev.From, e, Late})
		default:
			m.do(Receive(ev))
		}
		return
	}
	switch {
	case e.Term <= m.table.PartTerm[e.Part]:
		m.do(Receive(ev))
	case len(m.early) >= MaxEarly || m.earlyBytes+len(e.Payload) > MaxEarlyBytes:
		m.do(Refuse{ev.From, e, Full})
	default:
		m.early = append(m.early, m.keep(ev.From, e))
		m.earlyBytes += len(e.Payload)
	}
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
	if !a.from.IsZero() && from == a.from {
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
		case a != nil && !a.pass && m.hold(a, h.from, h.env):
		default:
			m.do(Receive{h.from, h.env})
		}
	}
}
