package mesh

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gamed/internal/envelope"
)

func greeting(self, to NodeID, lane Lane, seq uint64) *hello {
	return &hello{WireMin: 1, WireMax: 1, Cluster: "test", Config: 7, Node: self, Lane: lane, To: to, Seq: seq}
}

func TestTwo(t *testing.T) {
	a := start(t, id("a", 1), func(o *Options) { o.Hello = func() []byte { return []byte("state of a") } })
	z := start(t, id("z", 2), func(o *Options) { o.WireMin, o.WireMax = 1, 3 })
	know(a, z)
	awaitLinks(t, a, z)
	if err := a.Send(z.self(), text(1, "data")); err != nil {
		t.Fatal(err)
	}
	if err := z.SendControl(a.self(), text(2, "control")); err != nil {
		t.Fatal(err)
	}
	await(t, "messages", func() bool { return len(a.messages()) == 1 && len(z.messages()) == 1 })
	if got, want := z.messages()[0], (message{a.self(), Data, 1, "data"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := a.messages()[0], (message{z.self(), Control, 2, "control"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	await(t, "state", func() bool { return z.stateOf(a.self()) == "state of a" })
	await(t, "a round trip", func() bool { return a.Peers()[0].RTT > 0 })
	if p := a.Peers()[0]; p.ID != z.self() || p.Addr != z.addr || !p.Up || p.Wire != 1 || time.Since(p.Since) > time.Minute || p.DialError != "" {
		t.Errorf("peer %+v", p)
	}
	if err := a.Send(id("nobody", 5), text(1, "")); err != ErrNoLink {
		t.Errorf("Send to a stranger: %v", err)
	}
	if err := a.Send(id("z", 3), text(1, "")); err != ErrNoLink {
		t.Errorf("Send to another life of a peer: %v", err)
	}
	if err := a.Send(z.self(), text(1, strings.Repeat("x", envelope.MaxSize))); err != ErrTooLarge {
		t.Errorf("Send of too much: %v", err)
	}
	if err := a.Send(z.self(), text(3, strings.Repeat("x", envelope.MaxSize-1000))); err != nil {
		t.Errorf("Send of the most: %v", err)
	}
	await(t, "the largest message", func() bool { return len(z.messages()) == 2 })
	z.stop()
	await(t, "the end", func() bool { return a.counted("down") == 1 })
	if v, _ := a.metric("link_up", "z"); v != 0 {
		t.Error("link_up is 1 after the end")
	}
}

func TestThreeAndLeaving(t *testing.T) {
	a, b, c := start(t, id("a", 1), nil), start(t, id("b", 2), nil), start(t, id("c", 3), nil)
	know(a, b, c)
	awaitLinks(t, a, b, c)
	if _, found := a.metric("frames_total", "c"); !found {
		t.Error("no series for a peer")
	}
	a.SetPeers([]Peer{b.peerOf()})
	await(t, "unwanted link ended", func() bool { return a.counted("down "+c.self().String()+" unwanted") == 1 })
	await(t, "c comes again by itself", func() bool { return a.counted("up "+c.self().String()) == 2 })
	c.stop()
	await(t, "c is gone", func() bool { return len(a.Peers()) == 1 })
	if _, found := a.metric("frames_total", "c"); found {
		t.Error("series of a peer that is gone")
	}
	if a.counted("down "+b.self().String()) > 0 {
		t.Errorf("another link ended: %v", a.history())
	}
}

// TestDialStorm: everybody dials everybody at once, and each pair settles on one link that stays.
func TestDialStorm(t *testing.T) {
	for round := range 6 {
		var nodes []*node
		for i := range 5 {
			nodes = append(nodes, start(t, id(fmt.Sprintf("n%d", i), uint64(round+1)), nil))
		}
		var all []Peer
		for _, n := range nodes {
			all = append(all, n.peerOf())
		}
		var storm sync.WaitGroup
		for _, n := range nodes {
			storm.Go(func() { n.SetPeers(all) })
		}
		storm.Wait()
		awaitLinks(t, nodes...)
		for _, n := range nodes {
			for _, m := range nodes {
				if n == m {
					continue
				}
				if err := n.Send(m.self(), text(1, "hi")); err != nil {
					t.Errorf("%s to %s: %v", n.self(), m.self(), err)
				}
			}
		}
		for _, n := range nodes {
			await(t, "a message of each", func() bool { return len(n.messages()) == len(nodes)-1 })
			if n.counted("up") != len(nodes)-1 || n.counted("down") != 0 {
				t.Errorf("round %d, %s flapped: %v\n%s", round, n.self(), n.history(), n.logged())
			}
		}
		for _, n := range nodes {
			n.stop()
		}
	}
}

// TestOrder: many senders, both lanes, more than the queue holds: what was accepted arrives, in each sender's order.
func TestOrder(t *testing.T) {
	const senders, each = 4, 5000
	z := start(t, id("z", 2), nil)
	a := start(t, id("a", 1), func(o *Options) { o.QueueCount, o.ControlCount = 500, 500 })
	know(a, z)
	awaitLinks(t, a, z)
	var tasks sync.WaitGroup
	for s := range senders {
		tasks.Go(func() {
			send := a.Send
			if s%2 == 1 {
				send = a.SendControl
			}
			for i := range each {
				e := text(uint64(i+1), fmt.Sprint(s))
				await(t, "room in the queue", func() bool {
					err := send(z.self(), e)
					if err != nil && err != ErrBusy {
						t.Error(err)
						return true
					}
					return err == nil
				})
			}
		})
	}
	tasks.Wait()
	await(t, "all", func() bool { return len(z.messages()) == senders*each })
	last := map[string]uint64{}
	for _, m := range z.messages() {
		if m.ref != last[m.text]+1 {
			t.Fatalf("sender %s: %d after %d", m.text, m.ref, last[m.text])
		}
		last[m.text] = m.ref
	}
	if v, _ := z.metric("frames_total", "a", "in"); v != senders*each {
		t.Errorf("frames_total in: %v", v)
	}
	if v, _ := a.metric("frames_total", "z", "out"); v != senders*each {
		t.Errorf("frames_total out: %v", v)
	}
}

// TestRelink: links end under load again and again; what arrives is never out of order nor doubled, whatever link it took, and
// nothing arrives outside OnLink's up and down.
func TestRelink(t *testing.T) {
	var mu sync.Mutex
	var last, count uint64
	var linked bool
	z := start(t, id("z", 2), func(o *Options) {
		o.Receive = func(_ NodeID, _ Lane, e *envelope.Envelope) {
			mu.Lock()
			defer mu.Unlock()
			if e.Ref <= last || !linked {
				t.Errorf("%d after %d, linked %v", e.Ref, last, linked)
			}
			last = e.Ref
			count++
		}
		o.OnLink = func(_ NodeID, up bool, _ string) {
			mu.Lock()
			defer mu.Unlock()
			if linked == up {
				t.Errorf("linked %v twice", up)
			}
			linked = up
		}
	})
	a := start(t, id("a", 1), nil)
	know(a, z)
	awaitFor := func() { // of a new link: what the one before brought may still be read
		await(t, "link", func() bool { return a.up(z.self()) && z.up(a.self()) })
		before := count2(&mu, &count)
		await(t, "traffic", func() bool { return count2(&mu, &count) > before+1000 })
	}
	done := make(chan struct{})
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for ref := uint64(1); ; {
			select {
			case <-done:
				return
			default:
			}
			if a.Send(z.self(), text(ref, "x")) == nil {
				ref++
			} else {
				<-time.After(time.Millisecond)
			}
		}
	})
	for i := range 10 {
		awaitFor()
		who, whom := a, z
		if i%2 == 1 {
			who, whom = z, a
		}
		who.Cut(whom.self().Name, true)
		if who.up(whom.self()) {
			t.Error("up while cut")
		}
		who.Cut(whom.self().Name, false)
	}
	awaitFor()
	close(done)
	tasks.Wait()
	await(t, "all links to be counted", func() bool { // the last one a moment after it is up
		v, _ := a.metric("links_opened_total")
		return v >= 10
	})
}

func count2(mu *sync.Mutex, n *uint64) uint64 {
	mu.Lock()
	defer mu.Unlock()
	return *n
}

func TestQueueFull(t *testing.T) {
	hold := make(chan struct{})
	var got []uint64
	var mu sync.Mutex
	z := start(t, id("z", 2), func(o *Options) {
		receive := o.Receive
		o.Receive = func(from NodeID, lane Lane, e *envelope.Envelope) {
			if lane == Control {
				receive(from, lane, e)
				return
			}
			<-hold
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e.Ref)
		}
	})
	a := start(t, id("a", 1), func(o *Options) { o.QueueBytes, o.Heartbeat = 1<<20, 10*time.Second })
	know(a, z)
	awaitLinks(t, a, z)
	defer sync.OnceFunc(func() { close(hold) })()
	sent := 0
	for busy := 0; busy < 50; {
		switch err := a.Send(z.self(), text(uint64(sent+1), strings.Repeat("x", 32<<10))); err {
		case nil:
			sent++
			busy = 0
			if sent > 4096 {
				t.Fatal("never busy")
			}
		case ErrBusy:
			busy++
			<-time.After(time.Millisecond)
		default:
			t.Fatal(err)
		}
	}
	if q := a.Peers()[0].QueuedBytes; q > 1<<20 || q < 1<<19 {
		t.Errorf("%d bytes queued, want at most 1 MiB and not far below", q)
	}
	if q, up := a.Backlog(z.self()); !up || q > 1<<20 || q < 1<<19 {
		t.Errorf("a backlog of %d bytes, link up: %v", q, up)
	}
	if q, up := a.Backlog(NodeID{Name: "nobody", Boot: 1}); up || q != 0 {
		t.Errorf("a backlog of %d bytes to nobody, link up: %v", q, up)
	}
	if v, _ := a.metric("dropped_total", "data", "busy"); v < 50 {
		t.Errorf("dropped_total busy: %v", v)
	}
	if err := a.SendControl(z.self(), text(1, "control")); err != nil {
		t.Errorf("control lane: %v", err)
	}
	await(t, "control overtakes", func() bool { return len(z.messages()) == 1 })
	for range sent {
		hold <- struct{}{}
	}
	await(t, "all", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == sent })
	if !slices.IsSorted(got) {
		t.Error("out of order")
	}
}

