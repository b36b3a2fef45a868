package gametest

import (
	"time"

	"gamed/game"
)

// Delivery is a call or cast of one part to another.
type Delivery struct {
	From, To game.Address
	Event    string
}

// Fate is what becomes of a delivery.
type Fate int

// The fates. A cluster never delivers twice by itself; Twice and Late stand for a caller that tries again.
const (
	Deliver    Fate = iota
	Lose            // it never arrives; the caller hears unavailable at its deadline
	LoseAnswer      // it arrives, its answer does not
	Twice           // it arrives twice
	Late            // it arrives, but only when the caller has given up
)

// Faults decides what becomes of each call and cast between parts from now on; nil: all arrive. Clients' calls, notices and
// tallies are not subject to it.
func (w *World) Faults(fate func(Delivery) Fate) { w.fate = fate }

// LoseNotices decides which notices of rooms to a player's part get lost from now on, as they may while a player joins or his node
// dies; nil: none.
func (w *World) LoseNotices(lose func(player, event string) bool) { w.loseNotice = lose }

// InVain decides which attempts to collect a round are in vain from now on, because a node dies meanwhile; nil: none. The round is
// collected again then, and the players who moved says yes to, those of the dead node, may add to it again before.
func (w *World) InVain(fails func(round string) (moved func(player string) bool, yes bool)) {
	w.inVain = fails
}

// StoreDown says whether durable changes can be stored: while they cannot, they fail with unavailable, and nothing is changed.
func (w *World) StoreDown(down bool) { w.storeDown = down }

// Crash is what the death of its node is for a part: it goes on from its committed state and never hears the answers of calls it
// waits for. Timers and memberships survive.
func (w *World) Crash(who game.Address) {
	w.settle()
	for ref, c := range w.calls {
		if c.owner == who {
			delete(w.calls, ref)
			delete(w.events, c.deadline)
		}
	}
}

// pass sends a message of one part to another, as fate wills.
func (w *World) pass(m message) {
	fate := Deliver
	if w.fate != nil {
		fate = w.fate(Delivery{From: m.from, To: m.to, Event: m.event})
	}
	deliver := func() { w.deliver(m) }
	switch fate {
	case Lose:
	case LoseAnswer:
		if c := w.calls[m.ref]; c != nil {
			c.loseIt = true
		}
		w.queue = append(w.queue, deliver)
	case Twice:
		w.queue = append(w.queue, deliver, deliver)
	case Late:
		w.after(game.CallTimeout+time.Millisecond, func() { w.queue = append(w.queue, deliver) })
	default:
		w.queue = append(w.queue, deliver)
	}
}
