package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/envelope"
	"gamed/protocol"
)

// NodeID names one life of a node.
type NodeID = envelope.NodeID

// Options of a mesh. Self, Cluster, Listen and Receive must be given; other zero values mean the default beside them.
type Options struct {
	Self       NodeID
	Cluster    string
	ConfigHash uint64 // of all settings that the nodes of a cluster must share
	WireMin    uint16 // the wire versions this node speaks; default 1 to 1
	WireMax    uint16

	Listen net.Listener                                             // closed by Run
	Dial   func(ctx context.Context, addr string) (net.Conn, error) // plain TCP; ends with ctx
	TLS    *tls.Config                                              // nil: no TLS. Else both sides show a certificate of RootCAs that names the node

	Heartbeat    time.Duration // 500 ms
	Handshake    time.Duration // 2 s for connecting, and as much for TLS and hello of a connection
	QueueBytes   int           // 8 MiB waiting on a peer's data lane
	QueueCount   int           // 65,536 envelopes
	ControlBytes int           // 1 MiB on its control lane
	ControlCount int           // 8,192 envelopes

	Log        *slog.Logger
	Registerer prometheus.Registerer // default: a registry of its own, that nobody reads

	// Receive gets every envelope, in order per peer and lane, between OnLink up and OnLink down of its link. The two lanes of
	// a peer call at the same time. The envelope and its bytes are valid during the call only.
	Receive func(from NodeID, lane Lane, e *envelope.Envelope)
	// BatchEnd, if not nil, follows the Receive calls of what one read of the lane brought.
	BatchEnd func(from NodeID, lane Lane)
	// OnLink tells that a link came up or ended; why is the name of a Close, or "". Ups and downs of a name alternate.
	OnLink func(peer NodeID, up bool, why string)
	// Hello gives the opaque state (≤ MaxState bytes) that hellos and control heartbeats carry to the peer. Any goroutine.
	Hello func() []byte
	// OnHello gets the peer's state: once when the link is up, then with each of its heartbeats. The bytes are valid during the call.
	OnHello func(peer NodeID, state []byte)
	// OnAnswer gets the peer's state as of when it answered a control heartbeat of ours, and when that was sent. The bytes are valid
	// during the call.
	OnAnswer func(peer NodeID, state []byte, sent time.Time)
	// OnRefused tells that a hello was refused: ours by the peer, or by us the peer's (peer is what it said it is, or zero).
	OnRefused func(peer NodeID, byPeer bool, reason Refusal)
	// OnDialError tells of each connection attempt that failed; refused says that the peer's host lives but nobody listens.
	OnDialError func(peer NodeID, refused bool, err error)
}

// MaxState is the longest opaque state that a hello or heartbeat carries, in bytes.
const MaxState = 1024

const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 2 * time.Second
	maxGreets  = 128 // accepted connections that have not finished their hello
)

func (o *Options) validate() error {
	switch {
	case !protocol.ValidPlayer(o.Self.Name):
		return fmt.Errorf("mesh: Self.Name %q: want 1 to 64 of A-Z a-z 0-9 _ . -", o.Self.Name)
	case o.Self.Boot == 0:
		return errors.New("mesh: Self.Boot is 0")
	case o.Cluster == "" || len(o.Cluster) > maxText:
		return fmt.Errorf("mesh: Cluster: want 1 to %d bytes", maxText)
	case o.Listen == nil:
		return errors.New("mesh: Listen is nil")
	case o.Receive == nil:
		return errors.New("mesh: Receive is nil")
	case o.WireMin > o.WireMax:
		return fmt.Errorf("mesh: WireMin %d is above WireMax %d", o.WireMin, o.WireMax)
	case o.Heartbeat < 0 || o.Handshake < 0:
		return errors.New("mesh: Heartbeat and Handshake must not be negative")
	case o.QueueBytes < 0 || o.QueueCount < 0 || o.ControlBytes < 0 || o.ControlCount < 0:
		return errors.New("mesh: queue bounds must not be negative")
	case o.TLS != nil && o.TLS.RootCAs == nil:
		return errors.New("mesh: TLS.RootCAs is nil: the mesh trusts its own CA only")
	case o.TLS != nil && len(o.TLS.Certificates) == 0 && (o.TLS.GetCertificate == nil || o.TLS.GetClientCertificate == nil):
		return errors.New("mesh: TLS has no certificate for both server and client side")
	}
	return nil
}

func (o *Options) defaults() {
	if o.WireMax == 0 {
		o.WireMin, o.WireMax = 1, 1
	}
	if o.Dial == nil {
		var d net.Dialer
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 500 * time.Millisecond
	}
	if o.Handshake == 0 {
		o.Handshake = 2 * time.Second
	}
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.QueueBytes, 8<<20)
	def(&o.QueueCount, 65536)
	def(&o.ControlBytes, 1<<20)
	def(&o.ControlCount, 8192)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.BatchEnd == nil {
		o.BatchEnd = func(NodeID, Lane) {}
	}
	if o.OnLink == nil {
		o.OnLink = func(NodeID, bool, string) {}
	}
	if o.Hello == nil {
		o.Hello = func() []byte { return nil }
	}
	if o.OnHello == nil {
		o.OnHello = func(NodeID, []byte) {}
	}
	if o.OnAnswer == nil {
		o.OnAnswer = func(NodeID, []byte, time.Time) {}
	}
	if o.OnRefused == nil {
		o.OnRefused = func(NodeID, bool, Refusal) {}
	}
	if o.OnDialError == nil {
		o.OnDialError = func(NodeID, bool, error) {}
	}
}
