package simulation

import (
	"slices"
	"time"

	"gamed/internal/cluster/agreement"
	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// network is the mesh as nodes have it: a link per pair of processes, with two lanes that keep their order. A direction that is
// cut delays what is on the way, as TCP does, until it is mended or the link is given up.
type network struct {
	w     *world
	cut   [][]bool      // by slot: nothing gets from the first to the second
	slow  time.Duration // the usual delay goes up to this
	tail  float64       // how often a delay is far longer
	full  float64       // how often a queue is full
	loss  float64       // how often a control message is lost, or comes twice
	links []*link       // those with an open end
}

// Times of the mesh.
const (
	beatEvery  = 500 * time.Millisecond
	silentFor  = 3 * beatEvery // then a link is given up
	maxPipe    = 8192          // messages on their way in one lane
	dialFirst  = 10 * time.Millisecond
	dialBefore = 600 * time.Millisecond
)

type lane int

const (
	control lane = iota
	data
	lanes
)

// link is one life of the connections between two processes. Each end is open until that side knows better.
type link struct {
	ends  [2]*node
	open  [2]bool
	heard [2]time.Duration // when that end last heard of the other
	pipes [2][lanes]pipe   // by sending end
}

// pipe is one lane in one direction.
type pipe struct {
	last    time.Duration // when the last segment on the way arrives
	next    *segment      // sent just now: more may join it
	sent    time.Duration // when it was
	waiting int
	bytes   int
	stalled []*segment    // at a cut, in order
	ends    time.Duration // the sender died: what would arrive later is lost. 0: it lives
}

// segment is what one write carries.
type segment struct{ messages []message }

// message is an envelope on the data lane, or what the agreements tell each other on the control lane, or a question.
type message struct {
	e      *envelope.Envelope
	origin ownership.Origin // of states and words
	ev     any              // an agreement.Event, or a beat
	do     func()
	asked  *asker // whose question it answers
}

func (nw *network) init(w *world) {
	nw.w = w
	nw.slow, nw.tail = 2*time.Millisecond, 0.01
	for range w.set.slots {
		nw.cut = append(nw.cut, make([]bool, w.set.slots))
	}
}

func (l *link) end(n *node) int {
	if l.ends[0] == n {
		return 0
	}
	return 1
}

// linkOf is n's open link to another process, nil when there is none.
func (n *node) linkOf(o *node) *link {
	if o.life < len(n.links) {
		return n.links[o.life]
	}
	return nil
}

// delay is how long a segment takes.
func (nw *network) delay() time.Duration {
	w := nw.w
	if w.chance(nw.tail) {
		return w.between(nw.slow, 50*nw.slow)
	}
	return w.between(nw.slow/20, nw.slow)
}

// send puts a message on a lane; the errors are the mesh's.
func (nw *network) send(from, to *node, on lane, m message) error {
	w := nw.w
	l := from.linkOf(to)
	if l == nil {
		return shard.ErrNoLink
	}
	side := l.end(from)
	p := &l.pipes[side][on]
	if p.waiting >= maxPipe || on == data && w.chance(nw.full) {
		return shard.ErrBusy
	}
	p.waiting++
	if m.e != nil {
		p.bytes += len(m.e.Payload)
	}
	if p.next != nil && p.sent == w.now {
		p.next.messages = append(p.next.messages, m)
		return nil
	}
	s := &segment{messages: []message{m}}
	p.next, p.sent = s, w.now
	p.last = max(p.last+time.Microsecond, w.now+nw.delay())
	w.queue.push(p.last, func() { nw.arrive(l, side, p, s) })
	return nil
}

// arrive brings a segment to the other end, unless something is in its way.
func (nw *network) arrive(l *link, side int, p *pipe, s *segment) {
	from, to := l.ends[side], l.ends[1-side]
	if p.next == s {
		p.next = nil
	}
	switch {
	case p.ends > 0 && nw.w.now > p.ends || !l.open[1-side] || to.dead:
		nw.gone(p, s)
	case len(p.stalled) > 0 || nw.cut[from.slot][to.slot]:
		p.stalled = append(p.stalled, s)
	default:
		nw.gone(p, s)
		to.arrives(func() {
			if !l.open[1-side] {
				return
			}
			l.heard[1-side] = nw.w.now
			for i := range s.messages {
				if to.dead {
					return
				}
				to.take(from, &s.messages[i])
			}
		})
	}
}

func (nw *network) gone(p *pipe, s *segment) {
	p.waiting -= len(s.messages)
	for i := range s.messages {
		if e := s.messages[i].e; e != nil {
			p.bytes -= len(e.Payload)
		}
	}
}

// setCut cuts a direction, or lets it work again.
func (nw *network) setCut(from, to int, cut bool) {
	if from == to || nw.cut[from][to] == cut {
		return
	}
	nw.cut[from][to] = cut
	if cut {
		return
	}
	for _, l := range nw.links {
		for side := range 2 {
			if l.ends[side].slot == from && l.ends[1-side].slot == to {
				nw.flow(l, side)
			}
		}
	}
}

// flow sends on what was stalled, after the time that TCP takes to notice; an end that was closed meanwhile says so.
func (nw *network) flow(l *link, side int) {
	w := nw.w
	back := w.between(time.Millisecond, 400*time.Millisecond)
	for on := range lanes {
		p := &l.pipes[side][on]
		list := p.stalled
		p.stalled = nil
		p.last = max(p.last, w.now+back)
		for _, s := range list {
			p.last += time.Microsecond
			w.queue.push(p.last, func() { nw.arrive(l, side, p, s) })
		}
	}
	if !l.open[side] && l.open[1-side] {
		nw.fin(l, side)
	}
}

// close ends a link as one side sees it. The other side hears of it behind what is on the way.
func (nw *network) close(l *link, side int, ev agreement.LinkDown) {
	if !l.open[side] {
		return
	}
	n, other := l.ends[side], l.ends[1-side]
	l.open[side] = false
	n.links[other.life] = nil
	if nw.w.tracing {
		nw.w.logf("%s link to %s down closed=%v silent=%v", n, other, ev.Closed, ev.Silent)
	}
	if l.open[1-side] {
		nw.fin(l, side)
	} else if i := slices.Index(nw.links, l); i >= 0 {
		nw.links = slices.Delete(nw.links, i, i+1)
	}
	if n.dead {
		return
	}
	ev.ID = other.id
	n.soon(func() { n.step(ev) })
	nw.dial(n, other)
}

// fin tells the other end that this one is closed, when that gets through.
func (nw *network) fin(l *link, side int) {
	w := nw.w
	from, to := l.ends[side], l.ends[1-side]
	if nw.cut[from.slot][to.slot] || from.dark {
		return // its own silence tells it, or the first thing that gets through
	}
	at := w.now + nw.delay()
	for on := range lanes {
		at = max(at, l.pipes[side][on].last+time.Microsecond)
	}
	w.queue.push(at, func() {
		if !l.open[1-side] || nw.cut[from.slot][to.slot] {
			return
		}
		to.arrives(func() {
			nw.close(l, 1-side, agreement.LinkDown{Closed: true, Silent: w.now - l.heard[1-side]})
			if from.dead {
				nw.refuse(to, from)
			}
		})
	})
}

// refuse has a node find out that nobody listens at the port of a process that ended.
func (nw *network) refuse(n, ended *node) {
	w := nw.w
	w.after(w.between(20*time.Millisecond, 400*time.Millisecond), func() {
		if n.dead || nw.apart(n, ended) || ended.dark {
			return
		}
		n.arrives(func() { n.step(agreement.Refused{ID: ended.id}) })
	})
}

// apart says that two hosts cannot talk in both directions.
func (nw *network) apart(a, b *node) bool { return nw.cut[a.slot][b.slot] || nw.cut[b.slot][a.slot] }

// dial links two processes as soon as they know each other and can talk.
func (nw *network) dial(a, b *node) {
	if a.slot == b.slot || a.dialing[b.life] {
		return
	}
	a.dialing[b.life], b.dialing[a.life] = true, true
	nw.tryDial(a, b, dialFirst)
}

func (nw *network) tryDial(a, b *node, first time.Duration) {
	w := nw.w
	w.after(w.between(first, dialBefore), func() {
		switch {
		case a.dead || b.dead || a.leaving || b.leaving:
		case a.linkOf(b) != nil && a.linkOf(b) == b.linkOf(a):
			delete(a.dialing, b.life)
			delete(b.dialing, a.life)
		case a.paused || b.paused || nw.apart(a, b) || !a.knows(b) && !b.knows(a):
			nw.tryDial(a, b, 100*time.Millisecond)
		case a.linkOf(b) != nil || b.linkOf(a) != nil: // one end of the link before is still there: it is replaced
			for _, n := range []*node{a, b} {
				o := b
				if n == b {
					o = a
				}
				if l := n.linkOf(o); l != nil {
					nw.close(l, l.end(n), agreement.LinkDown{Closed: true, Silent: w.now - l.heard[l.end(n)]})
				}
			}
			nw.tryDial(a, b, dialFirst)
		default:
			delete(a.dialing, b.life)
			delete(b.dialing, a.life)
			nw.up(a, b)
		}
	})
}

// up makes a link. Each side's agreement hears of it a little later, with what the other says of itself.
func (nw *network) up(a, b *node) {
	w := nw.w
	l := &link{ends: [2]*node{a, b}, open: [2]bool{true, true}, heard: [2]time.Duration{w.now, w.now}}
	nw.links = append(nw.links, l)
	a.setLink(b, l)
	b.setLink(a, l)
	for side, n := range l.ends {
		o := l.ends[1-side]
		hello := o.report()
		n.soon(func() {
			if l.open[side] {
				n.step(agreement.LinkUp{ID: o.id})
				n.step(hello)
			}
		})
	}
}

func (n *node) setLink(o *node, l *link) {
	for len(n.links) <= o.life {
		n.links = append(n.links, nil)
	}
	n.links[o.life] = l
}

// tell sends an event of the agreement on the control lane; some are lost, some come twice.
func (nw *network) tell(from, to *node, ev any) {
	if nw.w.chance(nw.loss) {
		return
	}
	_ = nw.send(from, to, control, message{ev: ev}) // what is lost is asked for again
	if nw.w.chance(nw.loss) {
		_ = nw.send(from, to, control, message{ev: ev}) // twice
	}
}

// kill ends all links of a process that is gone: a part of what it had sent still arrives. Of a machine that is gone nothing comes.
func (nw *network) kill(n *node) {
	for _, l := range slices.Clone(nw.links) {
		if l.ends[0] != n && l.ends[1] != n {
			continue
		}
		side := l.end(n)
		for on := range lanes {
			p := &l.pipes[side][on]
			p.ends = nw.w.now + 1
			if !n.dark {
				p.ends = max(p.ends, nw.w.between(nw.w.now, p.last))
			}
		}
		nw.close(l, side, agreement.LinkDown{})
	}
}

// lose breaks the link of two processes: what is on the way is lost, in both directions. It is made again soon.
func (nw *network) lose(a, b *node) {
	if a == nil || b == nil || a.linkOf(b) == nil {
		return
	}
	l := a.linkOf(b)
	for side := range l.ends {
		nw.close(l, side, agreement.LinkDown{Closed: true, Silent: nw.w.now - l.heard[side]})
	}
}
