package node

import (
	"sync"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// moving is what this node knows of partitions that are on their way to it: until all their entities have come, messages for them
// are held.
type moving struct {
	mu    sync.Mutex // guards what follows
	parts map[uint16]*incoming
	done  [shard.Partitions]uint64    // the largest term for which everything has come, maybe before our table said so
	moved [shard.Partitions]time.Time // when the owner last changed although the one before lived on
}

// incoming is one partition on its way here.
type incoming struct {
	from  shard.NodeID
	term  uint64
	pass  bool // it belongs to yet another node by now: what comes is passed on
	held  []envelope.Envelope
	bytes int
}

// Bounds of what is held for one partition.
const (
	maxHeldMessages = 1024
	maxHeldBytes    = 1 << 20
)

// hold takes e when its partition is on its way.
func (m *moving) hold(e *envelope.Envelope) (held bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.parts[e.Part]
	if in == nil || in.pass {
		return false, nil
	}
	if len(in.held) >= maxHeldMessages || in.bytes+len(e.Payload) > maxHeldBytes {
		return true, actor.ErrFull
	}
	c := *e
	c.Key = string(append([]byte(nil), e.Key...))
	c.Payload = append([]byte(nil), e.Payload...)
	in.bytes += len(c.Payload)
	in.held = append(in.held, c)
	return true, nil
}

// expect begins to hold messages of a partition; false when all of it has come already.
func (m *moving) expect(part uint16, from shard.NodeID, term uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !from.IsZero() && m.done[part] >= term {
		return false
	}
	if m.parts == nil {
		m.parts = map[uint16]*incoming{}
	}
	in := m.parts[part]
	if in == nil {
		in = &incoming{}
		m.parts[part] = in
	}
	in.from, in.term, in.pass = from, term, false
	return true
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

// passOn says that what comes of an awaited partition is for another node; what was held is returned, to be routed there.
func (m *moving) passOn(part uint16) (held []envelope.Envelope, awaited bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.parts[part]
	if in == nil {
		return nil, false
	}
	held = in.held
	in.pass, in.held, in.bytes = true, nil, 0
	return held, true
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

// end ends the wait for a partition and gives what was held to f, in order; nothing overtakes it.
func (m *moving) end(part uint16, f func(e *envelope.Envelope)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.parts[part]
	delete(m.parts, part)
	if in != nil {
		for i := range in.held {
			f(&in.held[i])
		}
	}
}
