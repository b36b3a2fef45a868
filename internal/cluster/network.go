package cluster

import (
	"context"
	"log"
	"net"

	"github.com/hashicorp/memberlist"
)

// network is all that this package listens on and dials through, so that whole clusters can run over one in memory.
type network interface {
	// listen opens the mesh's port.
	listen(addr string) (net.Listener, error)
	// dial opens a TCP connection, for the mesh or for gossip; it ends with ctx.
	dial(ctx context.Context, addr string) (net.Conn, error)
	// gossip binds gossip's port, TCP and UDP; port 0 picks one.
	gossip(ip string, port int, logger *log.Logger) (gossipPort, error)
}

// gossipPort is memberlist's transport over a bound port.
type gossipPort interface {
	memberlist.NodeAwareTransport
	GetAutoBindPort() int
}

// system is the network of the machine that the process runs on.
type system struct{}

func (system) listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

func (system) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

func (system) gossip(ip string, port int, logger *log.Logger) (gossipPort, error) {
	return memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{ip}, BindPort: port, Logger: logger})
}
