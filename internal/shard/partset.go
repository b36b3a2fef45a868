package shard

// PartSet is a set of partitions. The zero value is empty.
type PartSet [(Partitions + 7) / 8]byte

// Add puts a partition into the set.
func (s *PartSet) Add(part uint16) { s[part/8] |= 1 << (part % 8) }

// Has says whether a partition is in the set; those that do not exist are not.
func (s *PartSet) Has(part uint16) bool { return part < Partitions && s[part/8]&(1<<(part%8)) != 0 }

// AddAll puts all of another set into the set.
func (s *PartSet) AddAll(o *PartSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

// Empty says whether nothing is in the set.
func (s *PartSet) Empty() bool { return *s == PartSet{} }
