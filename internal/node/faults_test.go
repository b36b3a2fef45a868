package node

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/config"
	"gamed/protocol"
)

// leftWith waits until the nodes left have a table without the one that is gone, and full again.
func leftWith(t *testing.T, left []*running) {
	t.Helper()
	eventually(t, 20*time.Second, "a table of those who are left", func() bool { return agreed(left, len(left)) })
}

func TestAKilledOwner(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	name := named(t, playerKey, nodes[1], nil)
	ann := dial(t, name, nodes[0])
	host := dial(t, named(t, playerKey, nodes[0], nil), nodes[2])
	room := "chat:" + named(t, chatKey, nodes[1], nil) // its home dies as well
	ann.call(room, "join", nil)
	host.call(room, "join", nil)
	session := ann.Session()
	if got := ann.deposit(7); got != 7 {
		t.Fatalf("balance %d", got)
	}
	var want []string
	for i := range 5 {
		host.say(room, fmt.Sprint("before ", i))
		want = append(want, fmt.Sprint("before ", i))
	}
	nodes[1].Kill()
	for i := range 5 { // while it fails over
		host.say(room, fmt.Sprint("after ", i))
		want = append(want, fmt.Sprint("after ", i))
	}
	if got := ann.deposit(3); got != 10 {
		t.Fatalf("balance %d", got)
	}
	ann.hears(want)
	host.hears(want)
	f := ann.call(room, "who", nil)
	if f.Int("count") != 2 {
		t.Fatalf("%d members", f.Int("count"))
	}
	if ann.Session() != session || ann.Stats().Connects != 1 {
		t.Fatalf("the socket did not stay open: %+v", ann.Stats())
	}
	leftWith(t, []*running{nodes[0], nodes[2]})
}

func TestAKilledGateway(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	ann := dial(t, named(t, playerKey, nodes[1], nil), nodes[0], nodes[1], nodes[2])
	bob := dial(t, named(t, playerKey, nodes[2], nil), nodes[2])
	room := "chat:" + named(t, chatKey, nodes[1], nil)
	ann.call(room, "join", nil)
	bob.call(room, "join", nil)
	session := ann.Session()
	bob.say(room, "1")
	ann.hears([]string{"1"})
	nodes[0].Kill()
	bob.say(room, "2")
	eventually(t, 15*time.Second, "ann to come back", func() bool { return ann.Stats().Connects > 1 })
	bob.say(room, "3")
	ann.hears([]string{"1", "2", "3"})
	if ann.Session() != session {
		t.Fatal("a new session")
	}
	if got := ann.deposit(1); got != 1 {
		t.Fatalf("balance %d", got)
	}
}

func TestASessionWhoseSocketDiedWithItsOwnerEnds(t *testing.T) {
	nodes := startCluster(t, 3, func(c *config.Config) { c.SessionTTL = 2 * time.Second })
	name := named(t, playerKey, nodes[1], nil)
	ann := rawDial(t, nodes[1], protocol.Hello{Name: name})
	bob := dial(t, named(t, playerKey, nodes[0], nil), nodes[0])
	ann.call(1, "chat:a", "join", nil)
	bob.call("chat:a", "join", nil)
	nodes[1].Kill()
	eventually(t, 20*time.Second, "the membership to end", func() bool {
		f := bob.call("chat:a", "who", nil)
		return f.Int("count") == 1
	})
}

// load deposits 1 again and again on some accounts until it is stopped, and then judges the balances.
type load struct {
	t       *testing.T
	players []*gambler
	acked   []atomic.Int64
	stop    chan struct{}
	wg      sync.WaitGroup
	errs    chan error
	nodes   *[]*running
}

// startLoad plays from the nodes given, each player with all of them to go to.
func startLoad(t *testing.T, players int, nodes ...*running) *load {
	t.Helper()
	l := &load{t: t, acked: make([]atomic.Int64, players), stop: make(chan struct{}), errs: make(chan error, players), nodes: &nodes}
	for i := range players {
		at := append(append([]*running{}, nodes[i%len(nodes):]...), nodes[:i%len(nodes)]...)
		l.players = append(l.players, dial(t, fmt.Sprintf("load%d", i), at...))
	}
	for i, p := range l.players {
		l.wg.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				f, err := p.try("bank:", "deposit", game.NewMap().Int("amount", 1))
				if err != nil {
					if len(l.errs) == 0 {
						l.t.Log(dumpKey(playerKey(p.Player()), *l.nodes))
					}
					l.errs <- fmt.Errorf("%s after %d deposits: %w", p.Player(), l.acked[i].Load(), err)
					return
				}
				if got, want := f.Int("balance"), l.acked[i].Add(1); got != want {
					l.errs <- fmt.Errorf("%s: balance %d after %d deposits", p.Player(), got, want)
					return
				}
			}
		})
	}
	return l
}

