package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/cluster/placement"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// Wire versions that this build speaks with other nodes.
const (
	WireMin = 1
	WireMax = 1
)

// The policies for a split network.
const (
	Available = "available" // both sides go on
	Quorum    = "quorum"    // the side without a majority of the table stops
)

// Options of a Cluster. Name, Cluster, MeshAddr, GossipAddr and Receive must be given.
type Options struct {
	Name    string // of this node: 1 to 64 of A-Z a-z 0-9 _ . -
	Cluster string // nodes of other clusters are refused
	Boot    uint64 // id of this life; 0: random
	Version string // of this build, for people

	MeshAddr      string // host:port to listen on (TCP); port 0 picks one
	GossipAddr    string // host:port to listen on (TCP and UDP); port 0 picks one
	AdvertiseHost string // host that others reach both under; empty: that of the listening address
	PlayersAddr   string // host:port for players and AdminAddr for operators, told to the other nodes
	AdminAddr     string

	Join    []string // gossip addresses of other nodes: host:port, or dns+name:port for all addresses of a name
	Expect  int      // nobody serves before so many nodes are meshed; 0: any number
	Policy  string   // Available (default) or Quorum
	MinTerm uint64   // the largest term known from an earlier life of this node

	FirstTerm uint64 // the least term of a new cluster's first table; 0: the minutes since 2026, so that terms do not fall back

	TLS        *tls.Config // for the mesh; nil: none
	GossipKeys [][]byte    // one or two of 16, 24 or 32 bytes, the first encrypts, each decrypts; none: gossip is not encrypted

	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: a registry that nobody reads

	Receive func(from shard.NodeID, e *envelope.Envelope) // in order per peer and lane; e is valid during the call only
	OnTable func(*shard.Table)                            // every table installed, in order, from one goroutine
	OnEvent func(Event)                                   // from the same goroutine

	network network // nil: the machine's own
}

// Event is something an operator may want to know.
type Event struct {
	Time time.Time
	Kind string // one of the Event constants
	Node string // the name of the node it is about
	Text string
}

// Kinds of events.
const (
	EventJoined   = "member_joined"
	EventSuspect  = "member_suspect"
	EventDead     = "member_dead"
	EventDraining = "member_draining"
	EventLeft     = "member_left"
	EventRefused  = "member_refused"
	EventLinkUp   = "link_up"
	EventLinkDown = "link_down"
	EventTable    = "table_installed"

	EventPartial   = "partial"   // partitions go on with what copies there are: their backups were not full
	EventLost      = "lost"      // partitions begin anew, empty
	EventAbsorbed  = "absorbed"  // the other side of a split was taken in
	EventForgotten = "forgotten" // a missing node is no longer waited for
)

// Errors of Run that say that this node must not go on.
var (
	ErrDuplicate = errors.New("another live node of this name is in the cluster: give each node its own --node name")
	ErrReplaced  = errors.New("the cluster has a newer life of this node: this one was away too long")
)

// ConfigHash is what the nodes of a cluster must agree on: they refuse each other when it differs.
func ConfigHash(cluster, policy string) uint64 {
	return xxhash.Sum64String(fmt.Sprintf("partitions=%d hasher=%s cluster=%q policy=%s", shard.Partitions, placement.Hasher, cluster, policy))
}

func (o *Options) validate() error {
	switch {
	case !protocol.ValidPlayer(o.Name):
		return fmt.Errorf("node name %q: want 1 to 64 of A-Z a-z 0-9 _ . -", o.Name)
	case o.Cluster == "" || len(o.Cluster) > 64:
		return fmt.Errorf("cluster name %q: want 1 to 64 bytes", o.Cluster)
	case o.Receive == nil:
		return errors.New("cluster: Options.Receive is nil")
	case o.Expect < 0:
		return fmt.Errorf("expect %d nodes: must not be negative", o.Expect)
	case o.Policy != Available && o.Policy != Quorum:
		return fmt.Errorf("policy %q: want %s or %s", o.Policy, Available, Quorum)
	case len(o.Version) > 64:
		return errors.New("version: want at most 64 bytes")
	}
	if err := checkKeys(o.GossipKeys); err != nil {
		return err
	}
	return o.validateSeeds()
}

func (o *Options) validateSeeds() error {
	for _, s := range o.Join {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(s, dnsPrefix))
		if err != nil || host == "" || port == "" || port == "0" {
			return fmt.Errorf("join address %q: want HOST:PORT of another node's gossip, or dns+NAME:PORT", s)
		}
	}
	return nil
}

func (o *Options) defaults() {
	if o.Policy == "" {
		o.Policy = Available
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.OnTable == nil {
		o.OnTable = func(*shard.Table) {}
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.network == nil {
		o.network = system{}
	}
}
