package shard

import (
	"testing"

	"pgregory.net/rapid"
)

func TestOnlyALargerTermAndCoordinatorIsNewer(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) *Table {
		return &Table{Term: rapid.Uint64Range(0, 3).Draw(t, "term"), Coordinator: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "coordinator")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		if a.Newer(b) && b.Newer(a) || a.Newer(a) {
			t.Fatal("two tables replace each other")
		}
		if a.Newer(b) && b.Newer(c) && !a.Newer(c) {
			t.Fatal("no order")
		}
		if !a.Newer(b) && !b.Newer(a) && (a.Term != b.Term || a.Coordinator != b.Coordinator) {
			t.Fatal("two different tables, and neither is newer")
		}
	})
}

func TestHashSeesEveryField(t *testing.T) {
	make := func() *Table { return tableOf(3, id("a", 1), id("b", 2)) }
	want := make().Hash
	if make().Hash != want {
		t.Fatal("equal tables differ")
	}
	for name, change := range map[string]func(*Table){
		"term": func(t *Table) { t.Term++ }, "coordinator": func(t *Table) { t.Coordinator = "a" },
		"name": func(t *Table) { t.Nodes[1].Name = "c" }, "boot": func(t *Table) { t.Nodes[1].Boot++ },
		"owner": func(t *Table) { t.Owner[Partitions-1] = None }, "backup": func(t *Table) { t.Backup[0] = None },
		"part term": func(t *Table) { t.PartTerm[500]++ }, "a node more": func(t *Table) { t.Nodes = append(t.Nodes, id("c", 3)) },
	} {
		tt := make()
		if change(tt); tt.Seal().Hash == want {
			t.Errorf("%s: the hash is the same", name)
		}
	}
}

func TestNobodyOwnsWhatIsNotThere(t *testing.T) {
	full := tableOf(1, id("a", 1))
	for _, part := range []uint16{Partitions, Partitions + 1, None} {
		if _, ok := full.OwnerOf(part); ok {
			t.Errorf("somebody owns partition %d", part)
		}
		if _, ok := full.BackupOf(part); ok {
			t.Errorf("somebody backs up partition %d", part)
		}
	}
	if n, ok := full.OwnerOf(Partitions - 1); !ok || n.Name != "a" {
		t.Errorf("the last partition: %v %v", n, ok)
	}
	for p := range uint16(Partitions) {
		if _, ok := Empty().OwnerOf(p); ok {
			t.Fatalf("somebody owns partition %d of the empty table", p)
		}
	}
	if Empty().Newer(full) || !full.Newer(Empty()) {
		t.Error("the empty table replaces another")
	}
}
