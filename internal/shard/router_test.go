package shard

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
)

// net joins the routers of a test: what is sent waits in a queue per pair until deliver.
type net struct {
	mu    sync.Mutex // guards what follows
	nodes map[NodeID]*node
	wire  []packet
	sends int
}

type packet struct {
	from, to NodeID
	b        []byte
}

// node is a router with what came to it.
type node struct {
	net     *net
	id      NodeID
	router  *Router
	posted  []envelope.Envelope
	noded   []envelope.Envelope
	refused []error
	full    error // what Post answers
	down    error // what Send answers
}

func newNet(names ...string) (*net, []*node) {
	n := &net{nodes: map[NodeID]*node{}}
	var list []*node
	for i, name := range names {
		d := &node{net: n, id: id(name, uint64(i+1))}
		d.router = NewRouter(d.id, d, d)
		n.nodes[d.id] = d
		list = append(list, d)
	}
	return n, list
}

func clone(e *envelope.Envelope) envelope.Envelope {
	c := *e
	c.Key, c.Payload = string([]byte(e.Key)), bytes.Clone(e.Payload)
	return c
}

func (d *node) Post(e *envelope.Envelope) error {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	if d.full == nil {
		d.posted = append(d.posted, clone(e))
	}
	return d.full
}

func (d *node) Node(_ NodeID, e *envelope.Envelope) {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	d.noded = append(d.noded, clone(e))
}

func (d *node) Refused(_ NodeID, _ *envelope.Envelope, why error) {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	d.refused = append(d.refused, why)
}

func (d *node) Send(to NodeID, e *envelope.Envelope) error {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	if d.down == nil {
		d.net.sends++
		d.net.wire = append(d.net.wire, packet{d.id, to, e.Append(nil)})
	}
	return d.down
}

func (d *node) posts() []envelope.Envelope {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	return slices.Clone(d.posted)
}

func (d *node) forNode() []envelope.Envelope {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	return slices.Clone(d.noded)
}

func (d *node) refusals() []error {
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	return slices.Clone(d.refused)
}

func (n *net) sent() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sends
}

// deliver hands over what is on the way until nothing is, and gives how many there were.
func (n *net) deliver() (count int) {
	for ; ; count++ {
		n.mu.Lock()
		if len(n.wire) == 0 {
			n.mu.Unlock()
			return count
		}
		p := n.wire[0]
		n.wire = n.wire[1:]
		n.mu.Unlock()
		var e envelope.Envelope
		if err := e.Decode(p.b); err != nil {
			panic(err)
		}
		n.nodes[p.to].router.Receive(p.from, &e)
	}
}

// run lets fake time pass, delivering all the while.
func (n *net) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		n.deliver()
		time.Sleep(time.Millisecond)
		synctest.Wait()
	}
	n.deliver()
}

func cast(key string, n int) *envelope.Envelope {
	return &envelope.Envelope{Kind: envelope.Cast, Key: key, Ref: uint64(n)}
}

func refs(list []envelope.Envelope) (out []uint64) {
	for _, e := range list {
		out = append(out, e.Ref)
	}
	return out
}

func TestMineIsDeliveredElseOneHop(t *testing.T) {
	n, d := newNet("a", "b")
	tab := tableOf(7, d[0].id, d[1].id)
	d[0].router.Install(tab)
	d[1].router.Install(tab)
	mine, theirs := keyIn(0, "x"), keyIn(1, "x")
	if !d[0].router.Mine(mine) || d[0].router.Mine(theirs) || !d[0].router.Owns(0) || d[0].router.Owns(Partitions) {
		t.Fatal("who owns what")
	}
	if err := errors.Join(d[0].router.Route(cast(mine, 1)), d[0].router.Route(cast(theirs, 2))); err != nil {
		t.Fatal(err)
	}
	n.deliver()
	if n.sent() != 1 || len(d[0].posts()) != 1 || len(d[1].posts()) != 1 {
		t.Fatalf("%d sends, %d and %d posted", n.sent(), len(d[0].posts()), len(d[1].posts()))
	}
	e := d[1].posts()[0]
	if e.Ref != 2 || e.Key != theirs || e.Part != 1 || e.Term != 7 || e.Node != d[0].id || e.Hops != 0 {
		t.Fatalf("arrived: %+v", e)
	}
}

func TestRouteSaysWhatIsInTheWay(t *testing.T) {
	_, d := newNet("a", "b")
	if err := d[0].router.Route(cast("player/ann", 1)); !errors.Is(err, ErrNoOwner) {
		t.Fatalf("without a table: %v", err)
	}
	d[0].router.Install(tableOf(1, d[0].id, d[1].id))
	d[0].full, d[0].down = actor.ErrFull, ErrBusy
	if err := d[0].router.Route(cast(keyIn(0, "x"), 1)); !errors.Is(err, actor.ErrFull) {
		t.Fatalf("a full mailbox: %v", err)
	}
	if err := d[0].router.Route(cast(keyIn(1, "x"), 1)); !errors.Is(err, ErrBusy) {
		t.Fatalf("a full queue: %v", err)
	}
	if err := d[0].router.ToNode(d[1].id, cast("", 1)); !errors.Is(err, ErrBusy) {
		t.Fatalf("to a node: %v", err)
	}
	if err := d[0].router.ToNode(d[0].id, cast("", 1)); err != nil || len(d[0].forNode()) != 1 {
		t.Fatalf("to itself: %v, %d", err, len(d[0].forNode()))
	}
}

