package node

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/inflight"
	"gamed/internal/listener"
	"gamed/internal/player"
	"gamed/internal/room"
	"gamed/internal/shard"
	"gamed/protocol"
)

// gateway joins the sockets of this node to the players' entities, wherever they are. It implements listener.Handler.
type gateway struct {
	router *shard.Router
	relays *room.Relays
	shards [64]gatewayShard
	flying atomic.Bool  // some calls wait for an answer of another node
	last   *shard.Table // the last one with this node that changed was told of; of its caller alone
}

type gatewayShard struct {
	mu    sync.RWMutex // guards conns
	conns map[uint64]*link
}

// link is one connection and where its player lives.
type link struct {
	conn *listener.Conn
	key  string
	part uint16

	remote atomic.Bool // a call went to another node once: answers must be looked at

	mu     sync.Mutex // guards what follows
	held   []byte     // frames that came while HELLO waits for an owner
	waits  bool
	ended  bool
	hi     *envelope.Envelope // HELLO, until it is answered
	to     envelope.NodeID    // whom it was sent to
	flight inflight.Calls
	own    ownStream
}

func newGateway() *gateway {
	g := &gateway{}
	for i := range g.shards {
		g.shards[i].conns = map[uint64]*link{}
	}
	return g
}

func (g *gateway) shard(id uint64) *gatewayShard { return &g.shards[id%uint64(len(g.shards))] }

func (g *gateway) find(id uint64) *link {
	s := g.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.conns[id]
}

// sink finds a connection for a relay.
func (g *gateway) sink(id uint64) room.Sink {
	if l := g.find(id); l != nil {
		return l.conn
	}
	return nil
}

// How long HELLO waits for an owner, how often it tries, and how much may follow it meanwhile.
const (
	helloWait  = 5 * time.Second
	helloEvery = 50 * time.Millisecond
	maxHeld    = 64 << 10
)

// Hello implements listener.Handler.
func (g *gateway) Hello(c *listener.Conn, h protocol.Hello) {
	key := envelope.PlayerPrefix + c.Player()
	l := &link{conn: c, key: key, part: shard.PartitionOf(key), waits: true}
	c.Attach(l)
	s := g.shard(c.ID())
	s.mu.Lock()
	s.conns[c.ID()] = l
	s.mu.Unlock()
	e := envelope.Envelope{Kind: envelope.Hello, Key: key, Conn: c.ID(), Node: g.router.Self(), Role: c.Role(), Session: h.Session}
	if c.Text() {
		e.Flags |= envelope.FlagText
	}
	e.Payload = protocol.AppendSeen(nil, h.Seen)
	g.hello(l, &e, time.Now().Add(helloWait))
}

// hello gives HELLO to the player's owner; while there is none it is tried again.
func (g *gateway) hello(l *link, e *envelope.Envelope, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return // a HELLO whose socket has ended takes nothing over
	}
	owner, _ := g.router.Table().OwnerOf(l.part)
	err := g.router.RoutePart(e, l.part)
	if err == nil {
		l.waits, l.hi, l.to = false, e, owner
		if len(l.held) > 0 {
			g.route(l, l.held)
			l.held = nil
		}
		return
	}
	if time.Now().After(until) {
		l.conn.Goaway(protocol.CodeUnavailable, "the player's owner cannot be reached", 1000)
		return
	}
	time.AfterFunc(helloEvery, func() { g.hello(l, e, until) })
}

// Frames implements listener.Handler.
func (g *gateway) Frames(c *listener.Conn, batch []byte) {
	l := c.Attached().(*link)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waits {
		g.route(l, batch)
		return
	}
	if len(l.held)+len(batch) > maxHeld {
		c.Send(player.RefuseFrames(nil, batch, shard.ErrBusy))
		return
	}
	l.held = append(l.held, batch...)
}

// Bye implements listener.Handler.
func (g *gateway) Bye(c *listener.Conn) { g.gone(c, envelope.FlagBye) }

// Closed implements listener.Handler.
func (g *gateway) Closed(c *listener.Conn, _ listener.Reason) {
	g.gone(c, 0)
	s := g.shard(c.ID())
	s.mu.Lock()
	delete(s.conns, c.ID())
	s.mu.Unlock()
	g.relays.Gone(c.ID())
}

func (g *gateway) gone(c *listener.Conn, flags uint16) {
	l := c.Attached().(*link)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	g.sayGone(envelope.Envelope{Kind: envelope.Gone, Key: l.key, Conn: c.ID(), Flags: flags}, time.Now().Add(goneFor))
}

// goneFor is how long the end of a socket is told to an owner who cannot be reached: sessions do not wait longer by default.
const goneFor = time.Minute

