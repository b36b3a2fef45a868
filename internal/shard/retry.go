package shard

import (
	"math/rand/v2"
	"sync"
	"time"

	"gamed/internal/envelope"
)

// retries are the messages that came back to this node, their origin, because they met a node that does not own their key. Each
// is sent again after a delay, in which the newer table arrives, in the order they came back. Bounded; one timer for all.
type retries struct {
	send   func(e *envelope.Envelope)
	refuse func(e *envelope.Envelope, why error)

	mu     sync.Mutex // guards what follows
	queue  []retry    // first in, first out: one that is due waits for those before it
	bytes  int
	timer  *time.Timer // nil: nothing waits
	closed bool
}

type retry struct {
	e    envelope.Envelope
	size int
	due  time.Time
}

// Bounds of what waits to be sent again, and the delay, which grows with each hop.
const (
	maxRetries    = 4096
	maxRetryBytes = 16 << 20
	retryDelay    = 50 * time.Millisecond
	retryJitter   = 10 * time.Millisecond
)

// add takes an encoded envelope. What is over the bounds is refused at once; what is no message to an entity is dropped.
func (q *retries) add(b []byte) {
	var e envelope.Envelope
	if err := e.Decode(append([]byte(nil), b...)); err != nil || !e.Kind.ToEntity() {
		return
	}
	due := time.Now().Add(retryDelay*time.Duration(min(max(e.Hops, 1), maxHops)) + rand.N(retryJitter))
	q.mu.Lock()
	if q.closed || len(q.queue) >= maxRetries || q.bytes+len(b) > maxRetryBytes {
		q.mu.Unlock()
		q.refuse(&e, ErrBusy)
		return
	}
	q.queue = append(q.queue, retry{e, len(b), due})
	q.bytes += len(b)
	if q.timer == nil {
		q.timer = time.AfterFunc(time.Until(due), q.fire)
	}
	q.mu.Unlock()
}

// fire sends what is due and sets the timer anew. There is one timer, so one fire at a time.
func (q *retries) fire() {
	for {
		q.mu.Lock()
		if len(q.queue) == 0 {
			q.queue, q.timer = nil, nil
			q.mu.Unlock()
			return
		}
		if in := time.Until(q.queue[0].due); in > 0 {
			q.timer.Reset(in)
			q.mu.Unlock()
			return
		}
		r := q.queue[0]
		q.queue[0] = retry{}
		q.queue = q.queue[1:]
		q.bytes -= r.size
		q.mu.Unlock()
		q.send(&r.e)
	}
}

// close refuses what waits. One that is being sent is sent.
func (q *retries) close() {
	q.mu.Lock()
	q.closed = true
	rest := q.queue
	q.queue, q.bytes = nil, 0
	if q.timer != nil {
		q.timer.Stop()
	}
	q.mu.Unlock()
	for i := range rest {
		q.refuse(&rest[i].e, ErrNoOwner)
	}
}
