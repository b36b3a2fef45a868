package room

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/replica/merge"
	"gamed/internal/state"
	"gamed/protocol"
)

// comeAgain is how soon a client is to come again whose socket does not fit the merged state.
const comeAgain = 50 * time.Millisecond

// otherStream is where a member joined who has seen pushes that are not in the room's stream any more: whatever it has seen, it has
// missed something.
const otherStream = math.MaxUint64

// Merge puts two copies of a room together. It is a merge.Func.
//
// The game's state is that of the side that changed it; if both did, the game merges it, or it is the winner's, and so is the
// stream. A game that gives one side's state as it is makes that side the winner. Members are those of both sides. Where the sides do not agree on a member, its own entity is asked: it stays in the room
// without a session until then.
func Merge(games map[string]*game.Game, key string, base, mine, theirs state.Sections) (state.Sections, merge.Merged) {
	m := &merger{Sides: merge.Begin(base, mine, theirs, func(a, b state.Sections) bool {
		return merge.Differ(a, b, func(name string) bool { return name == gameSection || name == offsetSection })
	})}
	won, lost := m.mergeGame(games, envelope.TopicOf(key))
	strayed := m.mergeStream()
	m.mergeMembers(strayed)
	m.mergeRecent()
	m.mergeNotices(lost && !won)
	m.Timers(timersSection, func(string) (bool, bool) { return won, lost })
	m.Join(tailSection)
	m.Join(movedSection)
	return m.Out, *m.Report
}

type merger struct{ *merge.Sides }

// mergeGame merges the game's state, and says whose it is.
func (m *merger) mergeGame(games map[string]*game.Game, topic string) (won, lost bool) {
	belongs := func(name string) bool { return name == gameSection || name == roundsSection || name == callsSection }
	won, lost = m.Sort(func(name string) bool { return name == gameSection })
	switch {
	case !lost:
		return true, false
	case !won:
		m.Take(belongs, m.Lost)
		return false, true
	}
	name, id, ok := protocol.SplitTopic([]byte(topic))
	if g := games[string(name)]; ok && g != nil && g.Room != nil && m.Won[gameSection] != nil && m.Lost[gameSection] != nil {
		lost = m.Ask(gameSection, topic, g.Room(string(id)))
		if lost && !bytes.Equal(m.Out[gameSection], m.Won[gameSection]) {
			if !bytes.Equal(m.Out[gameSection], m.Lost[gameSection]) {
				return true, true
			}
			m.Turn()
		}
	}
	return true, false
}

// mergeStream takes the stream of the side that has pushed, the winner's when both have. strayed: the loser's members have seen pushes
// that are in it no more. (Who has only the beginning of it gets the rest from its relay.)
func (m *merger) mergeStream() (strayed bool) {
	ofStream := func(name string) bool { return name == offsetSection || strings.HasPrefix(name, pushSection) }
	won, lost := m.Sort(ofStream)
	return won && lost && merge.Differ(m.Won, m.Lost, ofStream)
}

// mergeMembers merges the members one by one.
func (m *merger) mergeMembers(strayed bool) {
	names, last := m.names()
	for _, name := range names {
		base, won, lost := memberOf(m.Base, name), memberOf(m.Won, name), memberOf(m.Lost, name)
		if won == nil && lost != nil { // behind those who were here
			last++
			lost.seq = last
		}
		keep := mergeMember(base, won, lost)
		if strayed {
			m.sendAway(keep, won, lost)
		}
		m.Out[memberSection+name] = keep.append(nil)
	}
}

// mergeMember decides on one member by what the three copies have of it; won or lost has it. One without a session is to be asked.
func mergeMember(base, won, lost *member) *member {
	same := func(a, b *member) bool { return a != nil && b != nil && a.session == b.session }
	switch {
	case won == nil && (base == nil || lost.conn != 0):
		return lost // it joined there; or it was given up here, where it had no socket
	case lost == nil && (base == nil || won.conn != 0):
		return won
	case won == nil:
		return unsure(lost)
	case lost == nil:
		return unsure(won)
	case same(won, lost):
		if won.conn == 0 && lost.conn != 0 {
			return lost
		}
		return won
	case same(won, base):
		return lost
	case same(lost, base):
		return won
	}
	return unsure(won)
}

// sendAway closes the socket of a member that has seen the loser's stream, so that it resumes and learns that it missed something.
// Of one without a socket nobody knows what it has seen.
func (m *merger) sendAway(keep, won, lost *member) {
	if lost != nil && lost.conn != 0 && (won == nil || won.conn != lost.conn || won.node != lost.node) {
		m.Report.Close = append(m.Report.Close, merge.Socket{Node: lost.node, Conn: lost.conn, Code: protocol.CodeMoved,
			Reason: "the room was merged after a split: resume", Retry: comeAgain})
	}
	if keep != won {
		keep.conn = 0
	}
	if keep.conn == 0 {
		keep.joined = otherStream
	}
}

func unsure(of *member) *member {
	m := *of
	m.session, m.conn = "", 0
	return &m
}

// names are those of all members of both sides; last is the largest number of one of the winner's.
func (m *merger) names() (names []string, last uint64) {
	all := map[string]bool{}
	for _, copy := range []state.Sections{m.Won, m.Lost} {
		for name := range copy {
			if player, ok := strings.CutPrefix(name, memberSection); ok {
				all[player] = true
			}
		}
	}
	names = slices.Sorted(maps.Keys(all))
	for _, name := range names {
		if w := memberOf(m.Won, name); w != nil {
			last = max(last, w.seq)
		}
	}
	return names, last
}

func memberOf(copy state.Sections, name string) *member {
	b, ok := copy[memberSection+name]
	if !ok {
		return nil
	}
	m, ok := parseMember(name, b)
	if !ok {
		return nil
	}
	return m
}

// mergeRecent adds the calls that the other side answered, so that one that comes again is not done again.
func (m *merger) mergeRecent() {
	for name, b := range m.Lost {
		if strings.HasPrefix(name, recentSection) && m.Out[name] == nil {
			m.Out[name] = b
		}
	}
}

// mergeNotices takes the notices of the side that the game's state is of. Their numbers go on behind those of both.
func (m *merger) mergeNotices(lost bool) {
	last := max(merge.Number(m.Won, lastSection), merge.Number(m.Lost, lastSection))
	if lost {
		m.Take(func(name string) bool { return strings.HasPrefix(name, noticeSection) }, m.Lost)
	}
	m.Out[lastSection] = protocol.AppendUint(nil, last)
}