func TestAReceiverThatIsFullRefuses(t *testing.T) {
	n, d := newNet("a", "b")
	tab := tableOf(1, d[0].id, d[1].id)
	d[0].router.Install(tab)
	d[1].router.Install(tab)
	d[1].full = actor.ErrFull
	_ = d[0].router.Route(cast(keyIn(1, "x"), 1))
	n.deliver()
	if len(d[1].refusals()) != 1 || !errors.Is(d[1].refusals()[0], actor.ErrFull) {
		t.Fatalf("refused: %v", d[1].refusals())
	}
}

// The origin has an old table. What meets the wrong node comes back and goes to the right one when the newer table is there.
// Two nodes that each take the other for the owner: the message goes there and back three times, then it is refused.
// One that has come back twice waits longer; those that came back after it wait with it.
func TestHostileEnvelopesDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, d := newNet("a", "b")
		d[0].router.Install(tableOf(1, d[0].id))
		wrong := cast(keyIn(5, "x"), 1)
		for _, part := range []uint16{0, 6, Partitions, None} {
			e := *wrong
			e.Part = part
			d[0].router.Receive(d[1].id, &e)
		}
		if len(d[0].posts()) != 4 {
			t.Fatalf("%d posted", len(d[0].posts()))
		}
		for _, e := range d[0].posts() {
			if e.Part != 5 {
				t.Fatalf("the wire chose partition %d", e.Part)
			}
		}
		out := envelope.Envelope{Kind: envelope.Out, Conn: 1}
		for name, payload := range map[string][]byte{"nothing": nil, "garbage": {0xc1}, "a bomb": {0xdd, 0xff, 0xff, 0xff, 0xff},
			"what is for no entity": out.Append(nil), "itself": (&envelope.Envelope{Kind: envelope.Moved}).Append(nil)} {
			d[0].router.Receive(d[1].id, &envelope.Envelope{Kind: envelope.Moved, Payload: payload})
			time.Sleep(time.Second)
			synctest.Wait()
			if len(d[0].posts()) != 4 || len(d[0].forNode()) != 0 || n.sent() != 0 || len(d[0].refusals()) != 0 {
				t.Fatalf("moved with %s did something", name)
			}
		}
	})
}

// The backup's word is for the owner that sent the change. To its successor it is noise, and it must not cost a hop either.
func TestAckedIsNotSentBack(t *testing.T) {
	n, d := newNet("a", "b")
	d[0].router.Install(tableOf(1, d[1].id))
	d[0].router.Receive(d[1].id, &envelope.Envelope{Kind: envelope.Acked, Key: "player/ann", Ref: 5})
	d[0].router.Stray(&envelope.Envelope{Kind: envelope.Acked, Key: "player/ann", Ref: 5})
	if n.sent() != 0 || len(d[0].posts())+len(d[0].refusals()) != 0 {
		t.Fatal("an Acked for another owner's entity went on")
	}
}

func TestStraysGoOnAtMostThreeTimes(t *testing.T) {
	n, d := newNet("a", "b")
	d[0].router.Install(tableOf(1, d[1].id))
	e := cast("player/ann", 1)
	for range maxHops {
		d[0].router.Stray(e)
	}
	if n.sent() != maxHops || len(d[0].refusals()) != 0 {
		t.Fatalf("%d sends, %d refused", n.sent(), len(d[0].refusals()))
	}
	d[0].router.Stray(e)
	if n.sent() != maxHops || len(d[0].refusals()) != 1 || !errors.Is(d[0].refusals()[0], ErrNoOwner) {
		t.Fatalf("%d sends, refused %v", n.sent(), d[0].refusals())
	}
}

// Tables change under load on all nodes at their own times; nothing is lost without a word, and nothing comes twice.
func TestChangingTablesLoseNothingSilently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, d := newNet("a", "b", "c")
		tables := []*Table{tableOf(1, d[0].id), tableOf(2, d[0].id, d[1].id), tableOf(3, d[1].id, d[2].id, d[0].id), tableOf(4, d[2].id)}
		for _, x := range d {
			x.router.Install(tables[0])
		}
		sent := 0
		for step := range 300 {
			if step%75 == 0 && step/75 < len(tables) {
				for i, x := range d {
					time.AfterFunc(time.Duration(i*7)*time.Millisecond, func() { x.router.Install(tables[step/75]) })
				}
			}
			for i, x := range d {
				sent++
				if err := x.router.Route(cast(fmt.Sprintf("player/p%d", step%10), step*10+i)); err != nil {
					t.Fatal(err)
				}
			}
			n.run(time.Millisecond)
		}
		n.run(2 * time.Second)
		seen := map[uint64]int{}
		refused := 0
		for _, x := range d {
			for _, e := range x.posts() {
				seen[e.Ref]++
			}
			refused += len(x.refusals())
			x.router.Close()
		}
		for ref, times := range seen {
			if times != 1 {
				t.Fatalf("message %d was delivered %d times", ref, times)
			}
		}
		if len(seen)+refused != sent {
			t.Fatalf("%d delivered and %d refused of %d", len(seen), refused, sent)
		}
		if refused > sent/20 {
			t.Fatalf("%d of %d refused", refused, sent)
		}
	})
}
