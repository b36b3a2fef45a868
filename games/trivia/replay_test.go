package trivia

import (
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// What a member who resumes is told of a question's end is what is left of it, 0 once it has closed.
func TestReplayedQuestionsCloseWhenTheyDo(t *testing.T) {
	asked := time.Unix(1_700_000_000, 0)
	r := &room{}
	r.open(three, asked)
	if !r.start(asked) {
		t.Fatal("the show does not start")
	}
	pushed := r.pushed(asked).Payload()
	replay := func(at time.Duration, offset, newest uint64) string {
		var c game.Context
		c.Begin(game.Frame{At: asked.Add(at), Me: game.Address{Topic: friday}, Offset: newest})
		b, err := protocol.AppendJSON(nil, r.Replay(&c, offset, "question", pushed))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	question := `{"q":1,"of":3,"text":"one?","choices":["a","b","c"],"closes_in_ms":`
	for _, tc := range []struct {
		name           string
		at             time.Duration
		offset, newest uint64
		want           string
	}{
		{"at once", 0, 5, 5, "10000}"},
		{"while it is open", 4 * time.Second, 5, 5, "6000}"},
		{"late", 11 * time.Second, 5, 5, "0}"},
		{"of an earlier show", 4 * time.Second, 2, 5, "0}"},
	} {
		if got := replay(tc.at, tc.offset, tc.newest); got != question+tc.want {
			t.Errorf("%s: %s, want %s%s", tc.name, got, question, tc.want)
		}
	}
	r.phase = counting
	if got := replay(4*time.Second, 5, 5); got != question+"0}" {
		t.Errorf("closed: %s", got)
	}
	var c game.Context
	c.Begin(game.Frame{At: asked, Offset: 6})
	if got := r.Replay(&c, 6, "result", pushed); string(got) != string(pushed) {
		t.Errorf("a result is changed: % x", got)
	}
}
