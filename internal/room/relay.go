package room

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	box := rs.boxes[hash%uint64(len(rs.boxes))]
	if e.Kind != envelope.Push {
		_ = box.PutAlways(it) // at most one a connection and topic; closed: no connections either
		return
	}
	if err := box.Put(it, hash); err != nil {
		rs.lost() // a gap; the relay asks for the rest
	}
}

// Pushes is how many pushes were given to sockets.
func (rs *Relays) Pushes() uint64 { return rs.pushes.Load() }

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
	group  group
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
		for i := 0; i < len(batch); i++ {
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
				n := 1
				for i+n < len(batch) && batch[i+n].gone == 0 && batch[i+n].env.Kind == envelope.Push && batch[i+n].env.Topic == it.env.Topic {
					n++
				}
				r.pushes(batch[i : i+n])
				i += n - 1
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

// maxWrite bounds what is put together for one write to each socket.
const maxWrite = 32 << 10

// pushes takes pushes of one topic that came together: each socket gets them in one write.
func (r *relays) pushes(items []relayItem) {
	rl := r.topics[items[0].env.Topic]
	if rl == nil {
		return
	}
	g := &r.group
	g.reset()
	for i := range items {
		e := &items[i].env
		switch {
		case e.Flags&envelope.FlagResync != 0:
			if e.Offset > rl.last {
				r.ask(rl)
			}
			continue
		case e.Offset == 0:
		case e.Flags&envelope.FlagResume != 0: // the home's history begins here: what lies before is lost to us
			r.write(rl, g)
			r.skip(rl, e.Offset)
			continue
		case e.Offset <= rl.last:
			continue
		case e.Offset > rl.last+1:
			r.ask(rl)
			continue
		default:
			rl.last = e.Offset
			if g.first == 0 {
				g.first = e.Offset
			}
		}
		g.pieces = append(g.pieces, piece{offset: e.Offset, except: e.From, start: len(g.bytes), end: len(g.bytes) + len(e.Payload)})
		g.excepts = g.excepts || e.From != ""
		g.bytes = append(g.bytes, e.Payload...)
		if len(g.bytes) > maxWrite {
			r.write(rl, g)
		}
	}
	r.write(rl, g)
}

// group is what one write to each socket is made of.
type group struct {
	bytes   []byte
	pieces  []piece
	first   uint64 // offset of the first numbered push, 0: none
	excepts bool   // some piece is not for everybody
	own     []byte
}

// piece is one push in a group.
type piece struct {
	offset     uint64
	except     string // the player who does not get it
	start, end int
}

func (g *group) reset() {
	clear(g.pieces)
	*g = group{bytes: g.bytes[:0], pieces: g.pieces[:0], own: g.own[:0]}
}

// write gives a group to every member: the same bytes to all, but for those who must not get some of it.
func (r *relays) write(rl *relay, g *group) {
	if len(g.bytes) > 0 {
		r.all.pushes.Add(uint64(len(g.pieces) * len(rl.members)))
		for name, a := range rl.members {
			if b := g.of(name, a.from); len(b) > 0 {
				a.sink.Send(b)
			}
		}
	}
	g.reset()
}

// of is what a member gets who has everything up to offset from.
func (g *group) of(name string, from uint64) []byte {
	if !g.excepts && (g.first == 0 || from < g.first) {
		return g.bytes
	}
	g.own = g.own[:0]
	for _, p := range g.pieces {
		if (p.offset == 0 || p.offset > from) && (p.except == "" || p.except != name) {
			g.own = append(g.own, g.bytes[p.start:p.end]...)
		}
	}
	return g.own
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
