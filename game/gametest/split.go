package gametest

import (
	"bytes"

	"gamed/game"
)

// Fork makes a part of this world what it is in another, with its timers and, if it is a room, its members: as if the network had
// been split, and this world were the other side. Calls the part waits for are not answered here; it hears that they failed.
func (w *World) Fork(other *World, part game.Address) {
	w.t.Helper()
	other.settle()
	mine, theirs := w.find(part), other.find(part)
	if mine == nil || theirs == nil {
		w.t.Fatalf("gametest: no game has %v", part)
	}
	mine.committed, mine.kept = bytes.Clone(theirs.committed), theirs.kept
	if mine.room != nil {
		mine.room.order, mine.room.offset = nil, theirs.room.offset
		clear(mine.room.set)
		w.unite(mine.room, theirs.room)
	}
	w.takeTimers(other, part)
}

// Merge puts a part of this world together with the same part of another, as a server does when a split heals; base is the [World.State]
// from which both came. This world's side is the winner. What the game could not keep is the error. A room has the members of both
// sides; timers of both ring, but for a room that gave one side's state as it was: then those of that side.
func (w *World) Merge(other *World, part game.Address, base []byte) error {
	w.t.Helper()
	w.settle()
	other.settle()
	mine, theirs := w.find(part), other.find(part)
	if mine == nil || theirs == nil {
		w.t.Fatalf("gametest: no game has %v", part)
	}
	if mine.room != nil {
		w.unite(mine.room, theirs.room)
	}
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	a, b := w.State(part), other.State(part)
	switch {
	case same(base, b):
		return nil
	case same(base, a):
		mine.committed, mine.kept = b, true
		w.dropTimers(part)
		w.takeTimers(other, part)
		return nil
	}
	m, ok := w.fresh(blank(mine)).(game.Merger)
	if !ok {
		return nil
	}
	out, err := m.Merge(base, a, b)
	if out == nil {
		return err
	}
	mine.committed = out
	w.fresh(mine) // it must be able to restore it
	switch {
	case mine.room != nil && same(out, a):
	case mine.room != nil && same(out, b):
		w.dropTimers(part)
		mine.room.offset = theirs.room.offset
		fallthrough
	default:
		w.takeTimers(other, part)
	}
	return err
}

func (w *World) unite(r, other *room) {
	for _, name := range other.order {
		if !r.set[name] {
			r.order, r.set[name] = append(r.order, name), true
		}
	}
}

// takeTimers sets the timers another world has set for a part; of two the earlier counts.
func (w *World) takeTimers(other *World, part game.Address) {
	for id, seq := range other.timers {
		if id.part != part {
			continue
		}
		in := other.events[seq].at.Sub(w.now)
		if own, set := w.timers[id]; !set || w.events[own].at.Sub(w.now) > in {
			w.setTimer(id, in)
		}
	}
}

func (w *World) dropTimers(part game.Address) {
	for _, name := range w.Timers(part) {
		w.cancelTimer(timerID{part, name})
	}
}

// blank is a part that was just made.
func blank(p *part) *part { return &part{me: p.me, id: p.id, game: p.game, room: p.room} }
