package mesh

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"gamed/internal/envelope"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a mesh under test with a record of what it told.
type node struct {
	*Mesh
	t    testing.TB
	addr string
	reg  *prometheus.Registry
	stop func() // ends Run and waits for it
	ran  chan error

	mu      sync.Mutex
	got     []message
	events  []string // "up name/boot", "down name/boot reason"
	when    []time.Time
	ups     map[NodeID]int
	refused []string
	states  map[NodeID]string
	log     bytes.Buffer
}

type message struct {
	from NodeID
	lane Lane
	ref  uint64
	text string
}

// Write takes the log.
func (n *node) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(b)
}

func id(name string, boot uint64) NodeID { return NodeID{Name: name, Boot: boot << 32} }

// start runs a mesh on a loopback port, or on what set gives it.
func start(t testing.TB, self NodeID, set func(*Options)) *node {
	t.Helper()
	n := &node{t: t, reg: prometheus.NewRegistry(), ups: map[NodeID]int{}, states: map[NodeID]string{}, ran: make(chan error, 1)}
	o := Options{Self: self, Cluster: "test", ConfigHash: 7, Registerer: n.reg,
		Log: slog.New(slog.NewTextHandler(n, &slog.HandlerOptions{Level: slog.LevelInfo})),
		Receive: func(from NodeID, lane Lane, e *envelope.Envelope) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.got = append(n.got, message{from, lane, e.Ref, string(e.Payload)})
		},
		OnLink: func(peer NodeID, up bool, why string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if up {
				n.ups[peer]++
			}
			n.events = append(n.events, strings.TrimSpace(fmt.Sprintf("%s %s %s", map[bool]string{true: "up", false: "down"}[up], peer, why)))
			n.when = append(n.when, time.Now())
		},
		OnHello: func(peer NodeID, state []byte) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.states[peer] = string(state)
		},
		OnRefused: func(peer NodeID, byPeer bool, reason Refusal) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.refused = append(n.refused, fmt.Sprintf("%v %s", byPeer, reason))
		},
	}
	if set != nil {
		set(&o)
	}
	if o.Listen == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Listen = ln
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	n.Mesh, n.addr = m, o.Listen.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { n.ran <- m.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-n.ran; err != nil {
			t.Errorf("Run of %s: %v", self, err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

func (n *node) self() NodeID { return n.opt.Self }
func (n *node) peerOf() Peer { return Peer{ID: n.opt.Self, Addr: n.addr} }

// know makes every node want all the others.
func know(nodes ...*node) {
	var all []Peer
	for _, n := range nodes {
		all = append(all, n.peerOf())
	}
	for _, n := range nodes {
		n.SetPeers(all)
	}
}

// await waits until cond holds, or fails.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func (n *node) up(peer NodeID) bool {
	for _, p := range n.Peers() {
		if p.ID == peer {
			return p.Up
		}
	}
	return false
}

// awaitLinks waits until every node is linked to every other.
func awaitLinks(t testing.TB, nodes ...*node) {
	t.Helper()
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				await(t, fmt.Sprintf("%s linked to %s; log:\n%s", a.self(), b.self(), a.logged()), func() bool { return a.up(b.self()) && a.counted("up "+b.self().String()) > 0 })
			}
		}
	}
}

func (n *node) logged() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.String()
}

// counted is how many link events begin like this.
func (n *node) counted(prefix string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := 0
	for _, e := range n.events {
		if strings.HasPrefix(e, prefix) {
			c++
		}
	}
	return c
}

func (n *node) history() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.events...)
}

func (n *node) messages() []message {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]message(nil), n.got...)
}

func (n *node) wasRefused(what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.refused {
		if r == what {
			return true
		}
	}
	return false
}

func (n *node) stateOf(peer NodeID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.states[peer]
}

// metric is the value of one series: a name and label values in any order, all of which must be there.
func (n *node) metric(name string, values ...string) (v float64, found bool) {
	n.t.Helper()
	families, err := n.reg.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "gamed_mesh_"+name {
			continue
		}
	series:
		for _, s := range f.GetMetric() {
			for _, want := range values {
				if !slices.ContainsFunc(s.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == want }) {
					continue series
				}
			}
			found = true
			v += s.GetCounter().GetValue() + s.GetGauge().GetValue()
		}
	}
	return v, found
}

func (n *node) refusals(by string, r Refusal) float64 {
	v, _ := n.metric("refused_total", by, r.String())
	return v
}

func text(ref uint64, s string) *envelope.Envelope {
	return &envelope.Envelope{Kind: envelope.Cast, Key: "player/ann", Ref: ref, Payload: []byte(s)}
}
