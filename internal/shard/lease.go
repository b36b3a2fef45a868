package shard

import (
	"strings"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
)

// parking is what a worker keeps back while its node may not act: messages of entities, in order. Tasks go on.
type parking struct {
	leased bool // as last looked at
	items  []parked
	count  map[string]int // by key
}

type parked struct {
	item
	at time.Time
}

// How long a message is parked before its sender is told that nobody answers, how often a worker that may not act looks again, and
// after how many messages of one batch.
const (
	parkedFor  = 4 * time.Second
	parkEvery  = 20 * time.Millisecond
	leaseEvery = 8
)

// begin looks at the lease, and lets in what was parked when it is valid again.
func (w *Worker) begin() {
	lease := w.all.opt.Lease
	if lease == nil {
		w.park.leased = true
		return
	}
	if w.park.leased = lease(w.now); !w.park.leased {
		w.unparkLate()
		return
	}
	if len(w.park.items) == 0 {
		return
	}
	w.claims.begin(nil)
	defer w.claims.rest()
	for n := range w.park.items {
		if n%leaseEvery == leaseEvery-1 && !lease(time.Now()) {
			w.park.leased = false
			w.unpark(n)
			return
		}
		w.claims.next()
		if it := &w.park.items[n].item; it.buf != nil { // else it was begun before the worker died
			b := it.buf
			it.buf = nil
			w.entityMessage(it)
			putBuf(b)
		}
	}
	w.unpark(len(w.park.items))
}

// mayAct says whether the nth message of a batch may be handled now.
func (w *Worker) mayAct(n int) bool {
	if n%leaseEvery == leaseEvery-1 && w.park.leased && w.all.opt.Lease != nil {
		w.park.leased = w.all.opt.Lease(time.Now())
	}
	return w.park.leased
}

// keepBack parks a message. Its memory is the parking's from now on.
func (w *Worker) keepBack(it *item) { w.keepBackSince(it, w.now) }

func (w *Worker) keepBackSince(it *item, at time.Time) {
	p := &w.park
	if len(p.items) >= actor.PerMailbox || p.count[it.env.Key] >= actor.PerReceiver {
		w.refuse(it, actor.ErrFull)
		return
	}
	if p.count == nil {
		p.count = map[string]int{}
	}
	p.items = append(p.items, parked{*it, at})
	if n, ok := p.count[it.env.Key]; ok {
		p.count[it.env.Key] = n + 1
	} else {
		p.count[strings.Clone(it.env.Key)] = 1
	}
	it.buf = nil
}

// unpark forgets the first messages, which were handled or refused.
func (w *Worker) unpark(n int) {
	p := &w.park
	if n == len(p.items) {
		p.items, p.count = nil, nil
		return
	}
	clear(p.items[:n])
	p.items = p.items[n:]
	p.count = map[string]int{}
	for i := range p.items {
		p.count[strings.Clone(p.items[i].env.Key)]++
	}
}

// strayParked gives up what is parked for partitions that are not this node's any more: they have to go after their entities.
func (w *Worker) strayParked(mine func(part uint16) bool) {
	old := w.park.items
	w.park.items, w.park.count = nil, nil
	for i := range old {
		switch it := &old[i]; {
		case mine(it.env.Part):
			w.keepBackSince(&it.item, it.at)
		case it.env.Kind != envelope.Acked && w.all.opt.Stray != nil:
			w.task(func(*Worker) { w.all.opt.Stray(&it.env) })
			it.free()
		}
	}
}

// unparkLate refuses what has been parked for too long.
func (w *Worker) unparkLate() {
	n := 0
	for n < len(w.park.items) && w.now.Sub(w.park.items[n].at) > parkedFor {
		w.refuse(&w.park.items[n].item, ErrNoOwner)
		n++
	}
	if n > 0 {
		w.unpark(n)
	}
}

func (w *Worker) refuse(it *item, why error) {
	if f := w.all.opt.Refuse; f != nil && it.env.Kind != envelope.Acked {
		w.task(func(*Worker) { f(&it.env, why) })
	}
	it.free()
}

// due says when the worker has to look again if nothing comes.
func (w *Worker) due() time.Duration {
	next := sweepEvery
	if len(w.wakes) > 0 {
		next = min(next, time.Until(w.wakes[0].wakeAt))
	}
	if !w.park.leased || len(w.park.items) > 0 {
		return parkEvery
	}
	return max(next, minWake)
}
