package room

import (
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/protocol"
)

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
	boxes  []*actor.Mailbox[relayItem]
	wg     sync.WaitGroup
}

type relayItem struct {
	env  envelope.Envelope
	gone uint64 // not 0: this connection ended
}

// NewRelays starts n relay goroutines; Close ends them.
func NewRelays(n int, lookup func(conn uint64) Sink, router Router, m *Metrics) *Relays {
	rs := &Relays{lookup: lookup, router: router, lost: m.Lost.Inc}
	for range max(n, 1) {
		box := actor.NewMailbox[relayItem]()
		rs.boxes = append(rs.boxes, box)
		r := &relays{all: rs, topics: map[string]*relay{}, conns: map[uint64]map[string]*relay{}}
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
	if err := rs.boxes[hash%uint64(len(rs.boxes))].Put(it, hash); err != nil {
		rs.lost() // a gap; the relay asks for the rest
	}
}

// Gone forgets a connection that ended.
func (rs *Relays) Gone(conn uint64) {
	for _, b := range rs.boxes {
		_ = b.PutAlways(relayItem{gone: conn}) // closed: nothing to forget
	}
}

// relays are the topics of one relay goroutine.
type relays struct {
	all    *Relays
	topics map[string]*relay
	conns  map[uint64]map[string]*relay
}

// relay is one topic on this node.
type relay struct {
	topic   string
	last    uint64 // offset of the last push seen
	asked   time.Time
	members map[string]*attached // by player
}

type attached struct {
	conn uint64
	sink Sink
	from uint64 // gets pushes after this offset
}

func (r *relays) run(box *actor.Mailbox[relayItem]) {
	var batch []relayItem
	ok := true
	for ok {
		if batch, ok = box.Take(batch, nil); !ok {
			return
		}
		for i := range batch {
			it := &batch[i]
			switch {
			case it.gone != 0:
				for _, rl := range r.conns[it.gone] {
					r.forget(rl, it.gone)
				}
				delete(r.conns, it.gone)
			case it.env.Kind == envelope.Attach:
				r.attach(&it.env)
			case it.env.Kind == envelope.Detach:
				r.detach(&it.env)
			case it.env.Kind == envelope.Push:
				r.push(&it.env)
			}
		}
	}
}

func (r *relays) attach(e *envelope.Envelope) {
	sink := r.all.lookup(e.Conn)
	if sink == nil {
		return
	}
	rl := r.topics[e.Topic]
	if rl == nil {
		rl = &relay{topic: strings.Clone(e.Topic), last: e.Offset, members: map[string]*attached{}}
		r.topics[rl.topic] = rl
	}
	rl.members[e.From] = &attached{conn: e.Conn, sink: sink, from: e.Offset}
	of := r.conns[e.Conn]
	if of == nil {
		of = map[string]*relay{}
		r.conns[e.Conn] = of
	}
	of[rl.topic] = rl
	if len(e.Payload) > 0 {
		sink.Send(e.Payload)
	}
	if e.Offset > rl.last {
		r.ask(rl)
	}
}

func (r *relays) detach(e *envelope.Envelope) {
	rl := r.topics[e.Topic]
	if rl == nil {
		return
	}
	if a := rl.members[e.From]; a != nil && a.conn == e.Conn {
		delete(r.conns[e.Conn], e.Topic)
		r.forget(rl, e.Conn)
	}
}

func (r *relays) forget(rl *relay, conn uint64) {
	for name, a := range rl.members {
		if a.conn == conn {
			delete(rl.members, name)
			break
		}
	}
	if len(rl.members) == 0 {
		delete(r.topics, rl.topic)
	}
}

func (r *relays) push(e *envelope.Envelope) {
	rl := r.topics[e.Topic]
	if rl == nil {
		return
	}
	switch {
	case e.Offset == 0:
		for name, a := range rl.members {
			if name != e.From {
				a.sink.Send(e.Payload)
			}
		}
		return
	case e.Flags&envelope.FlagResume != 0: // the home's history begins here: what lies before is lost to us
		r.skip(rl, e.Offset)
		return
	case e.Offset <= rl.last:
		return
	case e.Offset > rl.last+1:
		r.ask(rl)
		return
	}
	rl.last = e.Offset
	for _, a := range rl.members {
		if e.Offset > a.from {
			a.sink.Send(e.Payload)
		}
	}
}

// skip goes on at offset although pushes before it are lost to this node: who missed them is sent away, to resume and be told.
func (r *relays) skip(rl *relay, offset uint64) {
	if offset <= rl.last {
		return
	}
	rl.last = offset
	for _, a := range rl.members {
		if a.from < offset {
			a.sink.Goaway(protocol.CodeUnavailable, "pushes of "+rl.topic+" were lost on the way: resume to be told what", 0)
		}
	}
}

// askEvery bounds how often a relay asks the home for what it has missed.
const askEvery = 100 * time.Millisecond

func (r *relays) ask(rl *relay) {
	now := time.Now()
	if now.Sub(rl.asked) < askEvery {
		return
	}
	rl.asked = now
	e := envelope.Envelope{Kind: envelope.Cast, Key: envelope.RoomKey(rl.topic), Topic: rl.topic, Flags: envelope.FlagResume, Offset: rl.last, Node: r.all.router.Self()}
	if err := r.all.router.Route(&e); err != nil {
		r.all.lost()
	}
}
