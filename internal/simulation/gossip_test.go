package simulation

import (
	"time"

	"gamed/internal/cluster/agreement"
)

// gossip is a model of memberlist: it tells late, and not always the truth. It hides a dead link between two nodes that a third
// one can reach, it declares nodes dead that live, and what one node believes another need not.
type gossip struct {
	w     *world
	deaf  [][]bool // by slot: the first hears nothing of the second, though links work
	reach [][]bool // scratch
}

// Times of gossip, as measured.
const (
	gossipEvery = time.Second
	detectMin   = 2 * time.Second
	detectMax   = 9 * time.Second
)

// opinion is what a node's gossip believes of a process.
type opinion struct {
	seen  bool
	ever  bool
	told  bool          // that it drains
	away  time.Duration // since when it cannot be reached; -1: it can
	limit time.Duration // how long that may last before it is declared dead
}

func (g *gossip) init(w *world) {
	g.w = w
	for range w.set.slots {
		g.deaf = append(g.deaf, make([]bool, w.set.slots))
		g.reach = append(g.reach, make([]bool, w.set.slots))
	}
	w.after(gossipEvery, g.round)
}

// started has a new process heard of within a second, by those who can.
func (g *gossip) started(n *node) {
	for _, o := range g.w.alive() {
		if o == n {
			continue
		}
		for _, pair := range [][2]*node{{n, o}, {o, n}} {
			g.w.after(g.w.between(0, 800*time.Millisecond), func() { g.hear(pair[0], pair[1]) })
		}
	}
}

// hear tells a node of another process if packets get through.
func (g *gossip) hear(n, o *node) {
	if n.dead || o.dead || n.paused || n.leaving || o.leaving || g.deaf[n.slot][o.slot] || g.w.net.apart(n, o) {
		return
	}
	op := n.opinionOf(o)
	if op.seen && op.told == o.draining {
		return
	}
	op.seen, op.ever, op.told, op.away = true, true, o.draining, -1
	n.step(agreement.Seen{ID: o.id, Draining: o.draining})
	g.w.net.dial(n, o)
}

// round looks once a second who reaches whom, directly or by way of others.
func (g *gossip) round() {
	w := g.w
	w.after(gossipEvery, g.round)
	alive := w.alive()
	for _, a := range alive {
		for _, b := range alive {
			g.reach[a.slot][b.slot] = a == b || !a.paused && !b.paused && !g.deaf[a.slot][b.slot] && !w.net.apart(a, b)
		}
	}
	for _, k := range alive {
		for _, a := range alive {
			for _, b := range alive {
				if g.reach[a.slot][k.slot] && g.reach[k.slot][b.slot] {
					g.reach[a.slot][b.slot] = true
				}
			}
		}
	}
	for _, n := range alive {
		if n.paused {
			continue
		}
		for _, o := range w.lives {
			if o != n && o.slot != n.slot {
				g.judge(n, o)
			}
		}
	}
}

func (g *gossip) judge(n, o *node) {
	w := g.w
	if o.dead && (o.life >= len(n.opinions) || !n.opinions[o.life].seen) {
		return
	}
	op := n.opinionOf(o)
	reached := !o.dead && g.reach[n.slot][o.slot]
	switch {
	case reached && (!op.seen || op.told != o.draining):
		w.after(w.between(0, time.Second), func() { g.hear(n, o) })
	case reached:
		op.away = -1
	case !op.seen:
	case op.away < 0:
		op.away, op.limit = w.now, w.between(detectMin, detectMax)
	case w.now-op.away >= op.limit:
		op.seen, op.away = false, -1
		n.step(agreement.Lost{ID: o.id})
	}
}

// slander declares a live process dead, as seen by some; it is heard of again.
func (g *gossip) slander(o *node) {
	w := g.w
	w.logf("gossip says that %s is dead, and it is not", o)
	for _, n := range w.alive() {
		if n != o && !n.paused && w.chance(0.7) {
			op := n.opinionOf(o)
			op.seen, op.away = false, -1
			n.step(agreement.Lost{ID: o.id})
		}
	}
}

func (n *node) opinionOf(o *node) *opinion {
	for len(n.opinions) <= o.life {
		n.opinions = append(n.opinions, opinion{away: -1})
	}
	return &n.opinions[o.life]
}

// knows says whether a node ever heard of a process.
func (n *node) knows(o *node) bool { return o.life < len(n.opinions) && n.opinions[o.life].ever }
