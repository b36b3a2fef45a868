// Package trivia is the live game show, topics "trivia:<show>": a host asks, everybody in the room answers at the same moment, who
// is wrong or silent is out, and those still in after the last question share the prize.
//
// It shows how a game is split. A player's answer never travels to the room: his own part judges it, remembers it and adds to a
// tally, so a million answers are a million small messages on as many entities. The room only asks, collects the tally of each
// question once it is closed, and tells the result to all.
//
// Four state machines without clock or messages of their own hold the rules: show (what is asked), stage (where the room stands),
// contestant (where a player stands) and prize (what is owed to a winner). The handlers around them only translate.
//
// # Between the parts
//
// The room tells all player parts its standing whenever it changes: the run, the open question, and the right answers so far. A
// standing is complete, so a part that hears two in the wrong order, or one twice, ends up the same. A run is one show from open
// to winners; its number never comes again in a topic.
//
// Tally rounds are named "<run>/<what>": "1" and so on for questions (slot: the choice; slot+8: the choice of a player who left
// after answering), "win" for those still in at the end, "paid0", "paid1", … for winners whose account holds the share. One of
// these is open at a time; a part adds to the newest it was told of, and the room goes on to the next until the sum is complete, or
// a winner was lost with his owner and his backup.
//
// What a round needs the parts to have heard is told before it is collected, and again before it is collected again, so that a part
// that a crash threw back catches up: final and payout do once what is to be done, however often they are heard.
package trivia

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"gamed/game"
)

// Times.
const (
	grace   = 200 * time.Millisecond // from a question's end to counting: players heard of it a little later than the room asked
	recount = 5 * time.Second        // a collect that brought nothing is asked again
	payPoll = 200 * time.Millisecond // first look whether winners were credited; doubles up to payPollMax
)

const payPollMax = 2 * time.Second

// missingPolls is how often in a row, about a minute, nothing may be heard of a winner before the show ends without him.
const missingPolls = 32

// The slots of a paid round.
const (
	paidSlot = 0 // credited
	owedSlot = 1 // waits to be
)

// forfeit is added to the slot of a choice whose player left.
const forfeit = MaxChoices

// Game describes trivia to the server. Winners are credited to the bank game of the same server.
func Game() game.Game {
	return game.Game{
		Name:     "trivia",
		HasTopic: func(id string) bool { return id != "" },
		Player:   func(string) game.Player { return &part{} },
		Room:     func(string) game.Room { return &room{} },
		Words: []game.Word{{Name: "answer", Usage: "<n>", Help: "the n-th choice of the open question, counted from 1",
			Event: "answer", Parse: parseAnswer}},
	}
}

func parseAnswer(args string, mem game.Memory) (game.Payload, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(args), 10, 64)
	if err != nil || n < 1 {
		return nil, errors.New("answer: want the number of a choice, 1 for the first")
	}
	asked := mem.Pushed("question")
	if asked == nil {
		joined := mem.Replied("join").Fields()
		asked = joined.Raw("question")
	}
	f := asked.Fields()
	if !f.Has("q") {
		return nil, errors.New("no question was asked yet")
	}
	return game.NewMap().Int("q", f.Int("q")).Int("choice", n-1).Payload(), f.Err()
}

// standing is what the room tells player parts about itself.
type standing struct {
	run     int64   // 0: nothing was opened yet
	q       int     // the last question asked, 0 before the first
	choices int     // of that question
	closes  int64   // milliseconds it is still open
	answers []int64 // the right choices of the questions that have a result
	over    bool
}

// fields adds the standing to a message.
func (s standing) fields(m *game.Map) *game.Map {
	return m.Int("run", s.run).Int("q", int64(s.q)).Int("choices", int64(s.choices)).Int("closes", s.closes).
		Ints("answers", s.answers).Bool("over", s.over)
}

func readStanding(f *game.Fields) standing {
	s := standing{run: f.Int("run"), q: int(f.Int("q")), choices: int(f.Int("choices")), closes: f.Int("closes"), over: f.Bool("over")}
	for _, p := range f.List("answers") {
		r := game.ReadState(p)
		s.answers = append(s.answers, r.Int())
	}
	return s
}

// round names a tally round of a run.
func round(run int64, what string) string { return strconv.FormatInt(run, 36) + "/" + what }

func questionRound(run int64, q int) string { return round(run, strconv.Itoa(q)) }

func paidRound(run, poll int64) string { return round(run, "paid"+strconv.FormatInt(poll, 10)) }
