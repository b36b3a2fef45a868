package room

import (
	"encoding/binary"
	"strings"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/protocol"
)

// relays are the topics of one relay goroutine.
type relays struct {
	all    *Relays
	topics map[string]*relay
	conns  map[uint64]map[string]string // topic → player
	had    map[uint64]map[string]uint64 // by connection and topic: what it had when it was detached
	behind map[*relay]bool              // they miss pushes
	absent map[absent]bool
	group  group

	askedRoll time.Time // when the homes were last asked for those who are absent
}

// relay is one topic on this node.
type relay struct {
	topic   string
	last    uint64 // offset of the last push seen
	known   uint64 // the largest offset heard of
	term    uint64 // of the newest home: what an older one says is not heeded any more
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
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	var ok bool
	for {
		if batch, ok = box.Take(batch, alarm.C); !ok {
			return
		}
		for i := 0; i < len(batch); {
			i += r.handle(batch[i:])
		}
		for rl := range r.behind { // a question or its answer may be lost as well
			r.ask(rl)
		}
		r.askForAbsent()
		if alarm.Reset(time.Hour); len(r.behind)+len(r.absent) > 0 {
			alarm.Reset(askEvery)
		}
	}
}

// handle takes the first item, and pushes of the same topic that follow it. It says how many.
func (r *relays) handle(items []relayItem) int {
	it, n := &items[0], 1
	switch {
	case it.gone != 0:
		for topic, name := range r.conns[it.gone] {
			r.forget(r.topics[topic], name, it.gone)
		}
		delete(r.conns, it.gone)
		delete(r.had, it.gone)
	case it.ask != nil:
		for topic, rl := range r.topics {
			if it.ask(topic) {
				r.ask(rl)
			}
		}
	case r.stale(&it.env):
	case it.env.Kind == envelope.Attach && it.env.Flags&envelope.FlagResync != 0:
		r.roll(&it.env)
	case it.env.Kind == envelope.Attach:
		r.attach(&it.env)
	case it.env.Kind == envelope.Detach:
		r.detach(&it.env)
	case it.env.Kind == envelope.Push:
		for n < len(items) && items[n].gone == 0 && items[n].ask == nil && items[n].env.Kind == envelope.Push && items[n].env.Topic == it.env.Topic {
			n++
		}
		r.pushes(items[:n])
	}
	return n
}

// stale says whether a message is of a home that another has replaced. What it lacks for it is asked for: the new one has said where
// the stream is, and who is a member.
func (r *relays) stale(e *envelope.Envelope) bool {
	rl := r.topics[e.Topic]
	if rl == nil {
		return false
	}
	if e.Term < rl.term {
		if e.Kind == envelope.Push && e.Flags&envelope.FlagResync != 0 {
			r.all.gapRead(rl.topic)
		}
		return true
	}
	rl.term = e.Term
	return false
}

func (r *relays) attach(e *envelope.Envelope) {
	delete(r.absent, absent{e.Topic, e.From, e.Conn})
	sink := r.all.lookup(e.Conn)
	if sink == nil {
		return
	}
	rl := r.topics[e.Topic]
	if rl == nil {
		rl = &relay{topic: strings.Clone(e.Topic), last: e.Offset, known: e.Offset, term: e.Term, members: map[string]*attached{}}
		r.topics[rl.topic] = rl
	}
	if e.Offset < rl.last { // the stream began anew: its home and all copies were lost
		for _, a := range rl.members {
			a.sink.Goaway(protocol.CodeUnavailable, rl.topic+" began anew: resume to be told so", 0)
		}
		rl.last, rl.known = e.Offset, e.Offset
	}
	name := strings.Clone(e.From)
	replay := after(e.Payload, r.has(rl, name, e))
	if old := rl.members[name]; old != nil {
		delete(r.conns[old.conn], rl.topic)
	}
	rl.members[name] = &attached{conn: e.Conn, sink: sink, from: e.Offset}
	of := r.conns[e.Conn]
	if of == nil {
		of = map[string]string{}
		r.conns[e.Conn] = of
	}
	of[rl.topic] = name
	if len(replay) > 0 {
		sink.Send(replay)
	}
	r.missing(rl, e.Offset)
}

