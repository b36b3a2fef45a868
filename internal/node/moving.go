package node

import (
	"sync"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// moving is what this node knows of partitions that come to it from owners that are still there: until all their entities have
// come, messages for them are held.
type moving struct {
	mu    sync.Mutex // guards what follows
	parts map[uint16]*incoming
	done  [shard.Partitions]uint64 // the largest term for which everything has come, maybe before our table said so
}

// incoming is one partition on its way here.
type incoming struct {
	from  shard.NodeID
	term  uint64
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
	if in == nil {
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
	if m.done[part] >= term {
		return false
	}
	if m.parts == nil {
		m.parts = map[uint16]*incoming{}
	}
	in := &incoming{from: from, term: term}
	if old := m.parts[part]; old != nil {
		in.held, in.bytes = old.held, old.bytes
	}
	m.parts[part] = in
	return true
}

// from gives the node a partition is awaited from.
func (m *moving) from(part uint16) (n shard.NodeID, awaited bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if in := m.parts[part]; in != nil {
		return in.from, true
	}
	return n, false
}

// installed puts a table in force. What this node owns newly is taken from its copies when the old owner is gone, else it is
// awaited from the old owner; what it owns no longer goes to the new owner.
func (n *Node) installed(t *shard.Table) {
	self, old := n.router.Self(), n.router.Table()
	alive := map[shard.NodeID]bool{}
	for _, m := range t.Nodes {
		alive[m] = true
	}
	for p := range uint16(shard.Partitions) {
		owner, owned := t.OwnerOf(p)
		before, had := old.OwnerOf(p)
		n.copies.Fence(p, t.PartTerm[p])
		switch {
		case !owned || owner != self:
			n.release(p, t)
		case had && before == self:
		case had && alive[before]:
			if !n.moving.expect(p, before, t.PartTerm[p]) {
				n.take(p)
			}
		default:
			if from, awaited := n.moving.from(p); !awaited || !alive[from] {
				n.take(p)
			}
		}
	}
	n.router.Install(t)
	n.gateway.changed()
	if on, changed := n.health.installed(old, t); changed {
		n.tellDegraded(on)
	}
	n.workers.Each(func(w *shard.Worker) {
		w.Rebase(func(part uint16) bool {
			o, ok := t.OwnerOf(part)
			return ok && o == self
		}, func(id shard.NodeID) bool { return alive[id] }, func(key string, part uint16, whole *state.Change) {
			n.give(t, key, part, whole)
		})
	}, func() {
		for p := range uint16(shard.Partitions) {
			if before, had := old.OwnerOf(p); !had || before != self {
				continue
			}
			if o, ok := t.OwnerOf(p); ok && o != self {
				_ = n.router.ToNode(o, &envelope.Envelope{Kind: envelope.Handoff, Part: p, Term: t.PartTerm[p]}) // it is gone again: the next table says who
			}
		}
	})
}

// give sends an entity to its new owner.
func (n *Node) give(t *shard.Table, key string, part uint16, whole *state.Change) {
	o, ok := t.OwnerOf(part)
	if !ok {
		return
	}
	e := envelope.Envelope{Kind: envelope.Replicate, Part: part, Term: t.PartTerm[part], Key: key, Ref: 1, Flags: envelope.FlagWhole, Payload: whole.Append(nil)}
	for range giveTries { // the link's queue may be full of others
		if err := n.router.ToNode(o, &e); err == nil {
			return
		}
		time.Sleep(giveEvery)
	}
	n.log.Error("an entity could not be given to its new owner; the backup's copy goes on", "key", key, "to", o.Name)
}

const (
	giveTries = 100
	giveEvery = 10 * time.Millisecond
)

// handedOff ends the wait for a partition: all its entities have come.
func (n *Node) handedOff(part uint16, term uint64) {
	if int(part) >= shard.Partitions {
		return
	}
	n.moving.mu.Lock()
	n.moving.done[part] = max(n.moving.done[part], term)
	in := n.moving.parts[part]
	awaited := in != nil && term >= in.term
	n.moving.mu.Unlock()
	if awaited {
		n.take(part)
	}
}

// take makes this node run a partition's entities from the copies it has, and then lets in what was held.
func (n *Node) take(part uint16) {
	for key, sections := range n.copies.Take(part) {
		if err := n.workers.Restore(key, sections); err != nil {
			n.log.Error("entity not restored", "key", key, "err", err)
		}
	}
	n.moving.mu.Lock()
	defer n.moving.mu.Unlock()
	in := n.moving.parts[part]
	delete(n.moving.parts, part)
	if in == nil {
		return
	}
	for i := range in.held { // under the lock, so that nothing overtakes
		if err := n.workers.Post(&in.held[i]); err != nil {
			local{n}.Refused(n.router.Self(), &in.held[i], err)
		}
	}
}

// release forgets what this node held of a partition that it does not own: copies, if it is not the backup either; what was held
// for it goes to the owner.
func (n *Node) release(part uint16, t *shard.Table) {
	if b, ok := t.BackupOf(part); !ok || b != n.router.Self() {
		n.copies.Forget(part)
	}
	n.moving.mu.Lock()
	in := n.moving.parts[part]
	delete(n.moving.parts, part)
	n.moving.mu.Unlock()
	if in == nil {
		return
	}
	for i := range in.held {
		if err := n.router.Route(&in.held[i]); err != nil {
			local{n}.Refused(n.router.Self(), &in.held[i], err)
		}
	}
}
