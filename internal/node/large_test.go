package node

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gamed/internal/config"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/internal/state"
	"gamed/protocol"
)

// crowded is the state of a chat room with so many members, whose sockets are all gone.
func crowded(members int) state.Sections {
	s := state.Sections{"v": {1}, "g": protocol.AppendBool(nil, true), "o": protocol.AppendUint(nil, 0)}
	for i := range members {
		b := protocol.AppendStr(nil, fmt.Sprintf("%032x", i))
		b = protocol.AppendStr(b, "")
		for _, n := range []uint64{0, 0, 0, uint64(i + 1)} { // boot, conn, joined, place
			b = protocol.AppendUint(b, n)
		}
		s[fmt.Sprintf("m/member-%06d", i)] = b
	}
	return s
}

// membersOf is how many members the copy of a room has on a node; 0 when there is none.
func membersOf(n *running, room string) (count int) {
	key := chatKey(strings.TrimPrefix(room, "chat:"))
	_, whole, ok := n.copies.Peek(shard.PartitionOf(key), key)
	if !ok {
		return 0
	}
	for name := range whole.Sections() {
		if strings.HasPrefix(name, "m/") {
			count++
		}
	}
	return count
}

// A room of 100,000 members, 8 MB, is backed up in pieces; who joins meanwhile has an answer only when the backup has everybody; it
// survives the death of its owner, and moves. What it takes is a few copies of the room and not more.
func TestARoomOfAHundredThousand(t *testing.T) {
	const members = 100_000
	nodes := startCluster(t, 3, nil)
	id := named(t, chatKey, nodes[1], nil)
	room, part := "chat:"+id, shard.PartitionOf(chatKey(id))
	ann := dial(t, named(t, playerKey, nodes[0], nil), nodes[0])
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, peak, stop := m.HeapAlloc, atomic.Uint64{}, make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapAlloc))
			}
		}
	}()

	if err := nodes[1].workers.Restore(chatKey(id), crowded(members)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ann.call(room, "join", nil)
	backup, _ := nodes[1].router.Table().BackupOf(part)
	for _, n := range nodes {
		if n.router.Self() == backup && membersOf(n, room) != members+1 {
			t.Fatalf("%s was told that she is a member, and the backup has %d", ann.Player(), membersOf(n, room))
		}
	}
	t.Logf("backed up after %v", time.Since(began).Round(time.Millisecond))

	left := []*running{nodes[0], nodes[2]}
	nodes[1].Kill()
	began = time.Now()
	if f := ann.call(room, "who", nil); f.Int("count") != members+1 {
		t.Fatalf("%d members after the owner was killed", f.Int("count"))
	}
	t.Logf("served again after %v", time.Since(began).Round(time.Millisecond))
	leftWith(t, left)

	heir := left[0]
	if o, _ := heir.router.Table().OwnerOf(part); o != heir.router.Self() {
		heir = left[1]
	}
	began = time.Now()
	heir.cluster.SetDraining(true)
	eventually(t, 20*time.Second, "the room to be given away", func() bool {
		o, ok := heir.router.Table().OwnerOf(part)
		return ok && o != heir.router.Self()
	})
	if f := ann.call(room, "who", nil); f.Int("count") != members+1 {
		t.Fatalf("%d members after a move", f.Int("count"))
	}
	t.Logf("moved after %v", time.Since(began).Round(time.Millisecond))
	close(stop)
	<-watched
	if grown := (peak.Load() - before) >> 20; grown > 400 {
		t.Fatalf("%d MiB for a room of 8", grown)
	} else {
		t.Logf("%d MiB more at the most, on all nodes together", grown)
	}
	ann.wellTreated()
}

// Backups that are named anew are filled at a bounded rate: an owner that dies before that is followed by who has the whole state
// from others, as nobody starts from nothing or from half a copy.
func TestAnOwnerThatDiesBeforeItsBackupsAreFilled(t *testing.T) {
	slow := func(n *running) {
		n.policy.Pace = replica.NewPacer(replica.PacerOptions{Rate: 1, Backlog: n.cluster.Backlog})
	}
	nodes := startCluster(t, 3, nil)
	for _, n := range nodes {
		slow(n)
	}
	var players []*gambler
	var balance []int64
	for i := 0; len(players) < 40; i++ {
		name := fmt.Sprint("rich", i)
		if o, _ := nodes[1].router.Table().OwnerOf(shard.PartitionOf(playerKey(name))); o == nodes[1].router.Self() {
			p := dial(t, name, nodes[0])
			balance = append(balance, p.deposit(int64(100+i)))
			players = append(players, p)
		}
	}
	late := start(t, "n4", func(c *config.Config) { c.Join = []string{nodes[0].Addrs().Gossip} })
	slow(late)
	all := append(nodes, late)
	unfilled := func() (n int) {
		for _, p := range players {
			key := playerKey(p.Player())
			part := shard.PartitionOf(key)
			t := late.router.Table()
			if o, _ := t.OwnerOf(part); o != nodes[1].router.Self() {
				continue
			}
			for _, b := range all {
				if id, _ := t.BackupOf(part); id == b.router.Self() {
					if c, _, ok := b.copies.Peek(part, key); !ok || c.Term < t.PartTerm[part] {
						n++
					}
				}
			}
		}
		return n
	}
	eventually(t, 20*time.Second, "a table in which some have backups that are not filled yet", func() bool { return agreed(all, 4) && unfilled() > 0 })
	t.Logf("%d of %d have a backup that is not filled", unfilled(), len(players))
	nodes[1].Kill()
	for i, p := range players {
		if got := p.deposit(1); got != balance[i]+1 {
			t.Fatalf("%s has %d, want %d", p.Player(), got, balance[i]+1)
		}
	}
}