func TestBatchEnd(t *testing.T) {
	var mu sync.Mutex
	open, ends, frames := 0, 0, 0
	z := start(t, id("z", 2), func(o *Options) {
		o.Receive = func(NodeID, Lane, *envelope.Envelope) { mu.Lock(); open++; frames++; mu.Unlock() }
		o.BatchEnd = func(from NodeID, lane Lane) {
			mu.Lock()
			defer mu.Unlock()
			if open == 0 || from != id("a", 1) || lane != Data {
				t.Errorf("BatchEnd of %s %s after %d frames", from, lane, open)
			}
			open, ends = 0, ends+1
		}
	})
	a := start(t, id("a", 1), nil)
	know(a, z)
	awaitLinks(t, a, z)
	for i := range 1000 {
		if err := a.Queue(z.self(), text(uint64(i+1), "x")); err != nil {
			t.Fatal(err)
		}
	}
	a.Flush()
	await(t, "all", func() bool { mu.Lock(); defer mu.Unlock(); return frames == 1000 && open == 0 })
	if ends == 0 || ends > 500 {
		t.Errorf("%d batches for 1,000 frames sent at once", ends)
	}
}

func TestCut(t *testing.T) {
	a, z := start(t, id("a", 1), nil), start(t, id("z", 2), nil)
	know(a, z)
	awaitLinks(t, a, z)
	a.Cut("z", true)
	await(t, "ended on both sides", func() bool { return a.counted("down") == 1 && z.counted("down") == 1 })
	if !slices.Contains(a.history(), "down "+z.self().String()+" cut") {
		t.Errorf("history %v", a.history())
	}
	await(t, "z is refused", func() bool { return a.refusals("us", RefusedCut) > 0 })
	if a.counted("up") != 1 {
		t.Errorf("linked while cut: %v", a.history())
	}
	a.Cut("z", false)
	awaitLinks(t, a, z)
}

