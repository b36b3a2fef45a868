package simulation

import (
	"errors"
	"slices"

	"gamed/protocol"
)

// account is the game of the simulation: a sum, and which operations made it, how often. It stands for what must be neither lost
// nor doubled.
type account struct {
	balance int64
	done    []applied // by operation
}

type applied struct {
	op    uint64
	times int64
}

// apply adds an amount once more for an operation.
func (a *account) apply(op uint64, amount int64) {
	a.balance += amount
	i := a.find(op)
	if i == len(a.done) || a.done[i].op != op {
		a.done = slices.Insert(a.done, i, applied{op: op})
	}
	a.done[i].times++
}

func (a *account) find(op uint64) int {
	i, _ := slices.BinarySearchFunc(a.done, op, func(x applied, op uint64) int {
		switch {
		case x.op < op:
			return -1
		case x.op > op:
			return 1
		}
		return 0
	})
	return i
}

// times is how often an operation was applied.
func (a *account) times(op uint64) int64 {
	if i := a.find(op); i < len(a.done) && a.done[i].op == op {
		return a.done[i].times
	}
	return 0
}

func (a *account) append(b []byte) []byte {
	b = protocol.AppendInt(b, a.balance)
	for _, x := range a.done {
		b = protocol.AppendInt(protocol.AppendUint(b, x.op), x.times)
	}
	return b
}

var errAccount = errors.New("malformed account")

func parseAccount(b []byte) (a account, err error) {
	if len(b) == 0 {
		return a, nil
	}
	c := protocol.NewCursor(b)
	balance, ok := c.Int()
	a.balance = balance
	for ok && len(c.Rest()) > 0 {
		op, ok1 := c.Uint()
		times, ok2 := c.Int()
		ok = ok1 && ok2
		a.done = append(a.done, applied{op, times})
	}
	if !ok {
		return account{}, errAccount
	}
	return a, nil
}

// mergeAccounts is the rule of the bank: deltas add up; an operation with an id that both sides did counts once. amountOf says
// what such an operation added; false: it has no id.
func mergeAccounts(base, mine, theirs account, amountOf func(op uint64) (int64, bool)) account {
	out := account{balance: mine.balance + theirs.balance - base.balance}
	ops := map[uint64]bool{}
	var order []uint64
	for _, a := range []*account{&base, &mine, &theirs} {
		for _, x := range a.done {
			if !ops[x.op] {
				ops[x.op] = true
				order = append(order, x.op)
			}
		}
	}
	slices.Sort(order)
	for _, op := range order {
		b, m, t := base.times(op), mine.times(op), theirs.times(op)
		n := m + t - b
		if amount, id := amountOf(op); id && b == 0 && m > 0 && t > 0 {
			out.balance -= t * amount
			n = m
		}
		out.done = append(out.done, applied{op, n})
	}
	return out
}

// accountPart merges accounts as a game's part does.
type accountPart struct{ amountOf func(op uint64) (int64, bool) }

// Snapshot implements game.Stater; the simulation never asks.
func (accountPart) Snapshot(dst []byte) []byte { return dst }

// Restore implements game.Stater; the simulation never asks.
func (accountPart) Restore([]byte) error { return nil }

// Merge implements game.Merger.
func (p accountPart) Merge(base, mine, theirs []byte) ([]byte, error) {
	b, err1 := parseAccount(base)
	m, err2 := parseAccount(mine)
	t, err3 := parseAccount(theirs)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	out := mergeAccounts(b, m, t, p.amountOf)
	return out.append(nil), nil
}
