package agreement

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"gamed/internal/cluster/placement"
	"gamed/internal/shard"
)

// sim is a cluster under one seed: one heap of events, a model of links and of gossip, and a machine for each life of a node.
type sim struct {
	rnd    *rand.Rand
	slow   *rand.Rand // how long backups take to be full
	now    time.Duration
	queue  events
	seq    int
	lives  []*life         // by slot; nil while the slot is empty
	all    []*life         // every life there ever was
	cut    map[[2]int]bool // [a b]: slot a's packets do not reach slot b
	drop   float64         // share of messages lost
	boots  uint64
	cfg    Config
	tables map[string]uint64 // proposer and term → hash
	made   int

	byHash map[uint64]*shard.Table
	said   map[uint64]*shard.PartSet // by table: the backups that are full in truth

	quiet bool                  // faults are over
	still bool                  // no chance: every delay is the shortest; and leases are told
	given map[shard.NodeID]bool // lives that an operator gave up

	healed, emptied, partial int
	trace                    []string
	failed                   string
}

type life struct {
	slot     int
	id       shard.NodeID
	m        *Machine
	dead     bool
	paused   bool
	drained  bool
	replaced bool
	held     []func()
	lease    time.Duration // as told
	left     time.Duration // when it said goodbye
	links    map[*life]int // linked peers → epoch
	tables   []*shard.Table
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

func newSim(seed uint64, cfg Config, slots int) *sim {
	cfg.Place = remembered
	return &sim{rnd: rand.New(rand.NewPCG(seed, 1)), slow: rand.New(rand.NewPCG(seed, 2)), lives: make([]*life, slots), cut: map[[2]int]bool{}, cfg: cfg,
		tables: map[string]uint64{}, byHash: map[uint64]*shard.Table{}, said: map[uint64]*shard.PartSet{}, given: map[shard.NodeID]bool{}}
}

// remembered is placement.Compute with a memory, which a pure function may have.
func remembered(names []string) *placement.Assignment {
	key := strings.Join(names, " ")
	if a, ok := placements.Load(key); ok {
		return a.(*placement.Assignment)
	}
	a, _ := placements.LoadOrStore(key, placement.Compute(names))
	return a.(*placement.Assignment)
}

var placements sync.Map

func (s *sim) logf(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%8.3f ", s.now.Seconds())+fmt.Sprintf(format, args...))
}

func (s *sim) fail(format string, args ...any) {
	if s.failed == "" {
		s.failed = fmt.Sprintf(format, args...)
		s.logf("FAILED %s", s.failed)
	}
}

func (s *sim) between(lo, hi time.Duration) time.Duration {
	if s.still {
		return lo
	}
	return lo + time.Duration(s.rnd.Int64N(int64(hi-lo)+1))
}

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.queue, event{s.now + d, s.seq, do})
}

// run goes on until the time, or until a failure.
func (s *sim) run(until time.Duration) {
	for s.failed == "" && len(s.queue) > 0 && s.queue[0].at <= until {
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.do()
	}
	s.now = until
}

func (s *sim) start(slot int) {
	s.boots++
	cfg := s.cfg
	cfg.Self = shard.NodeID{Name: fmt.Sprintf("gamed-%d", slot+1), Boot: s.boots<<32 | s.rnd.Uint64N(1<<20)}
	l := &life{slot: slot, id: cfg.Self, m: New(cfg), links: map[*life]int{}}
	s.lives[slot] = l
	s.all = append(s.all, l)
	s.logf("start %s", l.id)
	for _, o := range s.all {
		if o != l && !o.dead {
			s.connect(l, o)
		}
	}
	s.step(l, Tick{})
	s.tick(l)
	s.beat(l)
}

func (s *sim) tick(l *life) {
	s.after(l.m.Wake(), func() {
		if !l.dead {
			s.step(l, Tick{})
			s.tick(l)
		}
	})
}

// beat reports to all linked peers every half second.
func (s *sim) beat(l *life) {
	if l.dead {
		return
	}
	if !l.paused {
		s.pingAll(l)
	}
	s.after(500*time.Millisecond, func() { s.beat(l) })
}

