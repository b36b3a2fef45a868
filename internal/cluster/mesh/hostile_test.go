package mesh

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"gamed/internal/envelope"
)

// TestRefusals: every kind of refusal names its reason, is counted and told once on each side, and costs nobody else.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		self NodeID
		set  func(*Options)
		want Refusal
	}{
		"another cluster":       {id("m", 9), func(o *Options) { o.Cluster = "other" }, RefusedCluster},
		"another configuration": {id("m", 9), func(o *Options) { o.ConfigHash = 8 }, RefusedConfig},
		"too new":               {id("m", 9), func(o *Options) { o.WireMin, o.WireMax = 2, 3 }, RefusedWire},
		"a taken name":          {id("z", 9), nil, RefusedNameTaken},
		"the name of a link":    {id("a", 9), nil, RefusedNameTaken},
	} {
		t.Run(name, func(t *testing.T) {
			a, z := start(t, id("a", 1), nil), start(t, id("z", 2), nil)
			know(a, z)
			awaitLinks(t, a, z)
			m := start(t, c.self, c.set)
			m.SetPeers([]Peer{z.peerOf()})
			if c.self.Name == "z" { // SetPeers takes no peer of the node's own name: say hello by hand
				h := greeting(c.self, z.self(), Control, 1)
				if _, err := ask(t, z, h.append(nil)); !isRefusal(err, c.want) {
					t.Fatalf("answer %v, want %s", err, c.want)
				}
			} else {
				await(t, "several refusals of the dialer", func() bool { return m.refusals("peer", c.want) >= 3 && m.wasRefused("true "+c.want.String()) })
				if n := strings.Count(m.logged(), "mesh hello refused by the peer"); n != 1 {
					t.Errorf("the dialer told it %d times:\n%s", n, m.logged())
				}
				if p := m.Peers()[0]; p.Up || !strings.Contains(p.DialError, c.want.String()) {
					t.Errorf("peer %+v", p)
				}
			}
			await(t, "refusal told by the acceptor", func() bool { return z.wasRefused("false " + c.want.String()) })
			if n := strings.Count(z.logged(), "mesh hello refused"); n != 1 {
				t.Errorf("the acceptor told it %d times:\n%s", n, z.logged())
			}
			if !a.up(z.self()) || a.counted("down") > 0 || m.counted("up") > 0 {
				t.Errorf("%v %v", a.history(), m.history())
			}
		})
	}
}

func isRefusal(err error, want Refusal) bool {
	r, ok := err.(*RefusedError)
	return ok && r.Reason == want
}

func connect(t *testing.T, n *node) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// ask sends first bytes and reads the answer.
func ask(t *testing.T, n *node, first []byte) (net.Conn, error) {
	t.Helper()
	c := connect(t, n)
	if _, err := c.Write(first); err != nil {
		t.Fatal(err)
	}
	body, err := readFrame(c)
	if err != nil {
		return c, err
	}
	_, err = parseAnswer(body)
	return c, err
}

func TestHelloByHand(t *testing.T) {
	z := start(t, id("z", 2), nil)
	m := id("m", 9)
	spoil := func(f func(*hello)) []byte {
		h := greeting(m, z.self(), Control, 1)
		f(h)
		return h.append(nil)
	}
	for name, c := range map[string]struct {
		first []byte
		want  Refusal
	}{
		"another node meant":  {spoil(func(h *hello) { h.To.Name = "y" }), RefusedWrongPeer},
		"another life meant":  {spoil(func(h *hello) { h.To.Boot = 1 }), RefusedWrongPeer},
		"itself":              {spoil(func(h *hello) { h.Node = z.self() }), RefusedSelf},
		"data before control": {spoil(func(h *hello) { h.Lane = Data }), RefusedNoLink},
		"no such lane":        {spoil(func(h *hello) { h.Lane = 7 }), RefusedBadHello},
		"no boot":             {spoil(func(h *hello) { h.Node.Boot = 0 }), RefusedBadHello},
		"a bad name":          {spoil(func(h *hello) { h.Node.Name = "\xff\"" }), RefusedBadHello},
		"long state":          {spoil(func(h *hello) { h.State = make([]byte, MaxState+1) }), RefusedBadHello},
		"not a hello":         {appendPing(nil, 1, nil), RefusedBadHello},
		"an envelope":         {must(appendEnvelope(nil, text(1, "x"))), RefusedBadHello},
		"HTTP":                {[]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), RefusedBadHello},
		"length zero":         {make([]byte, 8), RefusedBadHello},
		"a bomb":              {framed([]byte{frameHello, 0xdd, 0xff, 0xff, 0xff, 0xff}), RefusedBadHello},
	} {
		if _, err := ask(t, z, c.first); !isRefusal(err, c.want) {
			t.Errorf("%s: answer %v, want %s", name, err, c.want)
		}
	}
	if len(z.Peers()) != 0 {
		t.Errorf("refused nodes are peers: %+v", z.Peers())
	}
}

