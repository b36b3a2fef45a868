package player

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"gamed/game"
	"gamed/internal/replica/merge"
	"gamed/internal/state"
	"gamed/protocol"
)

// comeAgain is how soon a client is to come again whose socket does not fit the merged state.
const comeAgain = 50 * time.Millisecond

// otherStream is where a session begins whose client has seen pushes that are not in the player's own stream any more: whatever it
// has seen, it has missed something.
const otherStream = math.MaxUint64

// Merge puts two copies of a player together. It is a merge.Func.
//
// Each part of a game is taken from the side that changed it; if both did, the game merges it, or it is the winner's. The session is
// the one with a socket; of two the one that spoke last, and the other's socket is told that it was replaced. What both sides
// answered in one and the same session stays answered.
func Merge(games map[string]*game.Game, _ string, base, mine, theirs state.Sections) (state.Sections, merge.Merged) {
	m := &merger{Sides: merge.Begin(base, mine, theirs, func(a, b state.Sections) bool {
		return merge.Differ(a, b, func(name string) bool {
			return name == offsetSection || strings.HasPrefix(name, partSection) || strings.HasPrefix(name, tallySection)
		})
	}), games: games, whose: map[string]side{}}
	m.mergeParts()
	m.mergeSession()
	m.Join(tailSection)
	m.Join(movedSection)
	m.Timers(timersSection, func(topic string) (bool, bool) { s := m.of(topic); return s.won, s.lost })
	m.mergeCalls()
	return m.Out, *m.Report
}

type merger struct {
	*merge.Sides
	games map[string]*game.Game
	whose map[string]side // by topic
	left  []pending       // rooms that a session was in which ended by the merge
}

// side says whose something is: both, when a game merged it.
type side struct{ won, lost bool }

func (m *merger) of(topic string) side {
	if s, ok := m.whose[topic]; ok {
		return s
	}
	return side{won: true}
}

// mergeParts merges the parts one by one, with what belongs to each.
func (m *merger) mergeParts() {
	for _, sections := range []state.Sections{m.Won, m.Lost} {
		for _, name := range slices.Sorted(maps.Keys(sections)) {
			if topic, ok := partTopic(name); ok {
				if _, done := m.whose[topic]; !done {
					m.whose[topic] = m.mergePart(topic)
				}
			}
		}
	}
}

// partTopic is the topic of the part that a section belongs to.
func partTopic(name string) (topic string, ok bool) {
	if topic, ok = strings.CutPrefix(name, partSection); ok {
		return topic, true
	}
	if topic, ok = strings.CutPrefix(name, tallySection); ok {
		topic, _, ok = strings.Cut(topic, "\x00")
	}
	return topic, ok
}

func (m *merger) mergePart(topic string) (s side) {
	won, lost := m.Sort(func(name string) bool { t, ok := partTopic(name); return ok && t == topic })
	switch {
	case !lost:
		return side{won: true}
	case !won:
		m.Put(noticeSection+topic, m.Lost)
		return side{lost: true}
	}
	name, id, ok := protocol.SplitTopic([]byte(topic))
	if g := m.games[string(name)]; ok && g != nil && g.Player != nil {
		if section := partSection + topic; m.Lost[section] != nil && m.Won[section] != nil && m.Ask(section, topic, g.Player(string(id))) {
			return side{true, true}
		}
	}
	return side{won: true}
}

// mergeSession decides which session goes on, with its answers, and which sockets have to come again.
func (m *merger) mergeSession() {
	won, lost := sessionOf(m.Won), sessionOf(m.Lost)
	stays, goes, from, other := won, lost, m.Won, m.Lost
	if preferred(lost, won, m.Lost, m.Won) {
		stays, goes, from, other = lost, won, m.Lost, m.Won
	}
	if stays == nil {
		m.mergeStream(nil, from)
		return
	}
	m.Take(ofSession, from)
	again := false // the client has to resume
	switch {
	case goes == nil:
	case goes.id == stays.id:
		m.mergeAnswers(from, other)
		stays.topics = mergeTopics(sessionOf(m.Base), stays, goes)
		if goes.conn != 0 && (goes.conn != stays.conn || goes.node != stays.node) {
			m.close(goes, protocol.CodeReplaced, "the player came again on the other side of a split", -1)
		}
	default:
		again = slices.ContainsFunc(goes.topics, func(t string) bool { return slices.Contains(stays.topics, t) })
		if goes.conn != 0 {
			m.close(goes, protocol.CodeReplaced, "the player said hello on the other side of a split", -1)
		}
		m.Report.Replaced++
		for _, topic := range goes.topics {
			if !slices.Contains(stays.topics, topic) {
				m.left = append(m.left, pending{topic: topic, left: goes.id})
			}
		}
	}
	again = m.mergeStream(stays, from) || again
	if again && stays.conn != 0 {
		m.close(stays, protocol.CodeMoved, "the player was merged after a split: resume", comeAgain)
		stays.conn = 0
	}
	m.Out[sessionSection] = stays.append(nil)
}

