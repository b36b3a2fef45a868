package gametest

import (
	"slices"

	"gamed/game"
)

// tallies are the counters of all topics' rounds. A round once collected stays closed and keeps its sum.
type tallies struct {
	rounds map[string]*round
	undo   []func()
	who    string // the player whose part is running
}

type round struct {
	sum    game.Tally
	closed bool
	again  func(player string) bool // closed, but for these
}

func (t *tallies) begin(who string) { t.who, t.undo = who, t.undo[:0] }

func (t *tallies) rollback() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
	t.undo = t.undo[:0]
}

func (t *tallies) get(topic, name string) *round {
	key := topic + "\x00" + name
	r := t.rounds[key]
	if r == nil {
		r = &round{}
		t.rounds[key] = r
	}
	return r
}

// Add implements game.Tallies.
func (t *tallies) Add(topic, name string, slot int, n int64, player string) bool {
	r := t.get(topic, name)
	if r.closed && (r.again == nil || !r.again(t.who)) || slot < 0 || slot >= game.TallySlots {
		return false
	}
	named := player != "" && len(r.sum.Names) < game.TallyNames
	r.sum.Slots[slot] += n
	if named {
		r.sum.Names = append(r.sum.Names, player)
	}
	t.undo = append(t.undo, func() {
		r.sum.Slots[slot] -= n
		if named {
			r.sum.Names = r.sum.Names[:len(r.sum.Names)-1]
		}
	})
	return true
}

// reopen lets some add again to a round that was closed.
func (t *tallies) reopen(topic, name string, these func(player string) bool) {
	if r := t.get(topic, name); r.closed {
		r.again = these
	}
}

func (t *tallies) close(topic, name string) game.Tally {
	r := t.get(topic, name)
	r.closed, r.again = true, nil
	return game.Tally{Slots: r.sum.Slots, Names: slices.Clone(r.sum.Names)}
}
