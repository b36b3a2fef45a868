package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gamed/internal/cluster/agreement"
	"gamed/internal/cluster/mesh"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// loop is the one goroutine that owns the state.
type loop struct {
	c       *Cluster
	ctx     context.Context
	self    shard.NodeID
	started time.Time
	machine *agreement.Machine
	members map[shard.NodeID]*member
	picked  map[string]shard.NodeID // the life of each name that the mesh dials
	peers   []mesh.Peer             // as given to the mesh
	meta    meta                    // as given to gossip
	report  []byte                  // as given to the mesh

	position agreement.Position // in report

	first            time.Time // when the first other node was heard of
	taken, takenLast time.Time // when others first and last refused this node because its name is taken
	sealed           *shard.Table
	encoded          []byte // of sealed
	leaving          bool
}

func newLoop(ctx context.Context, c *Cluster) *loop {
	first := c.opt.FirstTerm
	if first == 0 {
		first = uint64(max(time.Since(epoch)/time.Minute, 1))
	}
	return &loop{c: c, ctx: ctx, self: c.self, started: c.began, meta: c.meta,
		members: map[shard.NodeID]*member{}, picked: map[string]shard.NodeID{},
		machine: agreement.New(agreement.Config{Self: c.self, Expect: c.opt.Expect, Search: len(c.opt.Join) > 0,
			Quorum: c.opt.Policy == Quorum, MinTerm: c.opt.MinTerm, FirstTerm: first})}
}

// epoch is the zero of first terms.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func (l *loop) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.c.inbox.wake:
		case <-timer.C:
		}
		l.turn(l.c.inbox.take())
		timer.Reset(l.machine.Wake())
	}
}

// turn takes what came in, lets the machine decide, and publishes what changed.
func (l *loop) turn(in letters) {
	now := time.Now()
	l.c.metrics.overflow.Add(float64(in.overflow))
	for _, g := range in.gossip {
		l.hear(g, now)
	}
	for id, k := range in.links {
		l.link(id, k, now)
	}
	for id, r := range in.reports {
		if m := l.members[id]; m != nil {
			m.draining = r.Draining
		}
		l.step(*r)
	}
	for id := range in.leaves {
		l.leave(id, now)
	}
	for name, tell := range in.forgets {
		l.forget(name, tell)
	}
	for id, t := range in.tables {
		l.step(agreement.Received{From: id, Table: t})
	}
	for id := range in.fetches {
		l.step(agreement.Asked{From: id})
	}
	for id := range in.refused {
		l.step(agreement.Refused{ID: id})
	}
	for r := range in.refusals {
		if r.byPeer {
			l.refusedBy(r, now)
		}
		l.event(EventRefused, r.peer, fmt.Sprintf("hello refused: %s", r.reason))
	}
	for id, alive := range in.pings {
		l.answered(id, alive)
	}
	if in.filled != nil {
		l.step(*in.filled)
	}
	if in.draining != nil {
		l.meta.Draining = *in.draining
		l.step(agreement.Drain{On: *in.draining})
	}
	if in.leave && !l.leaving {
		l.goodbye()
	}
	l.step(agreement.Tick{})
	l.lookForTwins(now)
	l.publish(now)
}

// step feeds the machine and does what it says.
func (l *loop) step(ev agreement.Event) {
	for _, a := range l.machine.Step(time.Since(l.started), ev) {
		switch a := a.(type) {
		case agreement.Install:
			given, _ := ev.(agreement.Received)
			l.install(a.Table, given.Table != a.Table)
		case agreement.Send:
			l.tell(a.To, &envelope.Envelope{Kind: envelope.Table, Event: tellTable, Payload: l.encode(a.Table)})
		case agreement.Fetch:
			l.tell(a.To, &envelope.Envelope{Kind: envelope.Table, Event: tellFetch})
		case agreement.Lease:
			l.c.lease.until.Store(int64(a.Until))
		case agreement.Probe:
			l.c.mesh.Probe()
		case agreement.Replaced:
			l.c.fatal(fmt.Errorf("%w (%s)", ErrReplaced, a.By))
		default:
			l.tellOf(a)
		}
	}
}

func (l *loop) encode(t *shard.Table) []byte {
	if l.sealed != t {
		l.sealed, l.encoded = t, appendTable(nil, t)
	}
	return l.encoded
}

// tell sends on the control lane. What is lost is asked for again.
func (l *loop) tell(to shard.NodeID, e *envelope.Envelope) {
	if err := l.c.mesh.SendControl(to, e); err != nil {
		l.c.log.Debug("tell a node of the table", "node", to.String(), "what", e.Event, "err", err)
	}
}

func (l *loop) install(t *shard.Table, made bool) {
	if made {
		l.c.metrics.made.Inc()
	}
	l.c.metrics.table(t, l.self)
	l.c.log.Info("table installed", "term", t.Term, "coordinator", t.Coordinator, "hash", fmt.Sprintf("%016x", t.Hash), "nodes", len(t.Nodes), "made_here", made)
	if l.c.opt.Policy == Quorum && len(t.Nodes) == 2 {
		l.c.loud.warn("two nodes", "two nodes under policy quorum: neither goes on without the other; start a third one", "term", t.Term)
	}
	l.c.table.Store(t)
	l.c.opt.OnTable(t)
	l.event(EventTable, shard.NodeID{Name: t.Coordinator}, fmt.Sprintf("term %d with %d nodes", t.Term, len(t.Nodes)))
}

