package mesh

import (
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/envelope"
)

// bubble runs two meshes, a and z, that are linked over a simulated network.
func bubble(t *testing.T, set func(*Options), test func(t *testing.T, net *simNet, a, z *node)) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimNet(t)
		with := func(o *Options) {
			net.use(o)
			if set != nil {
				set(o)
			}
		}
		a, z := start(t, id("a", 1), with), start(t, id("z", 2), with)
		know(a, z)
		time.Sleep(3 * time.Second)
		if !a.up(z.self()) || !z.up(a.self()) {
			t.Fatalf("not linked: %v %v\n%s\n%s", a.history(), z.history(), a.logged(), z.logged())
		}
		test(t, net, a, z)
	})
}

// foundAfter is how long after since the node told that its last link ended, and why.
func (n *node) foundAfter(since time.Time) (time.Duration, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := len(n.events) - 1; i >= 0; i-- {
		if strings.HasPrefix(n.events[i], "down") {
			return n.when[i].Sub(since), n.events[i]
		}
	}
	return time.Hour, "never"
}

func TestSilenceIsFound(t *testing.T) {
	for name, cut := range map[string][][2]string{
		"one way": {{"a", "z"}}, "the other way": {{"z", "a"}}, "both ways": {{"a", "z"}, {"z", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, net *simNet, a, z *node) {
				began := time.Now()
				for _, c := range cut {
					net.lose(c[0], c[1], true)
				}
				time.Sleep(10 * time.Second)
				for _, n := range []*node{a, z} {
					if d, what := n.foundAfter(began); d > 3*time.Second || d < time.Second {
						t.Errorf("%s: found after %v (%s), want 1 to 3 s", n.self(), d, what)
					}
					if err := n.Send(n.other(a, z).self(), text(1, "x")); err != ErrNoLink {
						t.Errorf("%s: Send without a link: %v", n.self(), err)
					}
				}
				for _, c := range cut {
					net.lose(c[0], c[1], false)
				}
				time.Sleep(5 * time.Second)
				if !a.up(z.self()) || !z.up(a.self()) {
					t.Errorf("not linked again: %v %v", a.history(), z.history())
				}
			})
		})
	}
}

func (n *node) other(a, b *node) *node {
	if n == a {
		return b
	}
	return a
}

func TestShortSilenceIsNot(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *simNet, a, z *node) {
		for range 20 {
			net.held.Store(true)
			time.Sleep(time.Second)
			net.held.Store(false)
			time.Sleep(time.Second)
		}
		if h := slices.Concat(a.history(), z.history()); len(h) != 2 {
			t.Errorf("links that stall for a second at a time: %v", h)
		}
	})
}

func TestAnHourOfQuiet(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ *simNet, a, z *node) {
		time.Sleep(time.Hour)
		if h := slices.Concat(a.history(), z.history()); len(h) != 2 {
			t.Errorf("links moved: %v", h)
		}
	})
}

func TestSlowCallbackIsNotSilence(t *testing.T) {
	slow := func(o *Options) {
		if o.Self.Name != "z" {
			return
		}
		receive := o.Receive
		o.Receive = func(from NodeID, lane Lane, e *envelope.Envelope) {
			time.Sleep(4 * time.Second)
			receive(from, lane, e)
		}
	}
	bubble(t, slow, func(t *testing.T, _ *simNet, a, z *node) {
		for i := range 20 {
			if err := a.Send(z.self(), text(uint64(i+1), "x")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		time.Sleep(5 * time.Second)
		if got := len(z.messages()); got != 20 {
			t.Errorf("%d of 20 came: %v %v", got, a.history(), z.history())
		}
		if h := slices.Concat(a.history(), z.history()); len(h) != 2 {
			t.Errorf("the link ended: %v", h)
		}
	})
}

// TestDataDoesNotDelayControl: 8 MiB through a data lane of 1 MiB/s. Heartbeats and the control lane do not feel it, and the
// link is not taken for dead although the data lane's own pings wait for seconds.
func TestDataDoesNotDelayControl(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *simNet, a, z *node) {
		net.mu.Lock()
		net.rate["a"] = 1 << 20
		net.mu.Unlock()
		chunk := strings.Repeat("x", 64<<10)
		sent := 0
		for {
			err := a.Send(z.self(), text(uint64(sent+1), chunk))
			if err == ErrBusy {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			sent++
		}
		if bytes := sent * len(chunk); bytes < 7<<20 || bytes > 9<<20 {
			t.Fatalf("%d bytes were queued, want about 8 MiB", bytes)
		}
		for i := range 6 {
			began := time.Now()
			if err := a.SendControl(z.self(), text(uint64(1000+i), "quick")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			got := z.messages()
			if last := got[len(got)-1]; last.ref != uint64(1000+i) || time.Since(began) > 0 {
				t.Errorf("control message %d had not come after %v", i, time.Since(began))
			}
			time.Sleep(time.Second)
			for _, p := range a.Peers() {
				if !p.Up || p.RTT > 10*time.Millisecond {
					t.Errorf("peer %+v: want up, with the usual round trip", p)
				}
			}
		}
		time.Sleep(10 * time.Second)
		data := 0
		for _, m := range z.messages() {
			if m.lane == Data {
				data++
				if m.ref != uint64(data) {
					t.Fatalf("message %d where %d is due", m.ref, data)
				}
			}
		}
		if data != sent || a.counted("down")+z.counted("down") > 0 {
			t.Errorf("%d of %d came; %v %v", data, sent, a.history(), z.history())
		}
	})
}

func TestDialBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimNet(t)
		var refused atomic.Int64
		a := start(t, id("a", 1), func(o *Options) {
			net.use(o)
			o.OnDialError = func(_ NodeID, r bool, err error) {
				if r {
					refused.Add(1)
				}
			}
		})
		a.SetPeers([]Peer{{id("z", 2), "z"}})
		time.Sleep(time.Minute)
		net.mu.Lock()
		dials := net.dials["a"]
		net.mu.Unlock()
		if dials < 30 || dials > 70 {
			t.Errorf("%d dials in a minute, want about one each 1 to 2 s", dials)
		}
		if p := a.Peers()[0]; p.Up || !p.PortRefused || p.DialError == "" || int(refused.Load()) != dials {
			t.Errorf("%+v, %d of %d told as refused", p, refused.Load(), dials)
		}
		if n := strings.Count(a.logged(), "mesh dial failed"); n != 1 {
			t.Errorf("told %d times that the dial failed", n)
		}
		z := start(t, id("z", 2), net.use)
		time.Sleep(3 * time.Second)
		if !a.up(z.self()) {
			t.Errorf("not linked to a peer that came: %s", a.logged())
		}
	})
}

func TestAcceptSurvivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newSimNet(t)
		a := start(t, id("a", 1), func(o *Options) {
			net.use(o)
			for range 8 {
				net.listeners["a"].errs <- syscall.EMFILE
			}
		})
		z := start(t, id("z", 2), net.use)
		z.SetPeers([]Peer{a.peerOf()})
		time.Sleep(10 * time.Second)
		if !a.up(z.self()) {
			t.Errorf("no link after the errors were over: %s %s", a.logged(), z.logged())
		}
		if n := strings.Count(a.logged(), "accept failed"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

func TestHalfALink(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *simNet, a, z *node) {
		// A node that says hello on the control lane and never brings the data lane must not hold the place for ever.
		c, err := net.dial(t.Context(), "m", "z")
		if err != nil {
			t.Fatal(err)
		}
		h := greeting(id("m", 9), z.self(), Control, 1)
		if _, err := c.Write(h.append(nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := readFrame(c); err != nil {
			t.Fatalf("no welcome: %v", err)
		}
		if len(z.Peers()) != 2 {
			t.Errorf("peers: %+v", z.Peers())
		}
		time.Sleep(10 * time.Second)
		if len(z.Peers()) != 1 || z.counted("up m") != 0 {
			t.Errorf("half a link lives on: %+v %v", z.Peers(), z.history())
		}
		_ = c.Close()
	})
}

// TestDeafPeer: a peer that sends its heartbeats and never answers ours does not hear us, and the link is no link.
func TestDeafPeer(t *testing.T) {
	bubble(t, nil, func(t *testing.T, net *simNet, a, z *node) {
		began := time.Now()
		var conns [lanes]io.Writer
		for _, lane := range []Lane{Control, Data} {
			c, err := net.dial(t.Context(), "m", "z")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := c.Write(greeting(id("m", 9), z.self(), lane, 1).append(nil)); err != nil {
				t.Fatal(err)
			}
			if _, err := readFrame(c); err != nil {
				t.Fatal(err)
			}
			conns[lane] = c
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		for seq := uint64(1); seq < 20; seq++ {
			for _, c := range conns {
				_, _ = c.Write(appendPing(nil, seq, nil))
			}
			time.Sleep(500 * time.Millisecond)
		}
		if d, what := z.foundAfter(began); d > 3*time.Second || what != "down "+id("m", 9).String()+" silent" {
			t.Errorf("found after %v: %s", d, what)
		}
	})
}

// TestOldLinkEndsFirst: a new link waits until the last callback of the old one is over.
func TestOldLinkEndsFirst(t *testing.T) {
	var during atomic.Bool
	slow := func(o *Options) {
		if o.Self.Name != "z" {
			return
		}
		receive, onLink := o.Receive, o.OnLink
		o.Receive = func(from NodeID, lane Lane, e *envelope.Envelope) {
			during.Store(true)
			time.Sleep(time.Second)
			receive(from, lane, e)
			during.Store(false)
		}
		o.OnLink = func(peer NodeID, up bool, why string) {
			if during.Load() {
				t.Errorf("OnLink(%v, %s) while Receive runs", up, why)
			}
			onLink(peer, up, why)
		}
	}
	bubble(t, slow, func(t *testing.T, _ *simNet, a, z *node) {
		if err := a.Send(z.self(), text(1, "x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		a.Cut("z", true)
		a.Cut("z", false)
		time.Sleep(10 * time.Second)
		if h := z.history(); len(h) != 3 || z.counted("up") != 2 || len(z.messages()) != 1 {
			t.Errorf("history %v, messages %v", h, z.messages())
		}
	})
}
