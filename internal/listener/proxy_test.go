package listener

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"gamed/protocol"
)

// proxyHeader is what a load balancer sends before the bytes of a client at that address.
func proxyHeader(from string, tlv ...byte) []byte {
	a := netip.MustParseAddrPort(from)
	var body []byte
	family := byte(0x11)
	if a.Addr().Is4() {
		body = append(a.Addr().AsSlice(), 127, 0, 0, 1)
	} else {
		family = 0x21
		body = append(a.Addr().AsSlice(), make([]byte, 16)...)
	}
	body = binary.BigEndian.AppendUint16(body, a.Port())
	body = append(binary.BigEndian.AppendUint16(body, 7300), tlv...)
	b := append(bytes.Clone(proxySignature), 0x21, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

func TestParseProxy(t *testing.T) {
	for _, from := range []string{"203.0.113.7:4711", "[2001:db8::1]:4711", "[::ffff:10.0.0.1]:1"} {
		h := proxyHeader(from, 3, 0, 1, 9)
		want := netip.MustParseAddrPort(from)
		want = netip.AddrPortFrom(want.Addr().Unmap(), want.Port())
		for n := range len(h) {
			if k, _, err := parseProxy(h[:n]); k != 0 || err != nil {
				t.Fatalf("%s, %d bytes: %d %v", from, n, k, err)
			}
		}
		if n, got, err := parseProxy(append(h, "rest"...)); n != len(h) || got != want || err != nil {
			t.Errorf("%s: %d %v %v", from, n, got, err)
		}
	}
	good := proxyHeader("203.0.113.7:4711")
	with := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{"version 1": []byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "another version": with(12, 0x11), "another command": with(12, 0x22),
		"too long": with(14, 2), "too short for IPv4": with(15, 4), "a frame": helloFrame("ann"), "a zero byte": {0}, "TLS": {0x16, 3, 1}} {
		if n, _, err := parseProxy(append(b, make([]byte, 600)...)); err == nil {
			t.Errorf("%s: taken, %d bytes", name, n)
		}
	}
	for name, b := range map[string][]byte{"the balancer itself": with(12, 0x20), "an unknown family": with(13, 0)} {
		if n, from, err := parseProxy(b); n != len(b) || from.IsValid() || err != nil {
			t.Errorf("%s: %d %v %v", name, n, from, err)
		}
	}
}

// FuzzProxy: nothing panics, and the judgement does not depend on how the bytes are cut.
func FuzzProxy(f *testing.F) {
	f.Add(proxyHeader("203.0.113.7:4711"))
	f.Add(proxyHeader("[2001:db8::1]:4711", 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, from, err := parseProxy(b)
		if n > len(b) || n > proxyMax || err != nil && from.IsValid() {
			t.Fatalf("%d %v %v", n, from, err)
		}
		for k := range min(len(b), 64) {
			m, _, early := parseProxy(b[:k])
			if early != nil && err == nil || m != 0 && m != n {
				t.Fatalf("of %d bytes: %d %v, of all: %d %v", k, m, early, n, err)
			}
		}
	})
}

func behindProxy(o *Options) { o.ProxyNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// TestProxy: behind a load balancer the client's address is the one in the header, in each dialect and with TLS; who comes from there
// without a header gets nothing.
func TestProxy(t *testing.T) {
	plainOnly(t)
	h := newEcho()
	s := start(t, h, behindProxy)
	for i, first := range [][]byte{helloFrame("ann"), []byte(`[1,{"v":1,"name":"ann"}]` + "\n"), []byte("hello ann\n")} {
		p := dial(t, s)
		for _, b := range append(proxyHeader("203.0.113.7:4711"), first...) { // byte by byte
			p.send([]byte{b})
		}
		await(t, "hello", func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, c := range h.conns {
				if c.RemoteAddr() != netip.MustParseAddrPort("203.0.113.7:4711") {
					t.Fatalf("the client's address is %v", c.RemoteAddr())
				}
			}
			return len(h.conns) == i+1
		})
		_ = p.Close()
		await(t, "the end", func() bool { return s.Count() == 0 })
	}
	for _, first := range [][]byte{helloFrame("ann"), []byte("hello ann\n"), {0x16, 3, 1}} {
		p := dial(t, s)
		p.send(first)
		p.expectClosed()
	}
	if n := value(t, s.m.closed[ReasonProxy]); n != 3 {
		t.Errorf("%v closed for want of a header", n)
	}
	if len(h.hellos) != 3 {
		t.Errorf("%d hellos", len(h.hellos))
	}
}

// TestHeaderFromElsewhere: who is no load balancer cannot say where he comes from.
func TestHeaderFromElsewhere(t *testing.T) {
	s := start(t, newEcho(), nil)
	p := dial(t, s)
	p.send(proxyHeader("203.0.113.7:4711"), helloFrame("ann"))
	p.expectClosed()
}

// TestLimitsBehindProxy: the limits for one address count the client's, not the load balancer's.
func TestLimitsBehindProxy(t *testing.T) {
	plainOnly(t)
	s := start(t, newEcho(), func(o *Options) { behindProxy(o); o.PerAddrConns = 2 })
	login := func(from, name string) *peer {
		p := dial(t, s)
		p.send(proxyHeader(from))
		p.hello(name)
		return p
	}
	a := login("203.0.113.7:1", "a")
	login("203.0.113.7:2", "b")
	third := dial(t, s)
	third.send(proxyHeader("203.0.113.7:3"), helloFrame("c"))
	third.expectClosed()
	login("203.0.113.8:1", "d")
	_ = a.Close()
	await(t, "the end of the first", func() bool { return s.Count() == 3-1 })
	login("203.0.113.7:4", "e")
	if n := value(t, s.m.refused[refuseAddr]); n != 1 {
		t.Errorf("%v refused", n)
	}
}

// TestTLSOnly: beyond its own machine the port turns plain connections away, and says so.
func TestTLSOnly(t *testing.T) {
	for _, tc := range []struct {
		remote string
		proxy  proxied
		turned bool
	}{{"127.0.0.1:1", direct, false}, {"[::1]:1", direct, false}, {"10.0.0.1:1", direct, true}, {"[2001:db8::1]:1", direct, true}, {"10.0.0.1:1", proxyRead, false}} {
		for _, first := range [][]byte{helloFrame("ann"), []byte(`[1,{"v":1,"name":"ann"}]` + "\n"), []byte("hello ann\n")} {
			h := &strict{}
			s, err := New(Options{Listener: noListener{}, TLSOnly: true}, h)
			if err != nil {
				t.Fatal(err)
			}
			tp := &tape{in: first, cut: rand.New(rand.NewPCG(1, 2))}
			c := &Conn{id: 1, srv: s, t: tp, remote: compact(netip.MustParseAddrPort(tc.remote)), proxy: tc.proxy}
			play(c, true)
			told := strings.Contains(string(tp.wrote), string(protocol.CodeForbidden))
			if turned := h.state == 0; turned != tc.turned || told != tc.turned || turned != (c.end.reason == ReasonPlain) {
				t.Errorf("%+v: turned away %v, told %v, %v", tc, turned, told, c.end.reason)
			}
		}
	}
}
