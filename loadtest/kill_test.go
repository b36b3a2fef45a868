package loadtest

import (
	"context"
	"testing"
	"time"
)

// TestShowIsExactThroughAKillAtTheResult: a node is killed at the moment when the first player hears the last result, while the others'
// verdicts are on their way and the winners are about to be counted.
func TestShowIsExactThroughAKillAtTheResult(t *testing.T) {
	for _, whom := range []string{"home", "backup", "other"} {
		t.Run(whom, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
			defer stop()
			nodes := startNodes(t, 3)
			r, err := Show(ctx, ShowOptions{Nodes: nodes, Players: 200, Questions: 2, Seconds: 1, Pause: 0.01, KillAt: 2, KillResult: true, Kill: whom, KillSeconds: 1})
			exact(t, r, err)
			if len(r.Killed) != 1 || r.Killed[0].Home != (whom == "home") || len(nodes.Alive()) != 2 {
				t.Errorf("killed: %+v, alive: %v", r.Killed, nodes.Alive())
			}
		})
	}
}

// TestShowIsExactThroughAKill: the same with a node killed in the middle of a question; players on it go on elsewhere.
func TestShowIsExactThroughAKill(t *testing.T) {
	for _, whom := range []string{"home", "backup"} {
		t.Run(whom, func(t *testing.T) {
			t.Parallel()
			players, questions := 300, 6
			if testing.Short() {
				players, questions = 100, 3
			}
			ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
			defer stop()
			nodes := startNodes(t, 3)
			r, err := Show(ctx, ShowOptions{Nodes: nodes, Players: players, Questions: questions, Seconds: 1, KillAt: 2, Kill: whom, KillSeconds: 4})
			exact(t, r, err)
			if len(r.Killed) != 1 || r.Killed[0].Home != (whom == "home") || len(nodes.Alive()) != 2 {
				t.Errorf("killed: %+v, alive: %v", r.Killed, nodes.Alive())
			}
			if r.Questions != questions || r.Reconnect.Count == 0 || r.Recovery.Count != int64(players) {
				t.Errorf("%d questions, %d players reconnected, %d recovered", r.Questions, r.Reconnect.Count, r.Recovery.Count)
			}
		})
	}
}
