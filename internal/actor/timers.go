package actor

import (
	"time"

	"gamed/protocol"
)

// Timers are an entity's named timers. The zero value is empty. For one goroutine; few at a time, so a plain list.
type Timers struct{ list []Timer }

// Timer is one of them.
type Timer struct {
	Scope, Name string // Scope: the topic of the part it belongs to
	At          time.Time
}

// Set sets or replaces a timer.
func (t *Timers) Set(scope, name string, at time.Time) {
	for i := range t.list {
		if t.list[i].Scope == scope && t.list[i].Name == name {
			t.list[i].At = at
			return
		}
	}
	t.list = append(t.list, Timer{scope, name, at})
}

// Cancel removes a timer.
func (t *Timers) Cancel(scope, name string) {
	for i := range t.list {
		if t.list[i].Scope == scope && t.list[i].Name == name {
			t.list = append(t.list[:i], t.list[i+1:]...)
			return
		}
	}
}

// Due removes and returns the earliest timer that is due.
func (t *Timers) Due(now time.Time) (Timer, bool) {
	i := t.first()
	if i < 0 || t.list[i].At.After(now) {
		return Timer{}, false
	}
	due := t.list[i]
	t.list = append(t.list[:i], t.list[i+1:]...)
	return due, true
}

// Next is when the earliest timer is due; false when there is none.
func (t *Timers) Next() (time.Time, bool) {
	i := t.first()
	if i < 0 {
		return time.Time{}, false
	}
	return t.list[i].At, true
}

// Len is how many are set.
func (t *Timers) Len() int { return len(t.list) }

// InScope says whether a timer of this scope is set.
func (t *Timers) InScope(scope string) bool {
	for i := range t.list {
		if t.list[i].Scope == scope {
			return true
		}
	}
	return false
}

func (t *Timers) first() int {
	best := -1
	for i := range t.list {
		if best < 0 || t.list[i].At.Before(t.list[best].At) {
			best = i
		}
	}
	return best
}

// Append encodes the timers with the wall clock, so that another machine can go on with them. Parts of a millisecond are rounded
// up: a timer may be late after a move, never early.
func (t *Timers) Append(dst []byte) []byte {
	for _, e := range t.list {
		dst = protocol.AppendStr(dst, e.Scope)
		dst = protocol.AppendStr(dst, e.Name)
		dst = protocol.AppendInt(dst, e.At.Add(time.Millisecond-1).UnixMilli())
	}
	return dst
}

// ParseTimers reads what Append wrote; now is the moment on this machine, to which the timers are bound. Of damaged bytes it gives
// the timers before the damage.
func ParseTimers(b []byte, now time.Time) (t Timers) {
	c := protocol.NewCursor(b)
	for len(c.Rest()) > 0 {
		scope, ok1 := c.Text()
		name, ok2 := c.Text()
		at, ok3 := c.Int()
		if !ok1 || !ok2 || !ok3 {
			return t
		}
		in := time.UnixMilli(at).Sub(now.Round(0)) // by the wall clock; ends at ±292 years
		t.list = append(t.list, Timer{string(scope), string(name), now.Add(in)})
	}
	return t
}

// Each gives all timers, in no order that means anything.
func (t *Timers) Each(f func(Timer)) {
	for _, e := range t.list {
		f(e)
	}
}
