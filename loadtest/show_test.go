package loadtest

import (
	"context"
	"testing"
	"time"
)

// TestShowIsExact: three processes, a thousand players over all of them, more than twenty questions; every count, verdict, winner
// and account is exact.
func TestShowIsExact(t *testing.T) {
	players, questions := 1000, 22
	if testing.Short() {
		players, questions = 150, 5
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	r, err := Show(ctx, ShowOptions{Nodes: startNodes(t, 3), Players: players, Questions: questions, Seconds: 1, Pause: 0.1})
	exact(t, r, err)
	if r.Questions != questions || r.Winners == 0 || r.Share != 1_000_000/r.Winners {
		t.Errorf("%d questions, %d winners with %d each", r.Questions, r.Winners, r.Share)
	}
	if n := int64(players); r.Codes["ok"] < 2*n || r.Codes["too_late"] == 0 || r.Codes["invalid"] == 0 || r.Codes["out"] == 0 {
		t.Errorf("the players did not try everything: %v", r.Codes)
	}
	if r.LogErrors > 0 {
		t.Errorf("%d lines of level error in the nodes' logs", r.LogErrors)
	}
}

func TestShowRefusesWhatCannotBePlayed(t *testing.T) {
	for name, o := range map[string]ShowOptions{
		"nowhere":           {},
		"unknown questions": {Addrs: []string{"127.0.0.1:1"}, Set: "none"},
		"too many":          {Addrs: []string{"127.0.0.1:1"}, Questions: 10_000},
		"kill others' node": {Addrs: []string{"127.0.0.1:1"}, KillAt: 1},
		"kill later":        {Addrs: []string{"127.0.0.1:1"}, Questions: 2, KillAt: 3},
		"no players":        {Addrs: []string{"127.0.0.1:1"}, Players: -1},
	} {
		if r, err := Show(t.Context(), o); err == nil {
			t.Errorf("%s: played: %+v", name, r)
		}
	}
}
