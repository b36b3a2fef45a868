// Package merge puts two copies of an entity together that went on apart, on the two sides of a network that was split: what is
// common to players and rooms. It is pure: it looks at no clock and keeps nothing.
//
// The rule: a section that only one side changed since the fork is that side's. What both changed is decided by who spoke last, the
// winner; games with an opinion of their own (game.Merger) merge the state of their parts. What the loser had is told in the
// report, so that nothing disappears without a trace.
package merge

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/state"
	"gamed/protocol"
)

// Merged reports what a merge did.
type Merged struct {
	Conflict bool           // both sides had changed something: the loser's copy belongs in the conflict log
	Winner   string         // Mine or Theirs
	Loser    state.Sections // the loser's whole copy, without its forks; nil without a conflict
	Kept     state.Sections // the winner's, as it was before the merge; nil without a conflict
	Notes    []string       // what people should know: what a game could not merge, or had to give up
	Close    []Socket       // sockets whose client has to come again
	Replaced int            // sessions that ended because the other side's stays
}

// The winners.
const (
	Mine   = "mine"
	Theirs = "theirs"
)

// Socket is a client's connection that does not fit the merged state.
type Socket struct {
	Node   envelope.NodeID
	Conn   uint64
	Code   protocol.Code
	Reason string
	Retry  time.Duration // below 0: it must not come back
}

// Envelope is what is to be sent to the socket's node.
func (s Socket) Envelope() envelope.Envelope {
	retry := s.Retry.Milliseconds()
	if s.Retry < 0 {
		retry = -1
	}
	return envelope.Envelope{Kind: envelope.Out, Conn: s.Conn, Flags: envelope.FlagClose,
		Payload: protocol.AppendGoaway(nil, protocol.Goaway{Code: s.Code, Reason: s.Reason, RetryMS: retry})}
}

// Func merges two copies of an entity of one kind, player or room, which has this key. base is what both had at the fork, nil when they have nothing in common. None of the
// three is changed, and the result has no forks.
type Func func(games map[string]*game.Game, key string, base, mine, theirs state.Sections) (state.Sections, Merged)

// Copies merges two whole copies of an entity, with what each knows of its forks. mine is the one of the node that owns it from now
// on, and empty when it has none; of theirs nothing may be left afterwards. A copy that is part of mine already changes nothing.
func Copies(f Func, games map[string]*game.Game, key string, mine, theirs state.Sections) (state.Sections, Merged) {
	if len(mine) == 0 { // it was never there, or left memory with nothing to keep
		return theirs, Merged{Winner: Theirs}
	}
	a, err1 := mine.Forks()
	b, err2 := theirs.Forks()
	base, forks, again := state.Meet(a, b)
	if again {
		return mine, Merged{Winner: Mine}
	}
	merged, report := f(games, key, base, mine, theirs)
	merged.SetForks(forks)
	if err1 != nil || err2 != nil {
		report.Notes = append(report.Notes, "the record of the fork is damaged: what both sides had before it may be counted twice")
	}
	return merged, report
}

// Sides are the three copies of a merge, and the result as it grows.
type Sides struct {
	Base, Mine, Theirs state.Sections
	Out                state.Sections
	Report             *Merged
	Won, Lost          state.Sections // once the winner is known
}

// Same says whether a section is the same in both, or missing in both.
func Same(a, b state.Sections, name string) bool {
	x, in := a[name]
	y, also := b[name]
	return in == also && bytes.Equal(x, y)
}

// Begin makes the sides of a merge and decides who wins: a side without a change of its own yields; else who spoke last; else a
// choice that is the same on every node. differ says whether two copies differ in what counts.
func Begin(base, mine, theirs state.Sections, differ func(a, b state.Sections) bool) *Sides {
	s := &Sides{Base: base, Mine: mine, Theirs: theirs, Report: &Merged{Winner: Mine}, Won: mine, Lost: theirs}
	changed, theyChanged := differ(base, mine), differ(base, theirs)
	if base == nil && !differ(mine, theirs) {
		changed, theyChanged = false, false // two copies of one life: nothing is to be added up
		s.Base = mine
	}
	if theyChanged && (!changed || Later(theirs, mine)) {
		s.Report.Winner, s.Won, s.Lost = Theirs, theirs, mine
	}
	if changed && theyChanged {
		s.Report.Conflict = true
		s.Report.Loser, s.Report.Kept = without(s.Lost), without(s.Won)
	}
	s.Out = maps.Clone(s.Won)
	delete(s.Out, state.ForkSection)
	if Spoke(s.Lost) > Spoke(s.Won) {
		s.Put(state.SpokeSection, s.Lost)
	}
	return s
}

