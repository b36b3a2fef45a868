package actor

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Calls are the calls an entity waits for. The zero value is empty. For one goroutine.
//
// References begin at a random number, so that an answer to a call that the entity made in an earlier life, on another node
// maybe, is not taken for the answer to one of this life.
type Calls[T any] struct {
	next    uint64 // the last reference given; 0: none
	open    map[uint64]call[T]
	soonest time.Time // no open call's deadline is before it; zero: none is open
}

type call[T any] struct {
	what     T
	deadline time.Time
}

// used says whether a reference is taken: by a call that was resumed.
func (c call[T]) used() bool { return !c.deadline.IsZero() }

// MaxCalls is how many calls one entity may wait for at a time.
const MaxCalls = 4096

// Add registers a call and gives its reference, which is never 0; false when too many are open.
func (c *Calls[T]) Add(what T, deadline time.Time) (ref uint64, ok bool) {
	if len(c.open) >= MaxCalls {
		return 0, false
	}
	if c.open == nil {
		c.open = make(map[uint64]call[T])
	}
	if c.next == 0 {
		c.next = rand.Uint64N(1 << 62)
	}
	for c.next++; c.open[c.next].used(); c.next++ {
	}
	c.open[c.next] = call[T]{what, deadline}
	c.expect(deadline)
	return c.next, true
}

// Resume registers a call that an earlier life of the entity made, so that the answer to it is one to this life; false when too
// many are open, or the reference is in use.
func (c *Calls[T]) Resume(ref uint64, what T, deadline time.Time) bool {
	if _, used := c.open[ref]; used || ref == 0 || len(c.open) >= MaxCalls {
		return false
	}
	if c.open == nil {
		c.open = make(map[uint64]call[T])
	}
	c.open[ref] = call[T]{what, deadline}
	c.expect(deadline)
	return true
}

// Take ends a call; false when it is not open (any more).
func (c *Calls[T]) Take(ref uint64) (what T, ok bool) {
	o, ok := c.open[ref]
	if delete(c.open, ref); len(c.open) == 0 {
		c.soonest = time.Time{}
	}
	return o.what, ok
}

func (c *Calls[T]) expect(deadline time.Time) {
	if c.soonest.IsZero() || deadline.Before(c.soonest) {
		c.soonest = deadline
	}
}

// Expired gives the references of the calls whose deadline has passed, in the order the calls were made. They stay open until
// they are taken.
func (c *Calls[T]) Expired(now time.Time) []uint64 {
	if len(c.open) == 0 || c.soonest.After(now) {
		return nil
	}
	var refs []uint64
	c.soonest = time.Time{}
	for ref, o := range c.open {
		c.expect(o.deadline)
		if !o.deadline.After(now) {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return refs
}

// Next is when Expired has to be asked: the earliest deadline, or a time before it, of a call that was taken meanwhile; Expired
// then makes it exact. False when no call is open. It takes the same time however many are open.
func (c *Calls[T]) Next() (at time.Time, ok bool) { return c.soonest, len(c.open) > 0 }

// Each calls f with every open call, in no order.
func (c *Calls[T]) Each(f func(what T)) {
	for _, o := range c.open {
		f(o.what)
	}
}

// Len is how many are open.
func (c *Calls[T]) Len() int { return len(c.open) }
