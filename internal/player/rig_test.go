package player

import (
	"encoding/binary"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gamed/game"
	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/internal/tally"
	"gamed/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	here   = envelope.NodeID{Name: "here", Boot: 1}
	backup = envelope.NodeID{Name: "backup", Boot: 2}
	far    = envelope.NodeID{Name: "far", Boot: 3} // a gateway
)

const ann = envelope.PlayerPrefix + "ann"

// rig is a node without sockets: one worker, a router that writes down what is sent, and a backup.
type rig struct {
	t       *testing.T
	workers *shard.Workers
	gate    *tally.Gate
	tallies *tally.Set
	local   *Local
	metrics *Metrics
	split   atomic.Bool // the cluster is degraded

	mu      sync.Mutex // guards what follows
	table   *shard.Table
	sent    []sent
	down    map[string]bool // keys and nodes that cannot be reached
	silent  bool            // the backup does not acknowledge
	unacked []envelope.Envelope
	kept    state.Sections // the backup's copy of ann
	seq     uint64
	dead    []actor.DeadLetter
}

type sent struct {
	node envelope.NodeID // zero: by key
	envelope.Envelope
}

// run gives f a rig in a bubble.
func run(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.workers.Close()
		f(t, r)
	})
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, down: map[string]bool{}, gate: tally.NewGate()}
	r.tallies = tally.NewSet(r.gate)
	r.table = tableOf(here, backup)
	r.local = NewLocal(r.tallies)
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("GAMED_TEST_LOG") != "" {
		log = slog.Default()
	}
	r.metrics = NewMetrics(prometheus.NewRegistry())
	d := &Deps{Games: map[string]*game.Game{}, SessionTTL: time.Minute, HeartbeatMS: 15000, Degraded: r.split.Load,
		Limits: protocol.Limits{Outstanding: OpenCalls}, Log: log, Metrics: r.metrics,
		Dead: func(l actor.DeadLetter) { r.dead = append(r.dead, l) }}
	for _, g := range testGames() {
		d.Games[g.Name] = &g
	}
	d.Replica = &replica.Policy{Router: r, Refused: func(e *envelope.Envelope, why error) {
		if back, toNode, ok := Refuse(e, why); ok && !toNode {
			_ = r.Route(&back)
		}
	}}
	r.workers = shard.NewWorkers(shard.Options{Dispatch: shard.Single, New: func(_ *shard.Worker, key string) shard.Entity { return New(d, r.local, key) },
		Panicked: func(l actor.DeadLetter) { t.Errorf("a panic escaped: %s: %s\n%s", l.What, l.Cause, l.Stack) }})
	return r
}

// tableOf has one owner of everything, and its backup unless that is zero.
func tableOf(owner, backup envelope.NodeID) *shard.Table {
	t := &shard.Table{Term: 1, Nodes: []envelope.NodeID{owner, backup}}
	for p := range shard.Partitions {
		t.Owner[p], t.Backup[p], t.PartTerm[p] = 0, 1, 1
		if backup.IsZero() {
			t.Backup[p] = shard.None
		}
	}
	return t.Seal()
}

// Self implements replica.Router, as the next three do.
func (r *rig) Self() envelope.NodeID { return here }

func (r *rig) Table() *shard.Table {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table
}

func (r *rig) Route(e *envelope.Envelope) error {
	r.mu.Lock()
	if r.down[e.Key] {
		r.mu.Unlock()
		return shard.ErrNoLink
	}
	r.mu.Unlock()
	if e.Key == ann {
		e.Part = shard.PartitionOf(e.Key)
		return r.workers.Post(e)
	}
	r.note(envelope.NodeID{}, e)
	return nil
}

func (r *rig) ToNode(n envelope.NodeID, e *envelope.Envelope) error {
	r.mu.Lock()
	if r.down[n.Name] {
		r.mu.Unlock()
		return shard.ErrNoLink
	}
	silent := r.silent
	r.mu.Unlock()
	if e.Kind == envelope.Replicate {
		var c envelope.Envelope
		if err := c.Decode(e.Append(nil)); err != nil {
			r.t.Errorf("replicate: %v", err)
		}
		if silent {
			r.mu.Lock()
			r.unacked = append(r.unacked, c)
			r.mu.Unlock()
			return nil
		}
		r.take(&c)
		return nil
	}
	r.note(n, e)
	return nil
}

// take is the backup taking a change.
func (r *rig) take(e *envelope.Envelope) {
	r.mu.Lock()
	ok := true
	switch {
	case e.Flags&envelope.FlagDropped != 0:
		r.kept = nil
	case e.Flags&envelope.FlagWhole != 0:
		r.kept = state.Sections{}
		fallthrough
	default:
		if ok = e.Flags&envelope.FlagWhole != 0 || r.kept != nil && r.seq == e.Offset; ok {
			if err := r.kept.Apply(e.Payload); err != nil {
				r.t.Errorf("change: %v", err)
			}
			r.seq = e.Ref
		}
	}
	r.mu.Unlock()
	if ok {
		a := envelope.Envelope{Kind: envelope.Acked, Key: e.Key, Part: e.Part, Conn: e.Conn, Ref: e.Ref, Flags: e.Flags & envelope.FlagMore}
		_ = r.workers.Post(&a)
	}
}

// speak makes the backup acknowledge again, from what it held back on.
func (r *rig) speak() {
	r.mu.Lock()
	list := r.unacked
	r.silent, r.unacked = false, nil
	r.mu.Unlock()
	for i := range list {
		r.take(&list[i])
	}
	synctest.Wait()
}

