package loadtest

import (
	"reflect"
	"testing"
	"time"
)

func TestPlansTryEverythingAndRepeatBySeed(t *testing.T) {
	total := 0
	for _, w := range weights {
		total += w
	}
	if total != 100 {
		t.Errorf("weights add up to %d", total)
	}
	const open = 2 * time.Second
	right, wrong, late, none, pairs, bad, watched := 0, 0, 0, 0, 0, 0, 0
	for bot := range uint64(2000) {
		p := plan{seed: 7, bot: bot}
		a := p.attempts(3, 1, 4, open, false)
		if !reflect.DeepEqual(a, p.attempts(3, 1, 4, open, false)) {
			t.Fatal("the same seed gives another plan")
		}
		if len(p.attempts(3, 1, 4, open, true)) > 0 {
			watched++
		}
		switch {
		case len(a) == 0:
			none++
			continue
		case len(a) == 2:
			pairs++
		case a[0].after > open+200*time.Millisecond:
			late++
		}
		switch c := a[0].choice; {
		case c == 1:
			right++
		case c == 4:
			bad++
		case c < 0 || c > 4:
			t.Fatalf("choice %d", c)
		default:
			wrong++
		}
	}
	for name, n := range map[string]int{"right": right, "wrong": wrong, "late": late, "none": none, "pairs": pairs, "bad": bad, "watched": watched} {
		if n == 0 {
			t.Errorf("%s never happens", name)
		}
	}
	if right < 1700 {
		t.Errorf("only %d of 2000 are right: nobody would win", right)
	}
}
