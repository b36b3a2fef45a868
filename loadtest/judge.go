package loadtest

import (
	"cmp"
	"slices"
	"time"

	"gamed/protocol"
)

// What is granted to clocks and to the machine, and what a player may be kept waiting after a kill.
const (
	earlySlack    = 500 * time.Millisecond // a bot hears of a question a little later than his owner
	recoveryP99   = 5 * time.Second
	recoveryWorst = 10 * time.Second
)

// JudgeShow lists every promise that was broken in a show. It sees nothing but the record.
func JudgeShow(r *ShowRecord) []Violation {
	j := &showJudge{ShowRecord: r}
	for _, died := range r.Died {
		j.add(NodeDied, "%s", died)
	}
	if !r.Ended {
		j.add(Stalled, "the show did not come to its end for everybody")
	}
	for _, b := range r.Bots {
		if b.Problem != "" {
			j.add(LoginFailed, "%s: %s", b.Name, b.Problem)
			continue
		}
		j.players = append(j.players, &player{BotRecord: b, in: true})
		j.session(b)
	}
	j.streams()
	j.events()
	for _, p := range j.players {
		j.book(p)
	}
	for q := 1; q <= len(j.results); q++ {
		j.question(q)
	}
	j.winners()
	j.recovery()
	return j.list()
}

// showJudge holds what was worked out so far.
type showJudge struct {
	*ShowRecord
	findings
	players []*player
	stream  []*told           // the room's, in order
	results []*told           // by question
	final   *told             // winners
	ends    map[int]time.Time // when questions close
}

// player is a bot with what was worked out about him.
type player struct {
	*BotRecord
	accepted []int64         // by question: the choice that counts, or none
	inDoubt  []map[int64]int // by question: choices of attempts whose outcome is unknown
	verdicts [][]bool        // by question: correct
	in       bool            // before the question judged now
}

// none is the choice of who was not accepted.
const none = -1

func (j *showJudge) session(b *BotRecord) {
	if b.Sessions > 1 {
		j.add(SessionLost, "%s had %d sessions", b.Name, b.Sessions)
	}
	if b.Ended != "" {
		j.add(SessionLost, "%s was ended: %s", b.Name, b.Ended)
	}
	if b.Duplicates > 0 {
		j.addN(StreamDoubled, int64(b.Duplicates), "%s got %d pushes twice", b.Name, b.Duplicates)
	}
}

// book enters what a player was told about his answers.
func (j *showJudge) book(p *player) {
	n := len(j.Show.Questions)
	p.accepted, p.inDoubt, p.verdicts = make([]int64, n+1), make([]map[int64]int, n+1), make([][]bool, n+1)
	for q := range p.accepted {
		p.accepted[q] = none
	}
	for _, a := range p.Answers {
		switch {
		case a.Code == unknown:
			j.add(CallUnanswered, "%s, question %d: %s", p.Name, a.Q, a.Err)
			if p.inDoubt[a.Q] == nil {
				p.inDoubt[a.Q] = map[int64]int{}
			}
			p.inDoubt[a.Q][a.Choice]++
		case a.Code != string(protocol.CodeOK):
		case a.GotQ != a.Q || a.Got < 0 || a.Got >= int64(len(j.Show.Questions[a.Q-1].Choices)):
			j.add(WrongAccept, "%s, question %d, choice %d: accepted as question %d, choice %d %s", p.Name, a.Q, a.Choice, a.GotQ, a.Got, a.Err)
		case p.accepted[a.Q] == none:
			p.accepted[a.Q] = a.Got
			if !tried(p.Answers, a.Q, a.Got) {
				j.add(WrongAccept, "%s, question %d: choice %d was accepted, but never sent", p.Name, a.Q, a.Got)
			}
		case p.accepted[a.Q] != a.Got:
			j.add(AnswerChanged, "%s, question %d: choice %d, then %d", p.Name, a.Q, p.accepted[a.Q], a.Got)
		}
	}
	for _, v := range p.Pushes {
		f := v.Payload.Fields()
		if v.Topic != "" || v.Event != "verdict" || f.Text("topic") != j.Topic {
			continue
		}
		q, correct, alive := f.Int("q"), f.Bool("correct"), f.Bool("alive")
		if f.Err() != nil || q < 1 || q > int64(n) || correct != alive {
			j.add(VerdictWrong, "%s: verdict on question %d: correct %v, alive %v (%v)", p.Name, q, correct, alive, f.Err())
			continue
		}
		p.verdicts[q] = append(p.verdicts[q], correct)
	}
}

func tried(answers []Answer, q int, choice int64) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool { return a.Q == q && a.Choice == choice })
}

// question judges one question: the counts, and each player's verdict and refusals.
func (j *showJudge) question(q int) {
	asked, result := j.Show.Questions[q-1], j.results[q-1]
	counts, doubts := make([]int64, len(asked.Choices)), make([]int64, len(asked.Choices))
	var alive, perhaps int64
	for _, p := range j.players {
		choice := p.accepted[q]
		doubt := choice == none && p.inDoubt[q] != nil && p.in
		if choice != none {
			counts[choice]++
			if !p.in {
				j.add(WrongAccept, "%s, question %d: accepted though he is out", p.Name, q)
			}
		}
		for c := range p.inDoubt[q] {
			if doubt && c < int64(len(doubts)) {
				doubts[c]++
			}
		}
		in := p.in && choice == int64(asked.Answer)
		j.refusals(p, q, in)
		j.verdict(p, q, in, doubt)
		if doubt && len(p.verdicts[q]) > 0 {
			in = p.verdicts[q][0]
		} else if doubt {
			perhaps++
		}
		if p.in = in; in {
			alive++
		}
	}
	if result == nil {
		return // told by events
	}
	for c, got := range result.counts {
		switch least, most := counts[c], counts[c]+doubts[c]; {
		case got < least:
			j.addN(CountLost, least-got, "question %d, choice %d: %d were accepted, the result says %d", q, c, least, got)
		case got > most:
			j.addN(CountExtra, got-most, "question %d, choice %d: %d were accepted, the result says %d", q, c, most, got)
		}
	}
	if result.alive < alive || result.alive > alive+perhaps {
		j.add(AliveWrong, "question %d: %d are in, the result says %d", q, alive, result.alive)
	}
}

