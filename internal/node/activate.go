package node

import (
	"sync"
	"time"

	"gamed/internal/cluster"
	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/player"
	"gamed/internal/replica"
	"gamed/internal/replica/merge"
	"gamed/internal/room"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// activate makes this node run a partition's entities from the copies it has, and merges those of the other side of a split into
// them; then what was held is let in. No table is put in force meanwhile.
func (n *Node) activate(a ownership.Activate) {
	n.installing.RLock()
	later := n.activated(a)
	n.installing.RUnlock()
	for _, f := range later {
		f()
	}
}

func (n *Node) activated(a ownership.Activate) (later []func()) {
	n.own.mu.Lock()
	wanted := n.own.m.Wants(a.Part, a.Round)
	n.own.mu.Unlock()
	if !wanted {
		return nil
	}
	fork := a.Fork && n.opt.Config.Policy != cluster.Quorum // there only one side acts
	if a.Take {
		n.take(a.Part, fork)
	}
	for _, term := range a.Merge {
		n.merge(a.Part, term)
	}
	faultPoint("restored")
	n.own.mu.Lock()
	n.own.forked = n.own.forked || fork
	later = n.locked(ownership.Active{Part: a.Part, Round: a.Round})
	n.own.mu.Unlock()
	faultPoint("active")
	return later
}

// take makes entities from the copies. With fork their owner may live on the other side of a split: what both have now is noted.
func (n *Node) take(part uint16, fork bool) {
	alive := n.router.Table().Has
	for key, c := range n.copies.TakeCopies(part) {
		if fork {
			n.fork(&c)
		}
		err := n.workers.Restore(key, c.Sections)
		if err == nil { // sockets on nodes that went while it was on its way are gone
			err = n.workers.Tell(key, func(w *shard.Worker, e shard.Entity) {
				if e != nil {
					e.Rebase(w, alive)
				}
			})
		}
		if err != nil {
			n.log.Error("entity not restored", "key", key, "err", err)
		}
	}
	n.moves.taken.Inc()
}

// fork notes where a copy was when this node parted from its owner.
func (n *Node) fork(c *replica.Copy) {
	c.Sections.Fork(state.Point{Term: c.Term, Life: c.Life, Seq: c.Seq, By: n.router.Self().Boot})
}

// merge puts the copies that ran on the other side of a split together with the entities here.
func (n *Node) merge(part uint16, term uint64) {
	copies := n.own.asides.of(term).TakeCopies(part)
	alive := n.router.Table().Has
	for key, theirs := range copies {
		err := n.workers.Remake(key, func(mine state.Sections) state.Sections {
			f := merge.Func(room.Merge)
			if _, ok := envelope.PlayerOf(key); ok {
				f = player.Merge
			}
			if mine == nil {
				mine = state.Sections{}
			}
			merged, report := merge.Copies(f, n.players.Games, key, mine, theirs.Sections)
			n.merged(key, part, &report)
			return merged
		})
		if err == nil {
			err = n.workers.Tell(key, func(w *shard.Worker, e shard.Entity) {
				if e != nil {
					e.Rebase(w, alive)
				}
			})
		}
		if err != nil {
			n.log.Error("entity not merged", "key", key, "err", err)
		}
	}
	n.moves.merged.Inc()
}

// asides are copies of the other side of a split, by the term of the table that healed it. Safe for use by many goroutines.
type asides struct {
	mu     sync.Mutex // guards stores
	stores map[uint64]*aside
}

type aside struct {
	*replica.Store
	used time.Time
}

// maxAsides bounds the splits whose copies are kept at a time.
const maxAsides = 8

func (a *asides) of(term uint64) *replica.Store {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stores[term]
	if s == nil {
		if a.stores == nil {
			a.stores = map[uint64]*aside{}
		}
		if len(a.stores) >= maxAsides {
			oldest := term
			for t := range a.stores {
				oldest = min(oldest, t)
			}
			delete(a.stores, oldest)
		}
		s = &aside{Store: replica.NewStore()}
		a.stores[term] = s
	}
	s.used = time.Now()
	return s.Store
}

// forget drops what nobody asked for since then.
func (a *asides) forget(then time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for term, s := range a.stores {
		if s.used.Before(then) {
			delete(a.stores, term)
		}
	}
}

// setAside takes copies out of the way. owning.mu is held.
func (n *Node) setAside(a ownership.SetAside) {
	to := n.own.asides.of(a.Term)
	for key, c := range n.copies.TakeCopies(a.Part) {
		if a.Fork {
			n.fork(&c)
		}
		to.Put(a.Part, key, c, time.Now())
	}
}
