package loadtest

import (
	"cmp"
	"fmt"
	"slices"
)

// Kind is a sort of broken promise.
type Kind uint8

// The kinds. Their names in reports are in kinds.
const (
	LoginFailed    Kind = iota // a player could not log in or join
	NodeDied                   // a node ended though nobody killed it
	Stalled                    // the scenario did not come to its end
	SessionLost                // a session did not survive
	CallUnanswered             // the outcome of a call stayed unknown
	CallRefused                // refused with a code that does not fit
	RefusedEarly               // too_late before the question closed
	WrongAccept                // an answer was accepted that must not be
	AnswerChanged              // two ok replies to one player and question name different choices
	CountLost                  // a result counts fewer than were accepted
	CountExtra                 // a result counts more than were accepted
	VerdictLost                // a player who was in got none
	VerdictDoubled             // … got more than one
	VerdictWrong               // … got one that does not follow from his accepted answer
	VerdictStray               // a player who was out got one
	AliveWrong                 // the number of those still in
	EventWrong                 // a question, result or winners with wrong content or out of turn
	WinnersWrong               // count, share or names
	MoneyLost                  // an account holds less than was acknowledged
	MoneyExtra                 // … more
	ReplyWrong                 // the answer to a deposit names another balance than it must
	StreamGap                  // a push of a stream is missing
	StreamDoubled              // … came twice
	StreamDiffers              // two players got different things under one offset
	SayLost                    // something said and acknowledged was heard by nobody
	SayDoubled                 // … is in the stream twice
	SayReordered               // … is in the stream before what its speaker said earlier
	SlowRecovery               // after a kill a player could not go on in time
	kindCount
)

// class says what a kind means for what was acknowledged.
type class uint8

const (
	failed class = iota
	lost
	doubled
	wrong
)

var kinds = [kindCount]struct {
	name  string
	class class
}{
	LoginFailed: {"login_failed", failed}, NodeDied: {"node_died", failed}, Stalled: {"stalled", failed},
	SessionLost: {"session_lost", lost}, CallUnanswered: {"call_unanswered", lost}, CallRefused: {"call_refused", wrong},
	RefusedEarly: {"refused_early", wrong}, WrongAccept: {"wrong_accept", wrong}, AnswerChanged: {"answer_changed", wrong},
	CountLost: {"count_lost", lost}, CountExtra: {"count_extra", doubled}, VerdictLost: {"verdict_lost", lost},
	VerdictDoubled: {"verdict_doubled", doubled}, VerdictWrong: {"verdict_wrong", wrong}, VerdictStray: {"verdict_stray", wrong},
	AliveWrong: {"alive_wrong", wrong}, EventWrong: {"event_wrong", wrong}, WinnersWrong: {"winners_wrong", wrong},
	MoneyLost: {"money_lost", lost}, MoneyExtra: {"money_extra", doubled}, ReplyWrong: {"reply_wrong", wrong},
	StreamGap: {"stream_gap", lost}, StreamDoubled: {"stream_doubled", doubled}, StreamDiffers: {"stream_differs", wrong},
	SayLost: {"say_lost", lost}, SayDoubled: {"say_doubled", doubled}, SayReordered: {"say_reordered", wrong},
	SlowRecovery: {"slow_recovery", failed},
}

// String is the kind's name in reports.
func (k Kind) String() string { return kinds[k].name }

// MarshalText makes it so in JSON too.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// maxExamples is how many cases of a kind are told in full.
const maxExamples = 5

// Violation is a broken promise: how often, and the first cases.
type Violation struct {
	Kind     Kind     `json:"kind"`
	Count    int64    `json:"count"`
	Examples []string `json:"examples"`
}

// findings collects violations. One goroutine.
type findings struct{ found [kindCount]Violation }

func (f *findings) add(k Kind, format string, args ...any) { f.addN(k, 1, format, args...) }

// addN adds n cases told by one example.
func (f *findings) addN(k Kind, n int64, format string, args ...any) {
	v := &f.found[k]
	v.Kind = k
	v.Count += n
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// list gives what was found, the most frequent kind last, so that rare causes stand before their many effects.
func (f *findings) list() []Violation {
	out := []Violation{}
	for _, v := range f.found {
		if v.Count > 0 {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b Violation) int { return cmp.Compare(a.Count, b.Count) })
	return out
}

func sum(list []Violation, c class) (n int64) {
	for _, v := range list {
		if kinds[v.Kind].class == c {
			n += v.Count
		}
	}
	return n
}
