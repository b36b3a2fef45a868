package simulation

import (
	"gamed/internal/cluster/agreement"
	"gamed/internal/shard"
)

// lookForBackups says of the node's partitions that their backups have everything, when they do.
func (n *node) lookForBackups() {
	t, away, known := n.router.Table(), n.own.Away(), n.agree.Filled()
	ev := agreement.Filled{Table: t.Hash}
	for p := range uint16(shard.Partitions) {
		if o, _ := t.OwnerOf(p); o == n.id && !away[p] && !known.Has(p) {
			ev.Parts.Add(p)
		}
	}
	if ev.Parts.Empty() {
		return
	}
	for _, k := range n.workers {
		for key, x := range k.entities {
			if p := shard.PartitionOf(key); x.kept && !x.out.BackedUp(n.policy, key) {
				ev.Parts[p/8] &^= 1 << (p % 8)
			}
		}
	}
	n.step(ev)
}
