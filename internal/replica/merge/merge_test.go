package merge

import (
	"testing"

	"gamed/internal/state"
)

// Two copies of one life are one copy, also when no record says where they parted: what is a sum must not be added up.
func TestCopiesOfOneLife(t *testing.T) {
	all := func(string) bool { return true }
	same := func() state.Sections { return state.Sections{"p/bank:": {7}} }
	s := Begin(nil, same(), same(), func(a, b state.Sections) bool { return Differ(a, b, all) })
	if won, lost := s.Sort(all); won || lost || s.Report.Conflict || s.Out["p/bank:"][0] != 7 {
		t.Errorf("the winner changed %v, the loser %v, conflict %v, merged %v", won, lost, s.Report.Conflict, s.Out)
	}
	other := state.Sections{"p/bank:": {8}}
	s = Begin(nil, same(), other, func(a, b state.Sections) bool { return Differ(a, b, all) })
	if won, lost := s.Sort(all); !won || !lost || !s.Report.Conflict {
		t.Errorf("two entities of one key: the winner changed %v, the loser %v, conflict %v", won, lost, s.Report.Conflict)
	}
}
