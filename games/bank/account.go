package bank

import (
	"errors"
	"fmt"
	"time"
)

// account is the state of a part, and the rules of money: no context, no clock of its own, no messages.
type account struct {
	balance int64
	done    []operation // those with an id, oldest first, at most kept
	credits []credit    // granted, oldest first, at most kept
	calls   calls       // done without an id
	out     []transfer  // under way, oldest first, at most maxOut
	seq     int64       // of the newest transfer sent
	in      []sender    // at most maxSenders
	got     []receipt   // transfers added to the balance, oldest first, at most kept
}

// credit is what a game paid out.
type credit struct {
	id     string
	amount int64
}

// calls are the client's last calls without an id, of one session, at most keptCalls. They are looked at only when the account is
// merged: the session sees to it that a call is done once, but not on both sides of a split.
type calls struct {
	session uint64 // a hash of it
	done    []call // oldest first
}

type call struct {
	ref   uint64
	delta int64 // what it added to the balance
}

// note remembers a call.
func (l *calls) note(session, ref uint64, delta int64) {
	if l.session != session {
		*l = calls{session: session}
	}
	if len(l.done) >= keptCalls {
		l.done = append(l.done[:0], l.done[len(l.done)-keptCalls+1:]...)
	}
	l.done = append(l.done, call{ref, delta})
}

// operation is what the owner asked for, and the balance it was answered with.
type operation struct {
	kind    string
	amount  int64
	to      string
	id      string
	balance int64
}

// transfer is money on its way.
type transfer struct {
	seq     int64
	to      string
	amount  int64
	settled bool // its outcome is known here; the receiver is yet to be told
}

// The refusals that are not simply invalid.
var (
	errConflict = errors.New("id: used for another operation")
	errBusy     = errors.New("too many transfers are under way")
	errSettled  = errors.New("the transfer was settled before")
)

// apply does an operation. A repeat of one done before (by id) gets the first balance and changes nothing. t is not nil when a
// transfer begins. A refused operation changes nothing.
func (a *account) apply(op operation, now time.Time) (t *transfer, balance int64, repeated bool, err error) {
	if op.amount <= 0 || op.amount > Max {
		return nil, 0, false, fmt.Errorf("amount: want 1 to %d", int64(Max))
	}
	if len(op.id) > MaxID {
		return nil, 0, false, fmt.Errorf("id: want at most %d bytes", MaxID)
	}
	if op.id != "" {
		for _, d := range a.done {
			if d.id != op.id {
				continue
			}
			if d.kind != op.kind || d.amount != op.amount || d.to != op.to {
				return nil, 0, false, errConflict
			}
			return nil, d.balance, true, nil
		}
	}
	switch op.kind {
	case "deposit":
		if !a.fits(op.amount) {
			return nil, 0, false, errLimit
		}
		a.balance += op.amount
	case "withdraw", "transfer":
		if op.amount > a.balance {
			return nil, 0, false, fmt.Errorf("amount: the account holds %d", a.balance)
		}
		if op.kind == "transfer" {
			if len(a.out) >= maxOut {
				return nil, 0, false, errBusy
			}
			// Numbers from the clock are new even to an account that lost its state.
			a.seq = max(a.seq+1, now.UnixNano())
			a.out = append(a.out, transfer{seq: a.seq, to: op.to, amount: op.amount})
			t = &a.out[len(a.out)-1]
		}
		a.balance -= op.amount
	}
	op.balance = a.balance
	if op.id != "" {
		a.done = remember(a.done, op)
	}
	return t, a.balance, false, nil
}

var errLimit = fmt.Errorf("amount: an account holds at most %d", int64(Max))

// fits says whether amount can be added. Room is kept for transfers that may be paid back.
func (a *account) fits(amount int64) bool {
	room := Max - a.balance
	for _, t := range a.out {
		if !t.settled {
			room -= t.amount
		}
	}
	return amount <= room
}

// grant adds amount once per id. fresh: it did so now.
func (a *account) grant(amount int64, id string) (fresh bool, err error) {
	if amount <= 0 || amount > Max {
		return false, fmt.Errorf("amount: want 1 to %d", int64(Max))
	}
	if id == "" || len(id) > maxCreditID {
		return false, fmt.Errorf("id: want 1 to %d bytes", maxCreditID)
	}
	for _, known := range a.credits {
		if known.id == id {
			return false, nil
		}
	}
	if !a.fits(amount) {
		return false, errLimit
	}
	a.balance += amount
	a.credits = remember(a.credits, credit{id, amount})
	return true, nil
}

// remember appends v and forgets the oldest beyond kept.
func remember[T any](list []T, v T) []T {
	if len(list) >= kept {
		list = append(list[:0], list[len(list)-kept+1:]...)
	}
	return append(list, v)
}
