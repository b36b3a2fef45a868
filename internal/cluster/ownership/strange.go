package ownership

import "gamed/internal/shard"

// Strange says that a change comes from a node which does not own the partition by this node's table, while this node backs it up for
// another. Its sender may be of the other side of a split, or ahead with the table that heals it; the copy here may be all there is
// of this side, is set aside when that table is installed, and must not be replaced before. Who owns it then sends everything again.
func Strange(t *shard.Table, self, from shard.NodeID, part uint16) bool {
	backup, ok := t.BackupOf(part)
	owner, _ := t.OwnerOf(part)
	return ok && backup == self && owner != from
}
