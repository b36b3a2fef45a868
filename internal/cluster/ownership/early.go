package ownership

import "gamed/internal/shard"

// TooEarly says that a change comes from an owner by a table that this node does not have, while this node backs the partition up for
// another. That table may heal a split, and the copy here be all there is of the other side: it is set aside when the table is
// installed, and must not be replaced before. The owner sends everything again.
func TooEarly(t *shard.Table, self, from shard.NodeID, part uint16, term uint64) bool {
	if term <= t.Term {
		return false
	}
	backup, ok := t.BackupOf(part)
	owner, _ := t.OwnerOf(part)
	return ok && backup == self && owner != from
}
