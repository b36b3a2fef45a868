package gametest

import (
	"slices"

	"gamed/game"
)

// room is who is in a room and where its stream stands. It is the roster the room's handler sees.
type room struct {
	order   []string
	set     map[string]bool
	offset  uint64
	message *game.Message
	hearers []string // members as the effects are carried out one after the other
	undo    []func()
}

func newRoom() *room { return &room{set: map[string]bool{}} }

func (r *room) begin(m *game.Message) {
	r.message, r.undo = m, r.undo[:0]
	r.hearers = slices.Clone(r.order)
}

func (r *room) rollback() {
	for i := len(r.undo) - 1; i >= 0; i-- {
		r.undo[i]()
	}
	r.undo = r.undo[:0]
}

// Len implements game.Roster.
func (r *room) Len() int { return len(r.order) }

// Has implements game.Roster.
func (r *room) Has(player string) bool { return r.set[player] }

// Each implements game.Roster.
func (r *room) Each(f func(player string) bool) {
	for _, name := range r.order {
		if !f(name) {
			return
		}
	}
}

// Join implements game.Roster.
func (r *room) Join() bool {
	if r.message == nil || r.message.From.Player == "" || r.set[r.message.From.Player] {
		return false
	}
	name := r.message.From.Player
	r.order, r.set[name] = append(r.order, name), true
	r.undo = append(r.undo, func() {
		r.order = r.order[:len(r.order)-1]
		delete(r.set, name)
	})
	return true
}

// Remove implements game.Roster.
func (r *room) Remove(player string) bool {
	if !r.set[player] {
		return false
	}
	i := slices.Index(r.order, player)
	r.order = slices.Delete(r.order, i, i+1)
	delete(r.set, player)
	r.undo = append(r.undo, func() {
		r.order = slices.Insert(r.order, i, player)
		r.set[player] = true
	})
	return true
}

func (r *room) joined(player string) { r.hearers = append(r.hearers, player) }

func (r *room) departed(player string) {
	r.hearers = slices.DeleteFunc(r.hearers, func(s string) bool { return s == player })
}
