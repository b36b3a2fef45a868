package tally

import (
	"strings"
	"sync"
	"time"
)

// Gate says which rounds take no more on a node. A round is closed for a partition as the node had it when it answered: one that
// came to the node later may add again when the collector begins another attempt, because what its players did on their node before
// may be lost with it, and must be done again. The collector says so only while no attempt is complete; then all of them stay
// closed, wherever they go. A Gate is safe for use by many goroutines; it is asked for every Add, so reading is cheap.
type Gate struct {
	mu     sync.RWMutex // guards what follows
	rounds map[id]*closing
	swept  time.Time
}

// closing is what is known of a round that is collected.
type closing struct {
	attempt uint64          // the newest that began
	closed  bool            // an attempt closed it
	open    bool            // it has begun, and partitions that came since may add
	term    uint64          // of the table by which it was closed
	away    map[uint16]bool // partitions on their way here then
	used    time.Time
}

// Place is a partition and its fencing token, by the table in force.
type Place struct {
	Part uint16
	Term uint64
}

// NewGate makes a gate at which every round is open.
func NewGate() *Gate { return &Gate{rounds: map[id]*closing{}} }

// Begin announces another attempt to collect a round: until it closes the round, partitions that have come since the last Close may
// add, and no earlier attempt closes it any more. An attempt older than one known changes nothing.
func (g *Gate) Begin(now time.Time, topic, name string, attempt uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.round(now, topic, name); attempt > c.attempt {
		c.attempt, c.open, c.used = attempt, true, now
	}
}

// Close closes a round for all partitions of the node, whose owners are those of the table of this term; away are on their way
// here. False: a newer attempt has begun, so this one is not to be answered.
func (g *Gate) Close(now time.Time, topic, name string, attempt, term uint64, away map[uint16]bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.round(now, topic, name)
	if attempt < c.attempt {
		return false
	}
	*c = closing{attempt: attempt, closed: true, term: term, away: away, used: now}
	return true
}

// Takes says whether a player of a partition may add to a round.
func (g *Gate) Takes(topic, name string, from Place) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	c := g.rounds[id{topic, name}]
	return c == nil || !c.closed || c.open && (from.Term > c.term || c.away[from.Part])
}

func (g *Gate) round(now time.Time, topic, name string) *closing {
	c := g.rounds[id{topic, name}]
	if c == nil {
		g.expire(now)
		c = &closing{used: now}
		g.rounds[id{strings.Clone(topic), strings.Clone(name)}] = c
	}
	return c
}

func (g *Gate) expire(now time.Time) {
	if now.Sub(g.swept) < sweepEvery {
		return
	}
	g.swept = now
	for k, c := range g.rounds {
		if now.Sub(c.used) > keep {
			delete(g.rounds, k)
		}
	}
}