// Differ says whether a section whose name counts is not the same in both.
func Differ(a, b state.Sections, counts func(name string) bool) bool {
	for name := range a {
		if counts(name) && !Same(a, b, name) {
			return true
		}
	}
	for name := range b {
		if _, in := a[name]; !in && counts(name) {
			return true
		}
	}
	return false
}

func without(copy state.Sections) state.Sections {
	c := maps.Clone(copy)
	delete(c, state.ForkSection)
	return c
}

// Spoke is when a copy's client changed something last, in ms; 0: not while degraded.
func Spoke(copy state.Sections) int64 {
	c := protocol.NewCursor(copy[state.SpokeSection])
	n, _ := c.Int()
	return n
}

// Later says whether the client of a spoke after that of b; when nobody knows, the answer is at least the same on every node.
func Later(a, b state.Sections) bool {
	if x, y := Spoke(a), Spoke(b); x != y {
		return x > y
	}
	return order(a) > order(b)
}

// order is a number of a copy that says nothing, but is the same wherever it is computed.
func order(copy state.Sections) (n uint64) {
	for _, name := range slices.Sorted(maps.Keys(copy)) {
		if name == state.ForkSection {
			continue
		}
		for _, c := range [][]byte{[]byte(name), copy[name]} {
			for _, x := range c {
				n = (n ^ uint64(x)) * 0x100000001b3 // FNV-1a
			}
			n = (n ^ 0xff) * 0x100000001b3
		}
	}
	return n
}

// Put takes a section from a copy; it goes when the copy does not have it.
func (s *Sides) Put(name string, from state.Sections) {
	if b, ok := from[name]; ok {
		s.Out[name] = b
	} else {
		delete(s.Out, name)
	}
}

// Sort takes a group of sections, those whose names belong to it, from the side that changed it; from the winner when both did. It
// says which sides did.
func (s *Sides) Sort(belongs func(name string) bool) (won, lost bool) {
	won, lost = Differ(s.Base, s.Won, belongs), Differ(s.Base, s.Lost, belongs)
	if lost && !won {
		s.Take(belongs, s.Lost)
	}
	return won, lost
}

// Take takes a group of sections from one copy.
func (s *Sides) Take(belongs func(name string) bool, from state.Sections) {
	maps.DeleteFunc(s.Out, func(name string, _ []byte) bool { return belongs(name) })
	for name, b := range from {
		if belongs(name) {
			s.Out[name] = b
		}
	}
}

// Ask has the game merge a part that both sides changed, and says whether it did; else the winner's stays.
func (s *Sides) Ask(name, topic string, part game.Stater) bool {
	m, ok := part.(game.Merger)
	if !ok {
		return false
	}
	b, err := m.Merge(s.Base[name], s.Won[name], s.Lost[name])
	if err != nil {
		s.Report.Notes = append(s.Report.Notes, topic+": "+err.Error())
	}
	if b == nil {
		return false
	}
	s.Out[name] = b
	return true
}

// Turn makes the loser the winner, as if it had been from the beginning.
func (s *Sides) Turn() {
	s.Won, s.Lost = s.Lost, s.Won
	r := s.Report
	r.Loser, r.Kept = r.Kept, r.Loser
	if r.Winner == Mine {
		r.Winner = Theirs
	} else {
		r.Winner = Mine
	}
	spoke := s.Out[state.SpokeSection] // of the later one
	s.Out = without(s.Won)
	if spoke != nil {
		s.Out[state.SpokeSection] = spoke
	}
}

// Join puts the lists of both sides one behind the other.
func (s *Sides) Join(name string) {
	if b := slices.Concat(s.Won[name], s.Lost[name]); len(b) > 0 {
		s.Out[name] = b
	}
}

// Number reads a section that begins with a number; 0 when there is none.
func Number(copy state.Sections, name string) uint64 {
	c := protocol.NewCursor(copy[name])
	n, _ := c.Uint()
	return n
}
