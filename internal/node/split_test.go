package node

import (
	"fmt"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/cluster/ownership"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// cut drops all links between two sides, or lets them come back.
func cut(on bool, one, other []*running) {
	for _, a := range one {
		for _, b := range other {
			a.Cluster().Cut(b.name, on)
			b.Cluster().Cut(a.name, on)
		}
	}
}

// filled waits until all nodes know that all backups have everything.
func filled(t *testing.T, nodes []*running) {
	t.Helper()
	eventually(t, 20*time.Second, "backups that have everything", func() bool {
		for _, n := range nodes {
			if !n.cluster.Filled(n.router.Table()) {
				return false
			}
		}
		return agreed(nodes, len(nodes))
	})
}

// apart waits until each side has a table of its own.
func apart(t *testing.T, sides ...[]*running) {
	t.Helper()
	for _, side := range sides {
		eventually(t, 30*time.Second, "a table of one side alone", func() bool { return agreed(side, len(side)) })
	}
}

// whole waits until all nodes have one table, nobody is degraded, and nothing moves or is merged any more.
func whole(t *testing.T, nodes []*running) {
	t.Helper()
	defer func() {
		if t.Failed() {
			for _, n := range nodes {
				t.Log(n.dump())
			}
		}
	}()
	eventually(t, 30*time.Second, "one table of all, not degraded", func() bool {
		if !agreed(nodes, len(nodes)) || nodes[0].router.Table().Degraded() {
			return false
		}
		for _, n := range nodes {
			if n.own.busy.Load() || n.degraded.Load() {
				return false
			}
		}
		return true
	})
}

// deposits is a player who deposits at one node, as often as he is asked to.
type deposits struct {
	r    *raw
	t    *testing.T
	ref  uint64
	done int64
}

func depositor(t *testing.T, name string, n *running) *deposits {
	t.Helper()
	return &deposits{r: rawDial(t, n, protocol.Hello{Name: name}), t: t}
}

// more deposits 1 until n of them are acknowledged; what is to be asked again is.
func (d *deposits) more(n int) {
	d.t.Helper()
	for until := time.Now().Add(30 * time.Second); n > 0; {
		d.ref++
		r, _ := d.r.call(d.ref, "bank:", "deposit", game.NewMap().Int("amount", 1).Payload())
		switch {
		case r.Status == protocol.CodeOK:
			d.done++
			n--
		case time.Now().After(until) || r.Status.Class() != protocol.ClassRetry:
			d.t.Fatalf("deposit %d: %s %s", d.ref, r.Status, r.Payload)
		default:
			d.ref-- // the same one again
			<-time.After(20 * time.Millisecond)
		}
	}
}

func balance(t *testing.T, name string, n *running) int64 {
	t.Helper()
	r, _ := rawDial(t, n, protocol.Hello{Name: name}).call(1, "bank:", "balance", nil)
	if r.Status != protocol.CodeOK {
		t.Fatalf("balance: %s %s", r.Status, r.Payload)
	}
	f := game.Payload(r.Payload).Fields()
	return f.Int("balance")
}

// TestBothSidesOfASplitKeepWhatTheyAcknowledged splits one node off, lets the same players deposit on both sides, and heals.
func TestBothSidesOfASplitKeepWhatTheyAcknowledged(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	one, rest := nodes[:1], nodes[1:]
	var players []string
	sum := map[string]int64{}
	for _, ends := range [][2]*running{{nodes[0], nodes[1]}, {nodes[2], nodes[0]}} { // owner, backup: on different sides
		for i := range 3 {
			name := named(t, func(s string) string { return playerKey(fmt.Sprint(s, "x", i)) }, ends[0], ends[1]) + fmt.Sprint("x", i)
			players = append(players, name)
			d := depositor(t, name, nodes[0])
			d.more(2)
			sum[name] += d.done
			_ = d.r.c.Close()
		}
	}
	filled(t, nodes)
	cut(true, one, rest)
	apart(t, one, rest)
	for _, name := range players {
		for i, at := range []*running{nodes[0], nodes[1]} {
			d := depositor(t, name, at)
			d.more(3 + i)
			sum[name] += d.done
			_ = d.r.c.Close()
		}
	}
	if !nodes[0].degraded.Load() || !nodes[2].degraded.Load() {
		t.Fatal("not degraded")
	}
	if forks(t, nodes, players) == 0 {
		t.Fatal("nobody knows that there may be another life")
	}
	cut(false, one, rest)
	whole(t, nodes)
	for _, name := range players {
		for _, n := range nodes {
			if got := balance(t, name, n); got != sum[name] {
				t.Errorf("%s has %d at %s, deposited were %d", name, got, n.name, sum[name])
			}
		}
	}
	for _, n := range nodes {
		n.own.mu.Lock()
		n.own.since = n.own.since.Add(-2 * ownership.HealFor) // it was long ago
		n.own.mu.Unlock()
	}
	eventually(t, 10*time.Second, "the forks to be forgotten", func() bool { return forks(t, nodes, players) == 0 })
}

// forks counts the players who know of another life of theirs.
func forks(t *testing.T, nodes []*running, players []string) (count int) {
	t.Helper()
	for _, n := range nodes {
		for _, name := range players {
			err := n.workers.Do(playerKey(name), 5*time.Second, func(_ *shard.Worker, e shard.Entity) {
				var c state.Change
				if e != nil && e.Whole(&c) && c.Sections()[state.ForkSection] != nil {
					count++
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return count
}

// TestOnlyOneSideHasAPartition: what one side cannot have any copy of is unavailable there, and untouched after the heal.
func TestOnlyOneSideHasAPartition(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	one, rest := nodes[:1], nodes[1:]
	name := named(t, playerKey, nodes[1], nodes[2])
	d := depositor(t, name, nodes[0])
	d.more(5)
	filled(t, nodes)
	cut(true, one, rest)
	apart(t, one, rest)
	if r, _ := d.r.call(99, "bank:", "balance", nil); r.Status != protocol.CodeUnavailable {
		t.Fatalf("from nothing: %s %s", r.Status, r.Payload)
	}
	e := depositor(t, name, nodes[1])
	e.more(4)
	cut(false, one, rest)
	whole(t, nodes)
	if got := balance(t, name, nodes[0]); got != 9 {
		t.Fatalf("balance %d", got)
	}
}

// TestANodeDiesWhileASplitHeals kills, as soon as there is one table again, the node that had taken the players over on one side: its
// backup there brings what it had acknowledged.
func TestANodeDiesWhileASplitHeals(t *testing.T) {
	nodes := startCluster(t, 3, nil)
	one, rest := nodes[:1], nodes[1:]
	var players []string
	sum := map[string]int64{}
	for i := range 5 {
		name := named(t, func(s string) string { return playerKey(fmt.Sprint(s, "y", i)) }, nodes[0], nodes[1]) + fmt.Sprint("y", i)
		players = append(players, name)
		d := depositor(t, name, nodes[2])
		d.more(1)
		sum[name] += d.done
		_ = d.r.c.Close()
	}
	filled(t, nodes)
	cut(true, one, rest)
	apart(t, one, rest)
	defer func() {
		if t.Failed() {
			t.Log(dumpKey(playerKey(players[0]), nodes))
		}
	}()
	eventually(t, 20*time.Second, "backups on the larger side", func() bool {
		table := nodes[2].router.Table()
		for _, name := range players {
			p := shard.PartitionOf(playerKey(name))
			if _, ok := table.BackupOf(p); !ok {
				return false
			}
		}
		return true
	})
	for _, name := range players {
		for i, at := range []*running{nodes[0], nodes[2]} {
			d := depositor(t, name, at)
			d.more(2 + i)
			sum[name] += d.done
			_ = d.r.c.Close()
		}
	}
	term := max(nodes[0].router.Table().Term, nodes[2].router.Table().Term)
	cut(false, one, rest)
	eventually(t, 20*time.Second, "a table that heals", func() bool { return nodes[0].router.Table().Term > term && len(nodes[0].router.Table().Nodes) == 3 })
	nodes[1].Kill()
	left := []*running{nodes[0], nodes[2]}
	leftWith(t, left)
	for _, name := range players {
		d := depositor(t, name, nodes[2])
		d.more(1)
		sum[name]++
		if got := balance(t, name, nodes[0]); got != sum[name] {
			t.Errorf("%s has %d, deposited were %d\n%s", name, got, sum[name], dumpKey(playerKey(name), left))
		}
	}
}
