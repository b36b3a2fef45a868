package listener

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	tick       = 50 * time.Millisecond
	wheelSlots = 512 // 25.6 s; what is due later is looked at once more on the way
)

// clock is the one notion of time of all connections: a coarse now, and a wheel that tells when each is to be looked at.
// Nothing else in the package asks for the time or owns a timer for a connection.
type clock struct {
	start  time.Time
	coarse atomic.Int64

	mu    sync.Mutex // guards the fields below and the wheel fields of every Conn
	slots [wheelSlots]list
	done  int64 // the last tick that was handled
}

func newClock() *clock {
	k := &clock{start: time.Now()}
	k.coarse.Store(1)
	for i := range k.slots {
		k.slots[i].kind = inWheel
	}
	return k
}

// now is the time since the start in nanoseconds, at most a tick old, never 0.
func (k *clock) now() int64 { return k.coarse.Load() }

// put has c looked at when at has come, or a little later, unless it is to be looked at earlier anyway.
func (k *clock) put(c *Conn, at int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.slots[c.tick].has(c) {
		if c.due <= at {
			return
		}
		k.slots[c.tick].remove(c)
	}
	t := min(max(at/int64(tick)+1, k.done+1), k.done+wheelSlots-1)
	c.due, c.tick = at, uint16(t%wheelSlots)
	k.slots[c.tick].add(c)
}

// drop forgets c.
func (k *clock) drop(c *Conn) {
	k.mu.Lock()
	if slot := &k.slots[c.tick]; slot.has(c) {
		slot.remove(c)
	}
	k.mu.Unlock()
}

// advance moves the time on and appends the connections that are to be looked at.
func (k *clock) advance(now time.Duration, due []*Conn) []*Conn {
	k.coarse.Store(max(int64(now), 1))
	k.mu.Lock()
	defer k.mu.Unlock()
	last := int64(now / tick)
	if last-k.done > wheelSlots { // the process stood still: every slot is due
		k.done = last - wheelSlots
	}
	for k.done < last {
		k.done++
		slot := &k.slots[k.done%wheelSlots]
		for c := slot.head; c != nil; c = slot.head {
			slot.remove(c)
			due = append(due, c)
		}
	}
	return due
}

// run ticks until stop is closed. look is called for each connection that is due and says when next to look, 0 for never.
func (k *clock) run(stop <-chan struct{}, look func(*Conn, int64) int64) {
	t := time.NewTicker(tick)
	defer t.Stop()
	var due []*Conn
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		due = k.advance(time.Since(k.start), due[:0])
		now := k.now()
		for i, c := range due {
			if at := look(c, now); at > 0 {
				k.put(c, at)
			}
			due[i] = nil
		}
		if cap(due) > 1<<16 {
			due = nil
		}
	}
}