// verdict compares what a player was told about a question with what follows from his accepted answer.
func (j *showJudge) verdict(p *player, q int, correct, doubt bool) {
	got := p.verdicts[q]
	switch {
	case !p.in && len(got) > 0:
		j.add(VerdictStray, "%s, question %d: he was out before", p.Name, q)
	case !p.in:
	case len(got) == 0:
		j.add(VerdictLost, "%s, question %d", p.Name, q)
	case len(got) > 1:
		j.add(VerdictDoubled, "%s, question %d: %d verdicts", p.Name, q, len(got))
	case got[0] != correct && !doubt:
		j.add(VerdictWrong, "%s, question %d: accepted %d, right is %d, told correct=%v", p.Name, q, p.accepted[q], j.Show.Questions[q-1].Answer, got[0])
	}
}

// refusals judges the codes of a player's refused attempts at a question. stays: he is still in after it.
func (j *showJudge) refusals(p *player, q int, stays bool) {
	asked, end := j.Show.Questions[q-1], j.closes(q)
	for _, a := range p.Answers {
		if a.Q != q || a.Code == unknown || a.Code == string(protocol.CodeOK) {
			continue
		}
		late, out := a.Code == string(protocol.CodeTooLate), a.Code == string(protocol.CodeOut)
		bad := a.Choice >= int64(len(asked.Choices)) && a.Code == string(protocol.CodeInvalid)
		early := a.Done.Before(end.Add(-earlySlack))
		switch {
		case bad, !p.in && (late || out), out && !stays && !early:
		case !late:
			j.add(CallRefused, "%s, question %d, choice %d: %s", p.Name, q, a.Choice, a.Err)
		case early:
			j.add(RefusedEarly, "%s, question %d: too_late %v before its end, sent %v before", p.Name, q, end.Sub(a.Done), end.Sub(a.Sent))
		}
	}
}

// closes is when a question ends by the first word that any player had of it: a push that came late, because the machine was busy, does
// not move the end.
func (j *showJudge) closes(q int) time.Time {
	if at, known := j.ends[q]; known {
		return at
	}
	var first time.Time
	for _, b := range j.players {
		for _, p := range b.Pushes {
			f := p.Payload.Fields()
			if p.Topic != j.Topic || p.Event != "question" || f.Int("q") != int64(q) {
				continue
			}
			at := p.At.Add(time.Duration(f.Int("closes_in_ms")) * time.Millisecond)
			if first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	if j.ends == nil {
		j.ends = map[int]time.Time{}
	}
	j.ends[q] = first
	return first
}

// winners judges who won and what the accounts hold.
func (j *showJudge) winners() {
	if j.final == nil {
		return
	}
	names, count := map[string]bool{}, int64(0)
	for _, p := range j.players {
		if p.in {
			names[p.Name] = true
			count++
		}
	}
	share := int64(0)
	if count > 0 {
		share = j.Show.Prize / count
	}
	if j.final.count != count || j.final.share != share {
		j.add(WinnersWrong, "%d are in and get %d each, winners says %d and %d", count, share, j.final.count, j.final.share)
	}
	told := map[string]bool{}
	for _, name := range j.final.names {
		if !names[name] || told[name] {
			j.add(WinnersWrong, "%s is named, though no winner or named before", name)
		}
		told[name] = true
	}
	if want := min(count, 20); int64(len(told)) != want {
		j.add(WinnersWrong, "%d winners are named, want %d", len(told), want)
	}
	for _, p := range j.players {
		due := int64(0)
		if p.in {
			due = share
		}
		switch {
		case !p.HasBalance:
			j.add(CallUnanswered, "%s: his balance is not to be had", p.Name)
		case p.Balance < due:
			j.add(MoneyLost, "%s has %d, due are %d", p.Name, p.Balance, due)
		case p.Balance > due:
			j.add(MoneyExtra, "%s has %d, due are %d", p.Name, p.Balance, due)
		}
	}
}

// recovery judges how soon everybody could go on after the kill.
func (j *showJudge) recovery() {
	if j.Kill == nil {
		return
	}
	var took []*player
	for _, p := range j.players {
		if p.Recovered == 0 || p.OnKilled && p.Reconnected == 0 {
			j.add(SlowRecovery, "%s never recovered", p.Name)
			continue
		}
		took = append(took, p)
	}
	if len(took) == 0 {
		return
	}
	slices.SortFunc(took, func(a, b *player) int { return cmp.Compare(a.Recovered, b.Recovered) })
	if p := took[len(took)*99/100]; p.Recovered > recoveryP99 {
		j.add(SlowRecovery, "the slowest hundredth took %v and more (%s)", p.Recovered, p.Name)
	}
	if p := took[len(took)-1]; p.Recovered > recoveryWorst {
		j.add(SlowRecovery, "%s took %v", p.Name, p.Recovered)
	}
}
