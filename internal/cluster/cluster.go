package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gamed/internal/cluster/agreement"
	"gamed/internal/cluster/mesh"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

const (
	heartbeat     = 500 * time.Millisecond
	leaveWait     = 500 * time.Millisecond // for gossip to hear of a goodbye
	handOverWait  = 3 * time.Second        // for the others to take what this node owned
	announceWait  = time.Second
	announceEvery = 500 * time.Millisecond
	pollEvery     = 20 * time.Millisecond
)

// Cluster is this node's part in the cluster. Its methods may be called from any goroutine.
type Cluster struct {
	opt     Options
	log     *slog.Logger
	self    shard.NodeID
	meta    meta // at the start
	gossip  *gossip
	mesh    *mesh.Mesh
	listen  net.Listener
	metrics *metrics
	inbox   *inbox
	seeds   *seeds

	announce chan struct{} // capacity 1: the metadata changed
	left     chan struct{} // closed when this node has said goodbye
	tasks    sync.WaitGroup

	table  atomic.Pointer[shard.Table]
	report atomic.Pointer[[]byte]
	shown  atomic.Pointer[view]
	filled atomic.Pointer[agreement.Filled]

	began time.Time // the zero of the loop's clock
	lease Lease
	loud  rare // what is wrong with what others send

	mu      sync.Mutex // guards what follows
	cuts    map[string]bool
	running bool
	ended   bool
	cancel  context.CancelCauseFunc // of Run; nil before
	cause   error                   // why Run must end before it began
}

var errKilled = errors.New("killed")

// New binds the mesh and gossip ports. Nothing happens on them before Run.
func New(o Options) (*Cluster, error) {
	o.defaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Boot == 0 {
		o.Boot = newBoot()
	}
	c := &Cluster{opt: o, log: o.Log, self: shard.NodeID{Name: o.Name, Boot: o.Boot}, inbox: newInbox(), cuts: map[string]bool{},
		announce: make(chan struct{}, 1), left: make(chan struct{})}
	c.began = time.Now()
	c.lease.start, c.loud.log = c.began, o.Log
	c.table.Store(shard.Empty())
	c.filled.Store(&agreement.Filled{})
	c.show(nil, "not started")
	var err error
	if c.listen, err = o.network.listen(o.MeshAddr); err != nil {
		return nil, fmt.Errorf("mesh port %s is taken or not ours: choose another one with --mesh: %w", o.MeshAddr, err)
	}
	if c.gossip, err = newGossip(&c.opt, c.self, c.inbox, c.fatal); err != nil {
		_ = c.listen.Close()
		return nil, fmt.Errorf("%w: choose another one with --gossip", err)
	}
	if err = c.build(); err != nil {
		_ = c.listen.Close()
		c.gossip.stop()
		return nil, err
	}
	return c, nil
}

// build makes what needs the ports to be known.
func (c *Cluster) build() error {
	o := &c.opt
	addr, err := c.gossip.addr()
	if err != nil {
		return err
	}
	host := o.AdvertiseHost
	bound := c.listen.Addr().(*net.TCPAddr)
	switch {
	case host != "":
	case bound.IP.IsUnspecified():
		host = addr.IP.String()
	default:
		host = bound.IP.String()
	}
	c.meta = meta{Node: c.self, Mesh: net.JoinHostPort(host, strconv.Itoa(bound.Port)), Players: o.PlayersAddr, Admin: o.AdminAddr,
		Version: o.Version, WireMin: WireMin, WireMax: WireMax, Config: ConfigHash(o.Cluster, o.Policy), Started: uint64(time.Now().UnixMilli())}
	if err := c.meta.check(); err != nil {
		return err
	}
	encoded := c.meta.append(nil)
	c.gossip.meta.Store(&encoded)
	if c.metrics, err = newMetrics(o.Registerer, func() float64 { return float64(c.gossip.stray.Load()) }); err != nil {
		return err
	}
	report := appendReport(nil, &agreement.Report{Position: agreement.PositionOf(shard.Empty())})
	c.report.Store(&report)
	c.mesh, err = mesh.New(mesh.Options{Self: c.self, Cluster: o.Cluster, ConfigHash: c.meta.Config, WireMin: WireMin, WireMax: WireMax,
		Listen: c.listen, Dial: o.network.dial, TLS: o.TLS, Heartbeat: heartbeat, Log: o.Log, Registerer: o.Registerer,
		Receive: c.receive, OnLink: c.inbox.link, OnHello: c.hello, Hello: func() []byte { return *c.report.Load() },
		OnAnswer: c.answer,
		OnRefused: func(peer mesh.NodeID, byPeer bool, why mesh.Refusal) {
			c.inbox.put(func(in *letters) { keep(in, &in.refusals, refusal{peer, byPeer, why.String()}, true) })
		},
		OnDialError: func(peer mesh.NodeID, refused bool, _ error) {
			if refused {
				c.inbox.put(func(in *letters) { keep(in, &in.refused, peer, true) })
			}
		}})
	if err != nil {
		return fmt.Errorf("make the mesh: %w", err)
	}
	c.seeds = &seeds{join: o.Join, self: addr.String(), metrics: c.metrics, log: o.Log, lookup: net.DefaultResolver.LookupHost,
		contact: func(a string) error { _, err := c.gossip.list.Join([]string{a}); return err }}
	c.seeds.wanted.Store(&seedView{alone: true})
	return nil
}