func must(b []byte, ok bool) []byte {
	if !ok {
		panic("too large")
	}
	return b
}

func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// intruder links to n by hand: the lanes of a peer that then sends what it likes.
func intruder(t *testing.T, n *node, self NodeID, seq uint64) (lanes [2]net.Conn) {
	t.Helper()
	for _, lane := range []Lane{Control, Data} {
		c, err := ask(t, n, greeting(self, n.self(), lane, seq).append(nil))
		if err != nil {
			t.Fatalf("hello on lane %s: %v", lane, err)
		}
		lanes[lane] = c
	}
	await(t, "link", func() bool { return n.up(self) })
	return lanes
}

// TestBadFrames: what is no frame ends the link it came on, at once, and nothing else.
func TestBadFrames(t *testing.T) {
	a, z := start(t, id("a", 1), nil), start(t, id("z", 2), nil)
	know(a, z)
	awaitLinks(t, a, z)
	deep := bytes.Repeat([]byte{0x91}, 60000)
	bad := map[string][]byte{
		"garbage":           []byte("\xde\xad\xbe\xef and more of it"),
		"length zero":       {0, 0, 0, 0},
		"oversize":          binary.BigEndian.AppendUint32(nil, envelope.MaxSize+1),
		"a huge length":     {0xff, 0xff, 0xff, 0xff},
		"a hello again":     greeting(id("m", 9), z.self(), Data, 1).append(nil),
		"unknown link type": framed([]byte{0x0f, 0x90}),
		"a bad ping":        framed([]byte{framePing, 0xa1, 'x'}),
		"an empty ping":     framed([]byte{framePing}),
		"a bomb":            framed([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}),
		"a deep bomb":       framed(deep),
		"no array":          framed([]byte{0xc0}),
		"unknown kind":      framed([]byte{0x96, 0xcc, 0xff, 0, 0, 0, 0xa0, 0xc4, 0}),
		"trailing bytes":    framed(append(must(appendEnvelope(nil, text(1, "x")))[header:], 0)),
	}
	seq := uint64(0)
	for name, frame := range bad {
		for _, lane := range []Lane{Data, Control} {
			seq++
			self := id("m", 9)
			lanes := intruder(t, z, self, seq)
			good := must(appendEnvelope(nil, text(seq, "before")))
			downs := z.counted("down")
			if _, err := lanes[lane].Write(append(good, frame...)); err != nil {
				t.Fatal(err)
			}
			await(t, name+" ends the link", func() bool { return z.counted("down") == downs+1 })
			if h := z.history(); h[len(h)-1] != "down "+self.String()+" bad_frame" {
				t.Errorf("%s on %s: %s", name, lane, h[len(h)-1])
			}
			for _, c := range lanes {
				if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
					t.Errorf("%s: the lanes are not closed: %v", name, err)
				}
			}
			if got := z.messages(); len(got) == 0 || got[len(got)-1].ref != seq {
				t.Errorf("%s: the good frame before it was not delivered", name)
			}
		}
	}
	if a.counted("down") > 0 || z.counted("down "+a.self().String()) > 0 {
		t.Errorf("another link ended: %v", a.history())
	}
	if err := a.Send(z.self(), text(1, "still here")); err != nil {
		t.Error(err)
	}
}

