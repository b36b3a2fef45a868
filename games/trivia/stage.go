package trivia

import (
	"cmp"
	"time"

	"gamed/game"
)

// phase is where a run stands.
type phase int64

const (
	lobby    phase = iota
	asking         // a question is open
	counting       // it is closed, its tally is being collected
	showing        // its result is out
	judging        // the tally of those still in is being collected
	paying         // winners are being credited
	over
	phases // one past the last
)

// String is the phase as players see it.
func (p phase) String() string {
	return [phases]string{"lobby", "question", "question", "result", "result", "result", "over"}[p]
}

// stage is the state of a room, and the rules of its moves: no context, no timers, no messages. Who is in the room is not its
// business.
type stage struct {
	phase   phase
	run     int64
	show    Show
	q       int   // the question asked last, from 1
	closes  int64 // when it closes, Unix milliseconds
	alive   int64 // still in after the last result
	winners int64
	names   []string
	share   int64
	paid    int64 // winners known to be credited
	poll    int64 // the newest paid round
	missing int64 // paid rounds in a row in which a winner neither had his share nor said that he waits for it
}

// running says whether a show is under way, so that no other can be opened.
func (s *stage) running() bool { return s.phase != lobby && s.phase != over }

// ahead says whether it has come further than another.
func (s *stage) ahead(o *stage) bool {
	return cmp.Or(cmp.Compare(s.run, o.run), cmp.Compare(s.q, o.q), cmp.Compare(s.phase, o.phase), cmp.Compare(s.poll, o.poll)) > 0
}

// open begins a new run. Its number is new even to a room that lost its state.
func (s *stage) open(show Show, now time.Time) {
	*s = stage{run: max(s.run+1, now.UnixNano()), show: show}
}

// start asks the first question. False: there is nothing to start.
func (s *stage) start(now time.Time) bool {
	if s.phase != lobby || s.run == 0 {
		return false
	}
	s.ask(now)
	return true
}

func (s *stage) ask(now time.Time) {
	s.q++
	s.phase, s.closes = asking, now.Add(s.question().open()).UnixMilli()
}

func (s *stage) question() Question { return s.show.Questions[s.q-1] }

// count takes in the tally of the question that was closed.
func (s *stage) count(t game.Tally) (counts []int64) {
	q := s.question()
	s.phase, s.alive = showing, t.Slots[q.Answer]-t.Slots[q.Answer+forfeit]
	return t.Slots[:len(q.Choices)]
}

// next leaves a result. ask: the next question was asked; else the show is at its end, and it is to be seen who won.
func (s *stage) next(now time.Time) (ask bool) {
	if s.alive > 0 && s.q < len(s.show.Questions) {
		s.ask(now)
		return true
	}
	s.phase = judging
	return false
}

// won takes in the tally of the winners. pay: they are to be credited; else there is nothing to credit.
func (s *stage) won(t game.Tally) (pay bool) {
	s.winners, s.names = t.Slots[0], t.Names
	if s.winners > 0 {
		s.share = s.show.Prize / s.winners
	}
	s.phase = paying
	return s.share > 0
}

// credited takes in a paid round. all: it was the last. A winner who cannot be credited yet, because the store is down, is waited for
// as long as he says so; one of whom nothing is heard is not there any more: his owner and his backup died together.
func (s *stage) credited(t game.Tally) (all bool) {
	s.paid += t.Slots[paidSlot]
	s.poll++
	if s.missing++; s.paid+t.Slots[owedSlot] >= s.winners {
		s.missing = 0
	}
	return s.paid >= s.winners || s.missing >= missingPolls
}

// collecting is the tally round that is due to be collected, "" when none is.
func (s *stage) collecting() string {
	switch s.phase {
	case counting:
		return questionRound(s.run, s.q)
	case judging:
		return round(s.run, "win")
	case paying:
		return paidRound(s.run, s.poll)
	}
	return ""
}

// standing is what player parts are told.
func (s *stage) standing(now time.Time) standing {
	st := standing{run: s.run, q: s.q, over: s.phase == over}
	if s.q == 0 {
		return st
	}
	st.choices, st.closes = len(s.question().Choices), s.rest(now)
	results := s.q
	if s.phase == asking || s.phase == counting {
		results--
	}
	for _, q := range s.show.Questions[:results] {
		st.answers = append(st.answers, int64(q.Answer))
	}
	return st
}

// rest is how long the question is still open, in milliseconds.
func (s *stage) rest(now time.Time) int64 {
	if s.phase != asking {
		return 0
	}
	return max(0, s.closes-now.UnixMilli())
}

// pushed is the open question as clients get it.
func (s *stage) pushed(now time.Time) *game.Map {
	q := s.question()
	return game.NewMap().Int("q", int64(s.q)).Int("of", int64(len(s.show.Questions))).Text("text", q.Text).
		Texts("choices", q.Choices).Int("closes_in_ms", s.rest(now))
}
