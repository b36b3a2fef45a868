package merge

import (
	"time"

	"gamed/internal/actor"
)

// Whose says whose timers of a scope count: those of the winner, of the loser, or of both.
type Whose func(scope string) (won, lost bool)

// Timers merges the timers of both sides. One that both have rings at the earlier moment.
func (s *Sides) Timers(name string, whose Whose) {
	epoch := time.UnixMilli(0) // the encoding is of the wall clock: seen from there nothing is rounded
	var out actor.Timers
	add := func(t actor.Timer) {
		earlier := false
		out.Each(func(o actor.Timer) { earlier = earlier || o.Scope == t.Scope && o.Name == t.Name && !t.At.Before(o.At) })
		if !earlier {
			out.Set(t.Scope, t.Name, t.At)
		}
	}
	won, lost := actor.ParseTimers(s.Won[name], epoch), actor.ParseTimers(s.Lost[name], epoch)
	won.Each(func(t actor.Timer) {
		if counts, _ := whose(t.Scope); counts {
			add(t)
		}
	})
	lost.Each(func(t actor.Timer) {
		if _, counts := whose(t.Scope); counts {
			add(t)
		}
	})
	s.Out[name] = out.Append(nil)
}