// TestTruncated: a frame that never becomes whole is not delivered.
func TestTruncated(t *testing.T) {
	z := start(t, id("z", 2), nil)
	lanes := intruder(t, z, id("m", 9), 1)
	frame := must(appendEnvelope(nil, text(1, strings.Repeat("x", 1000))))
	if _, err := lanes[Data].Write(frame[:len(frame)-1]); err != nil {
		t.Fatal(err)
	}
	_ = lanes[Data].Close()
	await(t, "end", func() bool { return z.counted("down "+id("m", 9).String()) == 1 })
	if len(z.messages()) != 0 {
		t.Errorf("delivered %v", z.messages())
	}
}

// TestLengthAloneTakesNoMemory: a thousand times the largest length, with no bytes behind it.
func TestLengthAloneTakesNoMemory(t *testing.T) {
	z := start(t, id("z", 2), nil)
	lanes := intruder(t, z, id("m", 9), 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	v0, _ := z.metric("reads_total", "m", "data")
	if _, err := lanes[Data].Write(binary.BigEndian.AppendUint32(nil, envelope.MaxSize)); err != nil {
		t.Fatal(err)
	}
	await(t, "read", func() bool { v, _ := z.metric("reads_total", "m", "data"); return v > v0 })
	runtime.ReadMemStats(&after)
	if grew := after.TotalAlloc - before.TotalAlloc; grew > envelope.MaxSize/2 {
		t.Errorf("%d bytes allocated for a length", grew)
	}
}

// TestSplitFrames: frames arrive in any pieces.
func TestSplitFrames(t *testing.T) {
	z := start(t, id("z", 2), nil)
	lanes := intruder(t, z, id("m", 9), 1)
	var stream []byte
	sizes := []int{0, 1, 100, 60000, 65536, 200000, 3, 1 << 20, 5}
	for i, n := range sizes {
		stream = append(stream, must(appendEnvelope(nil, text(uint64(i+1), strings.Repeat(fmt.Sprint(i), n))))...)
	}
	for piece := 1; len(stream) > 0; piece = piece*3%50021 + 1 {
		n := min(piece, len(stream))
		if _, err := lanes[Data].Write(stream[:n]); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	await(t, "all", func() bool { return len(z.messages()) == len(sizes) })
	for i, m := range z.messages() {
		if m.ref != uint64(i+1) || m.text != strings.Repeat(fmt.Sprint(i), sizes[i]) {
			t.Errorf("message %d: ref %d, %d bytes", i, m.ref, len(m.text))
		}
	}
}

func TestCrowd(t *testing.T) {
	a, z := start(t, id("a", 1), nil), start(t, id("z", 2), nil)
	for range maxGreets + 20 {
		connect(t, z)
	}
	await(t, "some are turned away", func() bool { return z.refusals("us", RefusedCrowded) >= 20 })
	know(a, z)
	awaitLinks(t, a, z) // the silent ones are gone after the handshake's time
}

// TestRebirth: a node that died without a word and came back under its name is linked within moments; one that lives is not
// thrown out unless SetPeers says so.
func TestRebirth(t *testing.T) {
	a, old := start(t, id("a", 1), nil), start(t, id("z", 2), nil)
	know(a, old)
	awaitLinks(t, a, old)
	reborn := start(t, id("z", 3), nil)
	reborn.SetPeers([]Peer{a.peerOf()})
	await(t, "refused while the first lives", func() bool { return reborn.wasRefused("true name_taken") })
	if !a.up(old.self()) || a.counted("down") > 0 {
		t.Fatalf("the living node was thrown out: %v", a.history())
	}
	a.SetPeers([]Peer{reborn.peerOf()})
	await(t, "replaced", func() bool { return a.up(reborn.self()) && a.counted("up "+reborn.self().String()) == 1 })
	if h := a.history(); h[1] != "down "+old.self().String()+" replaced" {
		t.Errorf("history %v", h)
	}
	if err := a.Send(old.self(), text(1, "x")); err != ErrNoLink {
		t.Errorf("Send to the old life: %v", err)
	}
	old.stop()
	reborn.stop()
	third := start(t, id("z", 4), nil)
	third.SetPeers([]Peer{a.peerOf()})
	await(t, "the third life is linked although nobody told", func() bool { return a.up(third.self()) })
}
