package ownership

import (
	"testing"

	"gamed/internal/shard"
)

// A backup keeps what it has of its own side until the table that heals is there: nobody of the other side may replace it, however
// large his term, nor an owner who is faster than that table.
func TestStrange(t *testing.T) {
	table := tableOf(shard.Empty(), 5, "a", "b", "a", "b", "c")
	for _, c := range []struct {
		self, from string
		want       bool
	}{
		{"b", "c", true},
		{"b", "x", true},  // it is not even in the table
		{"b", "a", false}, // the owner it backs up
		{"c", "b", false}, // it backs nobody up
	} {
		if got := Strange(table, id(c.self), id(c.from), part); got != c.want {
			t.Errorf("a change by %s is strange to %s: %v, want %v", c.from, c.self, got, c.want)
		}
	}
}
