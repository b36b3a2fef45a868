package simulation

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"gamed/protocol"
)

// client is somebody outside the cluster who talks to one entity over one socket at a time, and remembers what was said. It does
// what the protocol asks of clients: a call that was not answered, or was told to come again, is sent again with its ref, at
// whatever node it is by then.
type client struct {
	w      *world
	number int
	entity int
	key    string
	side   int           // of a split: it reaches only nodes of its side; -1: all
	at     *node         // whose gateway has its socket; nil: it has none
	port   *port         // its end there
	gen    int           // counts sockets
	open   []*operation  // not answered for good, in the order they were begun
	ref    uint64        // the last
	last   time.Duration // when it heard anything
	rate   time.Duration // between two new operations
	window int           // operations open at a time
	done   bool          // it begins nothing new
	to     pipeline
	from   pipeline
}

// pipeline is one direction of a client's socket: it keeps order.
type pipeline struct{ last time.Duration }

func (p *pipeline) push(w *world, do func()) {
	p.last = max(p.last+time.Microsecond, w.now+w.between(50*time.Microsecond, time.Millisecond))
	w.queue.push(p.last, do)
}

// What operations do.
type opKind uint8

const (
	opPut  opKind = iota // add to the entity's account
	opTell               // have the entity say something to another
	opRead               // look; changes nothing and may be done again
)

// operation is one call, from its first sending until its answer.
type operation struct {
	number   uint64 // unique in the run
	client   *client
	ref      uint64
	kind     opKind
	key      string
	to       string // opTell
	amount   int64
	withID   bool  // applied once whatever the session
	runs     int64 // how often an entity did it
	began    time.Duration
	sent     time.Duration // last, on the present socket
	again    time.Duration // when it is to be sent again; 0: it is under way
	tries    int
	answered bool
	excused  bool  // opTell: the word was lost in a way that may be
	least    int64 // what was surely on the account when it began
}

func (o *operation) String() string {
	what := [...]string{"put", "tell", "read"}[o.kind]
	return fmt.Sprintf("op %d (client %d ref %d %s %s)", o.number, o.client.number, o.ref, what, o.key)
}

// Times of clients.
const (
	impatient  = 6 * time.Second  // without any answer: the socket is given up
	opDeadline = 30 * time.Second // without any answer on a socket whose node is well
	clientLook = 100 * time.Millisecond
)

func (w *world) addClient() {
	c := &client{w: w, number: len(w.clients), side: -1, rate: w.between(50*time.Millisecond, 500*time.Millisecond), window: 1 + w.rnd.IntN(6)}
	c.entity = c.number % w.set.entities
	c.key = w.set.keys[c.entity]
	w.clients = append(w.clients, c)
	w.after(w.between(0, time.Second), c.look)
}

// clientOf finds the client of a connection's number.
func (w *world) clientOf(conn uint64) *client { return w.clients[conn>>32] }

// look does what is due, ten times a second.
func (c *client) look() {
	w := c.w
	if c.done && len(c.open) == 0 {
		return
	}
	w.after(w.between(clientLook/2, clientLook), c.look)
	if c.at == nil {
		c.connect()
		return
	}
	for _, o := range c.open {
		switch {
		case o.again > 0 && o.again <= w.now:
			c.send(o)
		case o.again > 0:
		case (c.at.paused || c.at.dark) && w.now-max(o.sent, c.last) > impatient:
			if w.tracing {
				w.logf("client %d gives %s up", c.number, c.at)
			}
			c.hangUp()
			return
		case w.now-max(o.sent, c.at.woke) > opDeadline:
			w.fail("%s was not answered in %v, not even refused, by %s", o, opDeadline, c.at)
			return
		}
	}
	if !c.done && len(c.open) < c.window && w.chance(float64(clientLook)/float64(c.rate)) {
		c.begin()
	}
}

