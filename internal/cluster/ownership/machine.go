package ownership

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// Machine is one node's part in who owns what. One goroutine at a time may use it.
type Machine struct {
	self  shard.NodeID
	now   time.Duration
	table *shard.Table
	out   []Action

	parts    map[uint16]*awaited
	gives    []*give          // in the order of their tables
	ahead    map[uint16]*give // whose messages are passed on, or refused
	marks    map[shard.NodeID]uint64
	heard    map[shard.NodeID]time.Duration // when something of a partition last came from a node
	came     time.Duration                  // the same from anybody
	early    []held                         // ahead of the table
	notices  []*envelope.Envelope
	words    map[uint16]early   // came before their tables
	rivals   map[uint16]early   // the same of rival copies
	pieces   map[arrival]pieces // of copies that were kept, until the word
	moved    [shard.Partitions]time.Duration
	merged   map[uint16]uint64 // the term of the rival copies that were merged last
	healed   uint64            // the term of the last table that heals
	healedAt time.Duration
	union    *shard.Table // the last one that names rivals
	skipped  skip
	released uint64
	markedAt time.Duration
	round    uint64
	gathers  map[uint64]*gathering
	asked    []asked

	held, heldBytes int // in all partitions
	earlyBytes      int
	sabotage        Sabotage
}

// Sabotage switches rules off, so that a test of a simulator can show that it would find out.
type Sabotage struct {
	SkipMarks  bool // the word is given without the marks
	MergeTwice bool // what was merged is merged again
}

// Sabotage is for tests only.
func (m *Machine) Sabotage(s Sabotage) { m.sabotage = s }

// early is a word that came before its table.
type early struct {
	Word
	at time.Duration
}

// pieces are what has come of a partition from one node, by one table.
type pieces struct {
	from   shard.NodeID
	origin Origin
	n      int
	at     time.Duration
}

// arrival is what pieces are counted by.
type arrival struct {
	part  uint16
	rival bool
}

// skip is a range of terms whose tables this node has not seen.
type skip struct {
	after, before uint64
	at            time.Duration
}

// asked is a node that waits for copies.
type asked struct {
	Asked
	at time.Duration
}

// New makes a machine with the empty table.
func New(self shard.NodeID) *Machine {
	return &Machine{self: self, table: shard.Empty(), parts: map[uint16]*awaited{}, ahead: map[uint16]*give{}, marks: map[shard.NodeID]uint64{},
		heard: map[shard.NodeID]time.Duration{}, words: map[uint16]early{}, rivals: map[uint16]early{}, pieces: map[arrival]pieces{}, merged: map[uint16]uint64{}, gathers: map[uint64]*gathering{}}
}

// Step takes one event. Now is the time on a monotonic clock and must not go back. The actions are valid until the next call.
func (m *Machine) Step(now time.Duration, ev Event) []Action {
	m.now = max(m.now, now, 1) // 0 is never
	clear(m.out)
	m.out = m.out[:0]
	switch ev := ev.(type) {
	case Message:
		m.message(ev) // ends nothing
		return m.out
	case Notice:
		m.notice(ev.Env)
	case Install:
		m.install(ev.Table)
	case Released:
		m.release(ev.Term)
	case Marked:
		m.marks[ev.From] = max(m.marks[ev.From], ev.Term)
	case Sent:
		m.sent(ev)
	case Copy:
		m.copied(ev)
	case Word:
		m.word(ev)
	case Gathered:
		m.gathered(ev)
	case Asked:
		if len(m.asked) < MaxAsked {
			m.asked = append(m.asked, asked{ev, m.now})
		}
	case Active:
		m.active(ev)
	case Tick:
		m.tick()
	}
	m.say()
	m.answer()
	return m.out
}

func (m *Machine) do(a Action) { m.out = append(m.out, a) }

// Busy says whether something moves. While nothing does, messages whose term is not above the table's need not be given to Step.
func (m *Machine) Busy() bool { return len(m.parts)+len(m.ahead)+len(m.early) > 0 }

// Table is the table in force.
func (m *Machine) Table() *shard.Table { return m.table }