func (m *merger) close(s *session, code protocol.Code, reason string, retry time.Duration) {
	m.Report.Close = append(m.Report.Close, merge.Socket{Node: s.node, Conn: s.conn, Code: code, Reason: reason, Retry: retry})
}

func ofSession(name string) bool {
	return name == sessionSection || name == refsSection || name == openSection || strings.HasPrefix(name, answerSection)
}

func sessionOf(copy state.Sections) *session {
	if b, ok := copy[sessionSection]; ok {
		if s, ok := parseSession(b); ok {
			return s
		}
	}
	return nil
}

// preferred says whether session a of copy x stays rather than b of copy y, the winner's.
func preferred(a, b *session, x, y state.Sections) bool {
	switch {
	case a == nil || b == nil:
		return b == nil && a != nil
	case (a.conn != 0) != (b.conn != 0):
		return a.conn != 0
	}
	return merge.Later(x, y)
}

// mergeTopics are the topics of one session that went on on both sides: what was joined on either, less what was left on either.
func mergeTopics(base, a, b *session) []string {
	var had []string
	if base != nil && base.id == a.id {
		had = base.topics
	}
	var out []string
	for _, t := range slices.Concat(a.topics, b.topics) {
		left := slices.Contains(had, t) && !(slices.Contains(a.topics, t) && slices.Contains(b.topics, t))
		if !left && !slices.Contains(out, t) && len(out) < maxTopics {
			out = append(out, t)
		}
	}
	return out
}

// mergeAnswers adds the answers that the other side gave in the same session, so that a call that was answered there and comes again
// is not done again.
func (m *merger) mergeAnswers(from, other state.Sections) {
	for name, b := range other {
		if strings.HasPrefix(name, answerSection) && m.Out[name] == nil {
			m.Out[name] = b
		}
	}
	if x, y := numbers(from[refsSection]), numbers(other[refsSection]); len(x) >= 2 && len(y) >= 2 {
		refs := protocol.AppendUint(protocol.AppendUint(nil, max(x[0], y[0])), max(x[1], y[1]))
		m.Out[refsSection] = appendNumbers(refs, union(x[2:], y[2:]))
	} else if len(y) >= 2 {
		m.Out[refsSection] = other[refsSection]
	}
	open := slices.DeleteFunc(union(numbers(from[openSection]), numbers(other[openSection])), func(ref uint64) bool {
		return m.Out[answerName(ref)] != nil
	})
	m.Out[openSection] = appendNumbers(nil, open)
}

func union(a, b []uint64) []uint64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func appendNumbers(b []byte, list []uint64) []byte {
	for _, n := range list {
		b = protocol.AppendUint(b, n)
	}
	return b
}

// mergeStream takes the own stream of the side that has pushed, the winner's when both have. It says whether the client of the
// session that stays has seen something else.
func (m *merger) mergeStream(stays *session, from state.Sections) (again bool) {
	ofStream := func(name string) bool { return name == offsetSection || strings.HasPrefix(name, pushSection) }
	won, lost := m.Sort(ofStream)
	switch {
	case stays == nil || !won || !lost: // what the client has is the beginning of it: its gateway is asked, and it gets the rest
		return false
	case stays.conn != 0 && !merge.Differ(m.Out, from, ofStream):
		return false
	}
	stays.began = otherStream
	return true
}

// mergeCalls keeps what waits for an answer: of each part from the sides its state is of, and every word to a room that a session
// has left it.
func (m *merger) mergeCalls() {
	var out []byte
	keep := func(sections state.Sections, counts func(side) bool) {
		for c := protocol.NewCursor(sections[callsSection]); len(c.Rest()) > 0; {
			from := c.Rest()
			topic, ok1 := c.Text()
			_, ok2 := c.Text()
			left, ok3 := c.Text()
			if !ok1 || !ok2 || !ok3 {
				return
			}
			if entry := from[:len(from)-len(c.Rest())]; len(left) > 0 || counts(m.of(string(topic))) {
				out = append(out, entry...)
			}
		}
	}
	keep(m.Won, func(s side) bool { return s.won })
	keep(m.Lost, func(s side) bool { return s.lost })
	for _, l := range m.left {
		out = protocol.AppendStr(protocol.AppendStr(protocol.AppendStr(out, l.topic), ""), l.left)
	}
	if len(out) > 0 || len(m.Won[callsSection]) > 0 {
		m.Out[callsSection] = bytes.Clone(out)
	}
}
