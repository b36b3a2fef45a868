package cluster

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

var simSeed = flag.Uint64("sim.seed", 1, "seed of the simulated network")

// simHours is how long the quiet simulations last, in hours of their own time; 0: what go test can afford.
func simHours() float64 {
	h, _ := strconv.ParseFloat(os.Getenv("GAMED_SIM_HOURS"), 64)
	return h
}

// world is a cluster over a simulated network in a bubble: real memberlist, real mesh, real loop. Not exactly replayed by its seed,
// because memberlist and the scheduler draw lots of their own: tests want bounds.
type world struct {
	t     *testing.T
	net   *simNet
	all   []*simNode
	began time.Time
	boots uint64
	story []string // what was done, told when the test fails

	mu    sync.Mutex // guards what follows; only the test's goroutine changes it
	nodes []*simNode // those that run, by number
}

// simNode is one life of a node.
type simNode struct {
	*Cluster
	host *simHost
	end  context.CancelFunc
	done chan struct{}
	err  error // valid once done

	mu     sync.Mutex // guards what follows
	tables []simTable
	events []Event
	got    map[string][]uint64 // numbers by sender's name
	logs   []string            // the last ones
}

type simTable struct {
	at time.Time
	*shard.Table
}

const logsKept = 400

// simulate runs a test in a bubble of its own, with a network of a seed.
func simulate(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(epoch.AddDate(0, 6, 0))) // bubbles begin in the year 2000
		w := &world{t: t, net: newSimNet(*simSeed), began: time.Now()}
		defer w.close()
		test(w)
	})
}

// close ends all nodes and lets memberlist's timers run out.
func (w *world) close() {
	for _, n := range w.all {
		n.end()
	}
	for _, n := range w.all {
		<-n.done
	}
	time.Sleep(5 * time.Minute)
	if !w.t.Failed() {
		return
	}
	w.t.Logf("seed %d: go test ./internal/cluster -run '^%s$' -sim.seed %d (chances of the scheduler are not replayed)", w.net.seed, w.t.Name(), w.net.seed)
	for _, s := range w.story {
		w.t.Log(s)
	}
	for _, n := range w.all {
		n.mu.Lock()
		for _, table := range n.tables[max(0, len(n.tables)-20):] {
			w.t.Logf("%s %v: term %d of %s, nodes %v, missing %v", n.self, table.at.Sub(w.began), table.Term, table.Coordinator, table.Nodes, table.Missing)
		}
		if testing.Verbose() {
			w.t.Logf("---- %s\n%s", n.self, strings.Join(n.logs, ""))
		}
		n.mu.Unlock()
	}
}

func hostOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) }

func gossipOf(i int) string { return netip.AddrPortFrom(hostOf(i), 7302).String() }

// start runs a life of node number i, which looks for those of count nodes, on its host.
func (w *world) start(i, count int, change func(*Options)) *simNode {
	w.t.Helper()
	return w.startOn(hostOf(i), i, count, change)
}

func (w *world) startOn(host netip.Addr, i, count int, change func(*Options)) *simNode {
	w.t.Helper()
	n := &simNode{host: &simHost{w.net, host}, done: make(chan struct{}), got: map[string][]uint64{}}
	w.net.boot(host)
	w.boots++
	o := Options{Name: fmt.Sprintf("gamed-%d", i+1), Cluster: "sim", Boot: w.boots * 0x9e3779b97f4a7c15, Version: "v1", network: n.host,
		MeshAddr: netip.AddrPortFrom(host, 7301).String(), GossipAddr: netip.AddrPortFrom(host, 7302).String(),
		PlayersAddr: netip.AddrPortFrom(host, 7300).String(), Registerer: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(n, nil)), Receive: n.receive, OnTable: n.table, OnEvent: n.event}
	for j := range count {
		o.Join = append(o.Join, gossipOf(j))
	}
	if change != nil {
		change(&o)
	}
	var err error
	if n.Cluster, err = New(o); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.end = cancel
	w.all = append(w.all, n)
	w.set(i, n)
	go func() {
		defer close(n.done)
		n.err = n.Run(ctx)
	}()
	return n
}

func (w *world) set(i int, n *simNode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.nodes) <= i {
		w.nodes = append(w.nodes, nil)
	}
	w.nodes[i] = n
}

// form starts count nodes at once and waits for one table of all, in place.
func (w *world) form(count int, change func(*Options)) {
	w.t.Helper()
	for i := range count {
		w.start(i, count, change)
	}
	w.within(5*time.Second, "one table of all", w.whole)
	w.within(10*time.Second, "partitions in place", w.placed)
}

func (n *simNode) receive(from shard.NodeID, e *envelope.Envelope) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got[from.Name] = append(n.got[from.Name], e.Ref)
}

func (n *simNode) table(t *shard.Table) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tables = append(n.tables, simTable{time.Now(), t})
	time.AfterFunc(fillTime, func() { n.SetFilled(t.Hash, ownedBy(t, n.self)) })
}

// fillTime is how long a new backup takes to be full. Nothing is really sent to it here.
const fillTime = 200 * time.Millisecond

func ownedBy(t *shard.Table, id shard.NodeID) (parts shard.PartSet) {
	for p := range uint16(shard.Partitions) {
		if o, ok := t.OwnerOf(p); ok && o == id {
			parts.Add(p)
		}
	}
	return parts
}