// pingAll sends a heartbeat to all linked peers, who answer it.
func (s *sim) pingAll(l *life) {
	sent := s.now
	for _, o := range s.peersOf(l) {
		r := s.reportOf(l)
		s.carry(l, o, func() {
			s.step(o, r)
			if o.dead || o.paused {
				return
			}
			answer := s.reportOf(o)
			answer.Sent = sent
			s.send(o, l, answer)
		})
	}
}

func (s *sim) peersOf(l *life) []*life {
	var ps []*life
	for _, o := range s.all {
		if _, ok := l.links[o]; ok {
			ps = append(ps, o)
		}
	}
	return ps
}

func (s *sim) reportOf(l *life) Report {
	r := l.m.Report()
	r.Draining = l.drained
	for o := range l.links {
		r.Links = append(r.Links, o.id.Boot)
	}
	return r
}

// send delivers after a random delay, so that messages overtake each other; or not at all, when the link breaks or by chance.
func (s *sim) send(from, to *life, ev Event) { s.carry(from, to, func() { s.step(to, ev) }) }

// carry does what a message does at the other end. A paused process does it when it goes on.
func (s *sim) carry(from, to *life, do func()) {
	epoch, ok := from.links[to]
	if !ok || s.rnd.Float64() < s.drop {
		return
	}
	s.after(s.between(time.Millisecond, 50*time.Millisecond), func() {
		if e, ok := to.links[from]; !ok || e != epoch || s.cut[[2]int{from.slot, to.slot}] {
			return
		}
		if to.paused {
			to.held = append(to.held, do)
			return
		}
		do()
	})
}

// isCut says that two slots have no working link: one direction is enough.
func (s *sim) isCut(a, b *life) bool {
	return s.cut[[2]int{a.slot, b.slot}] || s.cut[[2]int{b.slot, a.slot}]
}

// step gives a machine one event and does what it asks for. A paused node gets its events when it goes on.
func (s *sim) step(l *life, ev Event) {
	if l.dead {
		return
	}
	if l.paused {
		if _, tick := ev.(Tick); !tick {
			l.held = append(l.held, func() { s.step(l, ev) })
		}
		return
	}
	given, _ := ev.(Received)
	for _, a := range l.m.Step(s.now, ev) {
		switch a := a.(type) {
		case Install:
			s.installed(l, a.Table, given.Table != a.Table)
			s.fills(l, a.Table)
		case Send:
			if o := s.find(a.To); o != nil {
				s.send(l, o, Received{l.id, a.Table})
			}
		case Fetch:
			if o := s.find(a.To); o != nil {
				s.send(l, o, Asked{l.id})
			}
		case Replaced:
			s.logf("%s replaced by %s", l.id, a.By)
			l.replaced = true
			s.after(0, func() { s.end(l, true) })
		case Lease:
			if s.still && (a.Until > s.now) != (l.lease > s.now) {
				s.logf("%s may act: %v", l.id, a.Until > s.now)
			}
			l.lease = a.Until
			s.checkLease(l)
		case Probe:
			s.pingAll(l)
		case Absorbed:
			s.logf("%s absorbs %d by %s %x", l.id, a.Rival.Term, a.Rival.Coordinator, a.Rival.Hash>>48)
			s.healed++
		case Emptied:
			s.logf("%s places %d partitions anew, lost with %v", l.id, a.Partitions, a.Nodes)
			s.emptied++
		case Partial:
			s.logf("%s gives %d partitions to backups that are not full, without %v", l.id, a.Partitions, a.Nodes)
			s.partial++
		case Forgotten:
			s.logf("%s forgets %s", l.id, a.ID)
		case Refuse:
			if a.Why != "old term" {
				s.fail("%s refused %s: %s", l.id, a.From, a.Why)
			}
		}
	}
}

// fills has a node fill the backups of what it owns by a table, some sooner than others.
func (s *sim) fills(l *life, t *shard.Table) {
	s.byHash[t.Hash] = t
	for half := range uint16(2) {
		done := func() {
			if l.dead || l.m.Table() != t {
				return
			}
			said := s.said[t.Hash]
			if said == nil {
				said = &shard.PartSet{}
				s.said[t.Hash] = said
			}
			ev := Filled{Table: t.Hash}
			for p := half; p < shard.Partitions; p += 2 {
				if o, _ := t.OwnerOf(p); o == l.id {
					ev.Parts.Add(p)
				}
			}
			said.AddAll(&ev.Parts)
			s.step(l, ev)
		}
		s.after(200*time.Millisecond+time.Duration(s.slow.Int64N(int64(time.Second))), func() {
			if l.paused {
				l.held = append(l.held, done)
			} else {
				done()
			}
		})
	}
}

