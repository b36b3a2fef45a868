package simulation

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gamed/internal/actor"
	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// moves is what a node's shell keeps of partitions that come and go.
type moves struct {
	gifts    map[uint64]map[uint16]*gift // what tables take from this node, by their term and the partition
	since    time.Duration               // when the table was put in force
	forked   bool                        // some entity may remember another life
	released uint64                      // tables whose entities the workers have let go of
	waits    map[uint64][]func()         // what waits for that, by term
	asides   map[uint64]*replica.Store   // copies of the other side of a split, by the term of the table that heals
	asks     map[uint64]*asker           // questions of others
	asked    uint64
	from     shard.NodeID // who sent copy
	copy     *message     // which is being judged
}

// gift is a partition that goes to another node.
type gift struct {
	ownership.Give
	entities []let
}

// let is an entity that left its worker.
type let struct {
	key      string
	sections state.Sections
}

// asker wants copies.
type asker struct {
	node   *node
	gather ownership.Gather
	answer func()
	came   int // copies
}

// Events of the envelopes that carry states.
const (
	giving  = "give"
	marking = "mark"
)

// installed puts a table in force.
func (n *node) installed(t *shard.Table) {
	w := n.w
	if w.tracing {
		w.logf("%s installs %d by %s: %s missing %s", n, t.Term, t.Coordinator, names(t.Nodes), missing(t))
	}
	w.check.installed(n, t)
	n.ostep(ownership.Install{Table: t})
	n.gateway.changed()
	n.soon(func() { n.beatAll(func(*link) bool { return true }) }) // the others need not wait for the next heartbeat
}

func names(ids []shard.NodeID) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.TrimPrefix(id.Name, "gamed-"))
	}
	return b.String()
}

func missing(t *shard.Table) string {
	var b strings.Builder
	for _, m := range t.Missing {
		b.WriteString(strings.TrimPrefix(m.ID.Name, "gamed-"))
		if m.Dead {
			b.WriteByte('!')
		}
		b.WriteByte(' ')
	}
	return b.String()
}

// ostep gives the ownership machine an event and does what it says.
func (n *node) ostep(ev ownership.Event) {
	if n.dead {
		return
	}
	var active []ownership.Activate
	for _, a := range slices.Clone(n.own.Step(n.clock(), ev)) {
		if act, ok := a.(ownership.Activate); ok {
			active = append(active, act)
			continue
		}
		n.act(a)
	}
	if len(active) > 0 {
		n.soon(func() {
			for _, a := range active {
				n.activate(a)
			}
		})
	}
}

func (n *node) act(a ownership.Action) {
	w := n.w
	switch a := a.(type) {
	case ownership.PutInForce:
		n.putInForce(a.Table)
	case ownership.Give:
		if a.Copies {
			n.soon(func() { n.give(&gift{Give: a}) })
			return
		}
		m := &n.moves
		if m.gifts == nil {
			m.gifts = map[uint64]map[uint16]*gift{}
		}
		if m.gifts[a.Round] == nil {
			m.gifts[a.Round] = map[uint16]*gift{}
		}
		g := &gift{Give: a}
		m.gifts[a.Round][a.Part] = g
		n.whenReleased(a.Round, func() { n.give(g) })
	case ownership.Say:
		n.patiently(a.To, message{e: &envelope.Envelope{Kind: envelope.Handoff, Part: a.Part, Term: a.Term, Ref: uint64(a.Pieces)}, origin: a.Origin}, func() {})
	case ownership.Mark:
		for _, to := range a.To {
			n.patiently(to, message{e: &envelope.Envelope{Kind: envelope.Handoff, Event: marking, Term: a.Term}}, func() {})
		}
	case ownership.SetAside:
		for key, c := range n.copies.TakeCopies(a.Part) {
			if a.Fork {
				c.Sections.Fork(state.Point{Term: c.Term, Life: c.Life, Seq: c.Seq, By: n.id.Boot})
			}
			n.aside(a.Term).Put(a.Part, key, c, w.wall())
		}
	case ownership.Retire:
		for _, p := range a.Parts {
			n.copies.Retire(p, w.wall())
		}
	case ownership.Hold:
		for _, p := range a.Parts {
			n.copies.Hold(p)
		}
	case ownership.Keep:
		n.keep(a)
	case ownership.Stale:
		w.check.stale++
		if w.tracing && a.What == "copy" {
			w.logf("%s finds a copy of %s stale", n, n.moves.copy.e.Key)
		}
	case ownership.Receive:
		n.route(a.From, a.Env)
	case ownership.Let:
		from := a.From
		if from.IsZero() {
			from = n.id
		}
		n.post(from, a.Env)
	case ownership.Pass:
		if err := n.router.ToNode(a.To, a.Env); err != nil {
			n.Refused(n.id, a.Env, err)
		}
	case ownership.Refuse:
		from := a.From
		if from.IsZero() {
			from = n.id
		}
		n.Refused(from, a.Env, [...]error{actor.ErrFull, shard.ErrNoOwner, shard.ErrNoOwner}[a.Why])
	case ownership.Gather:
		n.gather(a)
	case ownership.SendCopies:
		n.sendCopies(a.Ref)
	case ownership.Tell:
	default:
		w.fail("unknown action %T", a)
	}
}

