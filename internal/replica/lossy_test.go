package replica

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// world is one partition with one entity on three nodes, and links that lose, double and reorder.
type world struct {
	t interface {
		Fatalf(format string, args ...any)
	}
	now    time.Time
	table  *shard.Table // the newest; nodes have it or an older one
	term   uint64
	stores map[envelope.NodeID]*Store
	lives  []*life // who runs the entity, or believes so; the last one is right
	wire   []flying
	sends  uint64
	said   map[uint64]bool // changes that were told of

	piece   int    // length of pieces
	filling uint64 // the number that the present backup must have to be able to take over

	states map[[2]uint64]state.Sections // the owner's state by life and number
	at     map[[3]uint64]uint64         // the last number a node's copy had, by node and life: it never falls
}

// life is one outbox and its entity.
type life struct {
	w       *world
	node    envelope.NodeID
	table   *shard.Table
	o       Outbox
	p       Policy
	state   state.Sections
	changes []uint64 // this entity's history, with those it began with
	sent    map[uint64]int
	taken   state.Sections // the whole state that was asked for last
	last    uint64
	broken  bool // its link refuses
	dead    bool
}

type flying struct {
	from, to envelope.NodeID
	b        []byte
}

func (l *life) Self() envelope.NodeID { return l.node }
func (l *life) Table() *shard.Table   { return l.table }

// Route is called with what leaves: it tells of the first Offset changes of the history.
func (l *life) Route(e *envelope.Envelope) error {
	if e.Ref <= l.last {
		l.w.t.Fatalf("message %d left after %d", e.Ref, l.last)
	}
	l.last = e.Ref
	if n := l.sent[e.Ref]; n > 1 {
		l.w.t.Fatalf("message %d left twice", e.Ref)
	}
	l.sent[e.Ref]++
	told := l.changes[:e.Offset]
	if backup, ok := l.w.table.BackupOf(shard.PartitionOf(key)); ok && l == l.w.owner() && l.table == l.w.table {
		// The promise itself: the backup has everything that is told of.
		have := l.w.copyOf(backup)
		for _, c := range told {
			if have[strconv.FormatUint(c, 10)] == nil && !l.w.said[c] {
				l.w.t.Fatalf("change %d is told of, and the backup %s does not have it", c, backup.Name)
			}
		}
	}
	for _, c := range told {
		l.w.said[c] = true
	}
	if owner := l.w.owner(); owner != l {
		// One that was replaced may tell what its successor has, nothing else.
		for _, c := range told {
			if !slices.Contains(owner.changes, c) {
				l.w.t.Fatalf("an owner that was replaced told of change %d, which its successor does not have", c)
			}
		}
	}
	return nil
}

func (l *life) ToNode(n envelope.NodeID, e *envelope.Envelope) error {
	if l.broken {
		return shard.ErrBusy
	}
	if f := l.o.fill; f != nil && e.Ref == f.end {
		l.w.states[[2]uint64{e.Conn, e.Ref}] = l.taken
	}
	l.w.wire = append(l.w.wire, flying{l.node, n, e.Append(nil)})
	return nil
}

func (l *life) whole(c *state.Change) {
	l.taken = maps.Clone(l.state)
	for k, v := range l.state {
		c.Put(k, v)
	}
}

// message changes the state, or not, and tells of all there is.
func (l *life) message(changes bool) {
	var c state.Change
	l.w.sends++
	if changes {
		l.changes = append(l.changes, l.w.sends)
		name := strconv.FormatUint(l.w.sends, 10)
		l.state[name], l.state["last"] = []byte{1}, []byte(name)
		c.Put(name, l.state[name])
		c.Put("last", l.state["last"])
		if l.state["temporary"] == nil {
			l.state["temporary"] = []byte(name)
			c.Put("temporary", []byte(name))
		} else {
			delete(l.state, "temporary")
			c.Delete("temporary")
		}
	}
	l.o.Route(&envelope.Envelope{Kind: envelope.Reply, Ref: l.w.sends, Offset: uint64(len(l.changes))})
	l.o.Finish(&l.p, l.w.now, key, &c, l.whole)
	if changes {
		l.w.states[[2]uint64{l.o.life, l.o.last}] = maps.Clone(l.state)
	}
}

func newWorld(t interface {
	Fatalf(format string, args ...any)
}) *world {
	w := &world{t: t, now: time.Unix(1000, 0), term: 1, stores: map[envelope.NodeID]*Store{}, said: map[uint64]bool{},
		states: map[[2]uint64]state.Sections{}, at: map[[3]uint64]uint64{}}
	for _, n := range []envelope.NodeID{nodeA, nodeB, nodeC} {
		w.stores[n] = NewStore()
	}
	w.table = table(1, nodeA, nodeB)
	w.begin(nodeA, state.Sections{}, nil)
	return w
}

