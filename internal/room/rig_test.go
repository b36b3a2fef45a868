package room

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
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
	"gamed/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	here   = envelope.NodeID{Name: "here", Boot: 1}
	backup = envelope.NodeID{Name: "backup", Boot: 2}
	far    = envelope.NodeID{Name: "far", Boot: 3} // a gateway
)

const (
	topic = "club:a"
	key   = "club/a"
)

// rig is a home without sockets: one worker, a router that writes down what is sent, a backup that acknowledges.
type rig struct {
	t       *testing.T
	workers *shard.Workers
	ref     uint64      // of the last call made by as
	split   atomic.Bool // the cluster is degraded

	mu    sync.Mutex // guards what follows
	table *shard.Table
	sent  []sent
	down  map[envelope.NodeID]bool
	kept  state.Sections
	seq   uint64
	mute  bool // the backup does not acknowledge
	dead  []actor.DeadLetter
}

type sent struct {
	node envelope.NodeID // zero: by key
	envelope.Envelope
}

func run(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.workers.Close()
		f(t, r)
	})
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, down: map[envelope.NodeID]bool{}, table: tableOf(1, here, backup, far)}
	d := &Deps{Games: map[string]*game.Game{}, Degraded: r.split.Load, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Dead: func(l actor.DeadLetter) { r.dead = append(r.dead, l) }}
	g := game.Game{Name: "club", Room: func(string) game.Room { return &club{} }}
	d.Games[g.Name] = &g
	local := &Local{}
	d.Replica = &replica.Policy{Router: r, Refused: func(e *envelope.Envelope, _ error) {
		if e.Kind != envelope.Push && e.Kind != envelope.Attach {
			return
		}
		c := *e
		c.Payload = slices.Clone(e.Payload)
		_ = r.workers.Tell(key, func(w *shard.Worker, ent shard.Entity) { ent.(*Home).Refused(w, &c) })
	}}
	r.workers = shard.NewWorkers(shard.Options{Dispatch: shard.Single, New: func(_ *shard.Worker, key string) shard.Entity { return New(d, local, key) },
		Panicked: func(l actor.DeadLetter) { t.Errorf("a panic escaped: %s: %s\n%s", l.What, l.Cause, l.Stack) }})
	return r
}

// tableOf: the first node owns everything, the second backs it up.
func tableOf(term uint64, nodes ...envelope.NodeID) *shard.Table {
	t := &shard.Table{Term: term, Nodes: nodes}
	for p := range shard.Partitions {
		t.Owner[p], t.Backup[p], t.PartTerm[p] = 0, 1, 1
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
	r.note(envelope.NodeID{}, e)
	return nil
}

func (r *rig) ToNode(n envelope.NodeID, e *envelope.Envelope) error {
	r.mu.Lock()
	down := r.down[n]
	r.mu.Unlock()
	if down {
		return shard.ErrNoLink
	}
	if e.Kind != envelope.Replicate {
		r.note(n, e)
		return nil
	}
	r.mu.Lock()
	switch whole := e.Flags&envelope.FlagWhole != 0; {
	case whole:
		r.kept = state.Sections{}
	case r.kept == nil || r.seq != e.Offset:
		r.mu.Unlock()
		return nil
	}
	if err := r.kept.Apply(e.Payload); err != nil {
		r.t.Errorf("change: %v", err)
	}
	r.seq = e.Ref
	mute := r.mute
	r.mu.Unlock()
	if !mute {
		_ = r.workers.Post(&envelope.Envelope{Kind: envelope.Acked, Key: key, Part: shard.PartitionOf(key), Conn: e.Conn, Ref: e.Ref, Flags: e.Flags & envelope.FlagMore})
	}
	return nil
}

func (r *rig) note(n envelope.NodeID, e *envelope.Envelope) {
	c := *e
	c.Payload = slices.Clone(e.Payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, sent{n, c})
}

func (r *rig) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
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

// of takes what was sent of one kind, and drops the rest.
func (r *rig) of(kind envelope.Kind) (out []sent) {
	for _, s := range r.drain() {
		if s.Kind == kind {
			out = append(out, s)
		}
	}
	return out
}

func (r *rig) post(e envelope.Envelope) {
	r.t.Helper()
	e.Key, e.Part = key, shard.PartitionOf(key)
	if err := r.workers.Post(&e); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// call is a client's call to the room, as its player's entity passes it on.
func call(player string, ref uint64, event string, payload game.Payload) envelope.Envelope {
	return envelope.Envelope{Kind: envelope.Call, Topic: topic, Event: event, From: envelope.PlayerPrefix + player, FromTopic: topic, Ref: ref,
		Flags: envelope.FlagClient, Payload: payload, Conn: connOf(player), Node: far, Session: "session-of-" + player}
}

func connOf(player string) uint64 { return uint64(player[0]) }

// as makes a call and gives everything sent on it, and its answer.
func (r *rig) as(player, event string, payload game.Payload) ([]sent, sent) {
	r.t.Helper()
	r.ref++
	r.post(call(player, r.ref, event, payload))
	all := r.drain()
	for _, s := range all {
		if s.Kind == envelope.Reply && s.Key == envelope.PlayerPrefix+player && s.Ref == r.ref {
			return all, s
		}
	}
	r.t.Fatalf("no answer to %s: %+v", event, all)
	return nil, sent{}
}

// ok is as that must succeed.
func (r *rig) ok(player, event string, payload game.Payload) ([]sent, game.Fields) {
	r.t.Helper()
	all, a := r.as(player, event, payload)
	if a.Event != "ok" {
		r.t.Fatalf("%s %s: %s %s", player, event, a.Event, a.Payload)
	}
	return all, game.Payload(a.Payload).Fields()
}

func text(s string) game.Payload { return game.NewMap().Text("text", s).Payload() }

// home runs f with the room's entity on its worker.
func (r *rig) home(f func(w *shard.Worker, h *Home)) {
	r.t.Helper()
	if err := r.workers.Do(key, time.Second, func(w *shard.Worker, e shard.Entity) { f(w, e.(*Home)) }); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// successor is another node that goes on with the room.
func (r *rig) successor(s state.Sections) *rig {
	r.t.Helper()
	next := newRig(r.t)
	next.ref = r.ref
	if err := next.workers.Restore(key, s); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	return next
}

// copy is what the backup has.
func (r *rig) copy() state.Sections {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.kept)
}

// offsets are those of the numbered pushes in frames.
func offsets(t *testing.T, frames []byte) (out []uint64) {
	t.Helper()
	for len(frames) > 0 {
		n := 4 + int(binary.BigEndian.Uint32(frames))
		p, ok := protocol.ParsePush(frames[4:n])
		if !ok {
			t.Fatal("not a push")
		}
		out = append(out, p.Offset)
		frames = frames[n:]
	}
	return out
}

func kinds(list []sent) string {
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("%v→%s%s", s.Kind, s.node.Name, s.Key))
	}
	return fmt.Sprint(out)
}

