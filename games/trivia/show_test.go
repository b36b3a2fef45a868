package trivia

import (
	"strings"
	"testing"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/protocol"
)

func TestAWholeShow(t *testing.T) {
	h := open(t, three, "ann", "bob", "cat")
	h.start()
	q1 := `trivia:friday question {"q":1,"of":3,"text":"one?","choices":["a","b","c"],"closes_in_ms":10000}`
	h.sees("ann", q1)
	h.answer("ann", 1, 1)
	h.answer("bob", 1, 1)
	h.answer("cat", 1, 2)
	h.result()
	r1 := `trivia:friday result {"q":1,"answer":1,"counts":[0,2,1],"alive":2}`
	h.sees("ann", r1, `- verdict {"topic":"trivia:friday","q":1,"correct":true,"alive":true}`)
	h.sees("cat", q1, r1, `- verdict {"topic":"trivia:friday","q":1,"correct":false,"alive":false}`)
	h.pause()
	h.answer("ann", 2, 0)
	h.answer("bob", 2, 0)
	h.result()
	h.pause()
	h.forget("ann", "bob", "cat")
	h.answer("bob", 3, 2) // ann is silent
	h.result()
	r3 := `trivia:friday result {"q":3,"answer":2,"counts":[0,0,1,0],"alive":1}`
	h.sees("ann", r3, `- verdict {"topic":"trivia:friday","q":3,"correct":false,"alive":false}`)
	h.sees("cat", r3) // the eliminated still get the room's stream
	h.holds("bob", 0)
	h.pause()
	h.Advance(payPoll)
	h.sees("cat", `trivia:friday winners {"count":1,"share":100,"names":["bob"]}`)
	h.holds("bob", 100)
	h.holds("ann", 0)
	h.sees("host") // who has not joined gets nothing
}

func TestTheStreamHasNoGaps(t *testing.T) {
	h := open(t, three, "ann")
	h.start()
	for range 4 {
		h.result()
		h.pause()
	}
	next := map[string]uint64{}
	for _, p := range h.Player("ann").Pushes() {
		if next[p.Topic]++; p.Offset != next[p.Topic] {
			t.Errorf("%s has offset %d, want %d", p, p.Offset, next[p.Topic])
		}
	}
	if next[friday] != 3 || next[""] != 1 { // question, result, winners; verdict
		t.Errorf("pushes by topic: %v", next)
	}
}

func TestTheShowEndsWhenNobodyIsAlive(t *testing.T) {
	h := open(t, three, "ann")
	h.start()
	h.answer("ann", 1, 0)
	h.result()
	h.forget("ann")
	h.pause()
	h.sees("ann", `trivia:friday winners {"count":0,"share":0,"names":[]}`)
	h.joinSees("ann", `{"phase":"over","players":1,"alive":false,"offset":3}`)
}

func TestNobodyPlays(t *testing.T) {
	h := open(t, three)
	h.start()
	h.result()
	h.pause()
	h.joinSees("ann", `{"phase":"over","players":1,"alive":false,"offset":3}`)
}

func TestOnlyTheHost(t *testing.T) {
	h := open(t, three, "ann")
	for _, role := range []string{"", "viewer"} {
		h.Player("ann").SetRole(role)
		h.Player("ann").Refused(protocol.CodeForbidden, friday, "open", three.Payload())
		h.Player("ann").Refused(protocol.CodeForbidden, friday, "start", nil)
	}
	h.Player("ann").SetRole(game.AnyRole)
	if got := h.Player("ann").OK(friday, "open", three.Payload()).String(); got != `{"questions":3}` {
		t.Error(got)
	}
	if got := h.Player("ann").OK(friday, "start", nil).String(); got != `{}` {
		t.Error(got)
	}
}

func TestTheHostPlaysOnlyIfItJoins(t *testing.T) {
	h := open(t, three, "ann")
	h.start()
	h.refused(protocol.CodeForbidden, "host", 1, 1)
	h.joinSees("ann", `{"phase":"question","players":1,"alive":true,"offset":1,"question":`+
		`{"q":1,"of":3,"text":"one?","choices":["a","b","c"],"closes_in_ms":10000}}`)
	h = open(t, three, "host")
	h.host.SetRole("host")
	h.start()
	h.answer("host", 1, 1)
}

func TestOpenAndStartInTheirPlace(t *testing.T) {
	h := hall{World: gametest.New(t, Game()), t: t}
	h.host = h.Player("host")
	h.host.Refused(protocol.CodeConflict, friday, "start", nil) // without open
	h.join("ann")
	h.joinSees("ann", `{"phase":"lobby","players":1,"alive":true,"offset":0}`)
	h.host.OK(friday, "open", three.Payload())
	one := Show{Questions: three.Questions[1:2], Pause: 0}
	if got := h.host.OK(friday, "open", one.Payload()).Int("questions"); got != 1 { // replaces
		t.Errorf("%d questions", got)
	}
	h.start()
	running := func() {
		t.Helper()
		h.host.Refused(protocol.CodeConflict, friday, "open", three.Payload())
		h.host.Refused(protocol.CodeConflict, friday, "start", nil)
	}
	running()
	if got := h.Player("ann").Push("question").Int("of"); got != 1 {
		t.Errorf("of %d, want the replaced show's 1", got)
	}
	h.Advance(one.Questions[0].open())
	running()
	h.Advance(grace)
	h.host.Refused(protocol.CodeConflict, friday, "start", nil) // over
	h.host.OK(friday, "open", three.Payload())
	h.start()
}

