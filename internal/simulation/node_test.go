package simulation

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gamed/internal/cluster/agreement"
	"gamed/internal/cluster/ownership"
	"gamed/internal/cluster/placement"
	"gamed/internal/envelope"
	"gamed/internal/player"
	"gamed/internal/replica"
	"gamed/internal/shard"
)

// node is one process: the real machines, and the shell that carries out what they say, as internal/node does with goroutines.
type node struct {
	w    *world
	slot int
	life int // index into world.lives
	id   shard.NodeID

	agree   *agreement.Machine
	own     *ownership.Machine
	router  *shard.Router
	policy  *replica.Policy
	copies  *replica.Store
	gateway *gateway
	workers []*worker
	moves   moves

	links    []*link // open ends, by life
	dialing  map[int]bool
	opinions []opinion

	dead     bool
	dark     bool // its machine is gone, not only the process: nothing is closed, nothing is refused
	paused   bool
	draining bool
	leaving  bool
	woke     time.Duration
	inbox    []func() // what came while it was paused
	born     time.Duration
	lease    time.Duration // until then this node may act as an owner, on its own clock
	awaits   int           // messages that wait to be sent again
}

func (n *node) String() string { return fmt.Sprintf("%s/%d", n.id.Name, n.life) }

// start begins a process in a slot.
func (w *world) start(slot int) *node {
	w.boots++
	n := &node{w: w, slot: slot, life: len(w.lives), born: w.now - w.between(0, time.Hour), dialing: map[int]bool{},
		id: shard.NodeID{Name: fmt.Sprintf("gamed-%d", slot+1), Boot: w.boots<<32 | uint64(w.rnd.Uint32())}}
	n.agree = agreement.New(agreement.Config{Self: n.id, Expect: w.set.expect, Search: true, Quorum: w.set.quorum, FirstTerm: 1000 + uint64(w.now/time.Minute), MinTerm: 1, Place: remembered})
	n.own = ownership.New(n.id)
	n.own.Sabotage(ownership.Sabotage{SkipMarks: w.set.broken(noMarks), MergeTwice: w.set.broken(mergeTwice)})
	n.copies = replica.NewStore()
	n.router = shard.NewRouter(n.id, n, n)
	n.policy = &replica.Policy{Router: lets{n.router, n}, PieceSize: w.set.piece, Refused: func(e *envelope.Envelope, why error) { n.Refused(n.id, e, why) }}
	n.gateway = &gateway{n: n}
	for range w.set.workers {
		n.workers = append(n.workers, &worker{n: n, entities: map[string]*entity{}})
	}
	w.lives = append(w.lives, n)
	w.slots[slot] = n
	w.logf("%s starts", n)
	for _, o := range w.alive() {
		if o != n {
			n.setLink(o, nil)
			o.setLink(n, nil)
		}
	}
	w.gossip.started(n)
	n.step(agreement.Tick{})
	n.tick()
	n.beat()
	n.sweep()
	return n
}

// lets is the router as entities have it: the checker sees what is let out.
type lets struct {
	*shard.Router
	n *node
}

// ToNode implements replica.Router.
func (l lets) ToNode(to envelope.NodeID, e *envelope.Envelope) error {
	if e.Kind == envelope.Out {
		w := l.n.w
		key := w.clientOf(e.Conn).key
		if l.Mine(key) { // otherwise it has not let go of the entity yet, and nobody runs it before it has
			w.check.told(l.n, key, l.Table().PartTerm[shard.PartitionOf(key)])
		}
	}
	return l.Router.ToNode(to, e)
}

// remembered is placement.Compute with a memory.
func remembered(names []string) *placement.Assignment {
	key := strings.Join(names, " ")
	if a, ok := placements.Load(key); ok {
		return a.(*placement.Assignment)
	}
	a, _ := placements.LoadOrStore(key, placement.Compute(names))
	return a.(*placement.Assignment)
}

var placements sync.Map

// ready says whether it takes players.
func (n *node) ready() bool {
	return !n.paused && !n.draining && !n.leaving && n.agree.Waiting() == ""
}

// soon runs something in this process a moment later.
func (n *node) soon(do func()) {
	n.w.after(n.w.between(0, 2*time.Millisecond), func() { n.arrives(do) })
}

// later runs something in this process after a time, or when it goes on.
func (n *node) later(d time.Duration, do func()) {
	n.w.after(d, func() { n.arrives(do) })
}

// arrives runs something now, or when the process goes on, in order.
func (n *node) arrives(do func()) {
	switch {
	case n.dead:
	case n.paused:
		n.inbox = append(n.inbox, do)
	default:
		do()
	}
}

// pause stops the process for a time: what comes waits in its sockets.
func (n *node) pause(d time.Duration) {
	if n.paused || n.dead {
		return
	}
	w := n.w
	w.logf("%s is stopped for %v", n, d)
	n.paused = true
	w.after(d, n.resume)
}

