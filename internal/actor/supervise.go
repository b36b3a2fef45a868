package actor

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Intensity of an entity's supervision: this many panics within the window quarantine it.
const (
	MaxPanics   = 5
	PanicWindow = 10 * time.Second
	firstBan    = time.Second
	longestBan  = 5 * time.Minute
)

// Quarantine decides whether an entity that panics may go on. The zero value is a healthy entity. It is a pure step machine. Its
// length doubles with each one up to five minutes, and begins anew for an entity that was well for five minutes after the last.
type Quarantine struct {
	panics [MaxPanics]time.Time // a ring of the last ones
	n      int
	ban    time.Duration
	until  time.Time
}

// Panicked records a panic and says whether it puts the entity into quarantine.
func (q *Quarantine) Panicked(now time.Time) bool {
	q.panics[q.n%MaxPanics] = now
	q.n++
	if oldest := q.panics[q.n%MaxPanics]; q.n < MaxPanics || now.Sub(oldest) > PanicWindow {
		return false
	}
	switch {
	case q.ban == 0 || now.Sub(q.until) > longestBan:
		q.ban = firstBan
	default:
		q.ban = min(2*q.ban, longestBan)
	}
	q.until = now.Add(q.ban)
	q.n = 0
	return true
}

// Until is when the last quarantine ends or ended; zero when there was none.
func (q *Quarantine) Until() time.Time { return q.until }

// Over says that nothing of it has to be remembered: no panic counts any more, and the next quarantine would be as short as the first.
func (q *Quarantine) Over(now time.Time) bool {
	for _, at := range q.panics {
		if now.Sub(at) <= PanicWindow {
			return false
		}
	}
	return now.Sub(q.until) > longestBan
}

// Left is how long the entity stays in quarantine, 0 when it is not.
func (q *Quarantine) Left(now time.Time) time.Duration { return max(0, q.until.Sub(now)) }

// DeadLetter is a message that its receiver could not handle. Long texts are cut when it is kept. Of its payload it has the size
// alone: it may hold secrets.
type DeadLetter struct {
	At     time.Time
	Key    string // the entity; "": none
	What   string // kind, topic and event
	Size   int    // bytes of its payload
	Cause  string // the panic's value
	Stack  string
	Banned time.Time // until when the entity is in quarantine for it; zero: it is not
}

// keptLetters is how many dead letters can be inspected; all are counted.
const keptLetters = 1000

// What is kept of each, in bytes: events and panic values may come from outside.
const (
	keptWhat  = 256
	keptCause = 1 << 10
	keptStack = 8 << 10
)

// DeadLetters keeps the last dead letters, and who is in quarantine for one. The zero value is empty. Safe for use by many
// goroutines.
type DeadLetters struct {
	mu     sync.Mutex // guards what follows
	ring   []DeadLetter
	total  uint64
	banned map[string]time.Time // by entity, until when
	bans   uint64
}

// Add records one.
func (d *DeadLetters) Add(l DeadLetter) {
	l.What, l.Cause, l.Stack = cut(l.What, keptWhat), cut(l.Cause, keptCause), cut(l.Stack, keptStack)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ring) < keptLetters {
		d.ring = append(d.ring, l)
	} else {
		d.ring[d.total%keptLetters] = l
	}
	d.total++
	if l.Banned.IsZero() || l.Key == "" {
		return
	}
	d.bans++
	if d.banned == nil {
		d.banned = map[string]time.Time{}
	}
	if len(d.banned) >= keptLetters {
		d.forget(l.At)
	}
	if len(d.banned) < keptLetters {
		d.banned[l.Key] = l.Banned
	}
}

// forget drops those whose quarantine is over. The lock is held.
func (d *DeadLetters) forget(now time.Time) {
	maps.DeleteFunc(d.banned, func(_ string, until time.Time) bool { return !until.After(now) })
}

// Quarantined is an entity in quarantine.
type Quarantined struct {
	Key  string
	Left time.Duration
}

// Quarantined are the entities in quarantine now, up to a thousand, by key, and how often one was put there in all.
func (d *DeadLetters) Quarantined(now time.Time) (list []Quarantined, total uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(now)
	for _, key := range slices.Sorted(maps.Keys(d.banned)) {
		list = append(list, Quarantined{key, d.banned[key].Sub(now)})
	}
	return list, d.bans
}

// cut gives a copy of the first n bytes of a long text, without half a character at its end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(strings.Clone(s[:n]), "")
}

// Total is how many there were in all.
func (d *DeadLetters) Total() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total
}

// List gives the kept ones, oldest first, and how many there were in all.
func (d *DeadLetters) List() (kept []DeadLetter, total uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept = make([]DeadLetter, 0, len(d.ring))
	start := uint64(0)
	if d.total > keptLetters {
		start = d.total % keptLetters
	}
	for i := range uint64(len(d.ring)) {
		kept = append(kept, d.ring[(start+i)%uint64(len(d.ring))])
	}
	return kept, d.total
}