// more waits until each player has so many more deposits acknowledged.
func (l *load) more(n int64) {
	l.t.Helper()
	start := make([]int64, len(l.acked))
	for i := range start {
		start[i] = l.acked[i].Load()
	}
	eventually(l.t, 30*time.Second, "deposits of all", func() bool {
		if len(l.errs) > 0 {
			l.t.Fatal(<-l.errs)
		}
		for i := range start {
			if l.acked[i].Load() < start[i]+n {
				return false
			}
		}
		return true
	})
}

// judge stops the load: each balance is what was acknowledged.
func (l *load) judge() {
	l.t.Helper()
	close(l.stop)
	l.wg.Wait()
	for i, p := range l.players {
		f := p.call("bank:", "balance", nil)
		if got, want := f.Int("balance"), l.acked[i].Load(); got != want {
			l.t.Errorf("%s: balance %d, %d were acknowledged", p.Player(), got, want)
		}
		p.wellTreated()
	}
	select {
	case err := <-l.errs:
		l.t.Error(err)
	default:
	}
}

func TestANodeJoinsUnderLoad(t *testing.T) {
	nodes := startCluster(t, 2, nil)
	l := startLoad(t, 40, nodes...)
	l.more(20)
	late := start(t, "n3", func(c *config.Config) { c.Join = []string{nodes[0].Addrs().Gossip} })
	nodes = append(nodes, late)
	eventually(t, 20*time.Second, "the new node to own something", func() bool { return agreed(nodes, 3) && late.owns() > 200 })
	l.more(20)
	l.judge()
	if late.players.Metrics.Live() == 0 {
		t.Fatal("no player moved")
	}
}

// owns is how many partitions a node owns by its own table.
func (r *running) owns() (n int) {
	table := r.router.Table()
	for p := range table.Owner {
		if o, ok := table.OwnerOf(uint16(p)); ok && o == r.router.Self() {
			n++
		}
	}
	return n
}

func TestANodeLeavesUnderLoad(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	l := startLoad(t, 40, nodes[0], nodes[2])
	l.more(20)
	nodes[1].stop()
	select {
	case err := <-nodes[1].done:
		if err != nil {
			t.Fatalf("it ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	leftWith(t, []*running{nodes[0], nodes[2]})
	l.more(20)
	l.judge()
	for _, p := range l.players {
		if p.Stats().Connects != 1 {
			t.Fatalf("a socket on another node was closed: %+v", p.Stats())
		}
	}
}

func TestAGatewayLeavesUnderLoad(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	l := startLoad(t, 30, nodes...)
	l.more(20)
	nodes[1].stop()
	l.more(20)
	leftWith(t, []*running{nodes[0], nodes[2]})
	l.more(20)
	l.judge()
	if err := <-nodes[1].done; err != nil {
		t.Fatalf("it ended with %v", err)
	}
}

func TestAKilledNodeUnderLoad(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	l := startLoad(t, 40, nodes...)
	l.more(20)
	nodes[1].Kill()
	l.more(20)
	leftWith(t, []*running{nodes[0], nodes[2]})
	l.more(20)
	l.judge()
}

// TestComingsAndGoings kills nodes in the middle of moves, one fault at a time.
func TestComingsAndGoings(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	steady := nodes[0]
	l := startLoad(t, 30, steady)
	l.nodes = &nodes
	l.more(5)
	add := func(name string) *running {
		n := start(t, name, func(c *config.Config) { c.Join = []string{steady.Addrs().Gossip} })
		nodes = append(nodes, n)
		return n
	}
	drop := func(n *running) {
		nodes = slices.DeleteFunc(nodes, func(o *running) bool { return o == n })
	}
	defer func() {
		if t.Failed() {
			for _, p := range l.players {
				if p.Connected() {
					t.Log(dumpKey(playerKey(p.Player()), nodes))
				}
			}
		}
	}()
	settled := func() {
		t.Helper()
		leftWith(t, nodes)
		l.more(5)
	}
	owning := func(n *running, min int) func() bool { return func() bool { return n.owns() >= min } }

	four := add("n4")
	eventually(t, 20*time.Second, "n4 to be given something", owning(four, 1))
	four.Kill() // the new owner, in the middle of its moves
	drop(four)
	settled()

	five := add("n5")
	eventually(t, 20*time.Second, "n5 to be given something", owning(five, 1))
	two := nodes[1]
	two.Kill() // an old owner, in the middle of its moves
	drop(two)
	settled()

	six := add("n6")
	eventually(t, 20*time.Second, "n6 to be given something", owning(six, 1))
	three := nodes[1]
	three.stop() // leaves while others come
	drop(three)
	settled()
	if err := <-three.done; err != nil {
		t.Fatalf("n3 ended with %v", err)
	}
	seven := add("n7")
	eventually(t, 20*time.Second, "n7 to be given something", owning(seven, 1))
	five.stop()
	drop(five)
	settled()
	l.judge()
	if s := l.players[0].Stats(); s.Connects != 1 || s.Sessions != 1 {
		t.Fatalf("the steady node's sockets did not stay open: %+v", s)
	}
}
