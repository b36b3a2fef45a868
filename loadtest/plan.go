package loadtest

import (
	"math/rand/v2"
	"time"
)

// move is what a bot does with a question.
type move uint8

const (
	once       move = iota // the right answer, some time before the end
	mistaken               // a wrong one
	twice                  // the right one, and when it is answered another, which must not count
	atOnce                 // both at the same moment: either may count, but only one
	correction             // a choice that does not exist, then the right one
	lastMoment             // right around the end: accepted or too late
	tooLate                // after the end
	silent                 // nothing
)

// weights say how often each move comes; about one bot in sixteen is out after a question.
var weights = [...]int{once: 78, mistaken: 2, twice: 8, atOnce: 3, correction: 4, lastMoment: 3, tooLate: 1, silent: 1}

// watching is how often, in percent, a bot that is out answers all the same.
const watching = 10

// attempt is one call of a move.
type attempt struct {
	after    time.Duration // since the question came
	choice   int64
	together bool // does not wait for the answer of the one before
}

// plan is what a bot will do, fixed by the run's seed and his number.
type plan struct{ seed, bot uint64 }

// attempts are the calls for a question that is open for so long; out says that the bot is out.
func (p plan) attempts(q int, right int64, choices int, open time.Duration, out bool) []attempt {
	r := rand.New(rand.NewPCG(p.seed, p.bot<<20|uint64(q)))
	at := rand64(r, open*8/10)
	other := (right + 1 + r.Int64N(int64(choices)-1)) % int64(choices)
	if out {
		if r.IntN(100) < watching {
			return []attempt{{after: at, choice: right}}
		}
		return nil
	}
	switch pick(r) {
	case mistaken:
		return []attempt{{after: at, choice: other}}
	case twice:
		return []attempt{{after: at, choice: right}, {after: at + rand64(r, open/10), choice: other}}
	case atOnce:
		return []attempt{{after: at, choice: right}, {after: at, choice: other, together: true}}
	case correction:
		return []attempt{{after: at, choice: int64(choices)}, {after: at, choice: right}}
	case lastMoment:
		return []attempt{{after: open - 150*time.Millisecond + rand64(r, 300*time.Millisecond), choice: right}}
	case tooLate:
		return []attempt{{after: open + 300*time.Millisecond + rand64(r, 300*time.Millisecond), choice: right}}
	case silent:
		return nil
	}
	return []attempt{{after: at, choice: right}}
}

func rand64(r *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(max(below, 1))))
}

func pick(r *rand.Rand) move {
	n := r.IntN(100)
	for m, w := range weights {
		if n < w {
			return move(m)
		}
		n -= w
	}
	return once
}
