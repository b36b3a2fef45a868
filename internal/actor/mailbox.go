// Package actor is what makes entities well-behaved actors: bounded mailboxes, supervision with quarantine, dead letters. It
// knows no games and no network.
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

// buckets spreads receivers over counters by hash: two receivers that fall together share one allowance.
const buckets = 4096

// Mailbox takes items from many goroutines and hands them to one, in order per sender, a batch at a time. The zero value is
// not usable; see NewMailbox.
type Mailbox[T any] struct {
	ready chan struct{} // one token while something waits

	mu      sync.Mutex // guards what follows
	items   []T
	hashes  []uint16
	closed  bool
	waiting [buckets]uint16
	taken   []uint16 // hashes of the batch handed out
}

// NewMailbox makes an empty mailbox.
func NewMailbox[T any]() *Mailbox[T] {
	return &Mailbox[T]{ready: make(chan struct{}, 1)}
}

// Put appends an item for the receiver with this hash.
func (m *Mailbox[T]) Put(item T, hash uint64) error {
	b := uint16(hash % buckets)
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	if m.waiting[b] >= PerReceiver || len(m.items) >= PerMailbox {
		m.mu.Unlock()
		return ErrFull
	}
	m.waiting[b]++
	m.items = append(m.items, item)
	m.hashes = append(m.hashes, b)
	first := len(m.items) == 1
	m.mu.Unlock()
	if first {
		m.wake()
	}
	return nil
}

// PutAlways appends an item whatever the bounds: for the few that the node sends to itself.
func (m *Mailbox[T]) PutAlways(item T) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.waiting[0]++
	m.items = append(m.items, item)
	m.hashes = append(m.hashes, 0)
	first := len(m.items) == 1
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

// Take waits until something is there, alarm fires, or the mailbox is closed, and returns what waits. The batch given back
// (spare, the one before) is reused: its receivers' allowance is free from now on. ok is false when closed and empty.
func (m *Mailbox[T]) Take(spare []T, alarm <-chan time.Time) (batch []T, ok bool) {
	m.mu.Lock()
	for _, b := range m.taken {
		m.waiting[b]--
	}
	m.taken = m.taken[:0]
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
