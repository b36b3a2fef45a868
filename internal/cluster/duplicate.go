package cluster

import (
	"fmt"
	"time"

	"gamed/internal/shard"
)

const (
	pingTries   = 5
	pingAgain   = time.Second
	firstLook   = 50 * time.Millisecond // from the first node heard of: by then gossip has told of all it knows
	takenMax    = 4 * time.Second       // how long others may say that the name is taken; a dead node's link is down by then
	takenRecent = 3 * time.Second
)

// held says whether the mesh must wait: until gossip has told of all nodes, and while a node of this one's name may be alive.
func (l *loop) held(now time.Time) bool {
	if l.machine.Served() {
		return false
	}
	if l.first.IsZero() || now.Sub(l.first) < firstLook {
		return true
	}
	for _, m := range l.members {
		if l.twin(m) && !m.silent {
			return true
		}
	}
	return false
}

// twin says whether gossip has another node of this one's name for alive.
func (l *loop) twin(m *member) bool {
	return m.id.Name == l.self.Name && m.gossip && !m.left && m.unfit == ""
}

// lookForTwins asks nodes of this one's name whether they are alive. Gossip cannot tell a life that was killed a moment ago.
func (l *loop) lookForTwins(now time.Time) {
	for _, m := range l.members {
		if !l.twin(m) || m.pinging || now.Sub(m.pinged) < pingAgain {
			continue
		}
		m.pinging, m.pinged = true, now
		id, addr := m.id, m.addr
		l.c.tasks.Go(func() {
			alive := false
			for i := 0; i < pingTries && !alive && l.ctx.Err() == nil && !l.c.gossip.refuses(l.ctx, addr); i++ {
				alive = l.c.gossip.ping(id, addr)
			}
			l.c.inbox.put(func(in *letters) { keep(in, &in.pings, id, alive) })
		})
	}
}

// answered takes the answer of a twin, or its silence. The one that is in the newer table stays; then the one that started first.
func (l *loop) answered(id shard.NodeID, alive bool) {
	m := l.members[id]
	if m == nil {
		return
	}
	m.pinging, m.silent = false, !alive
	if !alive || !l.twin(m) {
		return
	}
	if l.yields(&m.meta) {
		l.c.fatal(fmt.Errorf("%w (%s at %s)", ErrDuplicate, id, m.addr))
		return
	}
	l.c.log.Warn("another live node has this node's name; it should end itself", "node", id.String(), "addr", m.addr)
}

func (l *loop) yields(other *meta) bool {
	mine := &l.meta
	switch {
	case other.Term != mine.Term:
		return other.Term > mine.Term
	case other.Started != mine.Started:
		return other.Started < mine.Started
	}
	return other.Node.Boot < mine.Node.Boot
}

// refusedBy takes a refusal of this node's hello by another one.
func (l *loop) refusedBy(r refusal, now time.Time) {
	switch r.reason {
	case "replaced":
		l.c.fatal(fmt.Errorf("%w (says %s)", ErrReplaced, r.peer))
	case "name_taken":
		if l.taken.IsZero() || now.Sub(l.takenLast) > takenRecent {
			l.taken = now
		}
		l.takenLast = now
		if !l.machine.Served() && now.Sub(l.taken) > takenMax {
			l.c.fatal(fmt.Errorf("%w (says %s)", ErrDuplicate, r.peer))
		}
	}
}