// Runs says whether this node runs the entities of a partition: it owns it, and they are here.
func (m *Machine) Runs(part uint16) bool {
	a := m.parts[part]
	return m.owns(part) && (a == nil || a.runs)
}

func (m *Machine) owns(part uint16) bool {
	owner, ok := m.table.OwnerOf(part)
	return ok && owner == m.self
}

// Away are the partitions that this node owns and lets nothing into yet.
func (m *Machine) Away() map[uint16]bool {
	away := map[uint16]bool{}
	for p, a := range m.parts {
		if !a.pass {
			away[p] = true
		}
	}
	return away
}

// Fence is the term below which no owner's change of a partition may be kept.
func (m *Machine) Fence(part uint16) uint64 {
	if a := m.parts[part]; a != nil && !a.runs {
		return a.term
	}
	return m.table.PartTerm[part]
}

// Wants says whether an Activate is still to be done.
func (m *Machine) Wants(part uint16, round uint64) bool {
	a := m.parts[part]
	return a != nil && !a.pass && a.activating == round && round > 0
}

// Given says whether everything was given that the table of this term and those before it took from this node.
func (m *Machine) Given(term uint64) bool {
	if m.table.Term < term || m.released < term {
		return false
	}
	for _, g := range m.gives {
		if g.round <= term && !g.said {
			return false
		}
	}
	return true
}

// Heard is when something of a partition last came from a node.
func (m *Machine) Heard(from shard.NodeID) time.Duration { return m.heard[from] }

// Describe tells what a partition waits for, for people.
func (m *Machine) Describe(part uint16) string {
	a := m.parts[part]
	if a == nil {
		return "waits for nothing"
	}
	return fmt.Sprintf("runs %v, here %v, pass %v, gone %v, from %q with term %d, own term %d, table has %d, needs %d of %d, gather %d, activating %d, rivals %+v, %d held",
		a.runs, a.here, a.pass, a.gone, a.from.Name, a.token, a.term, m.table.PartTerm[part], a.needs, m.released, a.gather, a.activating, a.rivals, len(a.first)+len(a.rest))
}

// Held is how many messages are held, and how many of them are ahead of the table.
func (m *Machine) Held() (all, ahead int) { return m.held + len(m.early), len(m.early) }

// each gives the awaited partitions in order, so that a run can be repeated.
func (m *Machine) each(f func(p uint16, a *awaited)) {
	for _, p := range slices.Sorted(maps.Keys(m.parts)) {
		if a := m.parts[p]; a != nil {
			f(p, a)
		}
	}
}

// notice keeps a room's notice while a partition is awaited: its players will have to hear it.
func (m *Machine) notice(e *envelope.Envelope) {
	if len(m.parts) == 0 || len(m.notices) >= MaxNotices {
		return
	}
	c := *e
	c.Key, c.Payload = "", append([]byte(nil), e.Payload...)
	m.notices = append(m.notices, &c)
}

// answer tells those who wait for copies that this node has given away what it had to. One of another side of a split waits until
// a table takes both in: what was done here since is not to be mixed with what it has, but to be merged.
func (m *Machine) answer() {
	rest := m.asked[:0]
	for _, q := range m.asked {
		switch {
		case m.Given(q.Term) && (m.table.Hash == q.Table || slices.Contains(m.table.History, q.Table)):
			m.do(SendCopies{q.Ref})
		case m.now-q.at < PassedFor:
			rest = append(rest, q)
		}
	}
	m.asked = rest
}

// tick does what is due.
func (m *Machine) tick() {
	if m.table.Term > 0 && m.now-m.markedAt >= MarkAgain {
		m.mark()
	}
	m.overdue()
	n := 0
	for n < len(m.early) && m.now-m.early[n].at > EarlyFor {
		m.earlyBytes -= len(m.early[n].env.Payload)
		m.do(Refuse{m.early[n].from, m.early[n].env, NoOwner})
		n++
	}
	m.early = m.early[n:]
	for k, c := range m.pieces {
		if m.now-c.at > PassedFor {
			delete(m.pieces, k)
		}
	}
	for _, list := range []map[uint16]early{m.words, m.rivals} {
		for p, w := range list {
			if m.now-w.at > PassedFor {
				delete(list, p)
			}
		}
	}
}
