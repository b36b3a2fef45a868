package node

import (
	"gamed/game"
	"gamed/internal/player"
	"gamed/internal/shard"
)

// degradedWhy are the reasons, for operators.
func (n *Node) degradedWhy() (why []string) {
	t := n.router.Table()
	for _, m := range t.Missing {
		why = append(why, "node "+m.ID.Name+" is missing")
	}
	if len(why) == 0 && n.degraded.Load() {
		why = append(why, "some partitions have no backup")
	}
	return why
}

// tellDegraded pushes degraded {on} to every player of this node.
func (n *Node) tellDegraded(on bool) {
	payload := game.NewMap().Bool("on", on).Payload()
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
