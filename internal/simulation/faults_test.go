package simulation

import (
	"slices"
	"time"
)

// hurt does one random thing to the cluster, of those that the run's kind has.
func (w *world) hurt() {
	slot := w.rnd.IntN(w.set.slots)
	n := w.slots[slot]
	if n == nil {
		w.start(slot)
		return
	}
	do := []func(n *node){w.drainOne, w.busyLanes}
	if w.set.kind >= crashing {
		do = append(do, w.killOne, w.killInMove, w.killInMove, w.restart, w.slanderOne)
	}
	if w.set.kind >= pausing {
		do = append(do, w.stop, w.stop)
	}
	if w.set.kind >= splitting {
		do = append(do, w.split, w.split, w.split, w.cutLink, w.cutOneWay, w.deafen)
	}
	do[w.rnd.IntN(len(do))](n)
}

// spare says whether a node may go for good: another one has to stay that can have all, and no other may be on its way out.
func (w *world) spare() bool {
	well := 0
	for _, n := range w.alive() {
		if !n.draining && !n.leaving && !n.paused && n.agree.Member() {
			well++
		}
		if n.draining {
			return false
		}
	}
	return well > 1
}

// settled says whether the death of one node loses nothing: all have the same table and links to each other, nobody is missing, every
// backup is filled. One who kills owner and backup together, or before the backup has anything, is owed nothing; nor one who kills
// somebody while another, who stood still, is being given up.
func (w *world) settled() bool {
	alive := w.alive()
	for _, n := range alive {
		t := n.router.Table()
		if n.paused || t.Term == 0 || t.Hash != alive[0].router.Table().Hash || t.Degraded() || len(t.Nodes) != len(alive) || !t.Has(n.id) ||
			n.own.Busy() || n.waits() {
			return false
		}
		for _, o := range alive {
			if o != n && n.linkOf(o) == nil {
				return false
			}
		}
	}
	return len(alive) > 1
}

// whenSettled waits until one more death is survivable, then does it, unless that takes too long.
func (w *world) whenSettled(do func()) {
	until := w.now + 15*time.Second
	var look func()
	look = func() {
		if w.healed {
			return
		}
		if w.settled() {
			do()
			return
		}
		if w.now < until {
			w.after(50*time.Millisecond, look)
		}
	}
	look()
}

func (w *world) drainOne(n *node) {
	if w.spare() && n.agree.Member() {
		n.drain()
	}
}

func (w *world) killOne(n *node) {
	w.whenSettled(func() {
		if !n.dead && w.spare() {
			n.kill(w.chance(0.2))
		}
	})
}

// killInMove begins a move, by a drain or a join, and kills somebody while it goes on: the old owner, the new one, the coordinator or
// somebody else. Nothing else is wrong, so nothing may be lost.
func (w *world) killInMove(n *node) {
	w.whenSettled(func() {
		if n.dead || !w.spare() {
			return
		}
		term := n.router.Table().Term
		empty := slices.Index(w.slots, nil)
		switch {
		case empty >= 0:
			w.start(empty)
		case len(w.alive()) > 2 && w.chance(0.7):
			n.drain()
		default:
			return
		}
		until := w.now + 4*time.Second
		var look func()
		look = func() {
			alive := w.alive()
			if !slices.ContainsFunc(alive, func(o *node) bool { return o.router.Table().Term > term }) {
				if w.now < until {
					w.after(time.Millisecond, look)
				}
				return
			}
			w.after(w.between(0, 15*time.Millisecond), func() {
				alive := w.alive()
				second := slices.ContainsFunc(alive, func(o *node) bool { return o.paused || len(o.router.Table().Missing) > 0 })
				if len(alive) > 2 && !w.healed && !second {
					alive[w.rnd.IntN(len(alive))].kill(w.chance(0.3))
				}
			})
		}
		look()
	})
}

// restart kills a node, and starts another life of it at once or a little later.
func (w *world) restart(n *node) {
	w.whenSettled(func() {
		if n.dead || !w.spare() {
			return
		}
		n.kill(false)
		w.after(w.between(0, 4*time.Second), func() {
			if w.slots[n.slot] == nil {
				w.start(n.slot)
			}
		})
	})
}

