package simulation

import (
	"strings"

	"gamed/game"
	"gamed/internal/replica/merge"
	"gamed/internal/state"
)

// mergeEntities is the merge.Func of the simulation's entities: accounts as their game says, answers of both sides, all else the
// winner's.
func (w *world) mergeEntities(_ map[string]*game.Game, _ string, base, mine, theirs state.Sections) (state.Sections, merge.Merged) {
	if w.tracing {
		w.logf("base %d of %d sections, mine %d, theirs %d", balanceOf(base), len(base), balanceOf(mine), balanceOf(theirs))
	}
	account := func(name string) bool { return name == acctSection }
	s := merge.Begin(base, mine, theirs, func(a, b state.Sections) bool {
		return merge.Differ(a, b, func(name string) bool { return account(name) || strings.HasPrefix(name, logSection) })
	})
	if won, lost := s.Sort(account); won && lost && !s.Ask(acctSection, "acct:", accountPart{w.check.amountOf}) {
		w.fail("two accounts could not be merged: %v", s.Report.Notes)
	}
	for name, b := range s.Lost {
		if strings.HasPrefix(name, answerSection) {
			s.Out[name] = b
		}
	}
	delete(s.Out, tailSection)
	s.Join(tailSection)
	return s.Out, *s.Report
}

// merge puts a rival copy into the entity that runs here.
func (k *worker) merge(key string, theirs state.Sections) {
	w := k.n.w
	x := k.entities[key]
	if x == nil {
		k.restore(key, theirs)
		return
	}
	var c state.Change
	mine := state.Sections{}
	if !x.give(&c) || mine.Apply(c.Append(nil)) != nil {
		delete(k.entities, key)
		x.gone = true
		k.restore(key, theirs)
		return
	}
	if w.set.broken(mergeTwice) { // as if it were not known what is merged already
		f, _ := mine.Forks()
		f.Merged = nil
		mine.SetForks(f)
	}
	merged, report := merge.Copies(w.mergeEntities, nil, key, mine, theirs)
	w.check.merged++
	if report.Conflict {
		w.check.conflicts++
	}
	delete(k.entities, key)
	x.gone = true
	k.restore(key, merged)
	if w.tracing {
		w.logf("%s merged %s: %d with %d, winner %s, conflict %v", k.n, key, x.acct.balance, balanceOf(theirs), report.Winner, report.Conflict)
	}
}

func balanceOf(s state.Sections) int64 {
	a, _ := parseAccount(s[acctSection])
	return a.balance
}
