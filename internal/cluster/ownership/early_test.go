package ownership

import (
	"testing"

	"gamed/internal/shard"
)

// A backup keeps what it has of its own side until the table that heals is there: the owner may be faster than the table.
func TestTooEarly(t *testing.T) {
	table := tableOf(shard.Empty(), 5, "a", "b", "a", "b", "c")
	for _, c := range []struct {
		self, from string
		term       uint64
		want       bool
	}{
		{"b", "c", 6, true},
		{"b", "c", 5, false}, // by this table: the term decides
		{"b", "a", 6, false}, // the owner it backs up
		{"c", "b", 6, false}, // it backs nobody up
	} {
		if got := TooEarly(table, id(c.self), id(c.from), part, c.term); got != c.want {
			t.Errorf("%s takes a change by %s of term %d: too early %v, want %v", c.self, c.from, c.term, got, c.want)
		}
	}
}
