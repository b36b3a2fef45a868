package actor

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAResumedCallIsAnsweredLikeOthers(t *testing.T) {
	now := time.Now()
	var before, after Calls[string]
	ref, _ := before.Add("a", now.Add(time.Second))
	if !after.Resume(ref, "a", now.Add(time.Minute)) || after.Resume(ref, "again", now) || after.Resume(0, "none", now) {
		t.Fatal("resumed wrongly")
	}
	after.next = ref - 1
	if next, ok := after.Add("b", now.Add(time.Second)); !ok || next == ref {
		t.Fatalf("ref %d is given twice", next)
	}
	if got := after.Expired(now.Add(2 * time.Second)); len(got) != 1 || got[0] == ref {
		t.Fatalf("expired %v", got)
	}
	if what, ok := after.Take(ref); !ok || what != "a" {
		t.Fatalf("took %q", what)
	}
}

func TestCallsAreBounded(t *testing.T) {
	var c Calls[int]
	for i := range MaxCalls {
		if _, ok := c.Add(i, time.Unix(1, 0)); !ok {
			t.Fatalf("call %d refused", i)
		}
	}
	if _, ok := c.Add(0, time.Unix(1, 0)); ok {
		t.Fatal("a call over the bound was taken")
	}
}

// An answer to a call of the entity's earlier life, on another node, must not meet a call of this one.
func TestReferencesOfTwoLivesDiffer(t *testing.T) {
	refs := map[uint64]bool{}
	for range 100 {
		var life Calls[int]
		for range 3 {
			ref, _ := life.Add(0, time.Unix(1, 0))
			if ref == 0 || refs[ref] {
				t.Fatalf("reference %d was given before, or is 0", ref)
			}
			refs[ref] = true
		}
	}
}

func TestCallsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Calls[int]
		type open struct {
			ref  uint64
			what int
			at   time.Time
		}
		var model []open
		now := time.Unix(1000, 0)
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n++
				at := now.Add(time.Duration(rapid.IntRange(-2, 10).Draw(t, "in")) * time.Second)
				ref, ok := c.Add(n, at)
				if !ok {
					t.Fatal("refused")
				}
				model = append(model, open{ref, n, at})
			},
			"take": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				what, ok := c.Take(model[i].ref)
				if !ok || what != model[i].what {
					t.Fatalf("took %v %v, want %v", what, ok, model[i].what)
				}
				if _, again := c.Take(model[i].ref); again {
					t.Fatal("a call ended twice")
				}
				model = slices.Delete(model, i, i+1)
			},
			"expire": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "later")) * time.Second)
				var want []uint64
				for _, o := range model {
					if !o.at.After(now) {
						want = append(want, o.ref)
					}
				}
				got := c.Expired(now)
				if !slices.Equal(got, want) { // in the order they were made
					t.Fatalf("expired %v, want %v", got, want)
				}
				at, some := c.Next()
				if some != (len(model) > 0) {
					t.Fatalf("next %v with %d open", some, len(model))
				}
				if some && !at.After(now) && !at.Equal(slices.MinFunc(model, func(a, b open) int { return a.at.Compare(b.at) }).at) {
					t.Fatalf("next %v has come, and Expired did not make it exact", at)
				}
			},
			"": func(t *rapid.T) {
				if c.Len() != len(model) {
					t.Fatalf("len %d, want %d", c.Len(), len(model))
				}
				at, _ := c.Next()
				for _, o := range model {
					if at.After(o.at) {
						t.Fatalf("next is %v, but a deadline is %v", at, o.at)
					}
				}
				seen := 0
				c.Each(func(int) { seen++ })
				if seen != len(model) {
					t.Fatalf("each gave %d of %d", seen, len(model))
				}
			},
		})
	})
}