func (s *sim) find(id shard.NodeID) *life {
	for _, l := range s.all {
		if l.id == id {
			return l
		}
	}
	return nil
}

// connect lets two lives find each other by gossip and by a link, again and again until both work.
func (s *sim) connect(a, b *life) {
	if a.slot == b.slot {
		return
	}
	s.after(s.between(0, time.Second), func() {
		if !s.isCut(a, b) && !a.dead && !b.dead {
			s.step(a, Seen{b.id, b.drained})
			s.step(b, Seen{a.id, a.drained})
		}
	})
	s.after(s.between(10*time.Millisecond, 400*time.Millisecond), func() { s.link(a, b) })
}

func (s *sim) link(a, b *life) {
	if a.dead || b.dead {
		return
	}
	if _, ok := a.links[b]; ok {
		return
	}
	if _, ok := b.links[a]; ok || s.isCut(a, b) || a.paused || b.paused {
		s.after(s.between(100*time.Millisecond, time.Second), func() { s.link(a, b) })
		return
	}
	s.seq++
	a.links[b], b.links[a] = s.seq, s.seq
	for _, l := range [][2]*life{{a, b}, {b, a}} {
		s.after(s.between(0, 20*time.Millisecond), func() {
			if _, ok := l[0].links[l[1]]; ok {
				s.step(l[0], LinkUp{l[1].id})
				s.step(l[0], s.reportOf(l[1]))
			}
		})
	}
}

// unlink breaks the link as seen by l. The other end sees it closed, or is silent when nothing gets through; then both dial.
func (s *sim) unlink(l, other *life, ev LinkDown) {
	epoch, ok := l.links[other]
	if !ok || l.dead {
		return
	}
	delete(l.links, other)
	s.step(l, ev)
	if other.dead && ev.Closed && !s.isCut(l, other) {
		s.after(s.between(25*time.Millisecond, 500*time.Millisecond), func() { s.step(l, Refused{other.id}) })
	}
	if other.links[l] != epoch {
		s.after(s.between(100*time.Millisecond, time.Second), func() { s.link(l, other) })
		return
	}
	d, back := s.between(0, 50*time.Millisecond), LinkDown{ID: l.id, Closed: true}
	if s.isCut(l, other) {
		d, back = s.between(time.Second, 2*time.Second), LinkDown{ID: l.id, Silent: 1500 * time.Millisecond}
	}
	s.after(d, func() {
		if other.links[l] == epoch {
			s.unlink(other, l, back)
		}
	})
}

// breakLink is noticed by silence, by each end for itself.
func (s *sim) breakLink(a, b *life) {
	epoch := a.links[b]
	for _, l := range [][2]*life{{a, b}, {b, a}} {
		s.after(s.between(1500*time.Millisecond, 2*time.Second), func() {
			if l[0].links[l[1]] == epoch && (s.isCut(a, b) || l[1].paused || l[1].dead || l[1].links[l[0]] != epoch) {
				s.unlink(l[0], l[1], LinkDown{ID: l[1].id, Silent: 1500 * time.Millisecond})
			}
		})
	}
}

// end is the death of a process: its sockets are closed at once, or its machine is gone silently.
func (s *sim) end(l *life, closed bool) {
	if l.dead {
		return
	}
	s.logf("end %s closed=%v", l.id, closed)
	l.dead = true
	if s.lives[l.slot] == l {
		s.lives[l.slot] = nil
	}
	for _, o := range s.peersOf(l) {
		d, ev := s.between(0, 50*time.Millisecond), LinkDown{ID: l.id, Closed: true}
		if !closed || s.isCut(l, o) {
			d, ev = s.between(1500*time.Millisecond, 2*time.Second), LinkDown{ID: l.id, Silent: 1500 * time.Millisecond}
		}
		s.after(d, func() { s.unlink(o, l, ev) })
	}
	for _, o := range s.all {
		if !o.dead {
			s.after(s.between(2*time.Second, 9*time.Second), func() { s.step(o, Lost{l.id}) })
		}
	}
}
