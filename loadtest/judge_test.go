package loadtest

import (
	"fmt"
	"testing"
	"time"

	"gamed/client"
	"gamed/game"
	"gamed/games/trivia"
)

// forge makes records of a show as a perfect server would have played it.
type forge struct {
	r    *ShowRecord
	now  time.Time
	room uint64 // the stream's offset
	own  map[*BotRecord]uint64
}

// choices are what the players answer to the two questions; none: nothing. The right ones are 1 and 0.
var forged = [...][2]int64{{1, 0}, {1, 0}, {1, 1}, {0, none}, {none, none}}

// perfectShow: ann and bob win 50 each, cid falls at the second question, dan and eve at the first.
func perfectShow() *ShowRecord {
	s := trivia.Show{Prize: 101, Questions: []trivia.Question{
		{Text: "first?", Choices: []string{"a", "b"}, Answer: 1, Seconds: 2}, {Text: "second?", Choices: []string{"c", "d", "e"}, Answer: 0, Seconds: 2}}}
	f := &forge{r: &ShowRecord{Topic: "trivia:t", Show: s, Ended: true}, now: time.Unix(1000, 0), room: 7, own: map[*BotRecord]uint64{}}
	for _, name := range []string{"ann", "bob", "cid", "dan", "eve"} {
		f.r.Bots = append(f.r.Bots, &BotRecord{Name: name, Joined: f.room, Sessions: 1, HasBalance: true})
	}
	in := []bool{true, true, true, true, true}
	for q := 1; q <= 2; q++ {
		question, counts, alive := s.Questions[q-1], make([]int64, len(s.Questions[q-1].Choices)), int64(0)
		f.tell("question", game.NewMap().Int("q", int64(q)).Int("of", 2).Text("text", question.Text).Texts("choices", question.Choices).Int("closes_in_ms", 2000))
		for i, b := range f.r.Bots {
			if c := forged[i][q-1]; c != none {
				b.Answers = append(b.Answers, Answer{Q: q, Choice: c, Sent: f.now, Done: f.now.Add(time.Second), Code: "ok", Got: c, GotQ: q})
				counts[c]++
			}
		}
		f.now = f.now.Add(3 * time.Second)
		for i := range f.r.Bots {
			if in[i] && forged[i][q-1] == int64(question.Answer) {
				alive++
			}
		}
		f.tell("result", game.NewMap().Int("q", int64(q)).Int("answer", int64(question.Answer)).Ints("counts", counts).Int("alive", alive))
		for i, b := range f.r.Bots {
			if in[i] {
				in[i] = forged[i][q-1] == int64(question.Answer)
				f.verdict(b, q, in[i])
			}
		}
	}
	f.tell("winners", game.NewMap().Int("count", 2).Int("share", 50).Texts("names", []string{"ann", "bob"}))
	f.r.Bots[0].Balance, f.r.Bots[1].Balance = 50, 50
	return f.r
}

func (f *forge) tell(event string, m *game.Map) {
	f.room++
	p := m.Payload()
	for _, b := range f.r.Bots {
		b.Pushes = append(b.Pushes, Received{client.Push{Topic: f.r.Topic, Offset: f.room, Event: event, Payload: p}, f.now})
	}
}

func (f *forge) verdict(b *BotRecord, q int, right bool) {
	f.own[b]++
	b.Pushes = append(b.Pushes, Received{client.Push{Offset: f.own[b], Event: "verdict",
		Payload: game.NewMap().Text("topic", f.r.Topic).Int("q", int64(q)).Bool("correct", right).Bool("alive", right).Payload()}, f.now})
}

// index is where in a bot's pushes the n-th of an event is, from 0.
func index(b *BotRecord, event string, n int) int {
	for i, p := range b.Pushes {
		if p.Event == event {
			if n--; n < 0 {
				return i
			}
		}
	}
	panic(fmt.Sprintf("%s has no %s", b.Name, event))
}

// everywhere replaces a push of the room for all.
func everywhere(r *ShowRecord, event string, n int, m *game.Map) {
	p := m.Payload()
	for _, b := range r.Bots {
		b.Pushes[index(b, event, n)].Payload = p
	}
}

func cut(b *BotRecord, i int) { b.Pushes = append(b.Pushes[:i:i], b.Pushes[i+1:]...) }

func counts(q, answer int64, alive int64, counts ...int64) *game.Map {
	return game.NewMap().Int("q", q).Int("answer", answer).Ints("counts", counts).Int("alive", alive)
}

func winners(count, share int64, names ...string) *game.Map {
	return game.NewMap().Int("count", count).Int("share", share).Texts("names", names)
}