// putInForce has the router follow a table, then the workers, one after the other.
func (n *node) putInForce(t *shard.Table) {
	w, old := n.w, n.router.Table()
	n.router.Install(t)
	for _, key := range w.set.keys { // the others are empty
		p := shard.PartitionOf(key)
		n.copies.Fence(p, n.own.Fence(p))
	}
	n.copies.Purge(w.wall().Add(-ownership.Recently))
	gifts := n.moves.gifts[t.Term]
	delete(n.moves.gifts, t.Term)
	left := len(n.workers)
	n.moves.since, n.moves.forked = w.now, n.moves.forked || t.Degraded()
	for _, k := range n.workers {
		k.do(func() {
			for _, key := range k.keys() {
				x := k.entities[key]
				part := shard.PartitionOf(key)
				if n.own.Runs(part) {
					x.rebase()
					continue
				}
				k.letGo(x, part, old.PartTerm[part], gifts[part])
			}
			if left--; left == 0 {
				n.ostep(ownership.Released{Term: t.Term})
				n.release(t.Term)
			}
		})
	}
}

// letGo drops an entity that another node owns; a copy stays.
func (k *worker) letGo(x *entity, part uint16, token uint64, g *gift) {
	n := k.n
	delete(k.entities, x.key)
	x.gone = true
	var c state.Change
	if !x.give(&c) {
		return
	}
	s := state.Sections{}
	if s.Apply(c.Append(nil)) != nil {
		n.w.fail("%s: its own state is malformed", x.key)
	}
	if n.w.tracing {
		n.w.logf("%s lets %s go, balance %d", n, x.key, x.acct.balance)
	}
	if g != nil {
		g.entities = append(g.entities, let{x.key, s})
	}
	if g != nil && g.Rival {
		n.aside(g.Term).Keep(part, x.key, token, s, n.w.wall())
	} else {
		n.copies.Keep(part, x.key, token, s, n.w.wall())
	}
}

func (n *node) whenReleased(term uint64, do func()) {
	if n.moves.released >= term {
		n.soon(do)
		return
	}
	if n.moves.waits == nil {
		n.moves.waits = map[uint64][]func(){}
	}
	n.moves.waits[term] = append(n.moves.waits[term], do)
}

func (n *node) release(term uint64) {
	n.moves.released = max(n.moves.released, term)
	for _, t := range slices.Sorted(maps.Keys(n.moves.waits)) {
		if t <= n.moves.released {
			list := n.moves.waits[t]
			delete(n.moves.waits, t)
			n.soon(func() {
				for _, do := range list {
					do()
				}
			})
		}
	}
}

// give sends what a Give asks for.
func (n *node) give(g *gift) {
	if g.Copies {
		store := n.copies
		if g.Aside != 0 {
			store = n.aside(g.Aside)
		}
		keys := store.Keys(g.Part)
		slices.Sort(keys)
		for _, key := range keys {
			_, whole, _ := store.Peek(g.Part, key)
			g.entities = append(g.entities, let{key, whole.Sections()})
		}
	}
	n.giveNext(&g.Give, g.entities, len(g.entities))
}

func (n *node) giveNext(a *ownership.Give, list []let, pieces int) {
	if len(list) == 0 {
		n.ostep(ownership.Sent{Part: a.Part, Term: a.Term, Pieces: pieces})
		return
	}
	e := &envelope.Envelope{Kind: envelope.Replicate, Part: a.Part, Term: a.Term, Conn: replica.OwnState | a.Token, Key: list[0].key, Ref: 1, Flags: envelope.FlagWhole, Event: giving,
		Payload: list[0].sections.Change().Append(nil)}
	n.patiently(a.To, message{e: e, origin: a.Origin}, func() { n.giveNext(a, list[1:], pieces) })
}

// patiently sends to a node, again until its queue takes it, as long as it is in the table; then it goes on.
func (n *node) patiently(to shard.NodeID, m message, then func()) {
	if n.dead {
		return
	}
	if err := n.w.net.send(n, n.w.find(to), data, m); err != nil && n.router.Table().Has(to) {
		n.later(5*time.Millisecond, func() { n.patiently(to, m, then) })
		return
	}
	then()
}

// keep puts a copy that came where the machine says.
func (n *node) keep(k ownership.Keep) {
	from, e, asked := n.moves.from, n.moves.copy.e, n.moves.copy.e.Flags&envelope.FlagFill != 0
	term := n.moves.copy.origin.Term
	if n.w.tracing {
		n.w.logf("%s keeps %s of %s: %+v, term %d life %x seq %d", n, e.Key, from.Name, k, e.Term, e.Conn, e.Ref)
		defer func() {
			c, _, ok := n.copies.Peek(e.Part, e.Key)
			n.w.logf("  has then %v term %d life %x seq %d", ok, c.Term, c.Life, c.Seq)
		}()
	}
	switch {
	case asked && k.Rival:
		n.aside(term).Fill(from, e)
	case asked:
		n.copies.Fill(from, e)
	case k.Rival:
		n.aside(term).Pass(e, n.w.wall())
	case k.Pass:
		n.copies.Pass(e, n.w.wall())
	default:
		n.copies.Apply(e)
	}
}

// aside are the copies of the other side of a split that the table of this term heals.
func (n *node) aside(term uint64) *replica.Store {
	m := &n.moves
	if m.asides == nil {
		m.asides = map[uint64]*replica.Store{}
	}
	if m.asides[term] == nil {
		m.asides[term] = replica.NewStore()
	}
	return m.asides[term]
}

// forget has the entities forget other lives when nobody has been missing for long.
func (n *node) forget() {
	if m := &n.moves; !m.forked || n.router.Table().Degraded() || n.w.now-m.since <= ownership.HealFor {
		return
	}
	n.moves.forked = false
	for _, k := range n.workers {
		k.do(func() {
			for _, key := range k.keys() {
				k.entities[key].unfork()
			}
		})
	}
}