// hear takes gossip's word on a node.
func (l *loop) hear(g gossiped, now time.Time) {
	id := g.meta.Node
	m := l.member(id, now)
	if l.first.IsZero() {
		l.first = now
	}
	before := m.meta
	if m.gossip != g.alive {
		m.turned = now
	}
	if m.gossip && !g.alive && m.draining && !m.linked {
		m.left = true // it said that it drains, and is gone
		l.step(agreement.Left{ID: id})
	}
	wasKnown := m.known
	m.meta, m.addr, m.gossip, m.known = g.meta, g.addr, g.alive, true
	if !m.linked {
		m.draining = g.meta.Draining
	}
	if why := g.meta.unfit(&l.meta); !wasKnown || before.Config != g.meta.Config {
		if m.unfit = why; why != "" {
			l.c.metrics.refused.Inc()
			l.c.log.Warn("node refused", "node", id.String(), "addr", g.addr, "reason", why)
			l.event(EventRefused, id, why)
		}
	}
	if m.unfit != "" || id.Name == l.self.Name {
		return
	}
	if g.alive {
		l.step(agreement.Seen{ID: id, Draining: g.meta.Draining})
	} else {
		l.step(agreement.Lost{ID: id})
	}
}

func (l *loop) member(id shard.NodeID, now time.Time) *member {
	m := l.members[id]
	if m == nil {
		m = &member{id: id, turned: now, since: now, state: states}
		l.members[id] = m
	}
	return m
}

// link takes the mesh's word on a link.
func (l *loop) link(id shard.NodeID, k linked, now time.Time) {
	m := l.member(id, now)
	if k.down != "" {
		m.linked, m.turned = false, now
		ev := agreement.LinkDown{ID: id}
		switch k.down {
		case mesh.ClosedByPeer.String(), mesh.ClosedReset.String(), mesh.ClosedError.String():
			ev.Closed = true
		case mesh.ClosedSilent.String():
			ev.Silent = 3 * heartbeat
		}
		l.step(ev)
		l.event(EventLinkDown, id, k.down)
	}
	if k.up {
		m.linked, m.turned = true, now
		l.step(agreement.LinkUp{ID: id})
		l.event(EventLinkUp, id, "")
	}
}

// leave takes a node's goodbye.
func (l *loop) leave(id shard.NodeID, now time.Time) {
	m := l.member(id, now)
	m.left, m.turned = true, now
	l.step(agreement.Left{ID: id})
	l.event(EventLeft, id, "")
}

// goodbye tells the others that this node leaves, and lets gossip do the same.
func (l *loop) goodbye() {
	l.leaving = true
	l.step(agreement.Leave{})
	for id, m := range l.members {
		if m.linked {
			l.tell(id, &envelope.Envelope{Kind: envelope.Table, Event: tellLeave})
		}
	}
	l.c.tasks.Go(func() {
		if err := l.c.gossip.list.Leave(leaveWait); err != nil {
			l.c.log.Debug("leave gossip", "err", err)
		}
		close(l.c.left)
	})
}

// publish shows what changed: to the mesh, to gossip, to the seeds' loop, and to whoever reads the views.
func (l *loop) publish(now time.Time) {
	l.forgetDead(now)
	var count [states]int
	for _, m := range l.members {
		if m.unfit != "" {
			continue
		}
		if s := l.judge(m); s != m.state {
			was := m.state
			m.state, m.since = s, now
			l.changed(m, was)
		}
		count[m.state]++
	}
	count[l.ownState()]++
	for s, n := range count {
		l.c.metrics.members[s].Set(float64(n))
	}
	if peers := l.wanted(now); !slices.Equal(peers, l.peers) && !l.leaving {
		l.peers = peers
		l.c.mesh.SetPeers(peers)
	}
	l.describe()
	l.c.seeds.wanted.Store(l.search(now))
	l.c.show(l.view(), l.machine.Waiting())
	if f := (agreement.Filled{Table: l.machine.Table().Hash, Parts: l.machine.Filled()}); f != *l.c.filled.Load() {
		l.c.filled.Store(&f)
	}
}

// describe renews what this node says of itself.
func (l *loop) describe() {
	t := l.machine.Table()
	r := l.machine.Report()
	r.Draining = l.meta.Draining
	for id, m := range l.members {
		if m.linked {
			r.Links = append(r.Links, id.Boot)
		}
	}
	slices.Sort(r.Links)
	if b := appendReport(nil, &r); !slices.Equal(b, l.report) {
		l.report = b
		l.c.report.Store(&b)
		if r.Position != l.position {
			l.position = r.Position
			l.c.mesh.Probe() // the others should not have to wait for the next heartbeat
		}
	}
	l.meta.Term, l.meta.Hash = t.Term, t.Hash
	if !l.machine.Member() {
		l.meta.Term, l.meta.Hash = 0, 0
	}
	if b := l.meta.append(nil); !slices.Equal(b, *l.c.gossip.meta.Load()) {
		l.c.gossip.meta.Store(&b)
		select {
		case l.c.announce <- struct{}{}:
		default:
		}
	}
}

func (l *loop) ownState() state {
	if l.meta.Draining {
		return stateDraining
	}
	return stateAlive
}

// changed tells of a member's new state.
func (l *loop) changed(m *member, was state) {
	kind := EventDead
	switch {
	case m.state == stateSuspect && was == states:
		return // heard of, not linked yet
	case m.state == stateDead && (m.left || was == states):
		return // told as a goodbye, or never seen alive
	case m.state == stateAlive:
		kind = EventJoined
	case m.state == stateSuspect:
		kind = EventSuspect
	case m.state == stateDraining:
		kind = EventDraining
	}
	l.c.log.Info("member "+m.state.String(), "node", m.id.String(), "mesh", m.meta.Mesh)
	l.event(kind, m.id, m.state.String())
}

func (l *loop) event(kind string, node shard.NodeID, text string) {
	l.c.opt.OnEvent(Event{Time: time.Now(), Kind: kind, Node: node.Name, Text: text})
}