func (w *world) begin(node envelope.NodeID, s state.Sections, changes []uint64) *life {
	l := &life{w: w, node: node, table: w.table, state: s, changes: changes, sent: map[uint64]int{}}
	l.p.Router, l.p.Refused, l.p.PieceSize = l, func(*envelope.Envelope, error) {}, w.piece
	for _, other := range w.lives { // numbers of lives are of one node
		if other.node == node {
			l.p.lives.Add(1)
		}
	}
	w.filling = 0
	w.lives = append(w.lives, l)
	return l
}

func (w *world) owner() *life { return w.lives[len(w.lives)-1] }

func (w *world) backup() (envelope.NodeID, bool) {
	return w.table.BackupOf(shard.PartitionOf(key))
}

// copyOf is the copy a node has, nil when it has none.
func (w *world) copyOf(n envelope.NodeID) state.Sections {
	if c := w.stores[n].parts[shard.PartitionOf(key)]; c != nil && c.entities[key] != nil {
		return c.entities[key].Sections
	}
	return nil
}

// filled says whether the backup has the whole state from the present owner, so that it could take over.
func (w *world) filled() bool {
	b, ok := w.backup()
	if !ok {
		return false
	}
	c := w.stores[b].parts[shard.PartitionOf(key)]
	o := &w.owner().o
	return c != nil && c.entities[key] != nil && o.life != 0 && c.entities[key].Term == w.term && c.entities[key].Life == o.life && c.entities[key].Seq >= w.filling
}

// deliver hands over one of what is on the way; keep leaves it there too.
func (w *world) deliver(i int, keep bool) {
	f := w.wire[i]
	if !keep {
		w.wire = slices.Delete(w.wire, i, i+1)
	}
	var e envelope.Envelope
	if err := e.Decode(bytes.Clone(f.b)); err != nil {
		w.t.Fatalf("%v", err)
	}
	if e.Kind == envelope.Acked { // to whoever runs the entity there now, as a node would
		for _, l := range slices.Backward(w.lives) {
			if l.node == f.to {
				l.o.Acked(&l.p, w.now, &e)
				return
			}
		}
		return
	}
	if !w.stores[f.to].Apply(&e) {
		return
	}
	a := envelope.Envelope{Kind: envelope.Acked, Key: key, Conn: e.Conn, Ref: e.Ref, Flags: e.Flags & envelope.FlagMore}
	w.wire = append(w.wire, flying{f.to, f.from, a.Append(nil)})
}

// install gives the newest table to a life, as a node's Rebase does.
func (w *world) install(l *life) {
	l.table = w.table
	if l == w.owner() {
		if b, _ := w.backup(); b != l.o.backup {
			w.filling = l.o.seq + 1
		}
		l.o.Again(&l.p, w.now, key, l.whole)
	} else {
		l.dead = true
		l.o.Abandon(func(*envelope.Envelope, envelope.NodeID) {})
	}
}

// check: each copy of a life is what the owner's state was at its number, and never goes back.
func (w *world) check() {
	for n, s := range w.stores {
		c := s.parts[shard.PartitionOf(key)]
		if c == nil || c.entities[key] == nil {
			continue
		}
		e := c.entities[key]
		want := w.states[[2]uint64{e.Life, e.Seq}]
		if !maps.EqualFunc(e.Sections, want, bytes.Equal) {
			w.t.Fatalf("the copy on %s at %d is %v, the state was %v", n.Name, e.Seq, e.Sections, want)
		}
		id := [3]uint64{n.Boot, e.Life, e.Term}
		if w.at[id] > e.Seq {
			w.t.Fatalf("the copy on %s went back from %d to %d", n.Name, w.at[id], e.Seq)
		}
		w.at[id] = e.Seq
	}
}

func (w *world) tick(d time.Duration) {
	w.now = w.now.Add(d)
	for _, l := range w.lives {
		if at, ok := l.o.Deadline(); ok && !at.After(w.now) && !l.dead {
			l.o.Again(&l.p, w.now, key, l.whole)
		}
	}
}

// takeover makes the backup the owner; the old owner is not told.
func (w *world) takeover() {
	heir, _ := w.backup()
	old := w.owner()
	next := []envelope.NodeID{nodeA, nodeB, nodeC}
	next = slices.DeleteFunc(next, func(n envelope.NodeID) bool { return n == heir || n == old.node })
	w.term++
	w.table = table(w.term, heir, next[0])
	for _, s := range w.stores {
		s.Fence(shard.PartitionOf(key), w.term) // all but the old owner, which is not told; it backs up nobody
	}
	sections := w.stores[heir].Take(shard.PartitionOf(key))[key]
	var changes []uint64
	for name := range sections {
		if n, err := strconv.ParseUint(name, 10, 64); err == nil {
			changes = append(changes, n)
		}
	}
	slices.Sort(changes)
	for c := range w.said {
		if !slices.Contains(changes, c) {
			w.t.Fatalf("change %d was told of and is lost: %s has %v", c, heir.Name, changes)
		}
	}
	for _, c := range changes { // it was on two nodes
		w.said[c] = true
	}
	l := w.begin(heir, maps.Clone(sections), changes)
	l.o.Again(&l.p, w.now, key, l.whole)
}

