package replica

import (
	"bytes"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	nodeA = envelope.NodeID{Name: "a", Boot: 1}
	nodeB = envelope.NodeID{Name: "b", Boot: 2}
	nodeC = envelope.NodeID{Name: "c", Boot: 3}
	none  = envelope.NodeID{}
)

const key = "player/ann"

// table names the owner and the backup of every partition; none is nobody.
func table(term uint64, owner, backup envelope.NodeID) *shard.Table {
	t := shard.Empty()
	t.Term, t.Nodes = term, []envelope.NodeID{nodeA, nodeB, nodeC}
	for p := range shard.Partitions {
		t.PartTerm[p] = term
		for i, n := range t.Nodes {
			if n == owner {
				t.Owner[p] = uint16(i)
			}
			if n == backup {
				t.Backup[p] = uint16(i)
			}
		}
	}
	return t.Seal()
}

// wires is a Router that keeps what is sent.
type wires struct {
	self  envelope.NodeID
	table *shard.Table
	fail  error
	out   []sending // what left, but to the backup
	rep   []envelope.Envelope
}

func (w *wires) Self() envelope.NodeID { return w.self }
func (w *wires) Table() *shard.Table   { return w.table }
func (w *wires) Route(e *envelope.Envelope) error {
	w.out = append(w.out, sending{env: copied(e)})
	return w.fail
}

func (w *wires) ToNode(n envelope.NodeID, e *envelope.Envelope) error {
	if e.Kind != envelope.Replicate {
		w.out = append(w.out, sending{env: copied(e), node: n})
		return w.fail
	}
	if w.fail == nil {
		w.rep = append(w.rep, copied(e))
	}
	return w.fail
}

func copied(e *envelope.Envelope) envelope.Envelope {
	c := *e
	c.Payload = bytes.Clone(e.Payload)
	return c
}

// entity is an entity with an outbox and a state.
type entity struct {
	t       *testing.T
	o       Outbox
	p       Policy
	w       *wires
	now     time.Time
	state   state.Sections
	refused []envelope.Envelope
	wholes  int
	long    int // bytes of the sections that messages change
}

func newEntity(t *testing.T, tab *shard.Table) *entity {
	e := &entity{t: t, w: &wires{self: nodeA, table: tab}, now: time.Unix(1000, 0), state: state.Sections{}}
	e.p = Policy{Router: e.w, Refused: func(env *envelope.Envelope, _ error) { e.refused = append(e.refused, copied(env)) }}
	return e
}

func (e *entity) whole(c *state.Change) {
	e.wholes++
	c.Put("v", nil)
	for k, v := range e.state {
		c.Put(k, v)
	}
}

// message handles a message: it changes a section, when name is not empty, and sends something.
func (e *entity) message(name string, sends ...uint64) {
	var c state.Change
	if name != "" {
		e.state[name] = bytes.Repeat([]byte("x"), max(e.long, 1))
		c.Put(name, e.state[name])
	}
	for _, ref := range sends {
		e.o.Route(&envelope.Envelope{Kind: envelope.Reply, Ref: ref})
	}
	e.o.Finish(&e.p, e.now, key, &c, e.whole)
}

// left is what has left, by Ref.
func (e *entity) left() (refs []uint64) {
	for _, s := range e.w.out {
		refs = append(refs, s.env.Ref)
	}
	return refs
}

// replicated takes the changes sent to the backup since the last time.
func (e *entity) replicated() []envelope.Envelope {
	list := e.w.rep
	e.w.rep = nil
	return list
}

// ack answers a change or a piece as the backup does.
func (e *entity) ack(r envelope.Envelope) {
	e.o.Acked(&e.p, e.now, &envelope.Envelope{Kind: envelope.Acked, Key: r.Key, Conn: r.Conn, Ref: r.Ref, Flags: r.Flags & envelope.FlagMore})
}

// ackAll answers all numbers given.
func (e *entity) ackAll() {
	e.ack(envelope.Envelope{Key: key, Conn: e.o.life, Ref: e.o.seq})
}

// tick lets time pass and does what a wake-up does.
func (e *entity) tick(d time.Duration) {
	e.now = e.now.Add(d)
	if at, ok := e.o.Deadline(); ok && !at.After(e.now) {
		e.o.Again(&e.p, e.now, key, e.whole)
	}
}
