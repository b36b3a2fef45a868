package cluster

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"

	"gamed/internal/shard"
)

// gossip is memberlist as this package uses it: it tells the inbox who is there and who is not. Nothing more goes over it.
type gossip struct {
	conf  *memberlist.Config
	list  *memberlist.Memberlist // nil before start
	wire  *transport
	meta  atomic.Pointer[[]byte] // of this node, encoded
	inbox *inbox
	fatal func(error)
	stray atomic.Uint64 // nodes with malformed metadata
}

// newGossip binds the gossip port.
func newGossip(o *Options, id shard.NodeID, in *inbox, fatal func(error)) (*gossip, error) {
	host, port, err := hostPort(o.GossipAddr)
	if err != nil {
		return nil, fmt.Errorf("gossip address: %w", err)
	}
	ip, err := resolveIP(host)
	if err != nil {
		return nil, fmt.Errorf("gossip address %q: %w", o.GossipAddr, err)
	}
	g := &gossip{inbox: in, fatal: fatal}
	c := memberlist.DefaultLANConfig()
	c.Name = gossipName(id)
	c.Label = "gamed/" + o.Cluster
	c.BindAddr, c.BindPort = ip, port
	c.ProbeInterval, c.ProbeTimeout = 500*time.Millisecond, 200*time.Millisecond
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = 3, 3
	c.GossipInterval = 100 * time.Millisecond
	c.PushPullInterval = 5 * time.Second
	c.TCPTimeout = 2 * time.Second
	c.DeadNodeReclaimTime = time.Second
	c.EnableCompression = false
	if c.Keyring, err = newKeyring(o.GossipKeys); err != nil {
		return nil, fmt.Errorf("gossip key: %w", err)
	}
	c.Delegate, c.Events, c.Conflict = g, g, g
	strange, err := newStrangers(o.Registerer)
	if err != nil {
		return nil, err
	}
	c.Logger = log.New(&logWriter{log: o.Log, strange: strange}, "", 0)
	if g.wire, err = newTransport(o.network, ip, port, c.Logger); err != nil {
		return nil, fmt.Errorf("gossip port %s is taken or not ours (TCP and UDP are needed): %w", o.GossipAddr, err)
	}
	c.Transport = g.wire
	c.BindPort = g.wire.GetAutoBindPort()
	if o.AdvertiseHost != "" {
		if c.AdvertiseAddr, err = resolveIP(o.AdvertiseHost); err != nil {
			_ = g.wire.Shutdown()
			return nil, fmt.Errorf("advertise host %q: %w", o.AdvertiseHost, err)
		}
	}
	c.AdvertisePort = c.BindPort
	g.conf = c
	return g, nil
}

// addr is where other nodes reach this one's gossip.
func (g *gossip) addr() (*net.TCPAddr, error) {
	ip, port, err := g.wire.FinalAdvertiseAddr(g.conf.AdvertiseAddr, g.conf.AdvertisePort)
	if err != nil {
		return nil, fmt.Errorf("find the address to advertise: %w", err)
	}
	return &net.TCPAddr{IP: ip, Port: port}, nil
}

// start begins to gossip.
func (g *gossip) start() error {
	list, err := memberlist.Create(g.conf)
	if err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	g.list = list
	return nil
}

// stop ends gossip without a word to the others, and waits for the sockets to be closed.
func (g *gossip) stop() {
	if g.list != nil {
		_ = g.list.Shutdown() // closes the transport; its errors are logged
		return
	}
	_ = g.wire.Shutdown()
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(int) []byte { return *g.meta.Load() }

// NotifyMsg implements memberlist.Delegate. Nodes do not talk over gossip.
func (g *gossip) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (g *gossip) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (g *gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (g *gossip) MergeRemoteState([]byte, bool) {}

// NotifyJoin implements memberlist.EventDelegate. Like the next two it runs under memberlist's lock: it copies and returns.
func (g *gossip) NotifyJoin(n *memberlist.Node) { g.heard(n, true) }

// NotifyUpdate implements memberlist.EventDelegate.
func (g *gossip) NotifyUpdate(n *memberlist.Node) { g.heard(n, true) }

// NotifyLeave implements memberlist.EventDelegate. It is called for a crash as well as for a leave.
func (g *gossip) NotifyLeave(n *memberlist.Node) { g.heard(n, false) }

// NotifyConflict implements memberlist.ConflictDelegate. Names in gossip are unique for each life, so this is two processes with
// one boot id.
func (g *gossip) NotifyConflict(existing, other *memberlist.Node) {
	if existing.Name == g.conf.Name {
		g.fatal(fmt.Errorf("%w: %s has this node's boot id as well", ErrDuplicate, other.Address()))
	}
}

func (g *gossip) heard(n *memberlist.Node, alive bool) {
	if n.Name == g.conf.Name {
		return
	}
	m, err := parseMeta(n.Meta)
	if err != nil || gossipName(m.Node) != n.Name {
		g.stray.Add(1)
		return
	}
	name, word := n.Name, gossiped{meta: m, addr: n.Address(), alive: alive}
	g.inbox.put(func(in *letters) { keep(in, &in.gossip, name, word) })
}

// ping asks whether that very life of a node answers at its gossip address.
func (g *gossip) ping(id shard.NodeID, addr string) bool {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return false
	}
	_, err = g.list.Ping(gossipName(id), to)
	return err == nil
}

// refuses says whether nobody listens at a gossip address: the node that had it is gone.
func (g *gossip) refuses(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, g.conf.ProbeTimeout)
	defer cancel()
	c, err := g.wire.network.dial(ctx, addr)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = c.Close()
	return false
}

func hostPort(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("port %q: want 0 to 65535", p)
	}
	return host, port, nil
}

// resolveIP is the address of a host, IPv4 first; of no host it is every address.
func resolveIP(host string) (string, error) {
	if host == "" {
		return "0.0.0.0", nil
	}
	if net.ParseIP(host) != nil {
		return host, nil
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return "", fmt.Errorf("resolve: %w", err)
	}
	for _, ip := range ips {
		if ip.To4() != nil {
			return ip.String(), nil
		}
	}
	return ips[0].String(), nil
}
