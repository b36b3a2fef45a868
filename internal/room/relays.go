package room

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/protocol"
)

// Router is how a relay reaches a home.
type Router interface {
	Self() envelope.NodeID
	Route(e *envelope.Envelope) error
}

// Sink is a member's connection. Send must not block and must not keep frames.
type Sink interface {
	Send(frames []byte)
	Goaway(code protocol.Code, reason string, retryMS int64)
}

// Relays give rooms' streams to the sockets of this node. They run in goroutines of their own, so that a room of many does not
// hold up the players of a worker; one topic is always with the same one, in order.
type Relays struct {
	lookup func(conn uint64) Sink // nil: no such connection (any more)
	router Router
	lost   func()
	pushes atomic.Uint64
	boxes  []*actor.Mailbox[relayItem]
	wg     sync.WaitGroup

	mu   sync.Mutex // guards gaps
	gaps map[string]bool
}

type relayItem struct {
	env  envelope.Envelope
	gone uint64                  // not 0: this connection ended
	ask  func(topic string) bool // not nil: the homes of these topics are asked for what is missing
}

// NewRelays starts n relay goroutines; Close ends them.
func NewRelays(n int, lookup func(conn uint64) Sink, router Router, m *Metrics) *Relays {
	rs := &Relays{lookup: lookup, router: router, lost: m.Lost.Inc, gaps: map[string]bool{}}
	for range max(n, 1) {
		box := actor.NewMailbox[relayItem]()
		rs.boxes = append(rs.boxes, box)
		r := &relays{all: rs, topics: map[string]*relay{}, conns: map[uint64]map[string]string{}, had: map[uint64]map[string]uint64{}, behind: map[*relay]bool{}, absent: map[absent]bool{}}
		rs.wg.Go(func() { r.run(box) })
	}
	return rs
}

// Close ends the relays.
func (rs *Relays) Close() {
	for _, b := range rs.boxes {
		b.Close()
	}
	rs.wg.Wait()
}

// Handle takes an Attach, Detach or Push for this node. e is copied.
func (rs *Relays) Handle(e *envelope.Envelope) {
	hash := xxhash.Sum64String(e.Topic)
	it := relayItem{env: *e}
	it.env.Key = ""
	it.env.Payload = append([]byte(nil), e.Payload...)
	box := rs.boxes[hash%uint64(len(rs.boxes))]
	if e.Kind != envelope.Push {
		_ = box.PutAlways(it) // at most one a connection and topic; closed: no connections either
		return
	}
	if err := box.Put(it, hash); err != nil {
		rs.lost()
		if e.Offset != 0 {
			rs.gap(box, strings.Clone(e.Topic), e.Offset, e.Term)
		}
	}
}

// gap leaves word, once until it is read, that a push was lost here, so that the relay asks for it even if it was the last one.
func (rs *Relays) gap(box *actor.Mailbox[relayItem], topic string, offset, term uint64) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !rs.gaps[topic] {
		rs.gaps[topic] = true
		e := envelope.Envelope{Kind: envelope.Push, Topic: topic, Term: term, Flags: envelope.FlagResync, Offset: offset}
		_ = box.PutAlways(relayItem{env: e}) // closed: nobody listens any more
	}
}

func (rs *Relays) gapRead(topic string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.gaps, topic)
}

// Pushes is how many pushes were given to sockets.
func (rs *Relays) Pushes() uint64 { return rs.pushes.Load() }

// Linked asks the homes of some topics for what may have been lost on the way.
func (rs *Relays) Linked(these func(topic string) bool) {
	for _, b := range rs.boxes {
		_ = b.PutAlways(relayItem{ask: these}) // closed: nobody listens any more
	}
}

// Gone forgets a connection that ended.
func (rs *Relays) Gone(conn uint64) {
	for _, b := range rs.boxes {
		_ = b.PutAlways(relayItem{gone: conn}) // closed: nothing to forget
	}
}
