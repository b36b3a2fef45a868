package hostile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"gamed/internal/cluster"
	"gamed/internal/cluster/mesh"
	"gamed/internal/envelope"
	"gamed/protocol"
)

// The frames of a mesh link, see internal/cluster/mesh.
const (
	meshHello   = 1
	meshWelcome = 2
	meshPing    = 4
)

func meshFrame(body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// mustEnd reads until the other side has closed c, at the latest in limit.
func mustEnd(t *testing.T, c net.Conn, limit time.Duration, what string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(limit))
	_, err := io.Copy(io.Discard, c)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Errorf("%s: not closed within %v", what, limit)
	}
}

// TestMeshGarbage: garbage, bombs and half frames instead of a hello, on the ports of mesh and gossip: each is closed, the node
// goes on.
func TestMeshGarbage(t *testing.T) {
	t.Parallel()
	n := start(t)
	before := n.memory()
	g := &garbage{Rand: random(t, 0), who: "nobody"}
	var firsts [][]byte
	for _, bomb := range bombs() {
		firsts = append(firsts, meshFrame(bomb), meshFrame([]byte{meshHello}, bomb), meshFrame([]byte{meshPing}, bomb))
	}
	for range 100 {
		firsts = append(firsts, g.noise(1+g.IntN(8000)), meshFrame([]byte{byte(g.IntN(16))}, g.noise(g.IntN(3000))))
	}
	firsts = append(firsts, []byte{0, 0, 0, 0}, []byte{0xff, 0xff, 0xff, 0xff}, []byte("GET / HTTP/1.1\r\n\r\n"))
	for _, addr := range []string{n.Mesh, n.Gossip} {
		for i, first := range firsts {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(first); err != nil && addr == n.Mesh {
				t.Logf("write %d: %v", i, err) // it was refused before all was sent
			}
			_ = c.(*net.TCPConn).CloseWrite()
			mustEnd(t, c, patience, fmt.Sprintf("% x", first[:min(20, len(first))]))
			_ = c.Close()
		}
	}
	udp, err := net.Dial("udp", n.Gossip)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for range 5000 {
		if _, err := udp.Write(g.noise(1 + g.IntN(1200))); err != nil {
			t.Fatal(err)
		}
	}
	// Half a hello, for more connections than may be greeting at once: they are closed, and who comes after them is heard.
	var half []net.Conn
	for range 200 {
		c, err := net.Dial("tcp", n.Mesh)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte{0, 0, 1, 0, meshHello}) // those above the bound are closed already
		half = append(half, c)
	}
	for _, c := range half {
		mustEnd(t, c, patience, "half a hello")
	}
	if refused := n.metric(`gamed_mesh_refused_total{by="us",reason="bad_hello"}`); refused < 100 {
		t.Errorf("only %v refusals are counted", refused)
	}
	if after := n.memory(); after > before+flat {
		t.Errorf("memory went from %d to %d MiB", before, after)
	}
	intrude(t, n, "late")
	n.calm(t)
}

// lives numbers the lives of intruders and their links.
var lives atomic.Uint64

// intrude links to a node as another one does that knows the cluster's name: the lanes control and data.
func intrude(t *testing.T, n *node, name string) (lanes [2]net.Conn) {
	t.Helper()
	b, err := n.get("/api/v1/members")
	var members []struct{ Node, Boot string }
	if err == nil {
		err = json.Unmarshal(b, &members)
	}
	to := envelope.NodeID{Name: n.Node}
	for _, m := range members {
		if err == nil && m.Node == n.Node {
			to.Boot, err = strconv.ParseUint(m.Boot, 16, 64)
		}
	}
	if err != nil || to.Boot == 0 {
		t.Fatalf("members %s: %v", b, err)
	}
	if !within(patience, func() bool {
		lanes, err = link(n.Mesh, to, envelope.NodeID{Name: name, Boot: lives.Add(1)})
		return err == nil
	}) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range lanes {
			_ = c.Close()
		}
	})
	return lanes
}

