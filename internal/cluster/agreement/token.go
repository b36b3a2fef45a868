package agreement

import "gamed/internal/shard"

// tokens remembers the largest fencing token of each partition that this node ever knew, and whose it was.
type tokens struct {
	term      [shard.Partitions]uint64
	owner     [shard.Partitions]shard.NodeID
	contested bool // by the last table learned
}

// learn takes the tokens of a table that was installed. Two sides of a split give out tokens for themselves, and the table that
// wins when they meet may have the smaller ones.
func (k *tokens) learn(t *shard.Table) {
	k.contested = false
	for p := range shard.Partitions {
		owner, owned := t.OwnerOf(uint16(p))
		switch {
		case !owned && t.PartTerm[p] == k.term[p]:
		case t.PartTerm[p] > k.term[p]:
			k.term[p], k.owner[p] = t.PartTerm[p], owner
		case t.PartTerm[p] < k.term[p] || owner != k.owner[p]:
			k.contested = true
		}
	}
}
