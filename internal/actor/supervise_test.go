package actor

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// panics lets an entity panic n times, every apart, and gives the moment of the last and whether it was quarantined then.
func panics(q *Quarantine, from time.Time, n int, every time.Duration) (last time.Time, banned bool) {
	for i := range n {
		last = from.Add(time.Duration(i) * every)
		banned = q.Panicked(last)
	}
	return last, banned
}

func TestTheFifthPanicInTenSecondsQuarantines(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, tt := range []struct {
		name   string
		n      int
		every  time.Duration
		banned bool
	}{
		{"four at once", 4, 0, false},
		{"five at once", 5, 0, true},
		{"five in just ten seconds", 5, 2500 * time.Millisecond, true},
		{"five in more", 5, 2501 * time.Millisecond, false},
		{"a hundred, slowly", 100, 3 * time.Second, false},
	} {
		var q Quarantine
		last, banned := panics(&q, start, tt.n, tt.every)
		if banned != tt.banned {
			t.Errorf("%s: quarantined %v, want %v", tt.name, banned, tt.banned)
		}
		if left := q.Left(last); (left > 0) != tt.banned {
			t.Errorf("%s: left %v", tt.name, left)
		}
	}
}

func TestQuarantineDoublesAndHeals(t *testing.T) {
	var q Quarantine
	now := time.Unix(1000, 0)
	if q.Left(now) != 0 {
		t.Fatal("a new entity is healthy")
	}
	for _, seconds := range []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		want := time.Duration(seconds * float64(time.Second))
		if _, banned := panics(&q, now, MaxPanics, time.Millisecond); !banned {
			t.Fatalf("not quarantined before %v", want)
		}
		now = now.Add((MaxPanics - 1) * time.Millisecond)
		if left := q.Left(now); left != want {
			t.Fatalf("quarantined for %v, want %v", left, want)
		}
		now = now.Add(want)
		if left := q.Left(now); left != 0 {
			t.Fatalf("%v left at the end", left)
		}
	}
	now = now.Add(longestBan + time.Second)
	last, _ := panics(&q, now, MaxPanics, 0)
	if left := q.Left(last); left != firstBan {
		t.Fatalf("after a long time in health: %v, want %v", left, firstBan)
	}
}

func TestDeadLettersKeepTheLastThousand(t *testing.T) {
	var d DeadLetters
	for _, n := range []int{0, 1, 999, 1, 1, 500, 1000} {
		_, before := d.List()
		for i := range n {
			d.Add(DeadLetter{What: strconv.FormatUint(before+uint64(i), 10)})
		}
		kept, total := d.List()
		if total != before+uint64(n) || d.Total() != total {
			t.Fatalf("total %d, want %d", total, before+uint64(n))
		}
		if want := min(total, 1000); uint64(len(kept)) != want {
			t.Fatalf("%d kept of %d", len(kept), total)
		}
		for i, l := range kept {
			if want := strconv.FormatUint(total-uint64(len(kept))+uint64(i), 10); l.What != want {
				t.Fatalf("of %d, kept[%d] is %s, want %s", total, i, l.What, want)
			}
		}
	}
}

func TestDeadLettersAreCut(t *testing.T) {
	var d DeadLetters
	long := strings.Repeat("é", 1<<20) // from outside
	d.Add(DeadLetter{What: "x" + long, Cause: "x" + long, Stack: "x" + long})
	kept, _ := d.List()
	l := kept[0]
	if len(l.What) > keptWhat || len(l.Cause) > keptCause || len(l.Stack) > keptStack || len(l.What) < keptWhat-1 {
		t.Fatalf("kept %d, %d and %d bytes", len(l.What), len(l.Cause), len(l.Stack))
	}
	if !utf8.ValidString(l.What) || !utf8.ValidString(l.Cause) {
		t.Fatal("cut inside a character")
	}
}

func TestDeadLettersFromManyGoroutines(t *testing.T) {
	var d DeadLetters
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				d.Add(DeadLetter{Key: "k"})
				d.List()
			}
		})
	}
	wg.Wait()
	if d.Total() != 4000 {
		t.Fatalf("total %d", d.Total())
	}
}

// Who is in quarantine is listed until it is over; more than a thousand at a time are counted only.
func TestQuarantinedAreListedUntilItIsOver(t *testing.T) {
	var d DeadLetters
	now := time.Unix(1000, 0)
	d.Add(DeadLetter{At: now, Key: "player/ann"})
	d.Add(DeadLetter{At: now, Key: "player/cid", Banned: now.Add(4 * time.Second)})
	d.Add(DeadLetter{At: now, Key: "player/bob", Banned: now.Add(2 * time.Second)})
	list, total := d.Quarantined(now)
	if total != 2 || len(list) != 2 || list[0] != (Quarantined{"player/bob", 2 * time.Second}) || list[1].Key != "player/cid" {
		t.Fatalf("%d: %+v", total, list)
	}
	if list, _ = d.Quarantined(now.Add(2 * time.Second)); len(list) != 1 || list[0] != (Quarantined{"player/cid", 2 * time.Second}) {
		t.Fatalf("two seconds later: %+v", list)
	}
	for i := range 2 * keptLetters {
		d.Add(DeadLetter{At: now, Key: strconv.Itoa(i), Banned: now.Add(time.Minute)})
	}
	if list, total = d.Quarantined(now.Add(3 * time.Second)); len(list) != keptLetters || total != 2+2*keptLetters {
		t.Fatalf("%d listed of %d", len(list), total)
	}
}

func TestQuarantineIsOver(t *testing.T) {
	now := time.Unix(1000, 0)
	var q Quarantine
	q.Panicked(now)
	if q.Over(now.Add(PanicWindow)) || !q.Over(now.Add(PanicWindow+1)) {
		t.Error("a panic counts within the window")
	}
	for range MaxPanics {
		q.Panicked(now)
	}
	if q.Over(now.Add(longestBan)) || !q.Over(now.Add(longestBan+firstBan+1)) {
		t.Error("a quarantine counts until the next one would be as short as the first")
	}
}
