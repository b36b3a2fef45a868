package loadtest

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// BankRecord is all that was seen of a bank scenario from outside.
type BankRecord struct {
	Savers []*SaverRecord
	Died   []string // nodes that ended by themselves, and what they said
	Forks  bool     // both sides of a split may have served
	Calm   bool     // the harness left no session

	Recovered []time.Duration // after a kill, of each player it affected; Never: he was not served again
	Stuck     string          // why the cluster did not become whole after a kill; "": it did
}

// SaverRecord is what one player deposited and was told.
type SaverRecord struct {
	Name     string
	Deposits []Deposit        // acknowledged, in order; one was sent when the one before was acknowledged
	InDoubt  *Deposit         // the last one, when it never was
	Refused  string           // a deposit was refused for good
	Codes    map[string]int64 // outcomes of all attempts
	Balance  int64            // at the end
	Problem  string           // why it is not known

	Connects, Sessions int64 // WELCOMEs, and those that began a session, until the last deposit
}

// Deposit is one operation, acknowledged at most once however often it was sent.
type Deposit struct {
	ID      string
	Amount  int64
	Balance int64 // as the answer said
	Sent    time.Time
	Done    time.Time
	Node    string // where the player's socket was when the answer came
}

// Never is how long what did not happen took.
const Never = time.Duration(math.MaxInt64)

// Served is the time from a moment until a deposit was acknowledged that was begun after it.
func (s *SaverRecord) Served(since time.Time) time.Duration {
	for _, d := range s.Deposits {
		if !d.Sent.Before(since) {
			return d.Done.Sub(since)
		}
	}
	return Never
}

// Stall is the longest that a deposit took of those under way from one moment to another.
func (s *SaverRecord) Stall(from, to time.Time) (longest time.Duration) {
	for _, d := range s.Deposits {
		if d.Done.After(from) && d.Sent.Before(to) {
			longest = max(longest, d.Done.Sub(d.Sent))
		}
	}
	return longest
}

// exactUntil tells where to look for what went wrong: the last answer that named the right balance, and the next one.
func (s *SaverRecord) exactUntil() string {
	var due int64
	text := "it never was exact"
	for i, d := range s.Deposits {
		if due += d.Amount; d.Balance != due {
			continue
		}
		text = fmt.Sprintf("%s at %s was exact", d.ID, d.Done.Format(clock))
		if i+1 < len(s.Deposits) {
			next := s.Deposits[i+1]
			text += fmt.Sprintf(", then %s at %s was told %d", next.ID, next.Done.Format(clock), next.Balance)
		}
	}
	return text
}

// JudgeBank lists every promise that was broken in a bank scenario. It sees nothing but the record.
func JudgeBank(r *BankRecord) []Violation {
	var f findings
	for _, died := range r.Died {
		f.add(NodeDied, "%s", died)
	}
	if r.Stuck != "" {
		f.add(Stalled, "%s", r.Stuck)
	}
	for _, s := range r.Savers {
		var due int64
		for _, d := range s.Deposits {
			if due += d.Amount; d.Balance != due && !r.Forks {
				f.add(ReplyWrong, "%s, deposit %s of %d: told %d, want %d", s.Name, d.ID, d.Amount, d.Balance, due)
			}
		}
		if r.Calm && !r.Forks && s.Sessions > 1 {
			f.add(SessionLost, "%s had %d sessions", s.Name, s.Sessions)
		}
		most := due
		switch {
		case s.Refused != "":
			f.add(CallRefused, "%s, deposit %s", s.Name, s.Refused)
		case s.InDoubt != nil:
			f.add(CallUnanswered, "%s, deposit %s was never acknowledged", s.Name, s.InDoubt.ID)
			most += s.InDoubt.Amount
		}
		switch {
		case s.Problem != "":
			f.add(CallUnanswered, "%s: balance: %s", s.Name, s.Problem)
		case s.Balance < due:
			f.add(MoneyLost, "%s has %d, acknowledged are %d in %d deposits; %s", s.Name, s.Balance, due, len(s.Deposits), s.exactUntil())
		case s.Balance > most:
			f.add(MoneyExtra, "%s has %d, acknowledged are %d in %d deposits; %s", s.Name, s.Balance, due, len(s.Deposits), s.exactUntil())
		}
	}
	slices.Sort(r.Recovered)
	if n := len(r.Recovered); n > 0 {
		if p99 := r.Recovered[n*99/100]; p99 > recoveryP99 {
			f.add(SlowRecovery, "of %d players whose node was killed the slowest hundredth took %v and more", n, p99)
		}
		if worst := r.Recovered[n-1]; worst > recoveryWorst {
			f.add(SlowRecovery, "of %d players whose node was killed one took %v", n, worst)
		}
	}
	return f.list()
}
