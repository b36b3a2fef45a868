package actor

import (
	"bytes"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gamed/protocol"
)

type timerKey struct{ scope, name string }

func TestTimersModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var timers Timers
		model := map[timerKey]time.Time{}
		now := time.Unix(1000, 0)
		name := rapid.SampledFrom([]string{"", "a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k := timerKey{name.Draw(t, "scope"), name.Draw(t, "name")}
				model[k] = now.Add(time.Duration(rapid.IntRange(-5, 20).Draw(t, "in")) * time.Second)
				timers.Set(k.scope, k.name, model[k])
			},
			"cancel": func(t *rapid.T) {
				k := timerKey{name.Draw(t, "scope"), name.Draw(t, "name")}
				delete(model, k)
				timers.Cancel(k.scope, k.name)
			},
			"due": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "later")) * time.Second)
				var last time.Time
				for {
					got, ok := timers.Due(now)
					if !ok {
						break
					}
					k := timerKey{got.Scope, got.Name}
					if at, set := model[k]; !set || !at.Equal(got.At) || at.After(now) || at.Before(last) {
						t.Fatalf("due %v at %v after %v; model %v %v", got, now, last, at, set)
					}
					last = got.At
					delete(model, k)
				}
				for k, at := range model {
					if !at.After(now) {
						t.Fatalf("%v was due at %v and did not come", k, at)
					}
				}
			},
			"": func(t *rapid.T) {
				if timers.Len() != len(model) {
					t.Fatalf("len %d, want %d", timers.Len(), len(model))
				}
				next, ok := timers.Next()
				if ok != (len(model) > 0) {
					t.Fatalf("next %v", ok)
				}
				scopes := map[string]bool{}
				for k, at := range model {
					scopes[k.scope] = true
					if at.Before(next) {
						t.Fatalf("next is %v, but %v is at %v", next, k, at)
					}
				}
				for _, s := range []string{"", "a", "b", "c"} {
					if timers.InScope(s) != scopes[s] {
						t.Fatalf("in scope %q: %v", s, !scopes[s])
					}
				}
			},
		})
	})
}

// A timer that travels may be late by less than a millisecond, and never early.
func TestTimersTravel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))
		var timers Timers
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			in := time.Duration(rapid.Int64Range(-int64(time.Hour), int64(24*time.Hour)).Draw(t, "in"))
			timers.Set(rapid.String().Draw(t, "scope"), rapid.String().Draw(t, "name"), now.Add(in))
		}
		got := ParseTimers(timers.Append(nil), now)
		if got.Len() != timers.Len() {
			t.Fatalf("%d timers of %d", got.Len(), timers.Len())
		}
		for i, want := range timers.list {
			g := got.list[i]
			if late := g.At.Sub(want.At); g.Scope != want.Scope || g.Name != want.Name || late < 0 || late >= time.Millisecond {
				t.Fatalf("%v became %v, %v late", want, g, late)
			}
		}
	})
}

func TestTimersAreBoundToTheMonotonicClock(t *testing.T) {
	now := time.Now()
	var timers Timers
	timers.Set("", "a", now.Add(time.Hour))
	at, ok := new(ParseTimers(timers.Append(nil), now)).Next()
	if !ok || at.Sub(now) < time.Hour || at.Sub(now) > time.Hour+time.Millisecond {
		t.Fatalf("in %v", at.Sub(now))
	}
	if at.String() == at.Round(0).String() { // which drops the monotonic clock
		t.Fatal("the timer has lost the monotonic clock: a clock that is set would move it")
	}
}

func TestAbsurdTimesStayInOrder(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	b := protocol.AppendInt(protocol.AppendStr(protocol.AppendStr(nil, ""), "far"), math.MaxInt64)
	b = protocol.AppendInt(protocol.AppendStr(protocol.AppendStr(b, ""), "past"), math.MinInt64)
	timers := ParseTimers(b, now)
	if got, ok := timers.Due(now); !ok || got.Name != "past" {
		t.Fatalf("due: %v %v", got, ok)
	}
	if got, ok := timers.Due(now.Add(200 * 365 * 24 * time.Hour)); ok {
		t.Fatalf("due: %v", got)
	}
}

func FuzzParseTimers(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	var timers Timers
	timers.Set("trivia:friday", "close", now.Add(time.Second))
	timers.Set("", "x", now.Add(-time.Second))
	f.Add(timers.Append(nil))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		first := ParseTimers(b, now)
		again := ParseTimers(first.Append(nil), now)
		if again.Len() != first.Len() {
			t.Fatalf("%d timers, %d after a round trip", first.Len(), again.Len())
		}
		if wire := first.Append(nil); !bytes.Equal(wire, again.Append(nil)) {
			t.Fatalf("%x became %x", wire, again.Append(nil))
		}
		for range first.Len() {
			if _, ok := first.Due(now.Add(math.MaxInt64)); !ok {
				break
			}
		}
	})
}
