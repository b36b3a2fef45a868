package cluster

import (
	"sync"

	"gamed/internal/cluster/agreement"
	"gamed/internal/shard"
)

// inbox gathers what other goroutines heard, for the loop. It keeps the latest of each kind for each node: putting never blocks,
// and its size is bounded by the number of nodes.
type inbox struct {
	wake chan struct{} // capacity 1

	mu sync.Mutex // guards what follows
	in letters
}

// letters are what one turn of the loop takes.
type letters struct {
	gossip   map[string]gossiped // by gossip name
	links    map[shard.NodeID]linked
	reports  map[shard.NodeID]*agreement.Report
	tables   map[shard.NodeID]*shard.Table
	fetches  map[shard.NodeID]bool
	leaves   map[shard.NodeID]bool
	forgets  map[string]bool       // names; true: asked for here, to be told to the others
	refused  map[shard.NodeID]bool // their ports refuse
	refusals map[refusal]bool
	pings    map[shard.NodeID]bool // answered or not
	filled   *agreement.Filled     // the last table's
	draining *bool
	leave    bool
	overflow int // nodes that were too many to be kept
}

// gossiped is memberlist's latest word on a node.
type gossiped struct {
	meta  meta
	addr  string // of its gossip
	alive bool
}

// linked is the mesh's latest word on a link.
type linked struct {
	up   bool
	down string // why it went down since the last turn, "" if it did not
}

// refusal is a hello that was refused.
type refusal struct {
	peer   shard.NodeID
	byPeer bool
	reason string
}

// maxKnown bounds the nodes known at one time, dead ones included.
const maxKnown = 4 * maxNodes

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (i *inbox) put(f func(*letters)) {
	i.mu.Lock()
	f(&i.in)
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *inbox) take() letters {
	i.mu.Lock()
	defer i.mu.Unlock()
	in := i.in
	i.in = letters{}
	return in
}

// keep puts v into one of the inbox's maps, unless there are too many.
func keep[K comparable, V any](in *letters, m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	if _, ok := (*m)[k]; !ok && len(*m) >= maxKnown {
		in.overflow++
		return
	}
	(*m)[k] = v
}

func (i *inbox) link(id shard.NodeID, up bool, why string) {
	i.put(func(in *letters) {
		l := in.links[id]
		l.up = up
		if !up {
			l.down = why
			delete(in.reports, id) // of the link that ended
		}
		keep(in, &in.links, id, l)
	})
}

// report keeps a node's latest word. The answer to a heartbeat that an earlier one was keeps its date: what is said later holds for
// that as well.
func (i *inbox) report(from shard.NodeID, r *agreement.Report) {
	i.put(func(in *letters) {
		if old := in.reports[from]; old != nil && r.Sent == 0 {
			r.Sent = old.Sent
		}
		keep(in, &in.reports, from, r)
	})
}

func (i *inbox) table(from shard.NodeID, t *shard.Table) {
	i.put(func(in *letters) {
		if old := in.tables[from]; old == nil || t.Newer(old) {
			keep(in, &in.tables, from, t)
		}
	})
}
