package loadtest

import (
	"slices"
	"testing"
	"time"
)

func perfectBank() *BankRecord {
	return &BankRecord{Savers: []*SaverRecord{
		{Name: "ann", Deposits: []Deposit{{ID: "d1", Amount: 5, Balance: 5}, {ID: "d2", Amount: 7, Balance: 12}}, Balance: 12},
		{Name: "bob", Deposits: []Deposit{{ID: "d1", Amount: 1, Balance: 1}}, Balance: 1},
	}}
}

func TestJudgeBank(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*BankRecord)
		want  []Kind
	}{
		{"all is well", func(*BankRecord) {}, nil},
		{"lost", func(r *BankRecord) { r.Savers[0].Balance = 5 }, []Kind{MoneyLost}},
		{"doubled", func(r *BankRecord) { r.Savers[0].Balance = 19 }, []Kind{MoneyExtra}},
		{"a reply lies", func(r *BankRecord) { r.Savers[0].Deposits[1].Balance = 19 }, []Kind{ReplyWrong}},
		{"a reply of one side", func(r *BankRecord) { r.Savers[0].Deposits[1].Balance, r.Forks = 7, true }, nil},
		{"lost by a merge", func(r *BankRecord) { r.Savers[0].Balance, r.Forks = 5, true }, []Kind{MoneyLost}},
		{"in doubt, not done", func(r *BankRecord) { r.Savers[1].InDoubt = &Deposit{ID: "d2", Amount: 3} }, []Kind{CallUnanswered}},
		{"in doubt, done", func(r *BankRecord) { r.Savers[1].InDoubt = &Deposit{ID: "d2", Amount: 3}; r.Savers[1].Balance = 4 }, []Kind{CallUnanswered}},
		{"in doubt, done twice", func(r *BankRecord) { r.Savers[1].InDoubt = &Deposit{ID: "d2", Amount: 3}; r.Savers[1].Balance = 7 }, []Kind{CallUnanswered, MoneyExtra}},
		{"refused", func(r *BankRecord) { r.Savers[1].Refused = "d2: conflict" }, []Kind{CallRefused}},
		{"no balance", func(r *BankRecord) { r.Savers[1].Problem = "unavailable" }, []Kind{CallUnanswered}},
		{"a node died", func(r *BankRecord) { r.Died = []string{"a"} }, []Kind{NodeDied}},
		{"all slow", func(r *BankRecord) { r.Recovered = []time.Duration{time.Second, 6 * time.Second} }, []Kind{SlowRecovery}},
		{"one very slow", func(r *BankRecord) { r.Recovered = append(make([]time.Duration, 200), 11*time.Second) }, []Kind{SlowRecovery}},
		{"quick enough", func(r *BankRecord) { r.Recovered = append(make([]time.Duration, 200), 9*time.Second) }, nil},
		{"a session lost", func(r *BankRecord) { r.Calm, r.Savers[0].Sessions = true, 2 }, []Kind{SessionLost}},
		{"a session left", func(r *BankRecord) { r.Savers[0].Sessions = 2 }, nil},
		{"never whole", func(r *BankRecord) { r.Stuck = "a has no table" }, []Kind{Stalled}},
	} {
		r := perfectBank()
		c.spoil(r)
		judged(t, c.name, JudgeBank(r), c.want)
	}
}

// judged compares the kinds found with those wanted, in any order.
func judged(t *testing.T, name string, got []Violation, want []Kind) {
	t.Helper()
	var kinds []Kind
	for _, v := range got {
		kinds = append(kinds, v.Kind)
	}
	slices.Sort(kinds)
	slices.Sort(want)
	if !slices.Equal(kinds, want) {
		t.Errorf("%s: found %v, want %v: %+v", name, kinds, want, got)
	}
}