func TestJudgeShow(t *testing.T) {
	refused := func(q int, code string, done time.Duration) Answer {
		return Answer{Q: q, Choice: 0, Code: code, Done: time.Unix(1000, 0).Add(done)}
	}
	for _, c := range []struct {
		name  string
		spoil func(ann, cid, eve *BotRecord, r *ShowRecord)
		want  []Kind
	}{
		{"all is well", func(_, _, _ *BotRecord, _ *ShowRecord) {}, nil},
		{"a node died", func(_, _, _ *BotRecord, r *ShowRecord) { r.Died = []string{"b"} }, []Kind{NodeDied}},
		{"it did not end", func(_, _, _ *BotRecord, r *ShowRecord) { r.Ended = false }, []Kind{Stalled}},
		{"one could not join", func(_, _, eve *BotRecord, _ *ShowRecord) { eve.Problem = "join: busy" }, []Kind{LoginFailed}},
		{"a session was lost", func(ann, _, _ *BotRecord, _ *ShowRecord) { ann.Sessions = 2 }, []Kind{SessionLost}},
		{"a player was ended", func(ann, _, _ *BotRecord, _ *ShowRecord) { ann.Ended = "kicked" }, []Kind{SessionLost}},
		{"pushes came twice", func(ann, _, _ *BotRecord, _ *ShowRecord) { ann.Duplicates = 2 }, []Kind{StreamDoubled}},
		{"counts one less", func(_, _, _ *BotRecord, r *ShowRecord) { everywhere(r, "result", 0, counts(1, 1, 3, 0, 3)) }, []Kind{CountLost}},
		{"counts one more", func(_, _, _ *BotRecord, r *ShowRecord) { everywhere(r, "result", 0, counts(1, 1, 3, 1, 4)) }, []Kind{CountExtra}},
		{"alive is wrong", func(_, _, _ *BotRecord, r *ShowRecord) { everywhere(r, "result", 0, counts(1, 1, 4, 1, 3)) }, []Kind{AliveWrong}},
		{"the right answer is wrong", func(_, _, _ *BotRecord, r *ShowRecord) { everywhere(r, "result", 0, counts(1, 0, 3, 1, 3)) }, []Kind{EventWrong}},
		{"no verdict", func(_, cid, _ *BotRecord, _ *ShowRecord) { cut(cid, index(cid, "verdict", 1)) }, []Kind{VerdictLost}},
		{"first verdict lost", func(ann, _, _ *BotRecord, _ *ShowRecord) { cut(ann, index(ann, "verdict", 0)) }, []Kind{VerdictLost, StreamGap}},
		{"two verdicts", func(_, cid, _ *BotRecord, r *ShowRecord) {
			f := forge{r: r, own: map[*BotRecord]uint64{cid: 2}}
			f.verdict(cid, 2, false)
		}, []Kind{VerdictDoubled}},
		{"wrong verdict", func(_, cid, _ *BotRecord, _ *ShowRecord) {
			cid.Pushes[index(cid, "verdict", 1)].Payload = game.NewMap().Text("topic", "trivia:t").Int("q", 2).Bool("correct", true).Bool("alive", true).Payload()
		}, []Kind{VerdictWrong}},
		{"a verdict at odds with itself", func(_, cid, _ *BotRecord, _ *ShowRecord) {
			cid.Pushes[index(cid, "verdict", 1)].Payload = game.NewMap().Text("topic", "trivia:t").Int("q", 2).Bool("correct", false).Bool("alive", true).Payload()
		}, []Kind{VerdictWrong, VerdictLost}},
		{"a verdict for one who is out", func(_, _, eve *BotRecord, r *ShowRecord) {
			f := forge{r: r, own: map[*BotRecord]uint64{eve: 1}}
			f.verdict(eve, 2, false)
		}, []Kind{VerdictStray}},
		{"a gap", func(_, _, eve *BotRecord, _ *ShowRecord) { cut(eve, index(eve, "question", 1)) }, []Kind{StreamGap}},
		{"nothing at the end", func(_, _, eve *BotRecord, _ *ShowRecord) { cut(eve, index(eve, "winners", 0)) }, []Kind{StreamGap}},
		{"one push twice", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Pushes = append(eve.Pushes, eve.Pushes[index(eve, "winners", 0)])
		}, []Kind{StreamDoubled}},
		{"another text", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Pushes[index(eve, "result", 0)].Payload = counts(1, 1, 3, 0, 4).Payload()
		}, []Kind{StreamDiffers}},
		{"a question without its text", func(_, _, _ *BotRecord, r *ShowRecord) {
			everywhere(r, "question", 0, game.NewMap().Int("q", 1).Int("of", 2).Text("text", "other?").Texts("choices", []string{"a", "b"}).Int("closes_in_ms", 2000))
		}, []Kind{EventWrong}},
		{"wrong number of winners", func(_, _, _ *BotRecord, r *ShowRecord) { everywhere(r, "winners", 0, winners(3, 33, "ann", "bob")) }, []Kind{WinnersWrong}},
		{"a loser is named", func(_, _, _ *BotRecord, r *ShowRecord) { everywhere(r, "winners", 0, winners(2, 50, "ann", "cid")) }, []Kind{WinnersWrong}},
		{"too few are named", func(_, _, _ *BotRecord, r *ShowRecord) { everywhere(r, "winners", 0, winners(2, 50, "ann")) }, []Kind{WinnersWrong}},
		{"not paid", func(ann, _, _ *BotRecord, _ *ShowRecord) { ann.Balance = 0 }, []Kind{MoneyLost}},
		{"paid twice", func(ann, _, _ *BotRecord, _ *ShowRecord) { ann.Balance = 100 }, []Kind{MoneyExtra}},
		{"a loser is paid", func(_, cid, _ *BotRecord, _ *ShowRecord) { cid.Balance = 50 }, []Kind{MoneyExtra}},
		{"no balance", func(ann, _, _ *BotRecord, _ *ShowRecord) { ann.HasBalance = false }, []Kind{CallUnanswered}},
		{"an acknowledged answer was not counted", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, Answer{Q: 1, Choice: 0, Code: "ok", GotQ: 1, Got: 0})
		}, []Kind{CountLost}},
		{"two choices acknowledged", func(ann, _, _ *BotRecord, _ *ShowRecord) {
			ann.Answers = append(ann.Answers, Answer{Q: 1, Choice: 0, Code: "ok", GotQ: 1, Got: 0})
		}, []Kind{AnswerChanged}},
		{"a second answer gets the first reply", func(ann, _, _ *BotRecord, _ *ShowRecord) {
			ann.Answers = append(ann.Answers, Answer{Q: 1, Choice: 0, Code: "ok", GotQ: 1, Got: 1})
		}, nil},
		{"a choice that was never sent", func(ann, _, _ *BotRecord, _ *ShowRecord) { ann.Answers[0].Choice = 0 }, []Kind{WrongAccept}},
		{"accepted though out", func(_, _, eve *BotRecord, r *ShowRecord) {
			eve.Answers = append(eve.Answers, Answer{Q: 2, Choice: 0, Code: "ok", GotQ: 2, Got: 0})
			everywhere(r, "result", 1, counts(2, 0, 2, 3, 1, 0))
		}, []Kind{WrongAccept}},
		{"a bad choice accepted", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, Answer{Q: 1, Choice: 2, Code: "ok", GotQ: 1, Got: 2})
		}, []Kind{WrongAccept}},
		{"never answered", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, Answer{Q: 1, Choice: 0, Code: unknown})
		}, []Kind{CallUnanswered}},
		{"never answered, counted", func(_, _, eve *BotRecord, r *ShowRecord) {
			eve.Answers = append(eve.Answers, Answer{Q: 1, Choice: 0, Code: unknown})
			everywhere(r, "result", 0, counts(1, 1, 3, 2, 3))
		}, []Kind{CallUnanswered}},
		{"too late", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, refused(1, "too_late", 2*time.Second))
		}, nil},
		{"too late too early", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, refused(1, "too_late", time.Second))
		}, []Kind{RefusedEarly}},
		{"out after the end", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, refused(1, "out", 3*time.Second))
		}, nil},
		{"out though in", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, refused(1, "out", time.Second))
		}, []Kind{CallRefused}},
		{"out when out", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, refused(2, "out", time.Second))
		}, nil},
		{"a good choice is invalid", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, refused(1, "invalid", time.Second))
		}, []Kind{CallRefused}},
		{"the handler failed", func(_, _, eve *BotRecord, _ *ShowRecord) {
			eve.Answers = append(eve.Answers, refused(1, "internal", time.Second))
		}, []Kind{CallRefused}},
		{"nobody recovered", func(_, _, _ *BotRecord, r *ShowRecord) { r.Kill = &Killed{Node: "a"} }, []Kind{SlowRecovery}},
	} {
		r := perfectShow()
		c.spoil(r.Bots[0], r.Bots[2], r.Bots[4], r)
		judged(t, c.name, JudgeShow(r), c.want)
	}
}

func TestJudgeRecovery(t *testing.T) {
	for _, c := range []struct {
		took time.Duration
		want []Kind
	}{{time.Second, nil}, {6 * time.Second, []Kind{SlowRecovery}}, {11 * time.Second, []Kind{SlowRecovery}}} {
		r := perfectShow()
		r.Kill = &Killed{Node: "a"}
		for _, b := range r.Bots {
			b.Recovered = time.Second
		}
		r.Bots[3].OnKilled, r.Bots[3].Recovered, r.Bots[3].Reconnected = true, c.took, c.took
		judged(t, c.took.String(), JudgeShow(r), c.want)
	}
}

func TestJudgeShowThatEndsTooSoon(t *testing.T) {
	r := perfectShow()
	for _, b := range r.Bots {
		b.Pushes = b.Pushes[:index(b, "result", 0)]
	}
	found := map[Kind]bool{}
	for _, v := range JudgeShow(r) {
		found[v.Kind] = true
	}
	if !found[EventWrong] {
		t.Errorf("found %v", found)
	}
}
