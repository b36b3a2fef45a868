// Package tally is the exact counting of what many player parts add: counters per topic and round, closed when they are collected.
// It has no clock and no goroutine. A Set has the sums of one worker and is not safe for others; the Gate, which closes rounds, is
// the node's.
//
// The promise: Sum has every Add that said true, less what was undone or removed, and nothing else; after the Gate has closed a round
// no Add of the node's partitions says true. It holds for rounds used within the last ten minutes.
package tally

import (
	"slices"
	"time"

	"gamed/game"
)

// Set holds the counters of one worker's partitions.
type Set struct {
	gate   *Gate
	rounds map[id]*round
	undo   []change
	swept  time.Time // when old rounds were last looked for
}

type id struct{ topic, round string }

type round struct {
	sum  game.Tally
	used time.Time
}

type change struct {
	r     *round
	slot  int
	n     int64
	named bool
}

// keep is how long a round is remembered after its last use: longer than any collector asks again. Old rounds are looked for once
// in sweepEvery at most.
const (
	keep       = 10 * time.Minute
	sweepEvery = keep / 20
)

// NewSet makes an empty set of a worker of the gate's node.
func NewSet(gate *Gate) *Set { return &Set{gate: gate, rounds: map[id]*round{}} }

// Begin marks the point Undo goes back to.
func (s *Set) Begin() { s.undo = s.undo[:0] }

// Undo takes back what was added since Begin. Nothing may have been restored or removed meanwhile.
func (s *Set) Undo() {
	for _, c := range s.undo {
		c.r.sum.Slots[c.slot] -= c.n
		if c.named {
			c.r.sum.Names = c.r.sum.Names[:len(c.r.sum.Names)-1]
		}
	}
	s.undo = s.undo[:0]
}

// Add adds n to a slot of a round and marks the player, unless the name is empty, is marked already, or there are game.TallyNames.
// False: the round is closed for the player's partition, or the slot is out of range; nothing was added.
func (s *Set) Add(now time.Time, from Place, topic, name string, slot int, n int64, player string) bool {
	if slot < 0 || slot >= game.TallySlots || !s.gate.Takes(topic, name, from) {
		return false
	}
	r := s.round(now, topic, name)
	c := change{r: r, slot: slot, n: n}
	r.sum.Slots[slot] += n
	c.named = player != "" && r.mark(player)
	s.undo = append(s.undo, c)
	return true
}

func (r *round) mark(player string) bool {
	if len(r.sum.Names) >= game.TallyNames || slices.Contains(r.sum.Names, player) {
		return false
	}
	r.sum.Names = append(r.sum.Names, player)
	return true
}

// Restore adds what a player gave to a round on another node that owned him before, whether the round is closed or not.
func (s *Set) Restore(now time.Time, topic, name string, slots []int64, player string, named bool) {
	r := s.round(now, topic, name)
	for i, n := range slots[:min(len(slots), game.TallySlots)] {
		r.sum.Slots[i] += n
	}
	if named {
		r.mark(player)
	}
}

// Remove takes out what a player gave, because another node owns him now.
func (s *Set) Remove(now time.Time, topic, name string, slots []int64, player string) {
	r := s.round(now, topic, name)
	for i, n := range slots[:min(len(slots), game.TallySlots)] {
		r.sum.Slots[i] -= n
	}
	if i := slices.Index(r.sum.Names, player); i >= 0 {
		r.sum.Names = slices.Delete(r.sum.Names, i, i+1)
	}
}

// Sum gives a round's sum, a copy. When the round is closed it does not change, but by who moves here or away.
func (s *Set) Sum(now time.Time, topic, name string) game.Tally {
	r := s.rounds[id{topic, name}]
	if r == nil {
		return game.Tally{}
	}
	r.used = now
	sum := r.sum
	sum.Names = slices.Clone(sum.Names)
	return sum
}

func (s *Set) round(now time.Time, topic, name string) *round {
	k := id{topic, name}
	r := s.rounds[k]
	if r == nil {
		s.expire(now)
		r = &round{}
		s.rounds[k] = r
	}
	r.used = now
	return r
}

func (s *Set) expire(now time.Time) {
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	for k, r := range s.rounds {
		if now.Sub(r.used) > keep {
			delete(s.rounds, k)
		}
	}
}

// Merge adds b to a, with as many of b's names as there is room for.
func Merge(a *game.Tally, b game.Tally) {
	for i, n := range b.Slots {
		a.Slots[i] += n
	}
	room := max(0, game.TallyNames-len(a.Names))
	a.Names = append(a.Names, b.Names[:min(room, len(b.Names))]...)
}
