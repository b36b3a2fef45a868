package node

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// moving is what this node knows of partitions that are on their way to it: until all their entities have come, messages for them
// are held. Safe for use by many goroutines.
type moving struct {
	busy atomic.Int64 // partitions on their way here or away from here, and messages ahead of the table

	mu      sync.Mutex // guards what follows
	parts   map[uint16]*incoming
	notices []envelope.Envelope         // rooms' notices that came while some partition was awaited
	done    [shard.Partitions]uint64    // the largest term for which everything has come, maybe before our table said so
	moved   [shard.Partitions]time.Time // when the owner or the backup last changed although the owner before lived on

	leaving    map[uint16]leaving
	marks      map[shard.NodeID]uint64 // the newest table each node follows
	early      []earlyMessage
	earlyBytes int
}

// incoming is one partition on its way here.
type incoming struct {
	from  shard.NodeID // zero: it is put together from copies
	term  uint64
	round uint64 // the term of the table that said so last
	since time.Time
	pass  bool          // it belongs to yet another node by now: what comes is passed on
	first []heldMessage // what came from the old owner, or by way of it
	held  []heldMessage // what came directly
	bytes int
}

type heldMessage struct {
	envelope.Envelope
	at time.Time
}

// keep copies a message that stays longer than the call it came with.
func keep(e *envelope.Envelope) heldMessage {
	c := heldMessage{*e, time.Now()}
	c.Key = string(append([]byte(nil), e.Key...))
	c.Payload = append([]byte(nil), e.Payload...)
	return c
}

// add holds a message that came from a node; false when too much is held.
func (in *incoming) add(from shard.NodeID, e *envelope.Envelope) bool {
	if len(in.first)+len(in.held) >= maxHeldMessages || in.bytes+len(e.Payload) > maxHeldBytes {
		return false
	}
	in.bytes += len(e.Payload)
	if !in.from.IsZero() && from == in.from {
		in.first = append(in.first, keep(e))
	} else {
		in.held = append(in.held, keep(e))
	}
	return true
}

// empty takes all that is held, in the order in which it is to be let in.
func (in *incoming) empty() []heldMessage {
	all := append(in.first, in.held...)
	in.first, in.held, in.bytes = nil, nil, 0
	return all
}

// count publishes how much is going on. The mutex is held.
func (m *moving) count() { m.busy.Store(int64(len(m.parts) + len(m.leaving) + len(m.early))) }

// Bounds of what is held, and for how long.
const (
	maxHeldMessages = 1024    // of one partition
	maxHeldBytes    = 1 << 20 // of one partition
	maxHeldNotices  = 256
	heldFor         = 4 * time.Second // then its sender is told that nobody answers
	awaitedFor      = 3 * time.Second // then copies are asked for: what was sent is lost
	passedFor       = time.Minute     // then nothing is passed on any more
)

// hold takes a message of this node itself when its partition is on its way.
func (m *moving) hold(e *envelope.Envelope) (held bool, err error) {
	if m.busy.Load() == 0 {
		return false, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.parts[e.Part]
	if in == nil || in.pass {
		return false, nil
	}
	if !in.add(shard.NodeID{}, e) {
		return true, actor.ErrFull
	}
	return true, nil
}

// notice keeps a room's notice while a partition is awaited: its players will have to hear it.
func (m *moving) notice(e *envelope.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.parts) == 0 || len(m.notices) >= maxHeldNotices {
		return
	}
	c := *e
	c.Key, c.Payload = "", append([]byte(nil), e.Payload...)
	m.notices = append(m.notices, c)
}

// expect begins to hold messages of a partition, by the table of term round; from zero: until it is put together from copies. It
// says whether all of it has come already.
func (m *moving) expect(part uint16, from shard.NodeID, term, round uint64, now time.Time) (here bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.parts == nil {
		m.parts = map[uint16]*incoming{}
	}
	in := m.parts[part]
	if in == nil {
		in = &incoming{}
		m.parts[part] = in
	}
	in.from, in.term, in.round, in.since, in.pass = from, term, round, now, false
	delete(m.leaving, part)
	m.count()
	return !from.IsZero() && m.done[part] >= term
}

// awaited gives the node a partition is awaited from.
func (m *moving) awaited(part uint16) (from shard.NodeID, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if in := m.parts[part]; in != nil {
		return in.from, true
	}
	return from, false
}

// all are the partitions on their way.
func (m *moving) all() map[uint16]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	set := make(map[uint16]bool, len(m.parts))
	for p := range m.parts {
		set[p] = true
	}
	return set
}

// passOn says that what comes of an awaited partition is for another node; what was held is returned, to be routed there.
func (m *moving) passOn(part uint16, now time.Time) (held []heldMessage, awaited bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.parts[part]
	if in == nil {
		return nil, false
	}
	in.pass, in.since = true, now
	return in.empty(), true
}

// came notes that everything of a partition has come for an owner of this term. It says whether that ends a wait, and whether the
// partition is to be passed on.
func (m *moving) came(part uint16, term uint64) (ends, pass bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done[part] = max(m.done[part], term)
	in := m.parts[part]
	if in == nil || term < in.term {
		return false, false
	}
	if in.pass {
		delete(m.parts, part)
		m.count()
	}
	return true, in.pass
}

// recently is how long after a move the copies of those who had the partition before are asked for, should the new owner die: its
// own backup may not have all of it yet.
const recently = 30 * time.Second

func (m *moving) note(part uint16, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moved[part] = now
}

func (m *moving) movedLately(part uint16, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.moved[part].IsZero() && now.Sub(m.moved[part]) < recently
}

// begin says whether a partition that was planned by the table of term round to be put together from copies is to be so now.
func (m *moving) begin(part uint16, round uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.parts[part]
	return in != nil && !in.pass && in.round == round
}

// end ends the wait for a partition and gives what was held to post, in order, so that nothing overtakes it. What post refuses is
// returned, and so are the notices to be heard, when nothing more is awaited they are forgotten.
func (m *moving) end(part uint16, post func(e *envelope.Envelope) error) (refused []refusedMessage, notices []envelope.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.parts[part]
	delete(m.parts, part)
	if in != nil {
		list := in.empty()
		for i := range list {
			if err := post(&list[i].Envelope); err != nil {
				refused = append(refused, refusedMessage{&list[i].Envelope, err})
			}
		}
	}
	m.count()
	notices = slices.Clone(m.notices)
	if len(m.parts) == 0 {
		m.notices = nil
	}
	return refused, notices
}

type refusedMessage struct {
	e   *envelope.Envelope
	why error
}

// overdue gives up what has waited too long: messages, which are returned; partitions that were to be passed on; and the wait for
// those who should have given a partition: it is to be put together from copies.
func (m *moving) overdue(now time.Time, round uint64) (late []heldMessage, lost []uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for part, in := range m.parts {
		switch {
		case in.pass && now.Sub(in.since) > passedFor:
			delete(m.parts, part)
		case !in.pass && now.Sub(in.since) > awaitedFor:
			in.from, in.round, in.since = shard.NodeID{}, round, now
			lost = append(lost, part)
		}
		for _, list := range []*[]heldMessage{&in.first, &in.held} {
			n := 0
			for n < len(*list) && now.Sub((*list)[n].at) > heldFor {
				in.bytes -= len((*list)[n].Payload)
				n++
			}
			late = append(late, (*list)[:n]...)
			*list = (*list)[n:]
		}
	}
	m.count()
	return late, lost
}