// link is one attempt. A node that has just lost a link may refuse.
func link(addr string, to, self envelope.NodeID) (lanes [2]net.Conn, err error) {
	seq := lives.Add(1)
	for _, lane := range []mesh.Lane{mesh.Control, mesh.Data} {
		h := protocol.AppendArray([]byte{meshHello}, 13)
		h = protocol.AppendStr(h, "gamed-mesh")
		h = protocol.AppendUint(h, cluster.WireMin)
		h = protocol.AppendUint(h, cluster.WireMax)
		h = protocol.AppendStr(h, "gamed")
		h = protocol.AppendUint(h, cluster.ConfigHash("gamed", cluster.Available))
		h = protocol.AppendStr(h, self.Name)
		h = protocol.AppendUint(h, self.Boot)
		h = protocol.AppendUint(h, uint64(lane))
		h = protocol.AppendStr(h, to.Name)
		h = protocol.AppendUint(h, to.Boot)
		h = protocol.AppendUint(h, seq)
		h = protocol.AppendUint(h, 0)
		h = protocol.AppendBin(h, nil)
		if lanes[lane], err = greet(addr, meshFrame(h)); err != nil {
			if lane == mesh.Data {
				_ = lanes[mesh.Control].Close()
			}
			return lanes, fmt.Errorf("link to %s, lane %v: %w", addr, lane, err)
		}
	}
	return lanes, nil
}

// greet connects, says hello and reads the welcome.
func greet(addr string, hello []byte) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	var head [4]byte
	if _, err = c.Write(hello); err == nil {
		_, err = io.ReadFull(c, head[:])
	}
	body := make([]byte, min(binary.BigEndian.Uint32(head[:]), 4096))
	if err == nil {
		_, err = io.ReadFull(c, body)
	}
	if err == nil && (len(body) == 0 || body[0] != meshWelcome) {
		err = fmt.Errorf("refused: %q", body)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// TestMeshIntruder: a linked node sends bombs: what is no frame ends the link; an envelope whose payload is a bomb, or
// whose key is nobody's, costs at most itself. (It does not speak for the honest players: a node may.) They notice nothing.
func TestMeshIntruder(t *testing.T) {
	t.Parallel()
	n := start(t)
	w := hire(t, n, 2, "chat:calm")
	before := n.memory()
	for name, bomb := range bombs() {
		for lane := range 2 {
			lanes := intrude(t, n, "intruder")
			for _, frame := range [][]byte{meshFrame(bomb), meshFrame([]byte{meshPing}, bomb)} {
				_, _ = lanes[lane].Write(frame) // the second finds the link closed
			}
			mustEnd(t, lanes[lane], patience, name)
			mustEnd(t, lanes[1-lane], patience, name+", the other lane")
		}
	}
	g := &garbage{Rand: random(t, 0), who: "nobody"}
	payloads := append([][]byte{nil, g.noise(100), g.noise(5000)}, meshFrame([]byte{0x90}))
	for _, b := range bombs() {
		payloads = append(payloads, b, meshFrame(b))
	}
	keys := []string{"player/nobody", "player/new", "chat/other", "chat:other", "chat/lobby", "trivia/x", "", "/", "player/", "\xff\x00", string(g.noise(300))}
	texts := []string{"", "chat:other", "join", "say", "owner", "table", "hello", string(g.noise(40))}
	kinds := 0
	for kind := envelope.Kind(1); kind < 40; kind++ {
		if kind == envelope.Table || kind.String() == fmt.Sprintf("kind(%d)", uint8(kind)) {
			continue // a table is believed: an authenticated node may say who owns what
		}
		kinds++
		lanes := intrude(t, n, "intruder")
		var all []byte
		for _, p := range payloads {
			for range 3 {
				key := keys[g.IntN(len(keys))]
				pick := func() string { return texts[g.IntN(len(texts))] }
				e := envelope.Envelope{Kind: kind, Key: key, Payload: p, Part: uint16(g.IntN(1021)), Term: g.Uint64N(3), Conn: 1<<40 + g.Uint64N(4),
					Flags: uint16(g.IntN(1 << 11)), Ref: g.Uint64N(4), Offset: g.Uint64N(4), TTL: time.Second, Topic: pick(), Event: pick(),
					From: keys[g.IntN(len(keys))], Session: pick()}
				all = append(all, meshFrame(e.Append(nil))...)
			}
		}
		go func() { // it may answer more than fits into the buffers
			_, _ = io.Copy(io.Discard, lanes[mesh.Data])
		}()
		if _, err := lanes[mesh.Data].Write(all); err != nil {
			t.Logf("envelopes of kind %v: the link was closed: %v", kind, err)
		}
		n.mustLive()
		if err := visit(n, fmt.Sprintf("after-%d", kind)); err != nil {
			t.Fatalf("after envelopes of kind %v: %v", kind, err)
		}
		for _, c := range lanes {
			_ = c.Close()
		}
	}
	if kinds < 15 {
		t.Errorf("only %d kinds of envelopes are known", kinds)
	}
	if after := n.memory(); after > before+2*flat { // what it sends may fill mailboxes
		t.Errorf("memory went from %d to %d MiB", before, after)
	}
	for _, c := range w.all {
		if !c.Connected() {
			t.Errorf("%s is not connected any more", c.Player())
		}
	}
	n.calm(t)
}
