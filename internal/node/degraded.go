package node

import (
	"sync"

	"gamed/game"
	"gamed/internal/cluster"
	"gamed/internal/player"
	"gamed/internal/shard"
)

// degraded is what this node knows of the cluster's health: it is degraded while a partition has no backup, and while a node of the
// last full table is missing that was not drained.
type degraded struct {
	mu       sync.Mutex // guards what follows
	on       bool
	missing  map[string]bool // by name
	expected map[string]bool // who said that it leaves
}

// noted takes an event of the cluster.
func (d *degraded) noted(e cluster.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expected == nil {
		d.expected, d.missing = map[string]bool{}, map[string]bool{}
	}
	switch e.Kind {
	case cluster.EventDraining, cluster.EventLeft:
		d.expected[e.Node] = true
		delete(d.missing, e.Node)
	case cluster.EventJoined:
		delete(d.expected, e.Node)
	}
}

// installed judges a table and says whether the answer changed.
func (d *degraded) installed(old, t *shard.Table) (on, changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expected == nil {
		d.expected, d.missing = map[string]bool{}, map[string]bool{}
	}
	here := map[string]bool{}
	for _, n := range t.Nodes {
		here[n.Name] = true
		delete(d.missing, n.Name)
	}
	for _, n := range old.Nodes {
		if !here[n.Name] && !d.expected[n.Name] {
			d.missing[n.Name] = true
		}
	}
	on = len(d.missing) > 0
	if len(t.Nodes) > 1 {
		for p := range uint16(shard.Partitions) {
			if _, ok := t.BackupOf(p); !ok {
				on = true
			}
		}
	}
	changed = on != d.on
	d.on = on
	return on, changed
}

// is says whether the cluster is degraded.
func (d *degraded) is() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on
}

// reasons is why, for operators.
func (d *degraded) reasons() (why []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.missing {
		why = append(why, "node "+name+" is missing")
	}
	if d.on && len(why) == 0 {
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
