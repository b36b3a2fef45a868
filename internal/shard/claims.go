package shard

import (
	"sync"
	"sync/atomic"
)

// claims say how far a worker has come, and let the watchdog stop it between two items of its batch. The worker claims an item, by
// one atomic addition, before it handles it. While it is stopped its next claim waits for mu; so who holds mu may look at the item
// that is being handled, whose memory is not reused before that claim, and may do as it likes with those behind it.
type claims struct {
	at    atomic.Uint64 // stopped and idle bits, the batch's number, how many items were claimed; no two steps have the same
	mu    sync.Mutex
	batch []item // of the worker; of who holds mu while the worker is stopped
	turn  uint64 // batches begun; of the worker
}

// Bits of claims.at: the lower 32 count items, those between the batches.
const (
	stopped   = 1 << 63
	idle      = 1 << 62
	turnShift = 32
	turnMask  = 1<<30 - 1
)

// begin has the worker begin with a batch, of which nothing is claimed. It rested before.
func (c *claims) begin(batch []item) {
	c.batch = batch
	c.turn++
	c.at.Store(c.turn & turnMask << turnShift)
}

// rest says that the worker runs nothing, once who stopped it is done.
func (c *claims) rest() {
	if c.at.Swap(idle)&stopped != 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
}

// next claims the next item, or a step behind the last one.
func (c *claims) next() {
	if c.at.Add(1)&stopped != 0 {
		c.wait()
	}
}

func (c *claims) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.And(^uint64(stopped))
}

// stop calls f while the worker is stopped, if it still is where it was seen. running is the item that it handles, nil when that is
// none of the batch; behind it is the rest. Items that f sets to nothing are left out. f must neither panic nor block.
func (c *claims) stop(seen uint64, f func(running *item, rest []item)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seen&(stopped|idle) != 0 || !c.at.CompareAndSwap(seen, seen|stopped) {
		return false
	}
	switch n := int(uint32(seen)); {
	case n == 0:
		f(nil, c.batch)
	case n <= len(c.batch):
		f(&c.batch[n-1], c.batch[n:])
	default:
		f(nil, nil)
	}
	c.at.CompareAndSwap(seen|stopped, seen) // else the worker waits for mu, and goes on by itself
	return true
}

// step is where the worker is, for comparison, and whether it runs nothing.
func (c *claims) step() (at uint64, resting bool) {
	at = c.at.Load() &^ stopped
	return at, at&idle != 0
}
