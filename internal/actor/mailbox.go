// Package actor is what makes entities well-behaved actors: bounded mailboxes, calls with deadlines, timers that travel,
// quarantine for those that keep failing, dead letters. It knows no games and no network.
//
// A Mailbox and DeadLetters may be used from many goroutines. Calls, Timers and a Quarantine belong to one entity and thereby
// to one goroutine; they have no clock and are told the time. Nothing here blocks but Mailbox.Take.
package actor

import (
	"errors"
	"sync"
	"time"
)

// ErrFull is Put's answer when the mailbox, or the receiver's share of it, is full. It comes at once: senders never block.
var ErrFull = errors.New("mailbox full")

// ErrClosed is Put's answer after Close.
var ErrClosed = errors.New("mailbox closed")

// Bounds of a mailbox, in items.
const (
	PerReceiver = 1024    // waiting for one receiver
	PerMailbox  = 1 << 17 // waiting for all receivers of one worker
)

// spread is how many counters a mailbox of many receivers has: two receivers whose hashes fall together share one allowance.
const spread = 4096

// uncounted marks an item of PutAlways: it takes nobody's allowance.
const uncounted = ^uint16(0)

// Mailbox takes items from many goroutines and hands them to one, in order per sender, a batch at a time. The zero value is
// not usable; see NewMailbox.
type Mailbox[T any] struct {
	ready chan struct{} // one token while something waits

	mu      sync.Mutex // guards what follows
	items   []T
	hashes  []uint16
	closed  bool
	waiting []uint16 // by counter: in items, or in the batch handed out
	taken   []uint16 // hashes of the batch handed out
}

// NewMailbox makes an empty mailbox for many receivers.
func NewMailbox[T any]() *Mailbox[T] { return newMailbox[T](spread) }

// NewPrivateMailbox makes an empty mailbox for one receiver. It takes 8 KiB less.
func NewPrivateMailbox[T any]() *Mailbox[T] { return newMailbox[T](1) }

func newMailbox[T any](counters int) *Mailbox[T] {
	return &Mailbox[T]{ready: make(chan struct{}, 1), waiting: make([]uint16, counters)}
}

// Put appends an item for the receiver with this hash; ErrFull or ErrClosed when it did not. An item counts as waiting until
// the batch it was handed out in is given back.
func (m *Mailbox[T]) Put(item T, hash uint64) error {
	m.mu.Lock()
	b := uint16(hash % uint64(len(m.waiting)))
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	if m.waiting[b] >= PerReceiver || len(m.items) >= PerMailbox {
		m.mu.Unlock()
		return ErrFull
	}
	m.waiting[b]++
	first := m.append(item, b)
	m.mu.Unlock()
	if first {
		m.wake()
	}
	return nil
}

// append is called with the lock held. It says whether Take has to be woken.
func (m *Mailbox[T]) append(item T, b uint16) bool {
	m.items = append(m.items, item)
	m.hashes = append(m.hashes, b)
	return len(m.items) == 1
}

// PutAlways appends an item whatever the bounds: for the few that the node sends to itself. The error is ErrClosed.
func (m *Mailbox[T]) PutAlways(item T) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	first := m.append(item, uncounted)
	m.mu.Unlock()
	if first {
		m.wake()
	}
	return nil
}

func (m *Mailbox[T]) wake() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// maxSpare is the longest batch whose memory is kept for the next.
const maxSpare = 8192

// Take waits until something is there, alarm fires, or the mailbox is closed, and returns what waits, which may be nothing. The
// batch given back (spare, the one before) is reused: its receivers' allowance is free from now on. ok is false when closed and
// empty. One goroutine takes.
func (m *Mailbox[T]) Take(spare []T, alarm <-chan time.Time) (batch []T, ok bool) {
	m.mu.Lock()
	for _, b := range m.taken {
		if b != uncounted {
			m.waiting[b]--
		}
	}
	if m.taken = m.taken[:0]; cap(m.taken) > maxSpare {
		m.taken = nil
	}
	if len(m.items) == 0 && !m.closed {
		m.mu.Unlock()
		select {
		case <-m.ready:
		case <-alarm:
		}
		m.mu.Lock()
	}
	clear(spare)
	if cap(spare) > maxSpare {
		spare = nil
	}
	batch, m.items = m.items, spare[:0]
	m.taken, m.hashes = m.hashes, m.taken
	ok = len(batch) > 0 || !m.closed
	m.mu.Unlock()
	return batch, ok
}

// Remove takes out the waiting items that pick chooses and gives them in their order; their receivers' allowance is free again. pick
// is called with the lock held.
func (m *Mailbox[T]) Remove(pick func(item *T) bool) (removed []T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := 0
	for i := range m.items {
		if pick(&m.items[i]) {
			removed = append(removed, m.items[i])
			if b := m.hashes[i]; b != uncounted {
				m.waiting[b]--
			}
			continue
		}
		m.items[kept], m.hashes[kept] = m.items[i], m.hashes[i]
		kept++
	}
	clear(m.items[kept:])
	m.items, m.hashes = m.items[:kept], m.hashes[:kept]
	return removed
}

// Len is how many items wait.
func (m *Mailbox[T]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.items)
}

// Close refuses further items; Take hands out what waits, then ends.
func (m *Mailbox[T]) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.wake()
}

// CloseEmpty is Close if nothing waits; false, and no change, otherwise. No item that Put took is lost by it.
func (m *Mailbox[T]) CloseEmpty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) > 0 {
		return false
	}
	m.closed = true
	m.wake() // never blocks
	return true
}
