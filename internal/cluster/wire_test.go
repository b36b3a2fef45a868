package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"gamed/internal/cluster/agreement"
	"gamed/internal/cluster/placement"
	"gamed/internal/shard"
	"gamed/protocol"
)

func sampleTable() *shard.Table {
	a := placement.Compute([]string{"a", "b", "c"})
	t := shard.Empty()
	t.Term, t.Coordinator, t.Owner, t.Backup = 300, "b", a.Owner, a.Backup
	t.Nodes = []shard.NodeID{{Name: "a", Boot: 1 << 60}, {Name: "b", Boot: 2}, {Name: "c", Boot: 3}}
	t.Missing = []shard.Missing{{ID: shard.NodeID{Name: "d", Boot: 4}}, {ID: shard.NodeID{Name: "e", Boot: 5}, Dead: true}}
	t.History, t.Absorbed = []uint64{1 << 63, 5}, []uint64{9}
	for p := range shard.Partitions {
		t.PartTerm[p] = uint64(p%300) + 1
		t.Rival[p] = uint16(p % 3)
	}
	t.Backup[7] = shard.None
	t.Owner[9], t.Backup[9], t.LastOwner[9], t.LastBackup[9] = shard.None, shard.None, 1, 0
	return t.Seal()
}

func TestTableWire(t *testing.T) {
	want := sampleTable()
	b := appendTable(nil, want)
	got, err := parseTable(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("read back: %v", err)
	}
	if n := len(b); n > 20<<10 {
		t.Errorf("%d bytes", n)
	}
	if _, err := parseTable(appendTable(nil, shard.Empty())); err == nil {
		t.Error("the empty table was taken")
	}
}

// A table with any byte changed, or cut off anywhere, is refused or (in what the hash does not cover) the same.
func TestTableDamaged(t *testing.T) {
	want := sampleTable()
	b := appendTable(nil, want)
	r := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		d := append([]byte(nil), b...)
		i := r.IntN(len(d))
		d[i] ^= byte(1 + r.IntN(255))
		if got, err := parseTable(d); err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("byte %d changed: another table was taken", i)
		}
		if _, err := parseTable(b[:r.IntN(len(b))]); err == nil {
			t.Fatal("a table cut off was taken")
		}
	}
}

