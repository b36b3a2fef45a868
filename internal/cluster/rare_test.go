package cluster

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/cluster/mesh"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

func TestRareSaysHowManyItLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		r := rare{log: slog.New(slog.NewTextHandler(&b, nil))}
		for range 101 {
			r.warn("a", "bad thing")
		}
		r.warn("b", "other thing")
		time.Sleep(rareEvery)
		r.warn("a", "bad thing")
		if got := strings.Count(b.String(), "bad thing"); got != 2 || !strings.Contains(b.String(), "left_out=100") || !strings.Contains(b.String(), "other thing") {
			t.Errorf("%d lines:\n%s", got, b.String())
		}
		for i := range 10 * rareKinds {
			r.warn(fmt.Sprint("kind", i), "many kinds")
		}
		if got := strings.Count(b.String(), "many kinds"); got > rareKinds || len(r.kinds) > rareKinds+1 {
			t.Errorf("%d lines of kinds without end, %d kept", got, len(r.kinds))
		}
	})
}

func TestGossipLinesOfOneKind(t *testing.T) {
	for _, lines := range [][]string{
		{"msg type (7) not supported from=1.2.3.4:5", "msg type (199) not supported from=127.0.0.1:40000"},
		{"Failed to decode ping request: msgpack decode error [pos 3]: x from=a", "Failed to decode ping request: EOF from=b"},
		{`discarding packet with unacceptable label "gamed/x": from=1`, `discarding packet with unacceptable label "other": from=2`},
	} {
		if kindOf(lines[0]) != kindOf(lines[1]) || kindOf(lines[0]) == "" {
			t.Errorf("%q and %q are of two kinds", lines[0], lines[1])
		}
	}
	if kindOf("Failed to decode ping request: x") == kindOf("Failed to decode ack: x") {
		t.Error("two kinds are one")
	}
}

// Bytes without end that are no gossip cost a few lines of the log, and nothing else.
func TestGossipGarbage(t *testing.T) {
	n := start(t, "gamed-1", nil)
	await(t, "table", func() bool { return agreed(n) })
	conn, err := net.Dial("udp", n.GossipAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	r := rand.New(rand.NewPCG(1, 2))
	before, term := strings.Count(n.logs.String(), "\n"), n.Table().Term
	for i := range 5000 {
		b := make([]byte, 1+r.IntN(200))
		for j := range b {
			b[j] = byte(r.IntN(256))
		}
		if i%2 == 0 {
			b[0] = byte(i % 16) // a message type
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // or the kernel drops them
		}
	}
	await(t, "complaint", func() bool { return strings.Contains(n.logs.String(), "gossip: ") })
	if lines := strings.Count(n.logs.String(), "\n") - before; lines > 40 {
		t.Errorf("%d lines of log for 5,000 packets of garbage", lines)
	}
	if !agreed(n) || n.Table().Term != term {
		t.Error("garbage changed the table")
	}
}

// What a node of the cluster sends that cannot be is refused, counted, logged once, and changes nothing.
func TestForgedFramesChangeNothing(t *testing.T) {
	nodes := startN(t, 2, nil)
	await(t, "table", func() bool { return agreed(nodes...) && placedOn(nodes[0].Table(), 2) })
	victim, from := nodes[0].Cluster, mesh.NodeID(nodes[1].Self())
	was := victim.Table()
	good := appendTable(nil, was)
	forge := func(change func(*shard.Table)) []byte {
		f := *was
		f.Nodes = append([]shard.NodeID(nil), was.Nodes...)
		change(&f)
		return appendTable(nil, f.Seal())
	}
	frames := map[string][]byte{
		"truncated":       good[:len(good)/2],
		"garbage":         []byte("\xc1garbage"),
		"nothing":         nil,
		"impossible term": forge(func(f *shard.Table) { f.Term = 1 << 61 }),
		"term of 2^63":    forge(func(f *shard.Table) { f.Term = 1 << 63 }),
		"old":             forge(func(f *shard.Table) { f.Term, f.Coordinator = 1, "gamed-0"; f.PartTerm = [shard.Partitions]uint64{} }),
		"of strangers": forge(func(f *shard.Table) {
			f.Term += 5
			f.Nodes = []shard.NodeID{{Name: "x", Boot: 1}, {Name: "y", Boot: 2}}
		}),
		"another lineage": forge(func(f *shard.Table) { f.Term += 5; f.History = nil }),
	}
	for _, b := range frames {
		for range 200 {
			victim.receive(from, mesh.Control, &envelope.Envelope{Kind: envelope.Table, Event: tellTable, Payload: b})
		}
	}
	for range 200 {
		victim.receive(from, mesh.Control, &envelope.Envelope{Kind: envelope.Table, Event: "nonsense"})
		victim.receive(from, mesh.Control, &envelope.Envelope{Kind: envelope.Table, Event: tellForget, Payload: []byte("no name")})
		victim.receive(from, mesh.Control, &envelope.Envelope{Kind: envelope.Table, Event: tellForget, Payload: []byte("gamed-2")})
		victim.hello(from, []byte{1, 2, 3})
	}
	await(t, "refusals", func() bool { return strings.Contains(nodes[0].logs.String(), "reason=\"impossible term\"") })
	begin := time.Now()
	await(t, "a second", func() bool { return time.Since(begin) > time.Second })
	if !agreed(nodes...) || victim.Table().Hash != was.Hash {
		t.Errorf("the table is %+v", victim.Table().Nodes)
	}
	for _, what := range []string{"a table could not be read", "a state could not be read", "unknown word", "forgotten could not be read", "impossible term"} {
		if n := strings.Count(nodes[0].logs.String(), what); n != 1 {
			t.Errorf("%q was logged %d times", what, n)
		}
	}
}
