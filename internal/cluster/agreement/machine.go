package agreement

import (
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
	fetchRetry     = 300 * time.Millisecond // between two fetches from the same node
	yieldMax       = 3 * time.Second        // how long a newer table that is announced but not delivered is waited for
	contactMin     = 2 * time.Second        // nobody is given up earlier after the last contact, unless known to be gone
	contactMax     = 3 * time.Second        // everybody is given up then, unless another member still has a link to it
	pauseGap       = 1200 * time.Millisecond
	pauseHold      = time.Second      // no table is made so long after a pause
	flapHold       = 10 * time.Second // between two re-admissions of one life of a node
	forget         = 10 * time.Minute // how long a node that is gone is remembered, for flapHold
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
	held      time.Duration // no table is made before this
	pending   pending
	target    *placement.Assignment // of the names it carries
	out       []Action
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
	return &Machine{cfg: cfg, self: cfg.Self, table: shard.Empty(), peers: map[shard.NodeID]*peer{}}
}

// Table is the table installed; the empty table before the first. It is never nil.
func (m *Machine) Table() *shard.Table { return m.table }

// Member says whether this node is in the table.
func (m *Machine) Member() bool { return indexOf(m.table.Nodes, m.self) >= 0 }

// Served says whether this node was ever in a table.
func (m *Machine) Served() bool { return m.served }

// Contested says that the table has a fencing token that contradicts one of an earlier table: the coordinator must make all
// of them grow. It is part of a Report.
func (m *Machine) Contested() bool { return m.tokens.contested }

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
			p.refused = true
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
		m.peer(ev.ID).left = true
		m.changed = m.now
	case Drain:
		m.draining = ev.On
	case Leave:
		m.leaving = true
	}
	if !m.leaving {
		m.decide()
	}
	return m.out
}

// advance moves the clock. A gap means that the process was paused: what it knows of others' silence is its own.
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
	}
	m.now = max(m.now, now)
}

// Wake is how long the next Tick may be away. The true wait may be a little longer, but not above a second.
func (m *Machine) Wake() time.Duration {
	if m.table.Term == 0 || m.pending.wanted != m.pending.settled {
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
	m.table, m.installed = t, m.now
	m.pending = pending{}
	m.tokens.learn(t)
	m.out = append(m.out, Install{t})
	for _, id := range t.Nodes {
		if id == m.self {
			m.served = true
			continue
		}
		p := m.peer(id)
		if p.member && indexOf(before.Nodes, id) < 0 {
			p.readmitted, p.again = m.now, true
		}
		p.member = true
	}
}

func (m *Machine) received(ev Received) {
	p := m.peer(ev.From)
	if pos := PositionOf(ev.Table); pos.newer(p.position) {
		p.position = pos
	}
	if ev.Table.Newer(m.table) {
		m.install(ev.Table)
	}
}

// decide does what the state asks for, after each event.
func (m *Machine) decide() {
	if m.replaced() {
		return
	}
	behind := m.fetchNewer()
	m.forgetGone()
	if behind || m.now < m.held || !m.coordinates() {
		return
	}
	m.propose()
}

// replaced ends this node when it was in the cluster, and the table has another life of it that a member has a link to. Without
// such a witness the other life is an old one, not yet noticed to be gone.
func (m *Machine) replaced() bool {
	if !m.served || m.Member() {
		return false
	}
	for _, id := range m.table.Nodes {
		if id.Name != m.self.Name {
			continue
		}
		if vouched, _ := m.witnesses(id); vouched {
			m.leaving = true
			m.out = append(m.out, Replaced{id})
		}
	}
	return m.leaving
}

// fetchNewer asks those who have a newer table for it, and says whether to wait for one.
func (m *Machine) fetchNewer() (behind bool) {
	mine := PositionOf(m.table)
	for _, p := range m.linked() {
		if !p.position.newer(mine) {
			p.newer = 0
			continue
		}
		if p.newer == 0 {
			p.newer, p.asked = m.now+1, 0 // never 0
		}
		if p.asked == 0 || m.now-p.asked >= fetchRetry {
			p.asked = m.now + 1
			m.out = append(m.out, Fetch{p.id})
		}
		behind = behind || m.now-p.newer < yieldMax
	}
	return behind
}

func (m *Machine) forgetGone() {
	for id, p := range m.peers {
		if !p.linked && !p.seen && m.now-p.contact > forget && indexOf(m.table.Nodes, id) < 0 {
			delete(m.peers, id)
		}
	}
}

func indexOf(nodes []shard.NodeID, id shard.NodeID) int {
	for i, n := range nodes {
		if n == id {
			return i
		}
	}
	return -1
}
