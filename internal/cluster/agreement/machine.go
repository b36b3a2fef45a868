package agreement

import (
	"slices"
	"time"

	"gamed/internal/cluster/placement"
	"gamed/internal/shard"
)

// Times of the agreement.
const (
	joinDelay      = 150 * time.Millisecond // quiet time after the last joiner before the table is made
	joinDelayMax   = time.Second            // from the first joiner on, quiet or not
	crashDelay     = 40 * time.Millisecond  // so that nodes that die together make one table
	rebalanceDelay = time.Second            // between a table and the one that moves partitions to their places
	settleDelay    = 250 * time.Millisecond // quiet time before the first table of a cluster that expects no number
	aloneDelay     = 3 * time.Second        // a node that looks for others and finds nobody serves alone after this
	freshMax       = 2 * time.Second        // how long after a fetch a table counts as its answer
	fetchRetry     = 300 * time.Millisecond // between two fetches from the same node
	yieldMax       = 3 * time.Second        // how long a newer table that is announced but not delivered is waited for
	absorbMax      = 12 * time.Second       // how long a side of a split waits for the other one, which has the larger table, to take it in
	gatherMax      = 3 * time.Second        // how long the side that absorbs waits for links to all of the other side
	healedMax      = 3 * time.Second        // how long a table that heals stays the newest until all have it
	contactMin     = 2 * time.Second        // nobody is given up earlier after the last contact, unless known to be gone
	contactMax     = 3 * time.Second        // everybody is given up then, unless another member still has a link to it
	pauseGap       = 1200 * time.Millisecond
	pauseHold      = time.Second             // no table is made so long after a pause
	leaseTime      = 1200 * time.Millisecond // available: a node acts so long after it was last awake
	quorumLease    = 3 * time.Second         // quorum: so long after the sending of what a majority has answered
	aloneAfter     = 3 * time.Second         // after a pause, a node that can reach nobody acts again
	leaseGrain     = 100 * time.Millisecond  // a lease is told anew when it is so much longer
	flapHold       = 10 * time.Second        // between two re-admissions of one life of a node
	flapFor        = time.Minute             // a node that comes back twice in this time flaps
	forgetFor      = 30 * time.Second        // how long a Forget waits for somebody to act on it
	forget         = 10 * time.Minute        // how long a node that is gone is remembered, for flapHold
	fastWake       = 40 * time.Millisecond
	slowWake       = 500 * time.Millisecond
)

// Config of a Machine.
type Config struct {
	Self    shard.NodeID
	Expect  int    // the first table is made when so many nodes are meshed; 0: no number is expected
	Search  bool   // others may be there to be found: serve alone only after 3 s. Without it: at once
	Quorum  bool   // a table is only made with a majority of the last one's nodes
	MinTerm uint64 // the largest term remembered from an earlier life; terms go on above it

	// FirstTerm is the least term of a new cluster's first table. A clock that goes on keeps terms from falling back when all
	// nodes start anew with nothing remembered.
	FirstTerm uint64

	// Place computes where partitions should be; nil means placement.Compute. It must be a pure function.
	Place func(names []string) *placement.Assignment
}

// Machine is one node's part in the agreement.
type Machine struct {
	cfg       Config
	self      shard.NodeID
	now       time.Duration
	started   time.Duration
	begun     bool
	table     *shard.Table
	installed time.Duration // when table was
	peers     map[shard.NodeID]*peer
	served    bool // this node was in a table once
	tokens    tokens
	draining  bool
	leaving   bool
	changed   time.Duration // when a link or a known node last changed
	balanced  time.Duration // when a table was made here that moved partitions to their places
	held      time.Duration // no table is made before this
	pending   pending
	target    *placement.Assignment // of the names it carries
	out       []Action

	ahead     *shard.Table                   // the newest table received that this node is not in, or must not install
	forgotten map[shard.NodeID]time.Duration // lives given up by an operator, and since when
	rivals    map[uint64]*shard.Table        // tables of other sides of a split, by hash
	apart     time.Duration                  // since when a node of another side is linked; 0: none is
	filled    shard.PartSet                  // see Filled
	from      map[uint16][]shard.NodeID      // see follow
	healed    bool                           // the table installed was made here and takes another side in
	force     force
	lease     lease
}

// pending is a change of the table that waits for more to come.
type pending struct {
	wanted      string // signature of the members wanted
	first, last time.Duration
	settled     string // signature of the members as last planned: nothing to do
}

