package mesh

import "sync"

// told remembers what was logged, so that a peer that tries for ever is told of once. It is bounded: when full it forgets all.
type told struct {
	mu   sync.Mutex // guards what follows
	what map[string]map[string]bool
	n    int
}

const maxTold = 1024

// first says whether this is the first time since the peer's last link.
func (t *told) first(peer, what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.what == nil || t.n >= maxTold {
		t.what, t.n = map[string]map[string]bool{}, 0
	}
	if t.what[peer][what] {
		return false
	}
	if t.what[peer] == nil {
		t.what[peer] = map[string]bool{}
	}
	t.what[peer][what] = true
	t.n++
	return true
}

// forget lets everything about a peer be told anew.
func (t *told) forget(peer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n -= len(t.what[peer])
	delete(t.what, peer)
}
