package loadtest

import (
	"context"
	"testing"
	"time"
)

// TestShowIsExactThroughAKillAtTheResult: a node is killed at the moment when the first player hears the last result, while the others'
// verdicts are on their way and the winners are about to be counted.
func TestShowIsExactThroughAKillAtTheResult(t *testing.T) {
	for whom, args := range map[string][]string{"home": nil, "backup": {"--dispatch=per-player"}, "other": nil} {
		t.Run(whom, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
			defer stop()
			nodes := startNodes(t, 3, args...)
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

// TestChatIsExactThroughAKillAndADrain: rooms' homes die, come back, and move, and no word that was acknowledged is lost or there twice.
func TestChatIsExactThroughAKillAndADrain(t *testing.T) {
	if testing.Short() {
		t.Skip("a drain and two restarts take long")
	}
	o := ChatOptions{Rooms: 8, Members: 5, Duration: time.Second, Pause: 200 * time.Millisecond, Nodes: startNodes(t, 3)}
	o.Trouble = func(ctx context.Context) error {
		for name, end := range map[string]func(string) error{
			"b": func(name string) error { _, err := o.Nodes.Kill(name); return err },
			"a": func(name string) error { _, _, err := o.Nodes.Terminate(name, 30*time.Second); return err },
		} {
			if !waitUntil(ctx, time.Now().Add(time.Second)) {
				return ctx.Err()
			}
			if err := end(name); err != nil {
				return err
			}
			if !waitUntil(ctx, time.Now().Add(time.Second)) {
				return ctx.Err()
			}
			if err := o.Nodes.Start(ctx, name, Extra{}); err != nil {
				return err
			}
			if err := o.Nodes.Whole(ctx, wholeLimit); err != nil {
				return err
			}
		}
		return nil
	}
	r, err := Chat(t.Context(), o)
	exact(t, r, err)
	if r.Words.Said < 500 || r.Words.Heard < 4*r.Words.Said {
		t.Errorf("too little was said: %+v", *r.Words)
	}
}
