package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
)

// proxied says how a connection came.
type proxied uint8

const (
	direct       proxied = iota
	proxyAwaited         // from a load balancer: it must begin with a PROXY header
	proxyRead            // it did; remote is the client's address
)

var proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")

const (
	proxyFixed = 16  // signature, version and command, family, length
	proxyMax   = 512 // bytes of header, longer than any balancer's
)

var errProxy = errors.New("no PROXY protocol v2 header")

// parseProxy reads a PROXY protocol v2 header at the beginning of b. n is its length, 0 while more bytes are needed. from is the
// client; it is not valid when the balancer speaks for itself (a health check), or does not say.
func parseProxy(b []byte) (n int, from netip.AddrPort, err error) {
	if k := min(len(b), len(proxySignature)); !bytes.Equal(b[:k], proxySignature[:k]) {
		return 0, from, errProxy
	}
	if len(b) < proxyFixed {
		return 0, from, nil
	}
	command, family := b[12], b[13]
	n = proxyFixed + int(binary.BigEndian.Uint16(b[14:]))
	if command>>4 != 2 || command&0xf > 1 || n > proxyMax {
		return 0, from, errProxy
	}
	if len(b) < n {
		return 0, from, nil
	}
	if command&0xf == 0 {
		return n, from, nil
	}
	body := b[proxyFixed:n]
	switch family {
	case 0x11: // TCP over IPv4
		if len(body) < 12 {
			return 0, from, errProxy
		}
		from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:]))
	case 0x21: // TCP over IPv6
		if len(body) < 36 {
			return 0, from, errProxy
		}
		from = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:]))
	}
	return n, from, nil
}

// balancer says whether an address is in one of the networks whose connections begin with a PROXY header.
func (s *Server) balancer(a netip.Addr) bool {
	for _, p := range s.o.ProxyNetworks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// unwrap takes the PROXY header off the first bytes. The limits for one address count the client's from then on. Not ok: reading
// ends. An empty rest: more is needed, or nothing follows yet.
func (c *Conn) unwrap(b []byte) (rest []byte, ok bool) {
	n, from, err := parseProxy(b)
	switch {
	case err != nil:
		c.finishWith(ending{reason: ReasonProxy})
		return nil, false
	case n == 0:
		c.begun = bytes.Clone(b)
		return nil, true
	}
	c.proxy = proxyRead
	if from.IsValid() {
		if why, ok := c.srv.gate.enter(from.Addr(), c.srv.clock.now()); !ok {
			c.srv.m.refused[why].Inc()
			c.finishWith(ending{reason: ReasonClosed})
			return nil, false
		}
		c.remote = compact(from)
	}
	return b[n:], true
}

// mayBePlain says whether a connection may do without TLS: from this machine, through a load balancer of ours, or when no TLS
// is asked for.
func (c *Conn) mayBePlain() bool {
	return !c.srv.o.TLSOnly || c.tls != nil || c.proxy == proxyRead || c.RemoteAddr().Addr().IsLoopback()
}
