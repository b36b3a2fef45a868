package cluster

import (
	"sync/atomic"
	"time"
)

// Lease is this node's right to act as an owner: to handle messages of entities, and to let their effects leave. It runs out by
// itself when the node was paused or, under quorum, hears no majority of the table. Its methods may be called from any goroutine.
type Lease struct {
	start time.Time
	until atomic.Int64 // since start
}

// Held says whether this node may act now. It costs a look at the clock.
func (l *Lease) Held() bool { return int64(time.Since(l.start)) < l.until.Load() }

// HeldAt is Held for one who has just looked at the clock.
func (l *Lease) HeldAt(now time.Time) bool { return int64(now.Sub(l.start)) < l.until.Load() }

// Left is how long this node may act from now on if nothing renews its lease; 0 when it may not.
func (l *Lease) Left() time.Duration {
	return max(time.Duration(l.until.Load())-time.Since(l.start), 0)
}

// Lease is this node's lease; the same one for the life of c.
func (c *Cluster) Lease() *Lease { return &c.lease }