func (r *rig) hush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = true
}

func (r *rig) reach(name string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down[name] = !ok
}

func (r *rig) note(n envelope.NodeID, e *envelope.Envelope) {
	c := *e
	c.Payload = slices.Clone(e.Payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, sent{n, c})
}

// drain takes what was sent until now.
func (r *rig) drain() []sent {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.sent
	r.sent = nil
	return out
}

// post gives ann a message and waits until all is quiet.
func (r *rig) post(e envelope.Envelope) {
	r.t.Helper()
	e.Key, e.Part = ann, shard.PartitionOf(ann)
	if err := r.workers.Post(&e); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// hello says hello on a connection and gives the session's id.
func (r *rig) hello(conn uint64, session string, seen ...protocol.Seen) protocol.Welcome {
	r.t.Helper()
	e := envelope.Envelope{Kind: envelope.Hello, Conn: conn, Node: far, Session: session, Role: game.AnyRole, Payload: protocol.AppendSeen(nil, seen)}
	r.post(e)
	w := r.conn(conn)
	if w.asked {
		e.Flags = envelope.FlagConfirm
		r.post(e)
		w = r.conn(conn)
	}
	if w.welcome == nil {
		r.t.Fatalf("no welcome on connection %d: %+v", conn, w)
	}
	return *w.welcome
}

// heard is what came to a connection.
type heard struct {
	welcome *protocol.Welcome
	goaway  *protocol.Goaway
	replies []protocol.Reply
	pushes  []protocol.Push
	raw     [][]byte // the replies' frames
	probes  int      // "is it still there?"
	asked   bool     // the same, of a connection that wants to take over
}

func (h heard) reply(t *testing.T, ref uint64) protocol.Reply {
	t.Helper()
	for _, r := range h.replies {
		if r.Ref == ref {
			return r
		}
	}
	t.Fatalf("no reply to %d: %+v", ref, h.replies)
	return protocol.Reply{}
}

// conn gives what came to a connection since the last drain, and keeps the rest.
func (r *rig) conn(conn uint64) heard {
	r.t.Helper()
	var h heard
	var rest []sent
	for _, s := range r.drain() {
		if s.Kind != envelope.Out || s.Conn != conn {
			rest = append(rest, s)
			continue
		}
		switch {
		case s.Key == "" || len(s.Payload) > 0:
		case s.Flags&envelope.FlagConfirm != 0:
			h.asked = true
		default:
			h.probes++
		}
		h.parse(r.t, s.Payload)
	}
	r.mu.Lock()
	r.sent = append(rest, r.sent...)
	r.mu.Unlock()
	return h
}

func (h *heard) parse(t *testing.T, b []byte) {
	t.Helper()
	for len(b) > 0 {
		n := 4 + int(binary.BigEndian.Uint32(b))
		body := b[4:n]
		kind, _ := protocol.FrameKind(body)
		switch kind {
		case protocol.KindWelcome:
			w, ok := protocol.ParseWelcome(body)
			if !ok {
				t.Fatal("bad welcome")
			}
			h.welcome = &w
		case protocol.KindGoaway:
			g, ok := protocol.ParseGoaway(body)
			if !ok {
				t.Fatal("bad goaway")
			}
			h.goaway = &g
		case protocol.KindReply:
			p, ok := protocol.ParseReply(body)
			if !ok {
				t.Fatal("bad reply")
			}
			h.replies, h.raw = append(h.replies, p), append(h.raw, b[:n])
		case protocol.KindPush:
			p, ok := protocol.ParsePush(body)
			if !ok {
				t.Fatal("bad push")
			}
			h.pushes = append(h.pushes, p)
		default:
			t.Fatalf("frame of kind %d", kind)
		}
		b = b[n:]
	}
}

// frames is one read of calls.
type frames []byte

func (f frames) call(ref uint64, topic, event string, payload game.Payload) frames {
	return protocol.AppendCall(f, ref, topic, event, payload)
}

// send gives a read's calls to ann and gives what came to the connection.
func (r *rig) send(conn uint64, f frames) heard {
	r.t.Helper()
	r.post(envelope.Envelope{Kind: envelope.Frames, Conn: conn, Node: far, Payload: f})
	return r.conn(conn)
}

// call is send of one call that is answered at once.
func (r *rig) call(conn, ref uint64, topic, event string, payload game.Payload) protocol.Reply {
	r.t.Helper()
	h := r.send(conn, frames{}.call(ref, topic, event, payload))
	return h.reply(r.t, ref)
}

// routed takes what was sent to keys since the last drain, and keeps the rest.
func (r *rig) routed() (out []sent) {
	var rest []sent
	for _, s := range r.drain() {
		if s.node.IsZero() {
			out = append(out, s)
		} else {
			rest = append(rest, s)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(rest, r.sent...)
	return out
}

// successor is another node that goes on with ann from these sections.
func (r *rig) successor(s state.Sections) *rig {
	r.t.Helper()
	next := newRig(r.t)
	if err := next.workers.Restore(ann, s); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	return next
}

// copy is what the backup has of ann.
func (r *rig) copy() state.Sections {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.kept)
}

// entity runs f with ann's entity on its worker.
func (r *rig) entity(f func(w *shard.Worker, p *Entity)) {
	r.t.Helper()
	err := r.workers.Do(ann, time.Second, func(w *shard.Worker, e shard.Entity) {
		if e == nil {
			r.t.Error("ann is not in memory")
			return
		}
		w.With(ann, func(e shard.Entity) { f(w, e.(*Entity)) })
	})
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}
