package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"gamed/protocol"
)

const (
	maxLearned  = 64          // addresses taken from a GOAWAY
	maxRetry    = time.Minute // the longest retry_ms obeyed
	outstanding = 64          // calls open at once, unless WELCOME says otherwise
	heartbeat   = 15 * time.Second
)

// book is the addresses known: those given and those of the last GOAWAY.
type book struct {
	given   []string
	learned []string
	advised bool   // learned is of the GOAWAY that ended the last connection: those named first are the better ones
	current string // where the last connection was
	last    error  // why the last attempt failed
}

func newBook(addrs []string) book { return book{given: slices.Clone(addrs)} }

// order is the addresses to try: as given at first; after a connection the others in random order, so that the players of a
// node that left spread, and its own address last. When it said where to go, the first half of those comes first.
func (b *book) order() []string {
	var all []string
	better := 0
	if b.advised {
		all = slices.Clone(b.learned)
		better = (len(all) + 1) / 2
		rand.Shuffle(better, func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	for _, a := range append(slices.Clone(b.given), b.learned...) {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	if i := slices.Index(all, b.current); i >= 0 {
		all = slices.Delete(all, i, i+1)
		if i < better {
			better--
		}
		rest := all[better:]
		rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		all = append(all, b.current)
	}
	return all
}

// backoff is a pause that doubles, with jitter over its upper half.
type backoff struct {
	min, max time.Duration
	step     int
}

func (b *backoff) next() time.Duration {
	d := b.max
	if b.step < 20 {
		d = min(b.min<<b.step, b.max)
		b.step++
	}
	return d/2 + rand.N(d/2+1)
}

// run is the client's life: connect, serve, and again.
func (c *Client) run() {
	pause := backoff{min: c.opts.BackoffMin, max: c.opts.BackoffMax}
	for {
		l, err := c.connect(&pause)
		if err != nil {
			c.end(err)
			return
		}
		err = c.serve(l)
		if final := c.disconnected(l, err); final != nil {
			c.end(final)
			return
		}
		if time.Since(l.since) > c.opts.BackoffMax {
			pause.step = 0
		}
		if err := c.sleep(max(pause.next(), hint(err))); err != nil {
			c.end(err)
			return
		}
	}
}

// connect tries all addresses, and again after a pause, until one takes the player. Its error is final.
func (c *Client) connect(pause *backoff) (*link, error) {
	for {
		c.mu.Lock()
		addrs := c.book.order()
		c.mu.Unlock()
		var wait time.Duration
		for _, addr := range addrs {
			l, err := c.attempt(addr)
			if err == nil {
				return l, nil
			}
			if c.ctx.Err() != nil || errors.Is(err, ErrClosed) {
				return nil, ErrClosed
			}
			c.opts.Logger.Debug("log in failed", "addr", addr, "err", err)
			if g, ok := errors.AsType[*GoawayError](err); ok && g.Final() {
				return nil, g
			}
			wait = max(wait, hint(err))
			c.mu.Lock()
			c.book.last = err
			c.mu.Unlock()
		}
		if err := c.sleep(max(pause.next(), wait)); err != nil {
			return nil, err
		}
	}
}

// hint is the pause a GOAWAY asks for, a little spread.
func hint(err error) time.Duration {
	g, ok := errors.AsType[*GoawayError](err)
	if !ok || g.Retry <= 0 {
		return 0
	}
	return g.Retry + rand.N(g.Retry/4+1)
}

func (c *Client) sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.ctx.Done():
		return ErrClosed
	}
}

// attempt dials one address and logs in there.
func (c *Client) attempt(addr string) (*link, error) {
	ctx, stop := context.WithTimeout(c.ctx, c.opts.ConnectTimeout)
	defer stop()
	conn, err := c.opts.Dialer(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	if c.opts.TLS != nil {
		config := c.opts.TLS.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(addr)
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
		conn = secure
	}
	l := &link{conn: conn, addr: addr, since: time.Now(), heartbeat: heartbeat}
	if err := c.login(l); err != nil {
		conn.Close()
		return nil, fmt.Errorf("log in at %s: %w", addr, err)
	}
	return l, nil
}

// login sends HELLO and waits for WELCOME.
func (c *Client) login(l *link) error {
	defer closeOn(c.ctx, l.conn)()
	_ = l.conn.SetDeadline(time.Now().Add(c.opts.HelloTimeout))
	if _, err := l.conn.Write(c.hello()); err != nil {
		return fmt.Errorf("write hello: %w", err)
	}
	for {
		body, err := l.next()
		if err != nil {
			return fmt.Errorf("wait for welcome: %w", err)
		}
		if kind, _ := protocol.FrameKind(body); kind != protocol.KindWelcome {
			if err := c.handle(l, body); err != nil {
				return err
			}
			continue
		}
		if err := protocol.CheckFrame(body); err != nil {
			return fmt.Errorf("welcome: %w", err)
		}
		w, ok := protocol.ParseWelcome(body)
		if !ok {
			return errors.New("welcome: malformed")
		}
		_ = l.conn.SetDeadline(time.Time{})
		return c.welcomed(l, w)
	}
}

func (c *Client) hello() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := protocol.Hello{V: protocol.Version, Name: c.opts.Name, HasName: c.opts.Name != "", Token: c.opts.Token, HasToken: c.opts.Token != ""}
	if c.life > 0 {
		h.Session = c.welcome.Session
		h.Seen = c.seen.list(len(h.Name) + len(h.Token) + len(h.Session))
	}
	return protocol.AppendHello(nil, h)
}

// welcomed makes l the connection: it settles what became of the session, and sends the calls that are open.
func (c *Client) welcomed(l *link, w protocol.Welcome) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrClosed
	}
	if w.HeartbeatMS > 0 {
		l.heartbeat = time.Duration(min(w.HeartbeatMS, 1<<32)) * time.Millisecond
	}
	missed := make(map[string]bool, len(w.Missed))
	for _, m := range w.Missed {
		missed[m.Topic] = m.Missed
	}
	first := c.life == 0
	resumed := w.Resumed && !first
	if resumed {
		c.seen.resumed(missed)
	} else {
		c.life++
		c.stats.sessions.Add(1)
		clear(c.seen)
	}
	c.stats.connects.Add(1)
	c.welcome, c.link, c.book.current, c.book.last, c.book.advised = w, l, l.addr, nil, false
	if first {
		n := w.Limits.Outstanding
		if n <= 0 || n > 1<<16 {
			n = outstanding
		}
		c.slots = make(chan struct{}, n)
		close(c.ready)
	}
	c.opts.Logger.Debug("logged in", "addr", l.addr, "node", w.Node, "player", w.Player, "resumed", resumed)
	c.notes.tell(note{connected: &Connected{Node: w.Node, Addr: l.addr, Resumed: resumed, Degraded: w.Degraded, Missed: maps.Clone(missed)}})
	for _, k := range c.openCalls() {
		switch {
		case resumed && k.sent:
			c.stats.resent.Add(1)
		case k.sent:
			c.finish(k, answer{err: ErrSessionLost})
			continue
		}
		k.life = c.life
		c.sendCall(k)
	}
	return nil
}

