package listener

import (
	"net/netip"
	"sync"
)

// gate limits what one address may take: open connections, and new ones a second. Loopback is exempt. An IPv6 client owns a
// whole /64, so that counts as one address.
type gate struct {
	maxConns int
	rate     rateLimit

	mu    sync.Mutex // guards the fields below
	addrs map[netip.Addr]*visitor
	swept int64
}

type visitor struct {
	conns  int
	bucket bucket
}

func (g *gate) init(o Options) {
	g.maxConns, g.rate = o.PerAddrConns, newRate(o.PerAddrRate, o.PerAddrRate)
	g.addrs = map[netip.Addr]*visitor{}
}

func exempt(a netip.Addr) bool { return a.IsLoopback() || !a.IsValid() }

func subject(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// enter counts a new connection, or says why it may not be.
func (g *gate) enter(a netip.Addr, now int64) (refusal, bool) {
	if exempt(a) {
		return 0, true
	}
	a = subject(a)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(now)
	v := g.addrs[a]
	if v == nil {
		v = &visitor{}
		g.addrs[a] = v
	}
	if ok, _, _ := v.bucket.take(now, g.rate); !ok {
		return refuseAddrRate, false
	}
	if v.conns >= g.maxConns {
		return refuseAddr, false
	}
	v.conns++
	return 0, true
}

func (g *gate) leave(a netip.Addr) {
	if exempt(a) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if v := g.addrs[subject(a)]; v != nil && v.conns > 0 {
		v.conns--
	}
}

// sweep forgets, at most once a second, the addresses that have nothing open and nothing used up. g.mu is held.
func (g *gate) sweep(now int64) {
	if now-g.swept < ratePause {
		return
	}
	g.swept = now
	for a, v := range g.addrs {
		if v.conns == 0 && v.bucket.used <= now {
			delete(g.addrs, a)
		}
	}
}