// club does what it is told.
type club struct{ n int64 }

func (r *club) Call(c *game.Context, m *game.Message) {
	f := m.Payload.Fields()
	me := m.From.Player
	switch m.Event {
	case "join":
		fresh := c.Join()
		if fresh {
			c.Announce("joined", game.NewMap().Text("player", me), me)
		}
		c.Reply(r.state(c).Bool("fresh", fresh))
	case "leave":
		c.Leave(me)
		c.Reply(r.state(c))
	case "kick":
		c.Leave(f.Text("text"))
	case "turn": // in and out within one message
		c.Join()
		c.Leave(me)
	case "again": // out and in
		c.Leave(me)
		c.Join()
	case "say":
		r.n++
		c.Changed()
		c.Reply(game.NewMap().Int("offset", int64(c.Broadcast("said", game.NewMap().Text("text", f.Text("text"))))))
	case "who":
		c.Reply(r.state(c))
	case "boom":
		r.n++
		c.Changed()
		c.Broadcast("said", nil)
		for _, name := range []string{"bob", "ann", "cyn"} {
			c.Leave(name)
		}
		c.Join()
		panic("boom")
	case "news":
		c.Notify("news", nil)
	case "collect":
		c.Collect("r")
	case "ask":
		for range f.Int("times") {
			c.Call(game.Address{Player: "zoe", Topic: "bank:"}, "question", nil, "tag")
		}
	case "after":
		c.After("alarm", time.Duration(f.Int("ms"))*time.Millisecond)
	case "defer":
		to := c.Defer()
		c.Join()
		c.ReplyTo(to, r.state(c))
	}
}

func (r *club) state(c *game.Context) *game.Map {
	var names []string
	c.Roster.Each(func(p string) bool { names = append(names, p); return true })
	return game.NewMap().Int("n", r.n).Texts("members", names).Int("offset", int64(c.StreamOffset()))
}

func (r *club) Left(c *game.Context, player string) {
	c.Announce("left", game.NewMap().Text("player", player), player)
}

func (r *club) Answered(c *game.Context, _ string, status protocol.Code, _ game.Payload) {
	r.n++
	c.Changed()
	c.Broadcast("answered", game.NewMap().Text("status", string(status)))
}

func (r *club) Timer(c *game.Context, _ string) {
	if r.n < 2 {
		panic("not yet")
	}
	c.Broadcast("rang", nil)
}

func (r *club) Retell(c *game.Context, round string) {
	c.Notify("retold", game.NewMap().Text("round", round))
}

func (r *club) Collected(c *game.Context, round string, t game.Tally) {
	c.Broadcast("sum", game.NewMap().Ints("slots", t.Slots[:]).Texts("names", t.Names))
}

func (r *club) Snapshot(dst []byte) []byte { return protocol.AppendInt(dst, r.n) }

func (r *club) Restore(b []byte) error {
	s := game.ReadState(b)
	r.n = s.Int()
	return s.Err()
}