// has is the offset up to which a connection that is attached again has the stream: a home that failed over may replay what the
// one before it had replayed already.
func (r *relays) has(rl *relay, name string, e *envelope.Envelope) uint64 {
	has := r.had[e.Conn][rl.topic]
	if a := rl.members[name]; a != nil && a.conn == e.Conn {
		has = max(has, a.from, rl.last)
	}
	if has > e.Offset { // of a stream that was there before this one
		return 0
	}
	return has
}

// after is what comes after an offset in frames of one stream.
func after(frames []byte, offset uint64) []byte {
	for offset > 0 && len(frames) >= protocol.LengthSize {
		n := protocol.LengthSize + int(binary.BigEndian.Uint32(frames))
		if n > len(frames) {
			break
		}
		if f, ok := protocol.ParsePush(frames[protocol.LengthSize:n]); !ok || f.Offset > offset {
			break
		}
		frames = frames[n:]
	}
	return frames
}

func (r *relays) detach(e *envelope.Envelope) {
	delete(r.absent, absent{e.Topic, e.From, e.Conn})
	rl := r.topics[e.Topic]
	if rl == nil {
		return
	}
	if a := rl.members[e.From]; a != nil && a.conn == e.Conn {
		if r.had[e.Conn] == nil {
			r.had[e.Conn] = map[string]uint64{}
		}
		r.had[e.Conn][rl.topic] = max(a.from, rl.last)
		delete(r.conns[e.Conn], e.Topic)
		r.forget(rl, e.From, e.Conn)
	}
}

func (r *relays) forget(rl *relay, name string, conn uint64) {
	if a := rl.members[name]; a != nil && a.conn == conn {
		delete(rl.members, name)
	}
	if len(rl.members) == 0 {
		delete(r.topics, rl.topic)
		delete(r.behind, rl)
	}
}

// missing notes that the stream is at offset, and asks for what is not here.
func (r *relays) missing(rl *relay, offset uint64) {
	if rl.known = max(rl.known, offset); rl.known > rl.last {
		r.behind[rl] = true
		r.ask(rl)
	}
}

// arrived notes that the relay has everything up to offset.
func (r *relays) arrived(rl *relay, offset uint64) {
	rl.last = offset
	if rl.known <= offset {
		rl.known = offset
		delete(r.behind, rl)
	}
}

// maxWrite bounds what is put together for one write to each socket.
const maxWrite = 32 << 10

// pushes takes pushes of one topic that came together: each socket gets them in one write.
func (r *relays) pushes(items []relayItem) {
	rl := r.topics[items[0].env.Topic]
	if rl == nil {
		for i := range items {
			if items[i].env.Flags&envelope.FlagResync != 0 {
				r.all.gapRead(items[i].env.Topic)
			}
		}
		return
	}
	g := &r.group
	g.reset()
	for i := range items {
		e := &items[i].env
		switch {
		case i > 0 && r.stale(e):
			continue
		case e.Flags&envelope.FlagResync != 0:
			r.all.gapRead(rl.topic)
			r.missing(rl, e.Offset)
			continue
		case e.Offset == 0:
		case e.Flags&envelope.FlagResume != 0: // the home's history begins here: what lies before is lost to us
			r.write(rl, g)
			r.skip(rl, e.Offset)
			continue
		case e.Offset <= rl.last:
			continue
		case e.Offset > rl.last+1:
			r.missing(rl, e.Offset)
			continue
		default:
			r.arrived(rl, e.Offset)
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
	r.arrived(rl, offset)
	for _, a := range rl.members {
		if a.from < offset {
			a.sink.Goaway(protocol.CodeUnavailable, "pushes of "+rl.topic+" were lost on the way: resume to be told what", 0)
		}
	}
}

// askEvery is how often at most, and while something is missing at least, a relay asks the home for what it has missed.
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
