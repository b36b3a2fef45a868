package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gamed/protocol"
)

// byeTimeout is how long Close waits for the server to take the BYE.
const byeTimeout = time.Second

// Client is one player's session. See the package comment for its promises.
type Client struct {
	opts   Options
	notes  notes
	stats  counters
	ctx    context.Context // ends when the client is to stop at once
	cancel context.CancelFunc
	ready  chan struct{}  // closed by the first WELCOME
	done   chan struct{}  // closed when the client has ended
	slots  chan struct{}  // one for each call that may be open; made by the first WELCOME
	writer sync.WaitGroup // the goroutine that writes, while there is one

	mu      sync.Mutex // guards what follows; nothing blocks under it
	link    *link      // nil between connections
	book    book
	welcome protocol.Welcome
	life    uint64 // counts sessions
	ref     uint64 // the last one used
	open    map[uint64]*call
	seen    streams
	closing bool  // Close was called
	err     error // why the client ended
}

// Dial logs in at the first address that takes the player, trying all of them again with a growing pause until ctx or
// DialTimeout ends. Addresses are HOST:PORT. The client lives until Close or a final GOAWAY, whatever becomes of ctx.
func Dial(ctx context.Context, addrs []string, o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, errors.New("client: no address to connect to")
	}
	c := &Client{
		opts:  o,
		ready: make(chan struct{}), done: make(chan struct{}),
		book: newBook(addrs), open: map[uint64]*call{}, seen: streams{},
	}
	c.notes = notes{opts: &c.opts, stats: &c.stats, space: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	ctx, stop := context.WithTimeout(ctx, o.DialTimeout)
	defer stop()
	go c.run()
	select {
	case <-c.ready:
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("client: log in: %w", c.Err())
	case <-ctx.Done():
		c.mu.Lock()
		last := c.book.last
		c.mu.Unlock()
		c.cancel()
		<-c.done
		if last != nil {
			return nil, fmt.Errorf("client: log in: %w (last attempt: %w)", ctx.Err(), last)
		}
		return nil, fmt.Errorf("client: log in: %w", ctx.Err())
	}
}

// Close says BYE, which ends the session, and waits until the server took it, at most about a second longer than one write.
// Open calls fail with ErrClosed. No callback begins after it returned; one that runs is not waited for, so it may call Close.
func (c *Client) Close() error {
	c.notes.close()
	c.mu.Lock()
	if !c.closing {
		c.closing = true
		if c.link != nil {
			c.send(c.link, protocol.AppendBye)
			_ = c.link.conn.SetReadDeadline(time.Now().Add(byeTimeout))
		} else {
			c.cancel()
		}
	}
	c.mu.Unlock()
	<-c.done
	return nil
}

// Abort drops the connection without BYE and ends the client: what a crash of this process would look like to the server.
func (c *Client) Abort() {
	c.notes.close()
	c.cancel()
	<-c.done
}

// Done is closed when the client has ended: closed, or told by the server not to come back.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the client ended; nil while it lives. A *GoawayError when the server ended it.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Player is the player's name as the server gave it.
func (c *Client) Player() string { return c.last().Player }

// Node is the node that took the last connection.
func (c *Client) Node() string { return c.last().Node }

// Session is the session's id. It is a secret of the player.
func (c *Client) Session() string { return c.last().Session }

func (c *Client) last() protocol.Welcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// Connected says whether there is a connection at this moment.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link != nil
}

// Seen is the offset of the last push taken of a topic, 0 when none is known.
func (c *Client) Seen(topic string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.position(topic)
}

// Stats counts what happened since Dial.
type Stats struct {
	Connects   uint64 // WELCOMEs
	Sessions   uint64 // sessions begun; more than 1: one was lost
	Retries    uint64 // calls sent again after a code of class retry
	Resent     uint64 // calls sent again after a reconnect
	Duplicates uint64 // pushes dropped because they had been seen
	Gaps       uint64 // holes told to OnGap
	Dropped    uint64 // tidings (not pushes) that a slow callback cost
}

type counters struct {
	connects, sessions, retries, resent, duplicates, gaps, dropped atomic.Uint64
}

// Stats may be called at any time.
func (c *Client) Stats() Stats {
	s := &c.stats
	return Stats{
		Connects: s.connects.Load(), Sessions: s.sessions.Load(), Retries: s.retries.Load(), Resent: s.resent.Load(),
		Duplicates: s.duplicates.Load(), Gaps: s.gaps.Load(), Dropped: s.dropped.Load(),
	}
}

// end makes cause the client's last word and fails all that waits.
func (c *Client) end(cause error) {
	c.cancel()
	c.mu.Lock()
	c.err = cause
	for _, k := range c.openCalls() {
		c.finish(k, answer{err: c.closedError()})
	}
	c.mu.Unlock()
	c.writer.Wait()
	close(c.done)
}

// closedError is what calls get after the end. The mutex is held.
func (c *Client) closedError() error {
	if errors.Is(c.err, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, c.err)
}

// openCalls are the open calls in the order of their refs. The mutex is held.
func (c *Client) openCalls() []*call {
	calls := make([]*call, 0, len(c.open))
	for _, k := range c.open {
		calls = append(calls, k)
	}
	slices.SortFunc(calls, func(a, b *call) int {
		if a.ref < b.ref {
			return -1
		}
		return 1
	})
	return calls
}
