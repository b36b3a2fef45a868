package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/admin"
	"gamed/internal/replica/merge"
	"gamed/internal/state"
	"gamed/protocol"
)

func conflicting(size int) *merge.Merged {
	return &merge.Merged{Conflict: true, Winner: merge.Theirs, Replaced: 1, Notes: []string{"bank: 5 are lost"},
		Kept: state.Sections{"p/bank:": make([]byte, size-7)}, Loser: state.Sections{"o": nil}}
}

func TestConflictLogIsBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := newConflicts(reg)
	now := time.Unix(1e9, 0)
	for i := range maxConflicts + 20 {
		c.add(now.Add(time.Duration(i)), "n1", fmt.Sprint("player/p", i), "n1", "n2", conflicting(100))
	}
	page := c.page(place{}, maxConflicts+100)
	if len(page.Conflicts) != maxConflicts || page.Dropped != 20 || page.Conflicts[0].ID != "1020-n1" || page.Conflicts[maxConflicts-1].ID != "21-n1" {
		t.Errorf("%d kept from %s, %d dropped", len(page.Conflicts), page.Conflicts[0].ID, page.Dropped)
	}
	row := page.Conflicts[0]
	if row.Winner != "n2" || row.Loser != "n1" || !row.Replaced || row.Bytes != 101 || len(row.Notes) != 1 {
		t.Errorf("%+v", row)
	}
	c.add(now, "n1", "player/big", "n1", "n2", conflicting(maxConflictBytes-50))
	if page := c.page(place{}, 9); len(page.Conflicts) != 1 || c.bytes > maxConflictBytes {
		t.Errorf("%d conflicts of %d bytes", len(page.Conflicts), c.bytes)
	}
	if got := sum(t, reg, "gamed_conflicts_dropped_total"); got != maxConflicts+20 {
		t.Errorf("%v dropped", got)
	}
	if got := sum(t, reg, "gamed_conflicts_total"); got != maxConflicts+21 {
		t.Errorf("%v conflicts", got)
	}
}

func sum(t *testing.T, reg *prometheus.Registry, name string) (n float64) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.Metric {
				n += m.Counter.GetValue()
			}
		}
	}
	return n
}

// Pages of all nodes together give every conflict once, the newest first.
func TestConflictPages(t *testing.T) {
	logs := map[string]*conflicts{"n1": newConflicts(prometheus.NewRegistry()), "n2": newConflicts(prometheus.NewRegistry())}
	now := time.Unix(1e9, 0)
	for i := range 30 {
		at := now.Add(time.Duration(i/4) * time.Second) // several at one moment
		self := []string{"n1", "n2", "n2"}[i%3]
		logs[self].add(at, self, fmt.Sprint("player/p", i), "n1", "n2", conflicting(100))
	}
	var seen []string
	last := now.Add(time.Hour)
	for cursor := ""; ; {
		before, err := parsePlace(cursor)
		if err != nil {
			t.Fatal(err)
		}
		page := joinConflicts([]admin.ConflictsPage{logs["n1"].page(before, 8), logs["n2"].page(before, 8), {Errors: []string{"n3: silent"}}}, 7)
		if len(page.Conflicts) > 7 || len(page.Errors) != 1 {
			t.Fatalf("%+v", page)
		}
		for _, c := range page.Conflicts {
			if c.Time.After(last) || slices.Contains(seen, c.Key) {
				t.Fatalf("%s at %v comes after %v, of %v", c.Key, c.Time, last, seen)
			}
			seen, last = append(seen, c.Key), c.Time
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if len(seen) != 30 {
		t.Errorf("%d of 30 seen", len(seen))
	}
	for _, bad := range []string{"x", "!.1-n1", "5."} {
		if _, err := parsePlace(bad); !errors.Is(err, admin.ErrInvalid) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

func TestAHealIsTold(t *testing.T) {
	c := newConflicts(prometheus.NewRegistry())
	now := time.Unix(1e9, 0)
	told := 0
	for i := range 50 {
		m := conflicting(50)
		m.Conflict = i%2 == 0
		_, tell, first := c.add(now.Add(time.Duration(i)*10*time.Millisecond), "n1", "player/p", "n1", "n2", m)
		if first != (i == 0) {
			t.Errorf("merge %d begins a heal: %v", i, first)
		}
		if tell {
			told++
		}
	}
	if told != toldConflicts {
		t.Errorf("%d told, want %d", told, toldConflicts)
	}
	if _, left := c.over(now.Add(time.Second)); left != 490*time.Millisecond {
		t.Errorf("over in %v", left)
	}
	h, left := c.over(now.Add(1490 * time.Millisecond))
	if want := "50 players and rooms merged after a split, 25 of them changed on both sides, 50 sessions replaced, in 490ms"; left != 0 || h.String() != want {
		t.Errorf("%v left of: %s", left, &h)
	}
	if _, _, first := c.add(now, "n1", "player/p", "n1", "n2", &merge.Merged{}); !first {
		t.Error("the next heal was not noticed")
	}
}

func TestACopyIsShownWithoutSessionIDs(t *testing.T) {
	id := "0123456789abcdef0123456789abcdef"
	copy := state.Sections{
		"l":             protocol.AppendInt(nil, 1_700_000_000_000),
		"r/ann/" + id:   {1},
		"s":             protocol.AppendStr(protocol.AppendUint(nil, 7), id),
		"p/bank:":       {0xc1, 1, 2},
		"p/chat:a":      protocol.AppendBin(nil, make([]byte, maxShownRaw)),
		"p/" + "\xff\n": protocol.AppendStr(nil, "\xff"),
	}
	got := shown(copy)
	if got.Spoke == nil || got.Spoke.Unix() != 1_700_000_000 || len(got.Sections) != len(copy) {
		t.Errorf("%+v", got)
	}
	for _, s := range got.Sections {
		if strings.Contains(s.Name+s.Value+string(s.Raw), id) {
			t.Errorf("section %q shows the session's id", s.Name)
		}
		switch {
		case s.Name == "s" && (s.Value != `7 "012345**************************"` || len(s.Raw) != len(copy["s"])):
			t.Errorf("%+v", s)
		case s.Name == "p/chat:a" && (s.Raw != nil || len(s.Value) > 3*maxShownValue || s.Bytes < maxShownRaw):
			t.Errorf("a section of %d bytes is shown in %d", s.Bytes, len(s.Raw)+len(s.Value))
		}
	}
}