// New makes a Machine with the empty table.
func New(cfg Config) *Machine {
	if cfg.Place == nil {
		cfg.Place = placement.Compute
	}
	m := &Machine{cfg: cfg, self: cfg.Self, table: shard.Empty(), peers: map[shard.NodeID]*peer{},
		forgotten: map[shard.NodeID]time.Duration{}, from: map[uint16][]shard.NodeID{}, rivals: map[uint64]*shard.Table{}}
	m.force.whole = true
	return m
}

// Table is the table installed; the empty table before the first. It is never nil.
func (m *Machine) Table() *shard.Table { return m.table }

// Member says whether this node is in the table.
func (m *Machine) Member() bool { return indexOf(m.table.Nodes, m.self) >= 0 }

// Served says whether this node was ever in a table.
func (m *Machine) Served() bool { return m.served }

// Report is what this node says of itself, but for what its shell knows: links and draining.
func (m *Machine) Report() Report {
	r := Report{From: m.self, Position: PositionOf(m.table), Member: m.Member(), Contested: m.tokens.contested, InForce: m.force.whole && m.force.committed,
		Filled: m.filled, Fence: max(m.force.until-m.now, 0)}
	if m.overtaken() {
		r.Ahead = m.ahead.Hash
	}
	return r
}

// Step takes one event. Now is the time on a monotonic clock and must not go back. The actions are valid until the next call.
func (m *Machine) Step(now time.Duration, ev Event) []Action {
	m.out = m.out[:0]
	m.advance(now)
	switch ev := ev.(type) {
	case Tick:
	case Seen:
		m.see(ev)
	case Lost:
		if p := m.peers[ev.ID]; p != nil {
			p.seen, p.lost = false, true
			m.changed = m.now
		}
	case LinkUp:
		m.linkUp(ev.ID)
	case LinkDown:
		m.linkDown(ev)
	case Refused:
		if p := m.peers[ev.ID]; p != nil && !p.linked && p.closed {
			m.end(p)
		}
	case Report:
		m.report(ev)
	case Received:
		m.received(ev)
	case Asked:
		if m.table.Term > 0 {
			m.out = append(m.out, Send{ev.From, m.table})
		}
	case Left:
		p := m.peer(ev.ID)
		p.left, m.changed = true, m.now
		m.end(p)
	case Filled:
		m.fill(ev.Table, &ev.Parts)
	case Drain:
		m.draining = ev.On
	case Leave:
		m.leaving = true
	case Forget:
		m.giveUp(ev.Name)
	}
	if !m.leaving {
		m.decide()
	}
	m.tellLease()
	return m.out
}

// advance moves the clock. A gap means that the process was paused: what it knows of others' silence is its own, and they may
// have gone on without it.
func (m *Machine) advance(now time.Duration) {
	if !m.begun {
		m.begun, m.started, m.now, m.changed = true, now, now, now
	}
	if now-m.now > pauseGap {
		for _, p := range m.peers {
			if !p.linked {
				p.contact = now
			}
		}
		m.held = now + pauseHold
		m.lease.suspect, m.lease.resumed = true, now
		m.out = append(m.out, Probe{})
	}
	m.now = max(m.now, now)
}

// Wake is how long the next Tick may be away. The true wait may be a little longer, but not above a second.
func (m *Machine) Wake() time.Duration {
	if m.table.Term == 0 || m.pending.wanted != m.pending.settled || m.apart > 0 || m.lease.suspect {
		return fastWake
	}
	for _, id := range m.table.Nodes {
		if p := m.peers[id]; p != nil && !p.linked && id != m.self {
			return fastWake
		}
	}
	return slowWake
}

// install takes a table that is newer than the one installed.
func (m *Machine) install(t *shard.Table) {
	before := m.table
	m.enforce(before, t)
	m.table, m.installed, m.healed = t, m.now, false
	full := m.filled
	m.filled = carry(before, t, &full)
	m.follow(before, t, &full)
	m.pending = pending{}
	m.judgeForce()
	m.tokens.learn(t)
	if m.ahead != nil && !m.ahead.Newer(t) {
		m.ahead = nil
	}
	if !t.Follows(before) {
		for _, p := range m.peers {
			p.backed = 0
		}
	}
	m.out = append(m.out, Install{t})
	for _, id := range t.Nodes {
		if id == m.self {
			m.served = true
			continue
		}
		p := m.peer(id)
		if p.member && indexOf(before.Nodes, id) < 0 {
			m.returned(p)
		}
		p.member = true
	}
}

