package node

import (
	"testing"

	"gamed/internal/cluster"
	"gamed/internal/shard"
)

func tableOf(names ...string) *shard.Table {
	t := shard.Empty()
	for i, n := range names {
		t.Nodes = append(t.Nodes, shard.NodeID{Name: n, Boot: uint64(i + 1)})
	}
	for p := range t.Owner {
		if len(names) > 0 {
			t.Owner[p] = uint16(p % len(names))
		}
		if len(names) > 1 {
			t.Backup[p] = uint16((p + 1) % len(names))
		}
	}
	return t.Seal()
}

func TestDegradedWhileANodeIsMissing(t *testing.T) {
	var d degraded
	steps := []struct {
		story   string
		events  []cluster.Event
		table   []string
		on      bool
		changed bool
	}{
		{"forming", nil, []string{"a", "b", "c"}, false, false},
		{"c crashes", []cluster.Event{{Kind: cluster.EventDead, Node: "c"}}, []string{"a", "b"}, true, true},
		{"another table without it", nil, []string{"a", "b"}, true, false},
		{"c is back", []cluster.Event{{Kind: cluster.EventJoined, Node: "c"}}, []string{"a", "b", "c"}, false, true},
		{"c is drained", []cluster.Event{{Kind: cluster.EventDraining, Node: "c"}}, []string{"a", "b"}, false, false},
		{"c is started anew and crashes", []cluster.Event{{Kind: cluster.EventJoined, Node: "c"}}, []string{"a", "b", "c"}, false, false},
		{"", nil, []string{"a", "b"}, true, true},
	}
	old := shard.Empty()
	for _, s := range steps {
		for _, e := range s.events {
			d.noted(e)
		}
		table := tableOf(s.table...)
		on, changed := d.installed(old, table)
		if on != s.on || changed != s.changed || d.is() != s.on {
			t.Fatalf("%s: degraded %v, changed %v; want %v, %v", s.story, on, changed, s.on, s.changed)
		}
		if on != (len(d.reasons()) > 0) {
			t.Fatalf("%s: reasons %v", s.story, d.reasons())
		}
		old = table
	}
}