func TestAfterTheEndEverybodyIsAliveAgain(t *testing.T) {
	h := open(t, Show{Questions: three.Questions[:1], Pause: 3}, "ann", "bob")
	h.start()
	h.answer("ann", 1, 0)
	h.answer("bob", 1, 1)
	h.join("late")
	h.result()
	h.host.Refused(protocol.CodeConflict, friday, "open", three.Payload()) // in the pause
	h.pause()
	h.joinSees("bob", `{"phase":"over","players":3,"alive":true,"offset":3}`)
	h.joinSees("ann", `{"phase":"over","players":3,"alive":false,"offset":3}`)
	h.host.OK(friday, "open", three.Payload())
	h.joinSees("ann", `{"phase":"lobby","players":3,"alive":true,"offset":3}`)
	h.start()
	for _, name := range []string{"ann", "bob", "late"} {
		h.answer(name, 1, 1)
	}
	h.result()
	if got := h.Player("late").Push("result"); got.Int("alive") != 1 { // that of the first show
		t.Error(got)
	}
	if got := h.Player("late").Push("result"); got.Int("alive") != 3 {
		t.Error(got)
	}
}

func TestWhatOpenRefuses(t *testing.T) {
	h := open(t, three)
	for _, bad := range []string{
		``, `[]`, `{}`, `{"questions":[],"prize":1}`, `{"questions":[Q]}`, `{"questions":[Q],"prize":-1}`, `{"questions":[Q],"prize":1.5}`,
		`{"questions":[Q],"prize":1,"pause":-1}`, `{"questions":[Q],"prize":1,"pause":60.5}`, `{"questions":[Q],"prize":1,"pause":"3"}`,
		`{"questions":{"0":Q},"prize":1}`, `{"questions":[Q,7],"prize":1}`, `{"questions":[Q],"prize":9007199254740993}`,
		`{"questions":[{"text":"t","choices":["a"],"answer":0,"seconds":1}],"prize":1}`,
		`{"questions":[{"text":"t","choices":["1","2","3","4","5","6","7","8","9"],"answer":0,"seconds":1}],"prize":1}`,
		`{"questions":[{"text":"t","choices":["a","b"],"answer":2,"seconds":1}],"prize":1}`,
		`{"questions":[{"text":"t","choices":["a","b"],"answer":-1,"seconds":1}],"prize":1}`,
		`{"questions":[{"text":"t","choices":["a","b"],"answer":0,"seconds":0.4}],"prize":1}`,
		`{"questions":[{"text":"t","choices":["a","b"],"answer":0,"seconds":120.5}],"prize":1}`,
		`{"questions":[{"text":"t","choices":["a",2],"answer":0,"seconds":1}],"prize":1}`,
		`{"questions":[{"text":5,"choices":["a","b"],"answer":0,"seconds":1}],"prize":1}`,
		`{"questions":[{"choices":["a","b"],"answer":0,"seconds":1}],"prize":1}`,
		`{"questions":[{"text":"t","choices":["a","b"],"seconds":1}],"prize":1}`,
		`{"questions":[{"text":"t","choices":["a","b"],"answer":0}],"prize":1}`,
	} {
		text := strings.ReplaceAll(bad, "Q", `{"text":"t","choices":["a","b"],"answer":0,"seconds":1}`)
		var p any
		if text != "" {
			p = gametest.JSON(text)
		}
		h.host.Refused(protocol.CodeInvalid, friday, "open", p)
	}
	h.host.Refused(protocol.CodeInvalid, friday, "start", gametest.JSON(`[]`))
	h.host.OK(friday, "open", gametest.JSON(`{"questions":[{"text":"t","choices":["a","b"],"answer":1,"seconds":0.5,"hint":1}],"prize":0,"more":{}}`))
	h.join("ann")
	h.start()
	if got := h.Player("ann").Push("question").Int("closes_in_ms"); got != 500 {
		t.Errorf("closes in %d ms, want 500", got)
	}
}

func TestTheSetsInTheBox(t *testing.T) {
	if n := len(Questions()); n < 24 {
		t.Errorf("%d questions of general knowledge, want 24", n)
	}
	if len(Sets()) < 3 {
		t.Errorf("sets: %v", Sets())
	}
	for _, name := range Sets() {
		s, err := Set(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		seen := map[string]bool{}
		for _, q := range s.Questions {
			choices := map[string]bool{}
			for _, c := range q.Choices {
				choices[strings.ToLower(c)] = true
			}
			if seen[q.Text] || q.Text == "" || len(choices) != 4 || len(q.Choices) != 4 {
				t.Errorf("%s: %q asked twice, or its choices are not four: %q", name, q.Text, q.Choices)
			}
			seen[q.Text] = true
		}
		w := gametest.New(t, Game())
		if got := w.Player("host").OK(friday, "open", s.Payload()).Int("questions"); got != int64(len(s.Questions)) {
			t.Errorf("%s: opened %d questions of %d", name, got, len(s.Questions))
		}
	}
	if _, err := Set("nothing"); err == nil || !strings.Contains(err.Error(), "general") {
		t.Errorf("a set that is not there: %v", err)
	}
}