// TestAllocations: nothing is allocated for an envelope that is sent and received, in steady state.
func TestAllocations(t *testing.T) {
	done := make(chan struct{}, 1)
	z := start(t, id("z", 2), func(o *Options) {
		o.Receive = func(NodeID, Lane, *envelope.Envelope) { done <- struct{}{} }
	})
	a := start(t, id("a", 1), nil)
	know(a, z)
	awaitLinks(t, a, z)
	e := hot()
	allocs := testing.AllocsPerRun(2000, func() {
		if err := a.Send(z.self(), e); err != nil {
			t.Error(err)
		}
		<-done
	})
	if allocs > 0.05 {
		t.Errorf("%v allocations for one envelope", allocs)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	z := start(t, id("z", 2), nil)
	for field, spoil := range map[string]func(*Options){
		"Self.Name": func(o *Options) { o.Self.Name = "no spaces" }, "Self.Boot": func(o *Options) { o.Self.Boot = 0 },
		"Cluster": func(o *Options) { o.Cluster = "" }, "Listen": func(o *Options) { o.Listen = nil },
		"Receive": func(o *Options) { o.Receive = nil }, "WireMin": func(o *Options) { o.WireMin, o.WireMax = 3, 2 },
		"Heartbeat": func(o *Options) { o.Heartbeat = -1 }, "queue": func(o *Options) { o.QueueBytes = -1 },
	} {
		o := z.opt
		spoil(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
