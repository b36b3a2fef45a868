package client

import (
	"context"
	"sync"
)

// maxTidings bounds connects, disconnects and gaps waiting for a slow callback; further ones are dropped and counted.
const maxTidings = 256

// notes runs the callbacks: in order, one at a time, in a goroutine that lives while there are any.
type notes struct {
	opts  *Options
	stats *counters
	space chan struct{} // told after each callback

	mu      sync.Mutex // guards what follows; no callback runs under it
	queue   []note
	pushes  int
	running bool
	closed  bool
}

// note is one callback to be made; exactly one field is set.
type note struct {
	push      *Push
	connected *Connected
	gap       *Gap
	lost      error
}

// push queues a push; it waits while PushQueue of them wait, until ctx ends.
func (n *notes) push(ctx context.Context, p *Push) {
	if n.opts.OnPush == nil {
		return
	}
	for !n.tryPush(p) {
		select {
		case <-n.space:
		case <-ctx.Done():
			return
		}
	}
}

func (n *notes) tryPush(p *Push) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return true
	}
	if n.pushes >= n.opts.PushQueue {
		return false
	}
	n.pushes++
	n.add(note{push: p})
	return true
}

// tell queues what is no push; it never waits.
func (n *notes) tell(t note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if len(n.queue)-n.pushes >= maxTidings {
		n.stats.dropped.Add(1)
		return
	}
	n.add(t)
}

func (n *notes) add(t note) {
	n.queue = append(n.queue, t)
	if !n.running {
		n.running = true
		go n.run()
	}
}

func (n *notes) run() {
	var batch []note
	for {
		n.mu.Lock()
		if len(n.queue) == 0 || n.closed {
			n.running, n.queue = false, nil
			n.mu.Unlock()
			return
		}
		batch, n.queue = n.queue, batch[:0]
		n.mu.Unlock()
		for i := range batch {
			n.call(&batch[i])
			batch[i] = note{}
		}
	}
}

// call makes one callback, unless the client was closed meanwhile.
func (n *notes) call(t *note) {
	n.mu.Lock()
	closed := n.closed
	if t.push != nil {
		n.pushes--
	}
	n.mu.Unlock()
	if t.push != nil {
		select {
		case n.space <- struct{}{}:
		default:
		}
	}
	if closed {
		return
	}
	o := n.opts
	switch {
	case t.push != nil:
		o.OnPush(*t.push)
	case t.connected != nil && o.OnConnect != nil:
		o.OnConnect(*t.connected)
	case t.gap != nil && o.OnGap != nil:
		o.OnGap(*t.gap)
	case t.lost != nil && o.OnDisconnect != nil:
		o.OnDisconnect(t.lost)
	}
}

// close drops what waits: no callback begins after it.
func (n *notes) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
}
