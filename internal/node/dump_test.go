package node

import (
	"fmt"
	"strings"
	"time"

	"gamed/internal/player"
	"gamed/internal/shard"
)

// dump tells what a node waits for, for a test that failed.
func (r *running) dump() string {
	var b strings.Builder
	t := r.router.Table()
	fmt.Fprintf(&b, "%s: table %d of %s with %d nodes, owns %d", r.name, t.Term, t.Coordinator, len(t.Nodes), r.owns())
	r.own.mu.Lock()
	defer r.own.mu.Unlock()
	for p := range r.own.m.Away() {
		fmt.Fprintf(&b, "; partition %d: %s", p, r.own.m.Describe(p))
	}
	return b.String()
}

func dumpKey(key string, nodes []*running) string {
	p := shard.PartitionOf(key)
	out := []string{fmt.Sprintf("%s is in partition %d", key, p)}
	for _, n := range nodes {
		o, _ := n.router.Table().OwnerOf(p)
		bk, _ := n.router.Table().BackupOf(p)
		for i := range n.gateway.shards {
			for _, l := range n.gateway.shards[i].list() {
				if l.key == key {
					l.mu.Lock()
					out = append(out, fmt.Sprintf("link at %s: flying %d held %v owner %s ended %v waits %v hi %v", n.name, l.flight.Open(), l.flight.Held(), l.flight.Owner().Name, l.ended, l.waits, l.hi != nil))
					l.mu.Unlock()
				}
			}
		}
		_ = n.workers.Do(key, time.Second, func(w *shard.Worker, e shard.Entity) {
			out = append(out, fmt.Sprintf("entity at %s: %T", n.name, e))
			if pe, ok := e.(*player.Entity); ok {
				out = append(out, fmt.Sprintf("%+v", pe.Status()))
			}
		})
		out = append(out, fmt.Sprintf("%s (owner %s, backup %s)", n.dump(), o.Name, bk.Name))
	}
	return strings.Join(out, "\n")
}