func (m *Machine) received(ev Received) {
	t := ev.Table
	if !m.believable(t.Term) {
		m.out = append(m.out, Refuse{ev.From, "impossible term"})
		return
	}
	p := m.peer(ev.From)
	if pos := PositionOf(t); pos.newer(p.position) {
		p.position, p.inForce, p.readyAt = pos, false, m.now+quorumLease // what it reported was of the table before
	}
	switch {
	case t.Hash == m.table.Hash:
	case !t.Newer(m.table):
		if !m.keepRival(t) {
			m.out = append(m.out, Refuse{ev.From, "old term"})
		}
	case m.takes(t) && (t.Follows(m.table) || !m.Member() || m.fresh(p)):
		m.install(t)
	case m.takes(t): // to be fetched: see decide
	case m.ahead == nil || t.Newer(m.ahead):
		m.look(t)
	}
}

// fresh says whether a peer was asked for its table a moment ago. Only such an answer may take a side in: a table that lay in a
// socket while this process was paused would be no longer in force, and nobody would wait for what this node has to give.
func (m *Machine) fresh(p *peer) bool {
	return p.asked > 0 && m.now-p.asked <= freshMax && (p.asked > m.lease.resumed || m.lease.resumed == 0)
}

// takes says whether a newer table may be installed over this node's. Whoever serves takes only tables that he is in, and that
// either follow his or have taken his side in: the other side of a split knows nothing of what was acknowledged on this one.
func (m *Machine) takes(t *shard.Table) bool {
	if m.table.Term == 0 || !m.Member() {
		return true
	}
	return t.Has(m.self) && (t.Follows(m.table) || slices.Contains(t.Absorbed, m.table.Hash))
}

// decide does what the state asks for, after each event.
func (m *Machine) decide() {
	if m.replaced() {
		return
	}
	behind := m.fetchNewer()
	m.forgetGone()
	m.judgeForce()
	if behind || m.now < m.held || !m.coordinates() {
		m.apart = 0
		return
	}
	m.fetchRivals()
	m.propose()
}

// replaced ends this node when it was in the cluster, and the newest table has another life of it that somebody has a link to.
// Without such a witness the other life is an old one, not yet noticed to be gone.
func (m *Machine) replaced() bool {
	t := m.table
	if m.ahead != nil {
		t = m.ahead
	}
	if !m.served || t.Has(m.self) {
		return false
	}
	for _, id := range t.Nodes {
		if id.Name != m.self.Name {
			continue
		}
		for _, p := range m.linked() {
			if p.reported && slices.Contains(p.links, id.Boot) {
				m.leaving = true
				m.out = append(m.out, Replaced{id})
				return true
			}
		}
	}
	return false
}

// fetchNewer asks those who have a newer table for it, and says whether to wait: for the table, or for its coordinator to take
// this node in.
func (m *Machine) fetchNewer() (behind bool) {
	mine := PositionOf(m.table)
	for _, p := range m.linked() {
		if !p.position.newer(mine) || m.Member() && p.reported && !p.belongs { // who is in no table has nothing to follow
			p.newer = 0
			continue
		}
		if p.newer == 0 {
			p.newer, p.asked = m.now+1, 0 // never 0
		}
		limit := yieldMax
		if m.ahead != nil && m.ahead.Hash == p.position.Hash {
			limit = absorbMax
		} else {
			m.fetch(p)
		}
		waited := m.now - p.newer
		behind = behind || waited < limit && (waited < yieldMax || !m.bereft())
	}
	return behind
}

// bereft says whether a member of the table is gone: that cannot wait as long as other changes.
func (m *Machine) bereft() bool { return slices.ContainsFunc(m.table.Nodes, m.gone) }

// fetch asks a peer for its table, not too often.
func (m *Machine) fetch(p *peer) {
	if p.asked == 0 || m.now-p.asked >= fetchRetry {
		p.asked = m.now + 1
		m.out = append(m.out, Fetch{p.id})
	}
}

func (m *Machine) forgetGone() {
	for id, p := range m.peers {
		if !p.linked && !p.seen && m.now-p.contact > forget && indexOf(m.table.Nodes, id) < 0 {
			delete(m.peers, id)
		}
	}
	for id, since := range m.forgotten {
		if m.now-since > forgetFor {
			delete(m.forgotten, id)
		}
	}
}

// giveUp takes an operator's word that a node will not come back: in the lives known so far.
func (m *Machine) giveUp(name string) {
	if name == m.self.Name || m.linkedName(name) || len(m.forgotten) >= maxForgotten {
		return
	}
	for id := range m.peers {
		if id.Name == name {
			m.forgotten[id] = m.now
		}
	}
	for _, miss := range m.table.Missing {
		if miss.ID.Name == name {
			m.forgotten[miss.ID] = m.now
		}
	}
}

const maxForgotten = 1024

func indexOf(nodes []shard.NodeID, id shard.NodeID) int {
	for i, n := range nodes {
		if n == id {
			return i
		}
	}
	return -1
}
