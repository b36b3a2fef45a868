package node

import (
	"sync"
	"time"

	"gamed/internal/admin"
)

// events keeps what happened lately, for the admin port.
type events struct {
	mu   sync.Mutex // guards what follows
	seq  uint64
	kept []admin.Event
}

const keptEvents = 1000

func (ev *events) add(kind, node, text string) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	ev.seq++
	if len(ev.kept) == keptEvents {
		ev.kept = append(ev.kept[:0], ev.kept[1:]...)
	}
	ev.kept = append(ev.kept, admin.Event{Seq: ev.seq, Time: time.Now(), Kind: kind, Node: node, Text: text})
}

func (ev *events) since(after uint64) []admin.Event {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	first := ev.seq - uint64(len(ev.kept)) // the one before the first kept
	skip := 0
	if after > first {
		skip = int(min(after-first, uint64(len(ev.kept))))
	}
	return append([]admin.Event{}, ev.kept[skip:]...)
}
