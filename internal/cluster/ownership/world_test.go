package ownership

import (
	"fmt"
	"slices"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// world is some nodes with one partition that has one entity, which keeps a list of the messages it got. Everything between the
// nodes goes through one queue per link, in order; whatever is at the head of some queue may come next.
type world struct {
	now    time.Duration
	names  []string
	nodes  map[string]*sim
	tables map[uint64]*shard.Table
	last   *shard.Table
	links  map[[2]string][]parcel // also of a node to itself: what its goroutines do
	order  [][2]string            // links, by their first use
	steps  int
	dies   string // who dies after step dieAt; the coordinator then makes a table without
	dieAt  int
	acked  []uint64 // messages whose sender knows that they are done
	failed map[uint64]string
	cut    map[string]int // the side each node is on; nil: there is one
	needed []uint64       // messages that must have been acknowledged in the end
}

// sim is one node: its machine, and a shell that only has to be right.
type sim struct {
	*Machine
	w       *world
	name    string
	router  *shard.Table
	entity  []uint64 // messages handled; nil: not here
	copies  map[string]stored
	asides  map[uint64]stored
	gifts   map[uint64]*gift // by round
	dead    bool
	waiting map[uint64]asker // who asked for copies, by ref
	merged  map[uint64]int   // how often rival copies of a term were merged here
}

// asker is who asked for copies, or for those set aside for a term.
type asker struct {
	name  string
	aside uint64
}

// stored is a copy with its place among all.
type stored struct {
	token, owner uint64 // owner 1: from the owner itself
	list         []uint64
}

func (s stored) before(o stored) bool {
	if s.token != o.token {
		return s.token < o.token
	}
	return s.owner < o.owner || s.owner == o.owner && len(s.list) < len(o.list)
}

type gift struct {
	Give
	list []uint64
	some bool
}

// parcel is something on its way, or to be done.
type parcel struct {
	what string
	do   func(to *sim)
}

func newWorld(names ...string) *world {
	w := &world{now: time.Second, names: names, nodes: map[string]*sim{}, tables: map[uint64]*shard.Table{}, last: shard.Empty(),
		links: map[[2]string][]parcel{}, failed: map[uint64]string{}}
	for _, n := range names {
		w.nodes[n] = &sim{Machine: New(id(n)), w: w, name: n, router: shard.Empty(), copies: map[string]stored{}, asides: map[uint64]stored{},
			gifts: map[uint64]*gift{}, waiting: map[uint64]asker{}, merged: map[uint64]int{}}
	}
	return w
}

func (w *world) send(from, to, what string, do func(to *sim)) {
	k := [2]string{from, to}
	if w.nodes[from].dead || w.nodes[to].dead || w.cut[from] != w.cut[to] {
		return
	}
	if _, ok := w.links[k]; !ok {
		w.order = append(w.order, k)
	}
	w.links[k] = append(w.links[k], parcel{what, do})
}

// deliver does what is at the head of one queue.
func (w *world) deliver(k [2]string) bool {
	q := w.links[k]
	if len(q) == 0 {
		return false
	}
	w.links[k] = q[1:]
	if to := w.nodes[k[1]]; !to.dead {
		q[0].do(to)
	}
	w.steps++
	if w.dies != "" && w.steps == w.dieAt {
		w.crash(w.dies)
	}
	return true
}

// run delivers until nothing is on its way, choose saying whose turn it is.
func (w *world) run(choose func(n int) int) {
	for range 10_000 {
		if !w.runOne(choose) {
			return
		}
	}
	panic("it never becomes quiet")
}

// runOne delivers one thing, if there is one.
func (w *world) runOne(choose func(n int) int) bool {
	var full [][2]string
	for _, k := range w.order {
		if len(w.links[k]) > 0 {
			full = append(full, k)
		}
	}
	return len(full) > 0 && w.deliver(full[choose(len(full))])
}

func (w *world) crash(name string) {
	n := w.nodes[name]
	n.dead, w.dies = true, ""
	for k := range w.links {
		if k[0] == name || k[1] == name {
			w.links[k] = nil
		}
	}
}

// alive are those who live.
func (w *world) alive() (names []string) {
	for _, n := range w.names {
		if !w.nodes[n].dead {
			names = append(names, n)
		}
	}
	return names
}

// publish makes the next table and sends it to the nodes.
func (w *world) publish(owner, backup string, nodes ...string) {
	w.last = tableOf(w.last, w.last.Term+1, owner, backup, nodes...)
	w.spread(w.last, nodes...)
}

// spread sends a table to nodes.
func (w *world) spread(t *shard.Table, nodes ...string) {
	for _, n := range nodes {
		w.send(n, n, fmt.Sprint("table ", t.Term), func(s *sim) { s.install(t) })
	}
}

func (s *sim) install(t *shard.Table) {
	if t.Newer(s.Table()) {
		s.do(Install{t})
	}
}

// do gives the machine an event and does what it says about the world's partition.
func (s *sim) do(ev Event) {
	if s.dead {
		return
	}
	for _, a := range slices.Clone(s.Step(s.w.now, ev)) {
		if ofPart(a) {
			s.act(a, ev)
		}
	}
}

func (s *sim) act(a Action, ev Event) {
	w := s.w
	switch a := a.(type) {
	case PutInForce:
		s.putInForce(a.Table)
	case Give:
		g := &gift{Give: a}
		if a.Copies {
			w.send(s.name, s.name, "give copies", func(s *sim) { s.give(g) })
		} else {
			s.gifts[a.Round] = g
		}
	case Mark:
		for _, to := range a.To {
			w.send(s.name, to.Name, "mark", func(to *sim) { to.do(Marked{id(s.name), a.Term}) })
		}
	case Say:
		w.send(s.name, a.To.Name, "word", func(to *sim) { to.do(Word{id(s.name), a.Origin, a.Pieces}) })
	case SetAside:
		if c, ok := s.copies["e"]; ok {
			s.asides[a.Term] = c
			delete(s.copies, "e")
		}
	case Let:
		s.handle(a.Env)
	case Receive:
		s.receive(a.From, a.Env)
	case Pass:
		e := *a.Env
		w.send(s.name, a.To.Name, "message passed on", func(to *sim) { to.message(id(s.name), &e) })
	case Refuse:
		w.failed[a.Env.Ref] = []string{"full", "no owner", "late"}[a.Why]
	case Gather:
		s.gather(a)
	case SendCopies:
		s.sendCopies(a.Ref)
	case Activate:
		w.send(s.name, s.name, "activate", func(s *sim) { s.activate(a) })
	}
}

func (s *sim) putInForce(t *shard.Table) {
	w := s.w
	token := s.router.PartTerm[part]
	s.router = t
	w.send(s.name, s.name, "release", func(s *sim) {
		g := s.gifts[t.Term]
		if s.entity != nil && !s.Runs(part) {
			kept := stored{token, 1, slices.Clone(s.entity)}
			if g != nil && g.Rival {
				s.asides[g.Term] = kept
			} else {
				s.copies["e"] = kept
			}
			if g != nil {
				g.list, g.some = kept.list, true
			}
			s.entity = nil
		}
		s.do(Released{t.Term})
		if g != nil {
			delete(s.gifts, t.Term)
			w.send(s.name, s.name, "give", func(s *sim) { s.give(g) })
		}
	})
}

func (s *sim) give(g *gift) {
	if g.Copies {
		c, ok := s.copies["e"]
		if g.Aside != 0 {
			c, ok = s.asides[g.Aside]
		}
		g.list, g.some = c.list, ok
	}
	if g.some {
		s.w.send(s.name, g.To.Name, "copy", func(to *sim) { to.copied(Copy{From: id(s.name), Origin: g.Origin}, stored{g.Token, 1, g.list}) })
	}
	s.w.send(s.name, s.name, "sent", func(s *sim) {
		n := 0
		if g.some {
			n = 1
		}
		s.do(Sent{part, g.Term, n})
	})
}

func (s *sim) copied(ev Copy, c stored) {
	for _, a := range slices.Clone(s.Step(s.w.now, ev)) {
		k, ok := a.(Keep)
		switch {
		case !ok:
		case k.Rival:
			if old, has := s.asides[ev.Term]; !has || old.before(c) {
				s.asides[ev.Term] = c
			}
		default:
			if old, has := s.copies["e"]; !has || old.before(c) {
				s.copies["e"] = c
			}
		}
	}
}

func (s *sim) gather(a Gather) {
	w, left := s.w, 0
	var silent []shard.NodeID
	for _, n := range s.router.Nodes {
		if n.Name == s.name {
			continue
		}
		if w.nodes[n.Name].dead {
			silent = append(silent, n)
			continue
		}
		left++
		w.send(s.name, n.Name, "ask", func(to *sim) {
			ref := a.Round<<8 | uint64(s.name[0])
			to.waiting[ref] = asker{s.name, a.Aside}
			to.do(Asked{ref, a.Term, a.Table})
		})
	}
	w.send(s.name, s.name, "wait for copies", func(s *sim) { s.gathered(a.Round, left, silent) })
}

// gathered waits until all have answered: who dies meanwhile is silent.
func (s *sim) gathered(round uint64, left int, silent []shard.NodeID) {
	pending := 0
	for _, n := range s.router.Nodes {
		if o := s.w.nodes[n.Name]; !o.dead && o.waiting[round<<8|uint64(s.name[0])].name == s.name {
			pending++
		}
	}
	for k, q := range s.w.links {
		if k[0] == s.name || k[1] == s.name {
			for _, p := range q {
				if p.what == "ask" && k[0] == s.name || p.what == "copy asked for" && k[1] == s.name {
					pending++
				}
			}
		}
	}
	if pending > 0 && s.busyElsewhere() {
		s.w.send(s.name, s.name, "wait for copies", func(s *sim) { s.gathered(round, left, silent) })
		return
	}
	s.do(Gathered{round, silent})
}

// busyElsewhere says whether anything but waiting goes on.
func (s *sim) busyElsewhere() bool {
	for _, q := range s.w.links {
		for _, p := range q {
			if p.what != "wait for copies" {
				return true
			}
		}
	}
	return false
}

func (s *sim) sendCopies(ref uint64) {
	to := s.waiting[ref]
	delete(s.waiting, ref)
	c, ok := s.copies["e"]
	o := Origin{Part: part}
	if to.aside != 0 {
		c, ok = s.asides[to.aside]
		o.Term, o.Rival = to.aside, true
	}
	if ok {
		s.w.send(s.name, to.name, "copy asked for", func(to *sim) { to.copied(Copy{From: id(s.name), Asked: true, Origin: o}, c) })
	}
}

func (s *sim) activate(a Activate) {
	if !s.Wants(part, a.Round) {
		return
	}
	if a.Take {
		s.entity = append([]uint64{}, s.copies["e"].list...)
		delete(s.copies, "e")
	}
	for _, term := range a.Merge {
		for _, ref := range s.asides[term].list {
			if !slices.Contains(s.entity, ref) {
				s.entity = append(s.entity, ref)
			}
		}
		if _, ok := s.asides[term]; ok {
			s.merged[term]++
		}
		delete(s.asides, term)
	}
	s.replicate()
	s.do(Active{part, a.Round})
}

// say sends a message from a node to the entity.
func (w *world) say(from string, ref uint64) {
	s := w.nodes[from]
	if s.dead {
		return
	}
	w.send(from, from, "say", func(s *sim) { s.route(&envelope.Envelope{Kind: envelope.Call, Part: part, Key: "chat/a", Ref: ref}) })
}

// route sends by the node's table.
func (s *sim) route(e *envelope.Envelope) {
	owner, ok := s.router.OwnerOf(part)
	e.Term = s.router.PartTerm[part]
	switch {
	case !ok:
		s.w.failed[e.Ref] = "no owner"
	case owner.Name == s.name:
		s.message(shard.NodeID{}, e)
	default:
		c := *e
		s.w.send(s.name, owner.Name, "message", func(to *sim) { to.message(id(s.name), &c) })
	}
}

func (s *sim) message(from shard.NodeID, e *envelope.Envelope) { s.do(Message{from, e}) }

// receive is what the router does with a message that nothing holds: it is this node's, or goes back to its origin.
func (s *sim) receive(from shard.NodeID, e *envelope.Envelope) {
	if s.Runs(part) {
		s.handle(e)
		return
	}
	if e.Hops++; e.Hops > 3 || from.IsZero() {
		s.w.failed[e.Ref] = "moved"
		return
	}
	c := *e
	s.w.send(s.name, from.Name, "moved", func(to *sim) { to.route(&c) })
}

// handle lets the entity have a message; with the backup's copy it is acknowledged.
func (s *sim) handle(e *envelope.Envelope) {
	if slices.Contains(s.entity, e.Ref) {
		return // the session knows its refs
	}
	s.entity = append(s.entity, e.Ref)
	if s.replicate() {
		s.w.acked = append(s.w.acked, e.Ref)
	}
}

// replicate gives the backup a copy; false: it refused it, or is not there.
func (s *sim) replicate() bool {
	b, ok := s.router.BackupOf(part)
	if !ok {
		return true
	}
	to := s.w.nodes[b.Name]
	token := s.router.PartTerm[part]
	if to.dead || token < to.Fence(part) || to.Runs(part) {
		return false
	}
	to.copies["e"] = stored{token, 0, slices.Clone(s.entity)}
	return true
}
