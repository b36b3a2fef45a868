package loadtest

import (
	"context"
	"testing"
	"time"
)

// TestChatIsExactThroughAKill: what is said in rooms while a node dies is heard once by all, in order.
func TestChatIsExactThroughAKill(t *testing.T) {
	o := ChatOptions{Rooms: 6, Members: 5, Duration: 5 * time.Second, Pause: 300 * time.Millisecond, Nodes: startNodes(t, 3)}
	o.Trouble = func(ctx context.Context) error {
		if !waitUntil(ctx, time.Now().Add(time.Second)) {
			return ctx.Err()
		}
		_, err := o.Nodes.Kill("b")
		return err
	}
	r, err := Chat(t.Context(), o)
	exact(t, r, err)
	if r.Words.Said < 200 || r.Words.Heard < 4*r.Words.Said {
		t.Errorf("too little was said: %+v", *r.Words)
	}
}

func TestChatRefusesWhatCannotBePlayed(t *testing.T) {
	for name, o := range map[string]ChatOptions{
		"nowhere":  {},
		"negative": {Addrs: []string{"127.0.0.1:1"}, Rooms: -1},
	} {
		if r, err := Chat(t.Context(), o); err == nil {
			t.Errorf("%s: played: %+v", name, r)
		}
	}
}