// disconnected takes the connection away and says why the client must end, or nil.
func (c *Client) disconnected(l *link, cause error) error {
	l.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = nil
	for _, k := range c.openCalls() {
		if k.abandoned {
			c.finish(k, answer{})
		}
	}
	if c.closing || c.ctx.Err() != nil {
		return ErrClosed
	}
	c.opts.Logger.Debug("connection ended", "addr", l.addr, "err", cause)
	c.notes.tell(note{lost: cause})
	if g, ok := errors.AsType[*GoawayError](cause); ok && g.Final() {
		return g
	}
	return nil
}

// goaway makes the server's last word an error and remembers the other nodes it names.
func (c *Client) goaway(f protocol.Goaway) error {
	if n := min(len(f.Addrs), maxLearned); n > 0 {
		c.mu.Lock()
		c.book.learned, c.book.advised = slices.Clone(f.Addrs[:n]), true
		c.mu.Unlock()
	}
	retry := time.Duration(min(max(f.RetryMS, -1), maxRetry.Milliseconds())) * time.Millisecond
	return &GoawayError{Code: f.Code, Reason: f.Reason, Retry: retry, Addrs: f.Addrs}
}

// closeOn closes the connection when ctx ends; the function it returns takes that back.
func closeOn(ctx context.Context, conn net.Conn) func() bool {
	return context.AfterFunc(ctx, func() { conn.Close() })
}
