package loadtest

import (
	"context"
	"testing"
	"time"
)

// TestAccountsAreExactThroughKills: deposits through broken connections, left sessions and dying nodes count once each.
func TestAccountsAreExactThroughKills(t *testing.T) {
	o := BankOptions{Players: 100, Duration: 8 * time.Second, Break: time.Second, Kills: 1}
	if testing.Short() {
		o.Players, o.Duration = 30, 4*time.Second
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	o.Nodes = startNodes(t, 3)
	r, err := Bank(ctx, o)
	exact(t, r, err)
	if d := r.Deposits; d.Acknowledged < int64(20*o.Players) || d.Broken == 0 || d.Left == 0 || d.Repeated == 0 {
		t.Errorf("too little happened: %+v", *d)
	}
	if len(r.Killed) != 1 || len(o.Nodes.Alive()) != 3 {
		t.Errorf("killed: %+v, alive: %v", r.Killed, o.Nodes.Alive())
	}
}

func TestBankRefusesWhatCannotBePlayed(t *testing.T) {
	for name, o := range map[string]BankOptions{
		"nowhere":            {},
		"kill others' nodes": {Addrs: []string{"127.0.0.1:1"}, Kills: 1},
		"negative":           {Addrs: []string{"127.0.0.1:1"}, Players: -1},
	} {
		if r, err := Bank(t.Context(), o); err == nil {
			t.Errorf("%s: played: %+v", name, r)
		}
	}
}
