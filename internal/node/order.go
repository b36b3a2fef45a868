package node

import (
	"context"
	"slices"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// Order in a planned move. Every node that puts a table in force says so to all others on the lane of the messages (a mark), when
// all its senders have turned to the new owners. The old owner passes on what still comes to it, and says that everything of a
// partition was given only when it has the marks of all. The new owner lets in first what came from the old one, then what came to
// it directly meanwhile. So messages of one sender to one receiver keep their order, whichever way they took. A message that comes
// before the table it was sent by is kept until that table is in force.

// marking is the Event of a Handoff that is a mark. Its term is that of the table.
const marking = "mark"

// markWait is how long marks are waited for. Without them the order is not certain.
const markWait = time.Second

// Bounds of the messages that are ahead of the table.
const (
	maxEarly      = 4096
	maxEarlyBytes = 8 << 20
	earlyFor      = time.Second
)

// leaving is a partition that this node has lost and not given completely yet.
type leaving struct {
	to   shard.NodeID
	term uint64 // of the table
}

// earlyMessage is ahead of the table.
type earlyMessage struct {
	heldMessage
	from shard.NodeID
}

// meeting is what becomes of a message that comes while something moves.
type meeting uint8

const (
	passes  meeting = iota // nothing: it goes its way
	held                   // kept until its partition is here, or its table
	refused                // too much is kept
	ahead                  // passed on to the new owner
)

// receive takes what came over the mesh. e and its bytes are valid only during the call.
func (n *Node) receive(from shard.NodeID, e *envelope.Envelope) {
	if !e.Kind.ToEntity() || n.moving.busy.Load() == 0 && int(e.Part) < shard.Partitions && e.Term <= n.router.Table().PartTerm[e.Part] {
		n.router.Receive(from, e)
		return
	}
	if e.Node.IsZero() {
		e.Node = from // gateways leave it out
	}
	e.Part = shard.PartitionOf(e.Key)
	switch what, to := n.moving.meet(from, e, n.router.Table().PartTerm[e.Part]); what {
	case passes:
		n.router.Receive(from, e)
	case refused:
		local{n}.Refused(from, e, actor.ErrFull)
	case ahead:
		if err := n.router.ToNode(to, e); err != nil {
			local{n}.Refused(from, e, err)
		}
	}
}

// meet decides on a message; term is the partition's by the table in force.
func (m *moving) meet(from shard.NodeID, e *envelope.Envelope, term uint64) (what meeting, to shard.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if in := m.parts[e.Part]; in != nil && !in.pass {
		if !in.add(from, e) {
			return refused, to
		}
		return held, to
	}
	if l, ok := m.leaving[e.Part]; ok && e.Kind != envelope.Acked {
		return ahead, l.to
	}
	if e.Term <= term {
		return passes, to
	}
	if len(m.early) >= maxEarly || m.earlyBytes+len(e.Payload) > maxEarlyBytes {
		return refused, to
	}
	m.early = append(m.early, earlyMessage{keep(e), from})
	m.earlyBytes += len(e.Payload)
	m.count()
	return held, to
}

// leave notes that a table has taken a partition from this node.
func (m *moving) leave(part uint16, to shard.NodeID, term uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leaving == nil {
		m.leaving = map[uint16]leaving{}
	}
	m.leaving[part] = leaving{to, term}
	m.count()
}

// left ends leave: what comes from now on goes its own way.
func (m *moving) left(part uint16, term uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leaving[part].term == term {
		delete(m.leaving, part)
	}
	m.count()
}

// catchUp lets messages in that were ahead of the table t, which is about to be in force: what is for partitions on their way here
// is held with the rest, the others are returned.
func (m *moving) catchUp(t *shard.Table) (rest []earlyMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.early
	m.early, m.earlyBytes = nil, 0
	for _, x := range list {
		in := m.parts[x.Part]
		switch {
		case x.Term > t.PartTerm[x.Part]:
			m.early = append(m.early, x)
			m.earlyBytes += len(x.Payload)
		case in != nil && !in.pass && in.add(x.from, &x.Envelope):
		default:
			rest = append(rest, x)
		}
	}
	m.count()
	return rest
}

// tooEarly gives up waiting for the tables of messages.
func (m *moving) tooEarly(now time.Time) (late []earlyMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < len(m.early) && now.Sub(m.early[n].at) > earlyFor {
		m.earlyBytes -= len(m.early[n].Payload)
		n++
	}
	late, m.early = m.early[:n:n], m.early[n:]
	m.count()
	return late
}

// marked notes a mark.
func (m *moving) marked(from shard.NodeID, term uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.marks == nil {
		m.marks = map[shard.NodeID]uint64{}
	}
	m.marks[from] = max(m.marks[from], term)
}

// unmarked says whether a mark for the table of this term is missing of one of the nodes; marks of all others are forgotten.
func (m *moving) unmarked(nodes []shard.NodeID, self shard.NodeID, term uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.marks {
		if !slices.Contains(nodes, id) {
			delete(m.marks, id)
		}
	}
	return slices.ContainsFunc(nodes, func(id shard.NodeID) bool { return id != self && m.marks[id] < term })
}

// mark tells all others that this node follows a table.
func (n *Node) mark(t *shard.Table) {
	for _, id := range t.Nodes {
		if id != n.router.Self() {
			n.wg.Go(func() {
				ctx, cancel := context.WithTimeout(n.ctx, markWait)
				defer cancel()
				_ = n.patiently(ctx, id, &envelope.Envelope{Kind: envelope.Handoff, Event: marking, Term: t.Term}) // waited for in vain
			})
		}
	}
}

// awaitMarks waits until all others follow the table.
func (n *Node) awaitMarks(t *shard.Table) {
	until := time.NewTimer(markWait)
	defer until.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		now := n.router.Table().Nodes // who is gone marks nothing any more
		nodes := slices.DeleteFunc(slices.Clone(t.Nodes), func(id shard.NodeID) bool { return !slices.Contains(now, id) })
		if !n.moving.unmarked(nodes, n.router.Self(), t.Term) {
			return
		}
		select {
		case <-tick.C:
		case <-until.C:
			n.log.Warn("not all nodes follow the table yet: what they still send to this node may be overtaken", "term", t.Term)
			return
		case <-n.ctx.Done():
			return
		}
	}
}
