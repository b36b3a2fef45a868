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
	want, seen := make().Hash, map[uint64]string{}
	if make().Hash != want {
		t.Fatal("equal tables differ")
	}
	for name, change := range map[string]func(*Table){
		"term": func(t *Table) { t.Term++ }, "coordinator": func(t *Table) { t.Coordinator = "a" },
		"name": func(t *Table) { t.Nodes[1].Name = "c" }, "boot": func(t *Table) { t.Nodes[1].Boot++ },
		"owner": func(t *Table) { t.Owner[Partitions-1] = None }, "backup": func(t *Table) { t.Backup[0] = None },
		"part term": func(t *Table) { t.PartTerm[500]++ }, "a node more": func(t *Table) { t.Nodes = append(t.Nodes, id("c", 3)) },
		"missing": func(t *Table) { t.Missing = []Missing{{ID: id("c", 3)}} }, "dead": func(t *Table) { t.Missing = []Missing{{ID: id("c", 3), Dead: true}} },
		"last owner": func(t *Table) { t.LastOwner[3] = 1 }, "last backup": func(t *Table) { t.LastBackup[3] = 1 }, "rival": func(t *Table) { t.Rival[3] = 1 },
		"history": func(t *Table) { t.History = []uint64{1} }, "absorbed": func(t *Table) { t.Absorbed = []uint64{1} },
	} {
		tt := make()
		if change(tt); tt.Seal().Hash == want {
			t.Errorf("%s: the hash is the same", name)
		} else if other, ok := seen[tt.Hash]; ok {
			t.Errorf("%s: the hash is that of %s", name, other)
		} else {
			seen[tt.Hash] = name
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

func TestLineage(t *testing.T) {
	first, other := tableOf(1, id("a", 1)), tableOf(1, id("b", 1))
	next := tableOf(2, id("a", 1))
	next.History = []uint64{first.Hash}
	next.Seal()
	for _, c := range []struct {
		name string
		t, u *Table
		want bool
	}{{"itself", first, first, true}, {"the empty one", first, Empty(), true}, {"the one before", next, first, true},
		{"a later one", first, next, false}, {"another side's", next, other, false}} {
		if got := c.t.Follows(c.u); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestDegraded(t *testing.T) {
	two := func() *Table { return tableOf(1, id("a", 1), id("b", 2)) }
	if two().Degraded() || tableOf(1, id("a", 1)).Degraded() {
		t.Error("a full table is degraded")
	}
	missing, bare := two(), two()
	missing.Missing = []Missing{{ID: id("c", 3), Dead: true}}
	bare.Backup[Partitions-1] = None
	if !missing.Degraded() || !bare.Degraded() {
		t.Error("a table with a node missing, or a partition without a copy, is not degraded")
	}
}

func TestRivalAndLast(t *testing.T) {
	two := tableOf(2, id("a", 1), id("b", 2))
	two.Missing = []Missing{{ID: id("c", 3)}, {ID: id("d", 4), Dead: true}}
	two.Owner[0], two.LastOwner[0], two.LastBackup[0] = None, 1, 0
	if o, ok := two.LastOwnerOf(0); !ok || o.ID.Name != "d" || !o.Dead {
		t.Error(o, ok)
	}
	if b, ok := two.LastBackupOf(0); !ok || b.ID.Name != "c" || b.Dead {
		t.Error(b, ok)
	}
	if _, ok := two.LastOwnerOf(1); ok {
		t.Error("a partition with an owner has a last one")
	}
	two.Owner[2], two.Rival[2] = 0, 1
	if _, ok := two.RivalOf(2); ok {
		t.Error("a table that follows none heals")
	}
	two.History = []uint64{7}
	if r, ok := two.RivalOf(2); !ok || r.Name != "b" {
		t.Error(r, ok)
	}
	two.Rival[2] = 0
	if _, ok := two.RivalOf(2); ok {
		t.Error("the owner is its own rival")
	}
}