func newBoot() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if v := binary.BigEndian.Uint64(b[:]); v != 0 {
			return v
		}
	}
}

// Run takes part in the cluster until ctx ends, then closes all sockets; it says goodbye only if Leave was called. The error says
// why this node must not go on: ErrDuplicate, ErrReplaced, or a port that failed. Call it once.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	if c.running || c.ended {
		cause := c.cause
		c.mu.Unlock()
		return ending(cause)
	}
	c.running, c.cancel = true, cancel
	c.mu.Unlock()

	err := c.gossip.start()
	if err == nil {
		c.work(ctx, cancel)
		err = ending(context.Cause(ctx))
	} else {
		_ = c.listen.Close()
	}
	c.gossip.stop()
	c.lease.until.Store(0)
	c.show(nil, "stopped")
	return err
}

// work runs all goroutines and waits until they ended.
func (c *Cluster) work(ctx context.Context, cancel context.CancelCauseFunc) {
	l := newLoop(ctx, c)
	c.tasks.Go(func() {
		if err := c.mesh.Run(ctx); err != nil {
			cancel(fmt.Errorf("mesh: %w", err))
		}
	})
	c.tasks.Go(func() { c.seeds.run(ctx) })
	c.tasks.Go(func() { c.announcer(ctx) })
	c.tasks.Go(l.run)
	<-ctx.Done()
	c.gossip.wire.stop() // ends the streams that a task may wait for
	c.tasks.Wait()
}

// ending is the error of Run for why its context ended.
func ending(cause error) error {
	if cause == nil || errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, errKilled) {
		return nil
	}
	return cause
}

// fatal ends Run with an error.
func (c *Cluster) fatal(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = err
	}
	if c.cancel != nil {
		c.cancel(err)
	}
}

// announcer gossips the metadata after it changed, not more often than twice a second.
func (c *Cluster) announcer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.announce:
		}
		if err := c.gossip.list.UpdateNode(announceWait); err != nil {
			c.log.Debug("announce metadata", "err", err)
		}
		pause(ctx, announceEvery)
	}
}

// receive gets what the mesh brings. It runs on the reader of the peer's lane.
func (c *Cluster) receive(from mesh.NodeID, _ mesh.Lane, e *envelope.Envelope) {
	if e.Kind != envelope.Table {
		c.opt.Receive(from, e)
		return
	}
	switch e.Event {
	case tellTable:
		t, err := parseTable(e.Payload)
		if err != nil {
			c.malformed(from, "a table could not be read", err)
			return
		}
		c.inbox.table(from, t)
	case tellFetch:
		c.inbox.put(func(in *letters) { keep(in, &in.fetches, from, true) })
	case tellLeave:
		c.inbox.put(func(in *letters) { keep(in, &in.leaves, from, true) })
	case tellForget:
		name := string(e.Payload)
		if !protocol.ValidPlayer(name) {
			c.malformed(from, "a name to be forgotten could not be read", errWire)
			return
		}
		c.inbox.put(func(in *letters) { keep(in, &in.forgets, name, in.forgets[name]) })
	default:
		c.malformed(from, "an unknown word on the table came", errWire)
	}
}

// malformed counts and tells of bytes of a node that are not what they should be. Nothing came of them.
func (c *Cluster) malformed(from mesh.NodeID, what string, err error) {
	c.metrics.malformed.Inc()
	c.loud.warn(from.Name+" "+what, what, "from", from.String(), "err", err)
}

// hello gets what a peer says of itself.
func (c *Cluster) hello(from mesh.NodeID, b []byte) {
	c.word(from, b, 0)
}

// answer gets the same with the answer to a heartbeat, and when that was sent.
func (c *Cluster) answer(from mesh.NodeID, b []byte, sent time.Time) {
	c.word(from, b, max(sent.Sub(c.began), 1))
}

func (c *Cluster) word(from mesh.NodeID, b []byte, sent time.Duration) {
	r, err := parseReport(from, b)
	if err != nil {
		c.malformed(from, "a state could not be read", err)
		return
	}
	r.Sent = sent
	c.inbox.report(from, r)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