// sayGone tells the player's owner that the socket ended, again until it can be reached.
func (g *gateway) sayGone(e envelope.Envelope, until time.Time) {
	if err := g.router.Route(&e); err != nil && time.Now().Before(until) {
		time.AfterFunc(helloEvery, func() { g.sayGone(e, until) })
	}
}

// changed sends what was not answered to the new owners, now that another table is in force. An owner whose table did not have this node
// for a while took it for gone: whether the sockets here are still those of their sessions, he says.
func (g *gateway) changed() {
	t := g.router.Table()
	away := func(envelope.NodeID) bool { return false }
	if t.Has(g.router.Self()) {
		if last := g.last; last != nil && last.Hash != t.Hash {
			// This node missed a table, or the other side of a split had others. Else only those who come back may have.
			all := len(t.History) == 0 || t.History[0] != last.Hash || len(t.Absorbed) > 0
			away = func(owner envelope.NodeID) bool { return all || !last.Has(owner) }
		}
		g.last = t
	}
	for i := range g.shards {
		for _, l := range g.shards[i].list() {
			owner, owned := t.OwnerOf(l.part)
			if !owned {
				continue
			}
			l.mu.Lock()
			if l.hi != nil && l.to != owner && !l.ended {
				e := *l.hi
				l.to = owner
				_ = g.router.RoutePart(&e, l.part) // without WELCOME the listener sends the client away
			}
			if l.flight.Open() > 0 && l.flight.Owner() != owner {
				g.resend(l, owner)
			}
			l.mu.Unlock()
			if away(owner) {
				g.doubt(l, time.Now().Add(goneFor))
			}
		}
	}
}

// out writes what a player's entity sends to one of our connections.
func (g *gateway) out(e *envelope.Envelope) {
	l := g.find(e.Conn)
	switch {
	case l == nil:
		if e.Key != "" { // the owner is to know that the socket is not there any more
			g.sayGone(envelope.Envelope{Kind: envelope.Gone, Key: strings.Clone(e.Key), Conn: e.Conn}, time.Now())
		}
	case e.Event == player.OpenCallsEvent:
		refs, left := player.Refs(e.Payload)
		g.moved(l, refs, left)
	case e.Flags&envelope.FlagConfirm != 0:
		l.mu.Lock()
		if l.hi != nil && !l.ended {
			h := *l.hi
			h.Flags |= envelope.FlagConfirm
			_ = g.router.RoutePart(&h, l.part) // without WELCOME the listener sends the client away
		}
		l.mu.Unlock()
	case e.Flags&envelope.FlagWelcome != 0:
		l.mu.Lock()
		l.hi = nil
		l.own.begin(e.Offset)
		l.mu.Unlock()
		l.conn.Welcome(e.Payload)
	case e.Flags&envelope.FlagClose != 0:
		if len(e.Payload) > 4 {
			if f, ok := protocol.ParseGoaway(e.Payload[4:]); ok {
				l.conn.Goaway(f.Code, f.Reason, f.RetryMS)
				return
			}
		}
		l.conn.Close()
	case e.Offset == 0 && len(e.Payload) > 0 && !l.remote.Load():
		l.conn.Send(e.Payload)
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		frames, gap := l.own.take(e.Payload)
		if frames = l.flight.Answered(time.Now(), frames); len(frames) > 0 {
			l.conn.Send(frames)
		}
		if gap || len(e.Payload) == 0 { // pushes were lost on the way, or the owner asks
			_ = g.saySeen(l)
		}
	}
}

// linked makes good what was lost with the link before, when there is one to a node again: players' own streams and rooms' streams
// that come from there.
func (n *Node) linked(name string) {
	t := n.router.Table()
	from := func(part uint16) bool {
		owner, ok := t.OwnerOf(part)
		return ok && owner.Name == name && owner != n.router.Self()
	}
	for i := range n.gateway.shards {
		for _, l := range n.gateway.shards[i].list() {
			if from(l.part) {
				n.gateway.doubt(l, time.Now().Add(goneFor))
			}
		}
	}
	n.relays.Linked(func(topic string) bool { return from(shard.PartitionOf(envelope.RoomKey(topic))) })
}

// doubt has the player's owner judge a socket, again until it can be reached.
func (g *gateway) doubt(l *link, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := g.saySeen(l); err != nil && time.Now().Before(until) {
		time.AfterFunc(helloEvery, func() { g.doubt(l, until) })
	}
}

// saySeen tells the player's owner what the socket has of the own stream. Lost, it is asked for again. The link's mutex is held.
func (g *gateway) saySeen(l *link) error {
	if !l.own.known || l.ended {
		return nil
	}
	e := envelope.Envelope{Kind: envelope.Seen, Key: l.key, Conn: l.conn.ID(), Offset: l.own.at}
	return g.router.RoutePart(&e, l.part)
}