func (n *node) resume() {
	if !n.paused || n.dead {
		return
	}
	w := n.w
	w.logf("%s goes on", n)
	n.paused, n.woke = false, w.now
	list := n.inbox
	n.inbox = nil
	at := w.now
	for _, do := range list {
		at += w.between(0, 50*time.Microsecond)
		w.queue.push(at, func() { n.arrives(do) })
	}
}

// kill ends the process at once. Of a machine that is gone, nobody hears.
func (n *node) kill(dark bool) {
	if n.dead {
		return
	}
	w := n.w
	w.logf("%s dies, dark=%v", n, dark)
	n.dark = dark
	n.dead = true
	n.inbox = nil
	if w.slots[n.slot] == n {
		w.slots[n.slot] = nil
	}
	w.net.kill(n)
	w.nodeGone(n)
}

// drain empties the node, and ends it when it has given everything away.
func (n *node) drain() {
	if n.draining || n.dead {
		return
	}
	w := n.w
	w.logf("%s is drained", n)
	n.draining = true
	n.arrives(func() { n.step(agreement.Drain{On: true}) })
	var wait func()
	wait = func() {
		if t := n.router.Table(); !n.leaving && len(w.alive()) > 1 && (n.owned() > 0 || !n.own.Given(t.Term) || !n.spared(t)) {
			n.later(20*time.Millisecond, wait)
			return
		}
		n.leave()
	}
	n.later(20*time.Millisecond, wait)
}

// spared says whether nothing is lost with this node: nobody is missing, and all others say that their backups have everything. A
// copy that only this node has is one that the cluster needs.
func (n *node) spared(t *shard.Table) bool {
	if len(t.Missing) > 0 {
		return false
	}
	for _, id := range t.Nodes {
		o := n.w.find(id) // who does not answer may have died with what it was given
		if o != n && (o.dead || o.paused || o.router.Table().Hash != t.Hash || o.own.Busy() || o.waits()) {
			return false
		}
	}
	return true
}

// waits says whether some entity has changes that its backup does not have.
func (n *node) waits() bool {
	for _, k := range n.workers {
		for _, x := range k.entities {
			if x.out.Waits() {
				return true
			}
		}
	}
	return false
}

// leave says goodbye and ends. What it sent before is on the wire by then.
func (n *node) leave() {
	w := n.w
	if n.leaving {
		return
	}
	if w.tracing {
		t, backs := n.router.Table(), 0
		for p := range uint16(shard.Partitions) {
			if b, ok := t.BackupOf(p); ok && b == n.id {
				backs++
			}
		}
		w.logf("%s leaves, owner of %d, backup of %d", n, n.owned(), backs)
	}
	n.leaving = true
	for _, c := range w.clients {
		if c.at == n {
			c.port.goaway()
		}
	}
	n.later(300*time.Millisecond, func() {
		for _, o := range w.lives {
			if l := n.linkOf(o); l != nil {
				w.net.tell(n, o, agreement.Left{ID: n.id})
			}
		}
		n.step(agreement.Leave{})
		n.later(500*time.Millisecond, func() { n.kill(false) })
	})
}

// owned is how many partitions it owns.
func (n *node) owned() (count int) {
	t := n.router.Table()
	for p := range uint16(shard.Partitions) {
		if o, ok := t.OwnerOf(p); ok && o == n.id {
			count++
		}
	}
	return count
}

// tick gives the agreement its ticks as it asks for them.
func (n *node) tick() {
	n.w.after(n.agree.Wake(), func() {
		n.arrives(func() { n.step(agreement.Tick{}) })
		if !n.dead {
			n.tick()
		}
	})
}

// beat tells all peers of this node, and gives up those that are silent.
func (n *node) beat() {
	if n.dead {
		return
	}
	w := n.w
	w.after(beatEvery, n.beat)
	if n.paused {
		return
	}
	n.beatAll(func(l *link) bool {
		silent := w.now - l.heard[l.end(n)]
		if silent > silentFor {
			w.net.close(l, l.end(n), agreement.LinkDown{Silent: silent})
		}
		return silent <= silentFor
	})
}

// beatAll sends a heartbeat on every link that is to have one.
func (n *node) beatAll(which func(l *link) bool) {
	w := n.w
	r := n.report()
	for _, o := range w.lives {
		l := n.linkOf(o)
		if l == nil {
			continue
		}
		if which(l) {
			w.net.tell(n, o, beat{r, n.clock()})
		}
	}
}

// beat is a heartbeat: what a node says of itself, and when it sent that. The answer gives the time back.
type beat struct {
	report agreement.Report
	sent   time.Duration
}

// clock is the process's own monotonic clock.
func (n *node) clock() time.Duration { return n.w.now - n.born }

// leased says whether this node may act as an owner now.
func (n *node) leased() bool { return n.clock() < n.lease || n.w.set.broken(noLease) }