func TestTableForged(t *testing.T) {
	for name, change := range map[string]func(*shard.Table){
		"index":     func(t *shard.Table) { t.Owner[5] = 3 },
		"backup":    func(t *shard.Table) { t.Backup[5] = 77 },
		"twice":     func(t *shard.Table) { t.Nodes[1].Name = "a" },
		"name":      func(t *shard.Table) { t.Nodes[1].Name = "a b" },
		"boot":      func(t *shard.Table) { t.Nodes[1].Boot = 0 },
		"term":      func(t *shard.Table) { t.Term = 0 },
		"nobody":    func(t *shard.Table) { t.Nodes = nil },
		"no author": func(t *shard.Table) { t.Coordinator = "" },

		"author elsewhere":     func(t *shard.Table) { t.Coordinator = "d" },
		"impossible term":      func(t *shard.Table) { t.Term = maxTerm + 1 },
		"token above the term": func(t *shard.Table) { t.PartTerm[3] = 301 },
		"no token":             func(t *shard.Table) { t.PartTerm[3] = 0 },
		"its own backup":       func(t *shard.Table) { t.Backup[3] = t.Owner[3] },
		"rival":                func(t *shard.Table) { t.Rival[1020] = 3 },
		"last owner":           func(t *shard.Table) { t.LastOwner[9] = 2 },
		"last backup":          func(t *shard.Table) { t.LastBackup[9] = 2 },
		"missing and there": func(t *shard.Table) {
			t.Missing = []shard.Missing{{ID: shard.NodeID{Name: "a", Boot: 9}}, {ID: shard.NodeID{Name: "x", Boot: 9}}}
		},
		"missing without boot": func(t *shard.Table) {
			t.Missing = []shard.Missing{{ID: shard.NodeID{Name: "x"}}, {ID: shard.NodeID{Name: "y", Boot: 9}}}
		},
		"long history":      func(t *shard.Table) { t.History = make([]uint64, shard.HistoryMax+1) },
		"absorbed too much": func(t *shard.Table) { t.Absorbed = make([]uint64, shard.AbsorbedMax+1) },
		"too many nodes":    func(t *shard.Table) { t.Nodes = manyNodes(maxNodes + 1) },
		"too many missing": func(t *shard.Table) {
			for _, id := range manyNodes(maxMissing + 1) {
				t.Missing = append(t.Missing, shard.Missing{ID: id})
			}
		},
	} {
		forged := *sampleTable()
		forged.Nodes = append([]shard.NodeID(nil), forged.Nodes...)
		change(&forged)
		if _, err := parseTable(appendTable(nil, forged.Seal())); !errors.Is(err, errWire) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyNodes(n int) (ids []shard.NodeID) {
	for i := range n {
		ids = append(ids, shard.NodeID{Name: fmt.Sprintf("n%d", i), Boot: uint64(i + 1)})
	}
	return ids
}

func TestLargestTableFits(t *testing.T) {
	want := sampleTable()
	want.Nodes, want.Missing = manyNodes(maxNodes+maxMissing), nil
	for _, id := range want.Nodes[maxNodes:] {
		want.Missing = append(want.Missing, shard.Missing{ID: id})
	}
	want.Nodes, want.Coordinator = want.Nodes[:maxNodes], want.Nodes[0].Name
	want.History, want.Absorbed = make([]uint64, shard.HistoryMax), make([]uint64, shard.AbsorbedMax)
	if got, err := parseTable(appendTable(nil, want.Seal())); err != nil || got.Hash != want.Hash {
		t.Fatal(err)
	}
}

func TestReportWire(t *testing.T) {
	from := shard.NodeID{Name: "a", Boot: 5}
	want := agreement.Report{From: from, Position: agreement.Position{Term: 9, Coordinator: "c", Hash: 1 << 63}, Contested: true, Draining: true, Member: true, InForce: true,
		Ahead: 1 << 63, Fence: 3 * time.Second,
		Links: []uint64{1, 1 << 62}}
	want.Filled.Add(0)
	want.Filled.Add(shard.Partitions - 1)
	got, err := parseReport(from, appendReport(nil, &want))
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	b := appendReport(nil, &want)
	set := len(b) - len(want.Filled)
	for _, bad := range [][]byte{b[:len(b)-1], append(bytes.Clone(b[:set]), bytes.Repeat([]byte{0xff}, len(want.Filled))...), append(bytes.Clone(b[:set-2]), 0xc4, 1, 1)} {
		if _, err := parseReport(from, bad); err == nil {
			t.Errorf("% x was taken", bad)
		}
	}
	older := bytes.Clone(b[:set-2]) // without the last field
	older[0]--
	if got, err := parseReport(from, older); err != nil || !got.Filled.Empty() || len(got.Links) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	want.Links, want.Position.Coordinator = nil, strings.Repeat("c", 64)
	for range 2 * maxLinks {
		want.Links = append(want.Links, 1<<63)
	}
	if b := appendReport(nil, &want); len(b) > 1024 {
		t.Errorf("a report of very many links has %d bytes: more than a heartbeat carries", len(b))
	} else if got, err := parseReport(from, b); err != nil || len(got.Links) != maxLinks {
		t.Errorf("%v", err)
	}
	for _, bad := range [][]byte{nil, {0xc0}, {0xdd, 0xff, 0xff, 0xff, 0xff}, {0x96, 2, 0, 0xa0, 0, 0, 0x90}, {0x98, 1, 0, 0xa0, 0, 0, 0, 0, 0x90}, {0x98, 2, 0, 0xa0, 0, 0, 0, 0, 0xc0}} {
		if _, err := parseReport(from, bad); err == nil {
			t.Errorf("% x was taken", bad)
		}
	}
}

func TestMetaWire(t *testing.T) {
	want := meta{Node: shard.NodeID{Name: "gamed-1", Boot: 77}, Mesh: "127.0.0.1:7301", Players: "127.0.0.1:7300", Admin: "127.0.0.1:7303", Version: "v1",
		WireMin: 1, WireMax: 2, Config: 1 << 63, Term: 4, Hash: 5, Draining: true, Started: 1 << 40}
	b := want.append(nil)
	if got, err := parseMeta(b); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range b {
		if _, err := parseMeta(b[:i]); err == nil {
			t.Errorf("%d of %d bytes were taken", i, len(b))
		}
	}
	if _, err := parseMeta(protocol.AppendStr(nil, strings.Repeat("x", 300))); err == nil {
		t.Error("a string was taken")
	}
	if err := want.check(); err != nil {
		t.Error(err)
	}
	want.Mesh = strings.Repeat("h", 500)
	if want.check() == nil {
		t.Error("more than 512 bytes of metadata: memberlist would panic")
	}
}

func TestUnfit(t *testing.T) {
	self := meta{WireMin: 2, WireMax: 3, Config: ConfigHash("a", Available)}
	for _, c := range []struct {
		m   meta
		fit bool
	}{
		{self, true},
		{meta{WireMin: 3, WireMax: 9, Config: self.Config}, true},
		{meta{WireMin: 1, WireMax: 1, Config: self.Config}, false},
		{meta{WireMin: 4, WireMax: 5, Config: self.Config}, false},
		{meta{WireMin: 2, WireMax: 3, Config: ConfigHash("a", Quorum)}, false},
		{meta{WireMin: 2, WireMax: 3, Config: ConfigHash("b", Available)}, false},
	} {
		if why := c.m.unfit(&self); (why == "") != c.fit {
			t.Errorf("%+v: %q", c.m, why)
		}
	}
}