func (w *world) slanderOne(n *node) { w.gossip.slander(n) }

// stop pauses a process, for a moment or for long.
func (w *world) stop(n *node) {
	w.whenSettled(func() {
		if !n.dead && !n.draining {
			n.pause([]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 9 * time.Second}[w.rnd.IntN(4)] + w.between(0, time.Second))
		}
	})
}

// split cuts the nodes into two or three sides, for a while.
func (w *world) split(*node) {
	if w.set.side != nil {
		return
	}
	w.whenSettled(func() {
		if w.set.side != nil {
			return
		}
		sides := make([]int, w.set.slots)
		most := 2
		if w.set.slots > 3 && w.chance(0.3) {
			most = 3
		}
		for i := range sides {
			sides[i] = w.rnd.IntN(most)
		}
		w.divide(sides)
		length := w.between(500*time.Millisecond, 12*time.Second)
		if w.chance(0.4) { // about as long as it takes to be given up
			length = w.between(1500*time.Millisecond, 4*time.Second)
		}
		w.after(length, w.mend)
	})
}

// divide cuts the network between sides. Most clients stay on one.
func (w *world) divide(sides []int) {
	w.set.side = sides
	w.logf("split: %v", sides)
	for i := range sides {
		for j := range sides {
			if sides[i] != sides[j] {
				w.after(w.between(0, 20*time.Millisecond), func() { w.net.setCut(i, j, true) })
			}
		}
	}
	for _, c := range w.clients {
		if c.side = -1; w.chance(0.6) {
			c.side = sides[w.rnd.IntN(len(sides))]
		}
	}
}

// mend ends all cuts, not all in the same moment.
func (w *world) mend() {
	w.logf("the network is whole again")
	w.set.side = nil
	for i := range w.set.slots {
		for j := range w.set.slots {
			w.gossip.deaf[i][j] = false
			w.after(w.between(20*time.Millisecond, 300*time.Millisecond), func() {
				if w.set.side == nil {
					w.net.setCut(i, j, false)
				}
			})
		}
	}
	for _, c := range w.clients {
		c.side = -1
	}
}

// cutLink ends the talk of two nodes; others still reach both.
func (w *world) cutLink(n *node) {
	o := w.rnd.IntN(w.set.slots)
	w.logf("cut between gamed-%d and gamed-%d", n.slot+1, o+1)
	w.net.setCut(n.slot, o, true)
	w.net.setCut(o, n.slot, true)
	w.after(w.between(time.Second, 8*time.Second), func() {
		if w.set.side == nil {
			w.net.setCut(n.slot, o, false)
			w.net.setCut(o, n.slot, false)
		}
	})
}

// cutOneWay loses what one node sends to another, or to all.
func (w *world) cutOneWay(n *node) {
	all := w.chance(0.3)
	o := w.rnd.IntN(w.set.slots)
	w.logf("nothing gets from gamed-%d to gamed-%d (all: %v)", n.slot+1, o+1, all)
	for i := range w.set.slots {
		if i == o || all {
			w.net.setCut(n.slot, i, true)
			w.after(w.between(time.Second, 8*time.Second), func() {
				if w.set.side == nil {
					w.net.setCut(n.slot, i, false)
				}
			})
		}
	}
}

// deafen has gossip fail between two nodes whose links work.
func (w *world) deafen(n *node) {
	o := w.rnd.IntN(w.set.slots)
	w.gossip.deaf[n.slot][o], w.gossip.deaf[o][n.slot] = true, true
	w.after(w.between(2*time.Second, 12*time.Second), func() {
		w.gossip.deaf[n.slot][o], w.gossip.deaf[o][n.slot] = false, false
	})
}

// busyLanes makes the network bad for a while: queues are full now and then, delays are long, messages of the agreement are lost.
func (w *world) busyLanes(*node) {
	was := w.net
	w.net.full, w.net.tail = 0.02, 0.1
	if w.set.kind >= crashing {
		w.net.loss = 0.05
	}
	w.after(w.between(time.Second, 4*time.Second), func() {
		w.net.full, w.net.tail, w.net.loss = was.full, was.tail, was.loss
	})
}
