package node

import (
	"sync"

	"gamed/game"
	"gamed/internal/player"
	"gamed/internal/shard"
)

// condition is whether this node says that it is degraded. Who is not says so as soon as a table is; who is goes on saying so until
// the backups are full again. So a node that joins or is drained degrades nobody, although backups are filled then, too.
type condition struct {
	mu sync.Mutex // guards what follows, and who changes Node.degraded
	t  *shard.Table
}

// judge looks at a table that is about to be put in force.
func (n *Node) judge(t *shard.Table) (changed bool) {
	n.condition.mu.Lock()
	defer n.condition.mu.Unlock()
	n.condition.t = t
	was := n.degraded.Load()
	on := t.Degraded() || was && !n.cluster.Filled(t)
	n.degraded.Store(on)
	return on != was
}

// whole ends the degraded state when the backups are full.
func (n *Node) whole() {
	n.condition.mu.Lock()
	t := n.condition.t
	over := n.degraded.Load() && t != nil && !t.Degraded() && n.cluster.Filled(t)
	if over {
		n.degraded.Store(false)
	}
	n.condition.mu.Unlock()
	if over {
		n.tellDegraded()
	}
}

// degradedWhy are the reasons, for operators.
func (n *Node) degradedWhy() (why []string) {
	t := n.router.Table()
	for _, m := range t.Missing {
		why = append(why, "node "+m.ID.Name+" is missing")
	}
	if len(why) == 0 && n.degraded.Load() {
		if why = append(why, "some partitions have no backup"); !t.Degraded() {
			why[0] = "some backups do not have everything yet"
		}
	}
	return why
}

// tellDegraded pushes degraded {on} to every player of this node.
func (n *Node) tellDegraded() {
	n.condition.mu.Lock() // what is told last is how it is
	defer n.condition.mu.Unlock()
	payload := game.NewMap().Bool("on", n.degraded.Load()).Payload()
	n.workers.Each(func(w *shard.Worker) {
		w.EachEntity(func(key string, _ shard.Entity) bool {
			w.With(key, func(e shard.Entity) {
				if p, ok := e.(*player.Entity); ok {
					p.Announce(w, "degraded", payload)
				}
			})
			return true
		})
	}, nil)
}

// forker is an entity that remembers where its life parted from another.
type forker interface{ Unfork(w *shard.Worker) }

// unfork has entities forget other lives of theirs when none can come back: the table is not degraded any more, and what was to be
// merged is merged.
func (n *Node) unfork() {
	n.workers.Each(func(w *shard.Worker) {
		w.EachEntity(func(key string, e shard.Entity) bool {
			if f, ok := e.(forker); ok {
				w.With(key, func(shard.Entity) { f.Unfork(w) })
			}
			return true
		})
	}, nil)
}