// Whatever the links do and whoever owns the entity: what was told of is never lost, a copy is what the state was, a replaced
// owner tells nothing that its successor does not have, and once the links are well everything leaves.
func TestWhatIsToldOfIsOnTheBackup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.piece = rapid.SampledFrom([]int{0, 1, 12}).Draw(t, "piece") // 0: all at once
		w.owner().p.PieceSize = w.piece
		some := func(t *rapid.T) *life { // mostly the owner; now and then one that was replaced and does not know
			if len(w.lives) > 1 && rapid.IntRange(0, 3).Draw(t, "who") == 0 {
				if l := w.lives[rapid.IntRange(0, len(w.lives)-1).Draw(t, "which")]; !l.dead {
					return l
				}
			}
			return w.owner()
		}
		fly := func(t *rapid.T) int {
			if len(w.wire) == 0 {
				t.Skip()
			}
			return rapid.IntRange(0, min(len(w.wire)-1, 4)).Draw(t, "packet")
		}
		t.Repeat(map[string]func(*rapid.T){
			"change":  func(t *rapid.T) { some(t).message(true) },
			"change2": func(t *rapid.T) { w.owner().message(true) },
			"look":    func(t *rapid.T) { some(t).message(false) },
			"deliver": func(t *rapid.T) { w.deliver(fly(t), false) },
			"first": func(t *rapid.T) {
				if len(w.wire) == 0 {
					t.Skip()
				}
				w.deliver(0, false)
			},
			"all": func(t *rapid.T) {
				for len(w.wire) > 0 {
					w.deliver(0, false)
				}
			},
			"double": func(t *rapid.T) { w.deliver(fly(t), true) },
			"lose":   func(t *rapid.T) { i := fly(t); w.wire = slices.Delete(w.wire, i, i+1) },
			"tick":   func(t *rapid.T) { w.tick(time.Duration(rapid.IntRange(1, 1200).Draw(t, "ms")) * time.Millisecond) },
			"link":   func(t *rapid.T) { w.owner().broken = rapid.Bool().Draw(t, "broken") },
			"table": func(t *rapid.T) {
				l := w.lives[rapid.IntRange(0, len(w.lives)-1).Draw(t, "which")]
				if !l.dead {
					w.install(l)
				}
			},
			"backup": func(t *rapid.T) { // another backup; the present one is full, so that there is one that could take over
				if !w.filled() || w.owner().o.Waits() {
					t.Skip()
				}
				o := w.owner()
				was, _ := w.backup()
				for _, n := range []envelope.NodeID{nodeA, nodeB, nodeC} {
					if n != o.node && n != was {
						w.table = table(w.term, o.node, n)
						w.table.Term++
						w.install(o)
						return
					}
				}
			},
			"revive": func(t *rapid.T) { // a panic: the entity goes on in another life on the same node
				o := w.owner()
				if !w.filled() || o.o.Waits() {
					t.Skip()
				}
				o.dead = true
				l := w.begin(o.node, maps.Clone(o.state), slices.Clone(o.changes))
				l.o.Again(&l.p, w.now, key, l.whole)
			},
			"takeover": func(t *rapid.T) {
				if !w.filled() || len(w.lives) > 6 {
					t.Skip()
				}
				w.takeover()
			},
			"": func(*rapid.T) { w.check() },
		})
		o := w.owner()
		o.broken = false
		o.message(true)
		for range 4 {
			w.install(o)
			for len(w.wire) > 0 {
				w.deliver(0, false)
			}
			w.check()
			w.tick(time.Second)
		}
		if o.o.Waits() || len(o.o.held) > 0 || o.last != w.sends {
			t.Fatalf("the links are well, and %d still wait", len(o.o.held))
		}
		if b, _ := w.backup(); !maps.EqualFunc(w.copyOf(b), o.state, bytes.Equal) {
			t.Fatalf("the copy is %v, the state %v", w.copyOf(b), o.state)
		}
	})
}

// found is a judge that remembers what it found.
type found string

func (f *found) Fatalf(format string, _ ...any) { *f = found(format) }

// The property can fail: an outbox that waits for nobody breaks it.
func TestTheLossyTestCanFail(t *testing.T) {
	var f found
	w := newWorld(&f)
	w.owner().message(true)
	w.deliver(0, false)
	w.owner().p.Local = true
	w.owner().message(true)
	if !strings.Contains(string(f), "is told of, and the backup") {
		t.Fatalf("found %q", f)
	}
	f = ""
	w.wire = nil
	w.takeover()
	if !strings.Contains(string(f), "is lost") {
		t.Fatalf("found %q", f)
	}
}
