// Package node is the composition root: the only package that imports all parts of a node and joins them. A process may run
// several nodes.
package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gamed/game"
	"gamed/internal/actor"
	"gamed/internal/admin"
	"gamed/internal/cluster"
	"gamed/internal/cluster/mesh"
	"gamed/internal/config"
	"gamed/internal/envelope"
	"gamed/internal/listener"
	"gamed/internal/player"
	"gamed/internal/replica"
	"gamed/internal/room"
	"gamed/internal/shard"
	"gamed/internal/tally"
	"gamed/protocol"
)

// Options of a node.
type Options struct {
	Config  config.Config
	Games   []game.Game
	Version string
	Log     *slog.Logger
}

// Addrs are a node's name and the addresses it listens on.
type Addrs struct {
	Node    string `json:"node"`
	Players string `json:"players"`
	Mesh    string `json:"mesh"`
	Gossip  string `json:"gossip"`
	Admin   string `json:"admin"`
}

// Node is a running gamed.
type Node struct {
	opt        Options
	log        *slog.Logger
	cluster    *cluster.Cluster
	listener   *listener.Server
	admin      *admin.Server
	router     *shard.Router
	workers    *shard.Workers
	relays     *room.Relays
	gateway    *gateway
	players    *player.Deps
	rooms      *room.Deps
	peers      *peers
	events     events
	conflicts  *conflicts
	secrets    *secrets
	memory     *memory
	dead       actor.DeadLetters
	watched    watched
	copies     *replica.Store
	gate       *tally.Gate
	policy     *replica.Policy
	own        *owning
	moves      *moves
	minority   minority
	installing sync.RWMutex // held while a table is put in force; see collecting
	bulk       bulk
	serving    chan struct{}
	draining   atomic.Bool
	degraded   atomic.Bool // see condition
	condition  condition
	filling    filling
	sent       atomic.Uint64 // envelopes to other nodes

	ctx    context.Context // ends with Run
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes a node and binds all its ports. Run must be called next; an error leaves nothing open.
func New(opt Options) (*Node, error) {
	games := map[string]*game.Game{}
	var words []game.Word
	for i := range opt.Games {
		g := &opt.Games[i]
		switch {
		case !protocol.ValidGame(g.Name) || g.Name == "player":
			return nil, fmt.Errorf("game %q: the name must be 1–32 of a-z, 0-9 and -, and not player", g.Name)
		case games[g.Name] != nil:
			return nil, fmt.Errorf("game %q is registered twice", g.Name)
		case g.Player == nil && g.Room == nil:
			return nil, fmt.Errorf("game %q has neither a player part nor a room part", g.Name)
		}
		games[g.Name] = g
		words = append(words, g.Words...)
	}
	cfg := opt.Config
	n := &Node{opt: opt, log: opt.Log, serving: make(chan struct{}, maxQueries), copies: replica.NewStore(), gate: tally.NewGate()}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.peers = newPeers(n)
	n.filling.looks = make(chan looked, 1)
	n.gateway = newGateway()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	var undo []func()
	fail := func(err error) (*Node, error) {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
		n.cancel()
		return nil, err
	}
	n.memory = newMemory(reg)
	var err error
	if n.secrets, err = loadSecrets(&n.opt.Config, n.log, reg); err != nil {
		return fail(err)
	}
	n.listener, err = listener.New(n.listenerOptions(words, reg), n.gateway)
	if err != nil {
		return fail(err)
	}
	undo = append(undo, n.listener.Close)
	n.cluster, err = cluster.New(cluster.Options{
		Name: cfg.Node, Cluster: cfg.Cluster, MeshAddr: cfg.Mesh, GossipAddr: cfg.Gossip, AdvertiseHost: cfg.Advertise,
		PlayersAddr: n.playersAddr(), AdminAddr: cfg.Admin, Join: cfg.Join, Expect: cfg.Expect, Policy: cfg.Policy, Version: opt.Version, Log: opt.Log,
		Registerer: reg, TLS: n.secrets.mesh, GossipKeys: n.secrets.gossip,
		Receive: n.receive,
		OnTable: n.installed, OnEvent: n.happened,
	})
	if err != nil {
		return fail(err)
	}
	undo = append(undo, n.cluster.Kill)
	change := n.cluster.SetGossipKeys
	n.secrets.gossipChange.Store(&change)
	n.router = shard.NewRouter(n.cluster.Self(), local{n}, meshOf{n})
	n.gateway.router = n.router
	n.own, n.moves = newOwning(n.cluster.Self()), newMoves(reg)
	n.compose(games, reg)
	undo = append(undo, n.relays.Close, n.workers.Close)
	n.admin, err = admin.New(admin.Options{Addr: cfg.Admin, Who: n.secrets.who(), Insecure: cfg.Insecure, Source: source{n}, Gatherer: reg, Registerer: reg, Log: opt.Log})
	if err != nil {
		return fail(err)
	}
	return n, nil
}

// meshOf gives the router the mesh with the router's own errors.
type meshOf struct{ n *Node }

// Send implements shard.Mesh.
func (m meshOf) Send(to shard.NodeID, e *envelope.Envelope) error {
	switch err := m.n.cluster.Send(to, e); {
	case err == nil:
		m.n.sent.Add(1)
		return nil
	case errors.Is(err, mesh.ErrBusy):
		return shard.ErrBusy
	case errors.Is(err, mesh.ErrNoLink):
		return shard.ErrNoLink
	default:
		return err
	}
}

func (n *Node) listenerOptions(words []game.Word, reg prometheus.Registerer) listener.Options {
	cfg := n.opt.Config
	o := listener.DefaultOptions()
	o.Addr, o.Rate, o.Burst, o.Heartbeat = cfg.Listen, cfg.RateLimit, 2*cfg.RateLimit, cfg.Heartbeat
	o.Words, o.Logger, o.Registerer, o.Addrs = words, n.log, reg, n.otherPlayersAddrs
	o.TLS, o.Authenticate = n.secrets.playersTLS(), n.secrets.authenticate()
	o.TLSOnly, o.Pressure = o.TLS != nil && !cfg.Insecure, n.memory.pressure
	for _, network := range cfg.ProxyNetworks {
		if p, err := netip.ParsePrefix(network); err == nil { // config has judged it
			o.ProxyNetworks = append(o.ProxyNetworks, p.Masked())
		}
	}
	return o
}

// compose makes what runs entities.
func (n *Node) compose(games map[string]*game.Game, reg prometheus.Registerer) {
	cfg := n.opt.Config
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "actor", Name: "dead_letters_total",
		Help: "Messages whose handler panicked."}, func() float64 { return float64(n.dead.Total()) }))
	dead := n.died
	n.watched.init(reg, n)
	pace := replica.NewPacer(replica.PacerOptions{Backlog: n.cluster.Backlog})
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "replica", Name: "too_large_total",
		Help: "Attempts to back up an entity whose state is larger than 64 MiB."}, func() float64 { return float64(pace.TooLarge()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "replica", Name: "refused_total",
			Help: "Changes and copies of other nodes that were not taken: damaged, too large, of an earlier owner, or after a gap."}, func() float64 { return float64(n.copies.Refused()) }))
	n.policy = &replica.Policy{Router: n.router, Local: cfg.Ack == "local", Pace: pace, Refused: func(e *envelope.Envelope, why error) {
		local{n}.Refused(n.router.Self(), e, why)
	}}
	n.players = &player.Deps{Replica: n.policy, Games: games, SessionTTL: cfg.SessionTTL, HeartbeatMS: cfg.Heartbeat.Milliseconds(),
		Limits:   protocol.Limits{Frame: protocol.MaxFrameIn, Rate: int64(cfg.RateLimit), Burst: int64(2 * cfg.RateLimit), Outstanding: player.OpenCalls},
		Degraded: n.degraded.Load, Dead: dead, Log: n.log, Metrics: player.NewMetrics(reg)}
	n.conflicts = newConflicts(reg)
	n.rooms = &room.Deps{Replica: n.policy, Games: games, Degraded: n.players.Degraded, Dead: dead, Log: n.log, Metrics: room.NewMetrics(reg)}
	workers := cfg.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	n.relays = room.NewRelays(min(workers, 4), n.gateway.sink, n.router, n.rooms.Metrics)
	n.gateway.relays = n.relays
	n.workers = shard.NewWorkers(shard.Options{Dispatch: shard.Dispatch(cfg.Dispatch), Workers: workers, New: n.newEntity, Local: n.newWorker, Panicked: dead,
		Mine: n.runs, Stray: n.stray, Lease: n.cluster.Lease().HeldAt, Refuse: n.policy.Refused,
		Delayed: n.delayed, Exhausted: n.exhausted})
}

