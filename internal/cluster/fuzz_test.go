package cluster

import (
	"bytes"
	"testing"

	"gamed/internal/cluster/agreement"
	"gamed/internal/shard"
	"gamed/protocol"
)

// FuzzMeta: whoever has the gossip key can gossip any bytes as a node's metadata. Nothing panics, and what is read is written the same.
func FuzzMeta(f *testing.F) {
	good := meta{Node: shard.NodeID{Name: "gamed-1", Boot: 7}, Mesh: "10.0.0.1:7301", Players: "10.0.0.1:7300", Admin: "10.0.0.1:7303", Version: "v1",
		WireMin: 1, WireMax: 2, Config: 9, Term: 3, Hash: 4, Draining: true, Started: 5}
	f.Add(good.append(nil))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add(bytes.Repeat([]byte{0x91}, 500))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		if !protocol.ValidPlayer(m.Node.Name) || m.Node.Boot == 0 || len(b) > metaMax {
			t.Fatalf("%+v", m)
		}
		again, err := parseMeta(m.append(nil))
		if err != nil || again != m {
			t.Fatalf("%+v, then %+v: %v", m, again, err)
		}
	})
}

// FuzzWire: tables and states of other nodes. Nothing panics, and no more is allocated than the bytes can fill.
func FuzzWire(f *testing.F) {
	f.Add(appendReport(nil, &agreement.Report{Position: agreement.PositionOf(shard.Empty())}))
	f.Add(appendTable(nil, shard.Empty()))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		from := shard.NodeID{Name: "gamed-1", Boot: 7}
		if r, err := parseReport(from, b); err == nil {
			if _, err := parseReport(from, appendReport(nil, r)); err != nil {
				t.Fatalf("%+v is not read again: %v", r, err)
			}
		}
		if tab, err := parseTable(b); err == nil {
			if _, err := parseTable(appendTable(nil, tab)); err != nil {
				t.Fatalf("a table is not read again: %v", err)
			}
		}
	})
}
