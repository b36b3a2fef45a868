package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"gamed/internal/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func names(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("gamed-%d", i+1)
	}
	return s
}

func ownerName(a *Assignment, p int) string { return a.Names[a.Owner[p]] }

// Names of which one begins like another (gamed-1, gamed-11) were what older hash rings mixed up.
func TestSameForEveryOrder(t *testing.T) {
	want := Compute(names(12))
	r := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		shuffled := names(12)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got := Compute(shuffled)
		if got.Owner != want.Owner || got.Backup != want.Backup || !slices.Equal(got.Names, want.Names) {
			t.Fatalf("another assignment for the order %v", shuffled)
		}
	}
	if twice := Compute(append(names(12), "gamed-3")); twice.Owner != want.Owner {
		t.Error("a name given twice changes the assignment")
	}
}

// What a join moves goes to the joiner, but for the few partitions that the bounded load pushes on.
func TestJoinMovesToTheJoiner(t *testing.T) {
	for n := 2; n <= 12; n++ {
		before, after := Compute(names(n-1)), Compute(names(n))
		joiner, others := names(n)[n-1], 0
		for p := range shard.Partitions {
			if is := ownerName(after, p); is != ownerName(before, p) && is != joiner {
				others++
			}
		}
		if others > shard.Partitions/25 {
			t.Errorf("%d nodes: %d partitions moved between nodes that were there before", n, others)
		}
	}
}

// A join may move only its fair share: between 0.9 and 1.1 of the ideal 1/n, on average over the joiners.
func TestJoinMovesItsShare(t *testing.T) {
	for n := 3; n <= 12; n++ {
		moved := 0
		all := names(n)
		for out := range all {
			before := Compute(slices.Delete(slices.Clone(all), out, out+1))
			after := Compute(all)
			for p := range shard.Partitions {
				if ownerName(before, p) != ownerName(after, p) {
					moved++
				}
			}
		}
		ratio := float64(moved) / float64(shard.Partitions) // n joiners, 1/n each: ideally all partitions once
		t.Logf("%2d nodes: %.3f of the ideal", n, ratio)
		if ratio < 0.9 || ratio > 1.1 {
			t.Errorf("%d nodes: joins move %.3f of the ideal", n, ratio)
		}
	}
}

func TestBackupIsTheOwnerWithoutTheOwner(t *testing.T) {
	for _, n := range []int{2, 3, 5, 12} {
		all := names(n)
		a := Compute(all)
		for _, gone := range a.Names {
			rest := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == gone })
			without := Compute(rest)
			for p := range shard.Partitions {
				if ownerName(a, p) != gone {
					continue
				}
				if got, want := a.Names[a.Backup[p]], ownerName(without, p); got != want {
					t.Fatalf("%d nodes, partition %d of %s: backup %s, heir %s", n, p, gone, got, want)
				}
			}
		}
	}
}

func TestNobodyOwnsTooMuch(t *testing.T) {
	for n := 1; n <= 12; n++ {
		a := Compute(names(n))
		count := make([]int, n)
		for p := range shard.Partitions {
			count[a.Owner[p]]++
			if n > 1 && a.Owner[p] == a.Backup[p] {
				t.Fatalf("partition %d: owner and backup are the same node", p)
			}
		}
		if most := slices.Max(count); float64(most) > 1.25*float64(shard.Partitions)/float64(n)+1 {
			t.Errorf("%d nodes: one owns %d partitions", n, most)
		}
		if least := slices.Min(count); float64(least) < 0.6*float64(shard.Partitions)/float64(n) {
			t.Errorf("%d nodes: one owns only %d partitions", n, least)
		}
	}
}

func TestFew(t *testing.T) {
	none, one := Compute(nil), Compute([]string{"a"})
	for p := range shard.Partitions {
		if none.Owner[p] != shard.None || none.Backup[p] != shard.None {
			t.Fatal("somebody owns a partition of no nodes")
		}
		if one.Owner[p] != 0 || one.Backup[p] != shard.None {
			t.Fatal("a lone node owns all and has no backup")
		}
	}
}

// The assignment of three known names must never change: nodes of different builds have to agree.
func TestPinned(t *testing.T) {
	a := Compute(names(3))
	var sum [3]int
	for p := range shard.Partitions {
		sum[a.Owner[p]]++
	}
	t.Logf("owned: %v; partitions 0-9 owned by %v, backed by %v", sum, a.Owner[:10], a.Backup[:10])
	if got := fmt.Sprint(sum, a.Owner[:10], a.Backup[:10]); got != pinned {
		t.Errorf("the assignment of gamed-1..3 changed: %s, was %s", got, pinned)
	}
}

const pinned = "[375 312 334] [0 2 2 0 1 0 1 2 0 0] [1 0 1 1 0 1 2 0 1 1]"

func BenchmarkCompute(b *testing.B) {
	for _, n := range []int{3, 5, 12, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			all := names(n)
			for b.Loop() {
				Compute(all)
			}
		})
	}
}