// Run serves until ctx ends, then says goodbye to the players and leaves the cluster, within the drain timeout. The error says
// what ended it, or what could not be finished.
func (n *Node) Run(ctx context.Context) error {
	defer n.cancel()
	inner, stop := context.WithCancel(n.ctx)
	defer stop()
	ended := make(chan error, 3)
	run := func(what string, f func(context.Context) error) {
		n.wg.Go(func() {
			err := f(inner)
			if err != nil {
				err = fmt.Errorf("%s: %w", what, err)
			}
			ended <- err
		})
	}
	run("cluster", n.cluster.Run)
	run("listener", n.listener.Run)
	run("admin", n.admin.Run)
	n.wg.Go(func() { n.secrets.watch(inner) })
	n.wg.Go(func() { n.memory.watch(inner) })
	n.wg.Go(func() {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-inner.Done():
				return
			case now := <-tick.C:
				n.gateway.sweep(now)
				n.tick(now)
				n.lookForMajority(now)
			}
		}
	})
	var err error
	select {
	case <-ctx.Done():
		err = n.leave()
	case <-n.ctx.Done(): // killed
	case err = <-ended:
		n.stopListener(protocol.CodeShutdown, "the node stops")
	}
	stop()
	n.cancel()
	n.wg.Wait()
	n.router.Close()
	n.workers.Close()
	n.relays.Close()
	return err
}