// connect opens a socket at a node that is to be reached, and sends again what is open, in order.
func (c *client) connect() {
	w := c.w
	var list []*node
	for _, n := range w.alive() {
		if n.ready() && (c.side < 0 || w.set.side == nil || w.set.side[n.slot] == c.side) {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return
	}
	c.at = list[w.rnd.IntN(len(list))]
	c.gen++
	c.last = w.now
	c.port = &port{client: c, conn: uint64(c.number)<<32 | uint64(c.gen)}
	if w.tracing {
		w.logf("client %d connects to %s", c.number, c.at)
	}
	for _, o := range c.open {
		c.send(o)
	}
}

// begin starts an operation.
func (c *client) begin() {
	switch c.w.rnd.IntN(5) {
	case 0:
		c.do(opRead, "")
	case 1:
		c.do(opTell, c.another())
	default:
		c.do(opPut, "")
	}
}

// another is the key of some other entity.
func (c *client) another() string {
	w := c.w
	return w.set.keys[(c.entity+1+w.rnd.IntN(max(w.set.entities-1, 1)))%w.set.entities]
}

// hurry has a client talk fast for a moment, while something moves: many words to one entity.
func (c *client) hurry() {
	w, to := c.w, c.another()
	at := time.Duration(0)
	for range 6 {
		at += w.between(time.Millisecond, 8*time.Millisecond)
		w.after(at, func() {
			if !c.done && c.at != nil && len(c.open) < maxOpen {
				c.do(opTell, to)
			}
		})
	}
}

// maxOpen is how many operations a client has open at most.
const maxOpen = 16

func (c *client) do(kind opKind, to string) {
	w := c.w
	c.ref++
	o := &operation{number: uint64(len(w.check.ops) + 1), client: c, ref: c.ref, kind: kind, key: c.key, to: to, began: w.now, amount: int64(1 + w.rnd.IntN(1000))}
	o.withID = w.set.forks && w.chance(0.5)
	w.check.began(o)
	c.open = append(c.open, o)
	c.send(o)
}

func (c *client) send(o *operation) {
	n, p := c.at, c.port
	o.sent, o.again = c.w.now, 0
	o.tries++
	frame := protocol.AppendCall(nil, o.ref, "acct:", "op", nil)
	c.to.push(c.w, func() {
		n.arrives(func() { n.gateway.frames(p, frame) })
	})
}

// hangUp gives the socket up; the node notices.
func (c *client) hangUp() {
	n, p := c.at, c.port
	c.at, c.port = nil, nil
	for _, o := range c.open {
		o.again = 0
	}
	c.to.push(c.w, func() {
		n.arrives(func() { n.gateway.closed(p) })
	})
}

// nodeGone tells the clients of a process that ended.
func (w *world) nodeGone(n *node) {
	for _, c := range w.clients {
		if p := c.port; c.at == n {
			c.from.push(w, func() {
				if c.port == p {
					c.at, c.port = nil, nil
				}
			})
		}
	}
}

// receive takes frames that a gateway writes to the client's socket.
func (p *port) receive(frames []byte) {
	c := p.client
	c.from.push(c.w, func() {
		if c.port != p {
			return
		}
		c.last = c.w.now
		eachReply(frames, func(r protocol.Reply, _ []byte) { c.reply(r) })
	})
}

// eachReply gives the REPLY frames of a write.
func eachReply(frames []byte, do func(r protocol.Reply, frame []byte)) {
	for rest := frames; len(rest) >= protocol.LengthSize; {
		size := protocol.LengthSize + int(binary.BigEndian.Uint32(rest))
		if r, ok := protocol.ParseReply(rest[protocol.LengthSize:size]); ok {
			do(r, rest[:size])
		}
		rest = rest[size:]
	}
}

// goaway closes the socket from the node's side.
func (p *port) goaway() {
	c := p.client
	c.from.push(c.w, func() {
		if c.port == p {
			c.hangUp()
		}
	})
}

func (c *client) reply(r protocol.Reply) {
	w := c.w
	i := slices.IndexFunc(c.open, func(o *operation) bool { return o.ref == r.Ref })
	if i < 0 {
		w.check.twice(c, r.Ref)
		return
	}
	o := c.open[i]
	switch {
	case r.Status == protocol.CodeOK:
		c.open = slices.Delete(c.open, i, i+1)
		w.check.answered(o, r.Payload)
	case r.Status.Class() == protocol.ClassRetry:
		if w.tracing {
			w.logf("client %d: %s gets %s", c.number, o, r.Status)
		}
		o.again = w.now + w.between(100*time.Millisecond, 400*time.Millisecond)
	default:
		w.fail("%s was refused: %s", o, r.Status)
	}
}
