package actor

import "time"

// Calls are the calls an entity waits for. The zero value is empty. For one goroutine.
type Calls[T any] struct {
	next uint64
	open map[uint64]call[T]
}

type call[T any] struct {
	what     T
	deadline time.Time
}

// MaxCalls is how many calls one entity may wait for at a time.
const MaxCalls = 4096

// Add registers a call and gives its reference; false when too many are open.
func (c *Calls[T]) Add(what T, deadline time.Time) (ref uint64, ok bool) {
	if len(c.open) >= MaxCalls {
		return 0, false
	}
	if c.open == nil {
		c.open = make(map[uint64]call[T])
	}
	c.next++
	c.open[c.next] = call[T]{what, deadline}
	return c.next, true
}

// Take ends a call; false when it is not open (any more).
func (c *Calls[T]) Take(ref uint64) (what T, ok bool) {
	o, ok := c.open[ref]
	delete(c.open, ref)
	return o.what, ok
}

// Due makes an open call's deadline pass now.
func (c *Calls[T]) Due(ref uint64, now time.Time) {
	if o, ok := c.open[ref]; ok {
		o.deadline = now
		c.open[ref] = o
	}
}

// Expired gives the references of the calls whose deadline has passed.
func (c *Calls[T]) Expired(now time.Time) []uint64 {
	var refs []uint64
	for ref, o := range c.open {
		if !o.deadline.After(now) {
			refs = append(refs, ref)
		}
	}
	return refs
}

// Next is the earliest deadline; false when no call is open.
func (c *Calls[T]) Next() (at time.Time, ok bool) {
	for _, o := range c.open {
		if !ok || o.deadline.Before(at) {
			at, ok = o.deadline, true
		}
	}
	return at, ok
}

// Each calls f with every open call.
func (c *Calls[T]) Each(f func(what T)) {
	for _, o := range c.open {
		f(o.what)
	}
}

// Len is how many are open.
func (c *Calls[T]) Len() int { return len(c.open) }
