package node

import (
	"context"
	"maps"
	"sync"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// bulk keeps what this node gives and copies to others from standing in the way of messages: of what it sent to a node, only so
// much may not have been taken in there. The receiver says so (credit) on the lane that is never behind data.
type bulk struct {
	mu    sync.Mutex // guards what follows
	peers map[shard.NodeID]*way
	paid  time.Time // when what was sent so far is within the rate
}

// way is what is under way to one node.
type way struct {
	bytes int
	heard time.Time     // of the last credit, or when something was first under way
	freed chan struct{} // closed when there is room again; nil: nobody waits
}

// crediting is the Event of a Handoff that says that Ref bytes of what was given were taken in.
const crediting = "credit"

const (
	bulkWindow = 64 << 10 // bytes under way to one node
	bulkRate   = 32 << 20 // bytes a second, to all nodes
	bulkBurst  = time.Millisecond
	creditWait = time.Second // without a credit for so long, what was under way is taken to be lost
	forgetWay  = time.Minute // after the last sign of life: the node is gone
	maxCredit  = 4 << 20     // bytes in one credit
)

// take counts bytes that are to be sent after a pause, or gives a channel to wait on.
func (b *bulk) take(to shard.NodeID, bytes int, now time.Time) (pause time.Duration, wait <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.peers[to]
	if w == nil {
		if b.peers == nil {
			b.peers = map[shard.NodeID]*way{}
		}
		maps.DeleteFunc(b.peers, func(_ shard.NodeID, old *way) bool { return now.Sub(old.heard) > forgetWay && old.freed == nil })
		w = &way{heard: now}
		b.peers[to] = w
	}
	if w.bytes > 0 && now.Sub(w.heard) >= creditWait {
		w.bytes = 0
	}
	if w.bytes > 0 && w.bytes+bytes > bulkWindow {
		if w.freed == nil {
			w.freed = make(chan struct{})
		}
		return 0, w.freed
	}
	if w.bytes == 0 {
		w.heard = now
	}
	w.bytes += bytes
	if b.paid.Before(now) {
		b.paid = now
	}
	b.paid = b.paid.Add(time.Duration(bytes) * time.Second / bulkRate)
	return b.paid.Sub(now) - bulkBurst, nil
}

// credited notes that a node has taken bytes in.
func (b *bulk) credited(from shard.NodeID, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.peers[from]
	if w == nil {
		return
	}
	w.heard = time.Now()
	if w.bytes = max(w.bytes-bytes, 0); w.freed != nil {
		close(w.freed)
		w.freed = nil
	} else if w.bytes == 0 {
		delete(b.peers, from)
	}
}

// inBulk sends what may be large to a node, when there is room on the way.
func (n *Node) inBulk(ctx context.Context, to shard.NodeID, e *envelope.Envelope) error {
	for {
		pause, wait := n.bulk.take(to, len(e.Payload), time.Now())
		if wait != nil {
			pause = creditWait
		}
		if pause > 0 {
			late := time.NewTimer(pause)
			select {
			case <-wait:
			case <-late.C:
			case <-ctx.Done():
				late.Stop()
				return ctx.Err()
			}
			late.Stop()
		}
		if wait == nil {
			return n.patiently(ctx, to, e)
		}
	}
}

// credit tells a node that what it gave was taken in.
func (n *Node) credit(to shard.NodeID, bytes int) {
	_ = n.cluster.SendControl(to, &envelope.Envelope{Kind: envelope.Handoff, Event: crediting, Ref: uint64(bytes)}) // it goes on after a while
}
