package loadtest

import "time"

// BankRecord is all that was seen of a bank scenario from outside.
type BankRecord struct {
	Savers []*SaverRecord
	Died   []string // nodes that ended by themselves, and what they said
	Forks  bool     // both sides of a split may have served
	Stuck  string   // why the cluster did not become whole after a kill; "": it did
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
}

// Deposit is one operation, acknowledged at most once however often it was sent.
type Deposit struct {
	ID      string
	Amount  int64
	Balance int64 // as the answer said
	Sent    time.Time
	Done    time.Time
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
			f.add(MoneyLost, "%s has %d, acknowledged are %d in %d deposits", s.Name, s.Balance, due, len(s.Deposits))
		case s.Balance > most:
			f.add(MoneyExtra, "%s has %d, acknowledged are %d in %d deposits", s.Name, s.Balance, due, len(s.Deposits))
		}
	}
	return f.list()
}
