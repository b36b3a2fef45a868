package actor

import "time"

// Level is how long a worker has been with one message.
type Level uint8

// The levels, each reached after a longer time.
const (
	Fine    Level = iota
	Slow          // after SlowAfter: worth a line in the log, with the stack
	Stuck         // after StuckAfter: who waits for the worker is told that it is busy
	Blocked       // after BlockedAfter: the node is not ready
)

// From when on a message is slow, its worker stuck, and its worker blocked.
const (
	SlowAfter    = 100 * time.Millisecond
	StuckAfter   = time.Second
	BlockedAfter = 10 * time.Second
)

func (l Level) String() string {
	switch l {
	case Slow:
		return "slow"
	case Stuck:
		return "stuck"
	case Blocked:
		return "blocked"
	}
	return "fine"
}

func levelAfter(d time.Duration) Level {
	switch {
	case d >= BlockedAfter:
		return Blocked
	case d >= StuckAfter:
		return Stuck
	case d >= SlowAfter:
		return Slow
	}
	return Fine
}

// Watch judges a worker by looks at it from outside. It is a pure step machine; the zero value has seen nothing. What runs is taken
// to have begun when it was first seen, so it has run for at least as long as Watch says.
type Watch struct {
	step  uint64
	since time.Time // zero: nothing ran at the last look
	level Level
}

// Look takes one look: step is another whenever the worker has gone on, idle says that it runs nothing. Before and after are the
// levels before and after the look. lasted is for how long what runs has been seen, or what has just ended was.
func (w *Watch) Look(now time.Time, step uint64, idle bool) (lasted time.Duration, before, after Level) {
	before = w.level
	if !w.since.IsZero() {
		lasted = now.Sub(w.since)
	}
	switch {
	case idle:
		*w = Watch{}
	case w.since.IsZero() || step != w.step:
		*w = Watch{step: step, since: now}
	default:
		w.level = levelAfter(lasted)
	}
	return lasted, before, w.level
}