// sweep looks after what waits, ten times a second.
func (n *node) sweep() {
	n.w.after(sweepEvery, func() {
		n.arrives(func() {
			n.gateway.sweep()
			n.ostep(ownership.Tick{})
			n.lookForBackups()
			n.forget()
		})
		if !n.dead {
			n.sweep()
		}
	})
}

// report is what the node says of itself.
func (n *node) report() agreement.Report {
	r := n.agree.Report()
	r.Draining = n.draining
	for _, o := range n.w.lives {
		if n.linkOf(o) != nil {
			r.Links = append(r.Links, o.id.Boot)
		}
	}
	return r
}

// find is the process of an id.
func (w *world) find(id shard.NodeID) *node {
	i := slices.IndexFunc(w.lives, func(n *node) bool { return n.id == id })
	if i < 0 {
		return nil
	}
	return w.lives[i]
}

// step gives the agreement an event and does what it says.
func (n *node) step(ev agreement.Event) {
	if n.dead {
		return
	}
	w := n.w
	for _, a := range slices.Clone(n.agree.Step(n.clock(), ev)) {
		switch a := a.(type) {
		case agreement.Install:
			n.installed(a.Table)
		case agreement.Send:
			if o := w.find(a.To); o != nil {
				w.net.tell(n, o, agreement.Received{From: n.id, Table: a.Table})
			}
		case agreement.Fetch:
			if o := w.find(a.To); o != nil {
				w.net.tell(n, o, agreement.Asked{From: n.id})
			}
		case agreement.Lease:
			n.lease = a.Until
		case agreement.Probe:
			n.beatAll(func(*link) bool { return true })
		case agreement.Emptied:
			w.logf("%s places %d partitions anew, empty", n, a.Partitions)
			w.check.emptied(n, a)
		case agreement.Partial:
			w.logf("%s gives %d partitions to backups that are not full", n, a.Partitions)
		case agreement.Absorbed:
			w.logf("%s absorbs the side of %v", n, a.Rival.Nodes)
		case agreement.Refuse:
			w.check.refused++
		case agreement.Replaced:
			w.logf("%s is replaced by %s", n, a.By)
			n.kill(false)
			return
		}
	}
}

// take handles what came over a link.
func (n *node) take(from *node, m *message) {
	switch {
	case m.e != nil:
		n.receive(from.id, m)
	case m.do != nil:
		m.do()
	}
	switch ev := m.ev.(type) {
	case nil:
	case agreement.Event:
		n.step(ev)
	case beat:
		n.step(ev.report)
		if !n.dead {
			r := n.report()
			r.Sent = ev.sent
			n.w.net.tell(n, from, r)
		}
	}
}

// Send implements shard.Mesh.
func (n *node) Send(to shard.NodeID, e *envelope.Envelope) error {
	o := n.w.find(to)
	if o == nil {
		return shard.ErrNoLink
	}
	c := *e
	c.Payload = slices.Clone(e.Payload)
	return n.w.net.send(n, o, data, message{e: &c})
}

// Post implements shard.Local: a message for an entity of this node.
func (n *node) Post(e *envelope.Envelope) error {
	n.ostep(ownership.Message{Env: e})
	return nil
}

// post gives a message to the entity's worker.
func (n *node) post(from shard.NodeID, e *envelope.Envelope) {
	c := *e
	c.Payload = slices.Clone(e.Payload)
	if err := n.workerOf(e.Part).post(&c); err != nil {
		n.Refused(from, e, err)
	}
}

// Node implements shard.Local: a message for the node itself.
func (n *node) Node(from shard.NodeID, e *envelope.Envelope) {
	switch e.Kind {
	case envelope.Out:
		n.gateway.out(e)
	case envelope.Replicate:
		n.replicate(from, e)
	}
}

// Refused implements shard.Local.
func (n *node) Refused(from shard.NodeID, e *envelope.Envelope, why error) {
	if e.Kind == envelope.Cast {
		n.w.check.lost(n, e, why)
	}
	back, toNode, ok := player.Refuse(e, why)
	if !ok {
		return
	}
	if !toNode {
		_ = n.router.Route(&back) // the caller's deadline tells it
		return
	}
	if !e.Node.IsZero() {
		from = e.Node
	}
	_ = n.router.ToNode(from, &back) // its gateway is gone, and the socket with it
}

// running is the entity of a key on the node that runs it, by the newest table.
func (w *world) running(key string) *entity {
	part := shard.PartitionOf(key)
	for _, n := range w.alive() {
		if owner, ok := n.router.Table().OwnerOf(part); ok && owner == n.id {
			if x := n.workerOf(part).entities[key]; x != nil {
				return x
			}
		}
	}
	return nil
}

func (n *node) workerOf(part uint16) *worker { return n.workers[int(part)%len(n.workers)] }
