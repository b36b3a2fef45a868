package trivia

import "time"

// contestant is where one player stands in a show, and the rules for him: no context, no messages.
type contestant struct {
	member  bool
	joining bool  // a join is on its way to the room
	run     int64 // the newest he heard of
	out     bool  // eliminated, or only watching
	over    bool
	q       int    // the question asked last, from 1
	choices int    // of it
	closes  int64  // when it closes here, Unix milliseconds
	judged  int    // questions with a result
	chosen  []byte // by question: the choice + 1, 0 for none
	won     int64  // the run he was declared a winner of
	asked   int64  // when the room was last asked where it stands, Unix milliseconds
}

// verdict is what a player is told after a result.
type verdict struct {
	q       int
	correct bool
}

// hear takes in where the room stands. fresh: he joined just now. Older standings than the one known change nothing.
func (p *contestant) hear(s standing, fresh bool, now time.Time) (verdicts []verdict) {
	if s.run < p.run || s.run == 0 {
		return nil
	}
	if s.run > p.run {
		*p = contestant{member: p.member, joining: p.joining, run: s.run, out: s.q > 1 || len(s.answers) > 0, won: p.won, asked: p.asked}
	}
	if fresh && s.q > 0 {
		p.out = true
	}
	for ; p.judged < len(s.answers); p.judged++ {
		if !p.out {
			q := p.judged + 1
			choice, given := p.choice(int64(q))
			p.out = !given || choice != s.answers[p.judged]
			verdicts = append(verdicts, verdict{q, !p.out})
		}
	}
	switch {
	case s.q > p.q:
		p.q, p.choices, p.closes = s.q, s.choices, now.UnixMilli()+s.closes
	case s.q == p.q && s.closes == 0: // the room has closed it
		p.closes = min(p.closes, now.UnixMilli())
	case s.q == p.q && p.q > p.judged: // asked again: the other side of a split had come further
		p.closes = max(p.closes, now.UnixMilli()+s.closes)
	}
	p.over = p.over || s.over
	return verdicts
}

// choice is what he answered to a question of the run.
func (p *contestant) choice(q int64) (choice int64, given bool) {
	if q < 1 || q > int64(len(p.chosen)) || p.chosen[q-1] == 0 {
		return 0, false
	}
	return int64(p.chosen[q-1]) - 1, true
}

// open says whether the question asked last can be answered here.
func (p *contestant) open(now time.Time) bool {
	return p.q > p.judged && now.UnixMilli() < p.closes
}

// ruling is what becomes of an answer.
type ruling int

const (
	accepted  ruling = iota // if the tally still takes it
	repeated                // the first one's reply
	forbidden               // not a member
	noChoice                // the open question has no such choice
	isOut                   // eliminated or watching
	late                    // or another question
)

// judge rules on an answer.
func (p *contestant) judge(q, choice int64, now time.Time) ruling {
	open := p.open(now)
	_, given := p.choice(q)
	switch {
	case !p.member:
		return forbidden
	case open && (choice < 0 || choice >= int64(p.choices)):
		return noChoice
	case given:
		return repeated
	case p.out:
		return isOut
	case !open || q != int64(p.q):
		return late
	}
	return accepted
}

// behind says whether the room may have asked this question without the part having heard of it yet. It is true at most once a
// second, so that a client that guesses costs the room little.
func (p *contestant) behind(q int64, now time.Time) bool {
	if !p.member || !p.over && (p.out || q != int64(p.q)+1) {
		return false
	}
	return now.UnixMilli()-p.asked >= time.Second.Milliseconds()
}

// choose notes an accepted answer to the open question.
func (p *contestant) choose(choice int64) {
	for len(p.chosen) < p.q {
		p.chosen = append(p.chosen, 0)
	}
	p.chosen[p.q-1] = byte(choice + 1)
}

// leave ends his part in the room: he forfeits a run that has begun. slot >= 0: his answer to the present question was counted,
// and is to be marked in that tally slot.
func (p *contestant) leave() (slot int) {
	slot = -1
	if choice, given := p.choice(int64(p.q)); given && p.member && !p.out && p.q > p.judged {
		slot = int(choice) + forfeit
	}
	p.member, p.joining = false, false
	p.out = p.out || p.q > 0
	return slot
}

// prize is what a winner is owed. The zero value: nothing.
type prize struct {
	run   int64
	share int64 // 0: not known yet
	poll  int64 // the paid round that is open, as far as known; -1: the room waits no more
	paid  bool  // the account has it; the room is yet to be told
	told  int64 // the newest paid round in which he said that he waits
}

// owed takes in the room's word on a run's payout.
func (z *prize) owed(share, poll int64, over bool) {
	if share > 0 {
		z.share = share
	}
	if z.poll = max(z.poll, poll); over {
		z.poll = -1
	}
}

// done says that nothing is left to do but to forget it.
func (z *prize) done() bool { return z.poll < 0 && (z.paid || z.share == 0) }