// leave ends a node in order: nothing new, entities moved, players told where to go, the cluster told that it was meant.
func (n *Node) leave() error {
	ctx, cancel := context.WithTimeout(n.ctx, n.opt.Config.DrainTimeout)
	defer cancel()
	return errors.Join(n.drain(ctx), n.cluster.Leave(ctx))
}

// drain empties the node: it is not ready any more, its partitions go to the others, its players are told to go on elsewhere.
func (n *Node) drain(ctx context.Context) error {
	if n.draining.Swap(true) {
		return nil
	}
	n.events.add("draining", n.router.Self().Name, "drain begun")
	n.cluster.SetDraining(true)
	code, reason := protocol.CodeDraining, "the node is drained: go on at another one"
	var err error
	if len(n.otherPlayersAddrs()) == 0 {
		code, reason = protocol.CodeShutdown, "the server stops"
	} else {
		err = n.handOver(ctx)
	}
	spread := func() int64 { return rand.Int64N(1 + min(int64(n.listener.Count())/2, 5000)) }
	err = errors.Join(err, n.listener.Shutdown(ctx, code, reason, spread))
	return errors.Join(err, n.spared(ctx))
}

// spared waits until nothing is lost with this node: every partition has an owner, and every backup has everything. A copy that only
// this node has is one that the others need. It does not wait when there are no others who stay.
func (n *Node) spared(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(n.otherPlayersAddrs()) > 0 {
		t := n.router.Table()
		if !t.Has(n.router.Self()) || !slices.Contains(t.Owner[:], shard.None) && n.cluster.Filled(t) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the others do not have everything twice: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// handOver waits until the others own everything and have it, as long as there are others who stay.
func (n *Node) handOver(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n.owned() > 0 {
		if len(n.otherPlayersAddrs()) == 0 {
			return nil // the others leave too: nobody is there to move to
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d partitions could not be moved: %w", n.owned(), ctx.Err())
		case <-tick.C:
		}
	}
	t := n.router.Table()
	if err := n.given(ctx, t.Term, t.Hash); err != nil {
		return err
	}
	for _, m := range n.cluster.Members() { // the answer comes after all that was sent before the question
		if m.State != "dead" && m.Node != n.router.Self() {
			if err := n.peers.ask(ctx, m.Node, "stats", "", nil); err != nil {
				n.log.Warn("a node did not confirm what was moved", "err", err)
			}
		}
	}
	return nil
}

// owned is how many partitions this node owns.
func (n *Node) owned() (count int) {
	t := n.router.Table()
	for p := range uint16(shard.Partitions) {
		if o, ok := t.OwnerOf(p); ok && o == n.router.Self() {
			count++
		}
	}
	return count
}

func (n *Node) stopListener(code protocol.Code, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = n.listener.Shutdown(ctx, code, reason, func() int64 { return 1000 }) // on the way out already
}

// Kill ends the node as kill -9 would: no goodbye to anybody.
func (n *Node) Kill() {
	n.cluster.Kill()
	n.cancel()
}

// Addrs are the real addresses, ports picked.
func (n *Node) Addrs() Addrs {
	return Addrs{Node: n.cluster.Self().Name, Players: n.listener.Addr().String(), Mesh: n.cluster.MeshAddr().String(),
		Gossip: n.cluster.GossipAddr().String(), Admin: n.admin.Addr().String()}
}

// Ready says whether the node takes players; if not, why.
func (n *Node) Ready() (bool, []string) {
	if n.draining.Load() {
		return false, []string{"the node is drained"}
	}
	ok, why := n.cluster.Ready()
	if blocked := n.watched.blocked(); len(blocked) > 0 {
		return false, append(why, blocked...)
	}
	return ok, why
}

// Cluster is the node's membership, for tools that cut links.
func (n *Node) Cluster() *cluster.Cluster { return n.cluster }

func (n *Node) playersAddr() string {
	if a := n.opt.Config.AdvertisePlayers; a != "" {
		return a
	}
	return n.listener.Addr().String()
}

// otherPlayersAddrs are the addresses of all other nodes that take players.
func (n *Node) otherPlayersAddrs() []string {
	if n.cluster == nil {
		return nil
	}
	members, order := n.cluster.Members(), n.router.Table().Nodes // the longest-standing first
	slices.SortStableFunc(members, func(a, b cluster.Member) int {
		return cmp.Compare(slices.Index(order, b.Node), slices.Index(order, a.Node))
	})
	var addrs []string
	for _, m := range members {
		if m.State == "alive" && m.Node != n.cluster.Self() && m.Addr != "" {
			addrs = append(addrs, m.Addr)
		}
	}
	return addrs
}

func (n *Node) happened(e cluster.Event) {
	if e.Kind == cluster.EventLinkUp {
		n.wg.Go(func() { n.linked(e.Node) }) // the caller is one of wg
	}
	n.events.add(e.Kind, e.Node, e.Text)
}