func (n *simNode) event(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, e)
}

// Write keeps a line of the log.
func (n *simNode) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.logs) == logsKept {
		n.logs = append(n.logs[:0], n.logs[logsKept/2:]...)
	}
	n.logs = append(n.logs, string(b))
	return len(b), nil
}

func (n *simNode) over() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}

// eventsOf are the node's events of some kinds since a moment.
func (n *simNode) eventsOf(since time.Time, kinds ...string) (out []Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if !e.Time.Before(since) && slices.Contains(kinds, e.Kind) {
			out = append(out, e)
		}
	}
	return out
}

// tablesSince are the tables that the node installed since a moment, with the one before them.
func (n *simNode) tablesSince(since time.Time) []simTable {
	n.mu.Lock()
	defer n.mu.Unlock()
	first := 0
	for i, t := range n.tables {
		if t.at.Before(since) {
			first = i
		}
	}
	return slices.Clone(n.tables[first:])
}

// within waits for a condition and fails when it takes longer.
func (w *world) within(limit time.Duration, what string, ok func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			w.t.Fatalf("seed %d, %v: no %s within %v: %s", w.net.seed, time.Since(w.began), what, limit, w.state())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

// state tells how things are, for people.
func (w *world) state() string {
	var b strings.Builder
	for _, n := range w.live() {
		t := n.Table()
		_, why := n.Ready()
		up := 0
		for _, p := range n.mesh.Peers() {
			if p.Up {
				up++
			}
		}
		fmt.Fprintf(&b, "\n  %s: term %d of %s, %d nodes, %d missing, hash %x, %d links, waiting for %q", n.self, t.Term, t.Coordinator, len(t.Nodes), len(t.Missing), t.Hash>>48, up, why)
	}
	return b.String()
}

// live are the nodes that run.
func (w *world) live() (out []*simNode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if n != nil && !n.over() {
			out = append(out, n)
		}
	}
	return out
}

// whole says whether all nodes that run are ready, linked to each other, and have one table, of just them and no other.
func (w *world) whole() bool { return oneTable(w.live()...) && meshed(w.live()...) }

func oneTable(nodes ...*simNode) bool {
	first := nodes[0].Table()
	for _, n := range nodes {
		if ok, _ := n.Ready(); !ok || n.Table().Hash != first.Hash || !first.Has(n.self) {
			return false
		}
	}
	return len(first.Nodes) == len(nodes)
}

func meshed(nodes ...*simNode) bool {
	for _, n := range nodes {
		up := map[shard.NodeID]bool{n.self: true}
		for _, p := range n.mesh.Peers() {
			up[p.ID] = up[p.ID] || p.Up
		}
		for _, o := range nodes {
			if !up[o.self] {
				return false
			}
		}
	}
	return true
}

// placed says whether all have one table, each partition has an owner and a backup, and each node has a share.
func (w *world) placed() bool {
	if !w.whole() {
		return false
	}
	nodes := w.live()
	t := nodes[0].Table()
	owned := map[shard.NodeID]int{}
	for p := range uint16(shard.Partitions) {
		o, ok := t.OwnerOf(p)
		_, has := t.BackupOf(p)
		if !ok || !has && len(nodes) > 1 {
			return false
		}
		owned[o]++
	}
	for _, n := range nodes {
		if owned[n.self]*len(nodes) < shard.Partitions/2 {
			return false
		}
	}
	return true
}

// part cuts the network between two groups of nodes, by their numbers, or heals it (what 0).
func (w *world) part(a, b []int, what simCut) {
	for _, i := range a {
		for _, j := range b {
			w.net.cut(hostOf(i), hostOf(j), what)
			w.net.cut(hostOf(j), hostOf(i), what)
		}
	}
}

// kill ends a node as kill -9 does.
func (w *world) kill(i int) {
	n := w.nodes[i]
	w.set(i, nil)
	n.Kill()
	<-n.done
}

// fell is a power cut of a node.
func (w *world) fell(i int) {
	w.net.crash(w.nodes[i].host.addr)
	w.kill(i)
}

// moves counts how often partitions changed their owner between tables.
func moves(tables []simTable) (total int, times map[uint16][]time.Time) {
	times = map[uint16][]time.Time{}
	for i := 1; i < len(tables); i++ {
		for p := range uint16(shard.Partitions) {
			was, _ := tables[i-1].OwnerOf(p)
			is, _ := tables[i].OwnerOf(p)
			if was != is {
				total++
				times[p] = append(times[p], tables[i].at)
			}
		}
	}
	return total, times
}

// checkOrder wants each node's tables to have grown, in (term, coordinator).
func (w *world) checkOrder() {
	w.t.Helper()
	for _, n := range w.all {
		n.mu.Lock()
		for i := 1; i < len(n.tables); i++ {
			if !n.tables[i].Newer(n.tables[i-1].Table) {
				w.t.Errorf("seed %d: %s: term %d of %s after term %d of %s", w.net.seed, n.self, n.tables[i].Term, n.tables[i].Coordinator,
					n.tables[i-1].Term, n.tables[i-1].Coordinator)
			}
		}
		n.mu.Unlock()
	}
}
