package trivia

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"gamed/game"
	"gamed/protocol"
)

// Limits of a show.
const (
	MinChoices   = 2
	MaxChoices   = 8
	MinSeconds   = 0.5
	MaxSeconds   = 120
	MaxPause     = 60 // seconds
	DefaultPause = 3  // seconds
	MaxPrize     = 1 << 53
)

// Question is one question of a show.
type Question struct {
	Text    string
	Choices []string // MinChoices to MaxChoices
	Answer  int      // the index of the right one, from 0
	Seconds float64  // how long it is open, MinSeconds to MaxSeconds
}

// Show is what a host opens: the payload of open.
type Show struct {
	Questions []Question // at least one
	Prize     int64      // shared by the winners, 0 to MaxPrize
	Pause     float64    // seconds between a result and what follows it, 0 to MaxPause
}

// Payload is the show as open takes it.
func (s Show) Payload() game.Payload {
	qs := protocol.AppendArray(nil, len(s.Questions))
	for _, q := range s.Questions {
		qs = append(qs, game.NewMap().Text("text", q.Text).Texts("choices", q.Choices).Int("answer", int64(q.Answer)).
			Float("seconds", q.Seconds).Payload()...)
	}
	return game.NewMap().Raw("questions", qs).Int("prize", s.Prize).Float("pause", s.Pause).Payload()
}

// ParseShow reads a show written as JSON with the keys of open.
func ParseShow(json []byte) (Show, error) {
	b, err := protocol.AppendFromJSON(nil, json)
	if err != nil {
		return Show{}, fmt.Errorf("show: %w", err)
	}
	return readShow(b)
}

// readShow reads and judges the payload of open.
func readShow(p game.Payload) (Show, error) {
	f := p.Fields()
	list := f.List("questions")
	s := Show{Prize: f.Int("prize"), Pause: f.FloatOr("pause", DefaultPause)}
	if err := f.Err(); err != nil {
		return Show{}, err
	}
	switch {
	case len(list) == 0:
		return Show{}, errors.New("questions: want at least one")
	case s.Prize < 0 || s.Prize > MaxPrize:
		return Show{}, fmt.Errorf("prize: want 0 to %d", int64(MaxPrize))
	case !(s.Pause >= 0 && s.Pause <= MaxPause):
		return Show{}, fmt.Errorf("pause: want 0 to %d seconds", MaxPause)
	}
	for i, p := range list {
		q, err := readQuestion(p)
		if err != nil {
			return Show{}, fmt.Errorf("question %d: %w", i+1, err)
		}
		s.Questions = append(s.Questions, q)
	}
	return s, nil
}

func readQuestion(p game.Payload) (Question, error) {
	f := p.Fields()
	q := Question{Text: f.Text("text"), Seconds: f.Float("seconds")}
	list, answer := f.List("choices"), f.Int("answer")
	if err := f.Err(); err != nil {
		return q, err
	}
	switch {
	case len(list) < MinChoices || len(list) > MaxChoices:
		return q, fmt.Errorf("choices: want %d to %d", MinChoices, MaxChoices)
	case answer < 0 || answer >= int64(len(list)):
		return q, errors.New("answer: want the index of a choice, from 0")
	case !(q.Seconds >= MinSeconds && q.Seconds <= MaxSeconds):
		return q, fmt.Errorf("seconds: want %v to %v", MinSeconds, MaxSeconds)
	case !utf8.ValidString(q.Text):
		return q, errors.New("text: want UTF-8")
	}
	q.Answer = int(answer)
	for _, c := range list {
		cur := protocol.NewCursor(c)
		s, ok := cur.Text()
		if !ok || !utf8.Valid(s) {
			return q, errors.New("choices: want texts")
		}
		q.Choices = append(q.Choices, string(s))
	}
	return q, nil
}

// open is how long the question can be answered.
func (q Question) open() time.Duration { return seconds(q.Seconds) }

func seconds(s float64) time.Duration {
	return time.Duration(math.Round(s*1000)) * time.Millisecond
}
