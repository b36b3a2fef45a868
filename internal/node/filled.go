package node

import (
	"sync"
	"time"

	"gamed/internal/shard"
)

// filling finds out which backups have everything of the partitions that run here. Until one is known to, it takes over from this
// node only if this one is surely gone. It belongs to the goroutine that ticks.
type filling struct {
	table *shard.Table // what is said is by this one
	said  shard.PartSet
	next  time.Time // when to look again
	busy  bool      // the workers look
	looks chan looked
}

// looked is what came of looking at all entities.
type looked struct {
	table *shard.Table
	full  shard.PartSet
	took  time.Duration // of the workers' time
}

// How often workers look, while backups are not full: at most so often, and for a twentieth of their time.
const (
	fillingEvery = 200 * time.Millisecond
	fillingShare = 20
)

// lookForBackups says of this node's partitions that their backups are full, when they are.
func (n *Node) lookForBackups(now time.Time) {
	f, t := &n.filling, n.router.Table()
	if f.table != t {
		f.table, f.said = t, shard.PartSet{}
	}
	select {
	case l := <-f.looks:
		f.busy, f.next = false, now.Add(max(fillingEvery, fillingShare*l.took))
		if l.table == t && !l.full.Empty() {
			f.said.AddAll(&l.full)
			n.cluster.SetFilled(t.Hash, f.said)
		}
	default:
	}
	if f.busy || now.Before(f.next) {
		return
	}
	away, self := n.away(), n.router.Self()
	var want shard.PartSet
	for p := range uint16(shard.Partitions) {
		owner, _ := t.OwnerOf(p)
		if _, backed := t.BackupOf(p); backed && owner == self && !away[p] && !f.said.Has(p) {
			want.Add(p)
		}
	}
	if !want.Empty() {
		f.busy = true
		n.look(t, want)
	}
}

// look has the workers find out which of these partitions have no entity whose backup lacks something. Entities that are made
// later are backed up with their first change.
func (n *Node) look(t *shard.Table, want shard.PartSet) {
	var mu sync.Mutex // guards what follows
	var short shard.PartSet
	var took time.Duration
	n.workers.Each(func(w *shard.Worker) {
		began := time.Now()
		var mine shard.PartSet
		w.EachEntity(func(key string, e shard.Entity) bool {
			if p := shard.PartitionOf(key); want.Has(p) && !mine.Has(p) {
				if b, ok := e.(interface{ BackedUp() bool }); ok && !b.BackedUp() {
					mine.Add(p)
				}
			}
			return true
		})
		mu.Lock()
		defer mu.Unlock()
		short.AddAll(&mine)
		took += time.Since(began)
	}, func() {
		l := looked{table: t, took: took}
		for p := range uint16(shard.Partitions) {
			if want.Has(p) && !short.Has(p) {
				l.full.Add(p)
			}
		}
		n.filling.looks <- l // there is room: nobody else looks
	})
}
