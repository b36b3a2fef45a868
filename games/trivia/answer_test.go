package trivia

import (
	"testing"
	"time"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/protocol"
)

func TestRefusalsInTheirOrder(t *testing.T) {
	h := open(t, three, "ann", "bob")
	h.refused(protocol.CodeForbidden, "zoe", 1, 99) // not a member comes first
	h.refused(protocol.CodeTooLate, "ann", 1, 99)   // nothing is open
	h.start()
	h.join("late")
	h.refused(protocol.CodeInvalid, "late", 1, 3) // no such choice comes before out
	h.refused(protocol.CodeInvalid, "ann", 1, -1)
	h.refused(protocol.CodeInvalid, "ann", 7, 3)  // and before another q
	h.refused(protocol.CodeOut, "late", 1, 0)     // watching
	h.refused(protocol.CodeOut, "late", 7, 0)     // out comes before another q
	h.refused(protocol.CodeTooLate, "ann", 0, 0)  // another q
	h.refused(protocol.CodeTooLate, "ann", -5, 0) //
	h.refused(protocol.CodeTooLate, "ann", 3, 0)  //
	h.answer("ann", 1, 1)                         // only an accepted answer is one: after refusals the right one follows
	h.refused(protocol.CodeInvalid, "ann", 1, 3)  // no such choice comes before the repeat
	for _, again := range []int64{0, 1, 2} {
		if got := h.Player("ann").OK(friday, "answer", reply(1, again)).String(); got != `{"q":1,"choice":1}` {
			t.Errorf("second answer %d: %s, want the first one's reply", again, got)
		}
	}
	h.answer("bob", 1, 0)
	h.result()
	if got := h.Player("bob").Push("result").Ints("counts"); got[0] != 1 || got[1] != 1 || got[2] != 0 {
		t.Errorf("counts %v: the first choice counts, once", got)
	}
	h.answer("bob", 1, 0) // the repeat comes before out
	h.refused(protocol.CodeOut, "bob", 2, 0)
	h.pause()
	h.refused(protocol.CodeOut, "bob", 2, 0)
	h.answer("ann", 1, 1) // still the first one's reply
	h.answer("ann", 2, 1)
}

func TestTooLateWhenTheQuestionHasClosed(t *testing.T) {
	h := open(t, three, "ann", "bob", "cat")
	h.start()
	h.Advance(10*time.Second - time.Millisecond)
	h.answer("ann", 1, 1)
	h.Advance(time.Millisecond)
	h.refused(protocol.CodeTooLate, "bob", 1, 1)
	h.refused(protocol.CodeTooLate, "bob", 1, 99) // no question is open, so none lacks that choice
	h.answer("ann", 1, 1)                         // a repeat, however late
	h.Advance(grace)
	h.refused(protocol.CodeOut, "bob", 1, 1)
	h.refused(protocol.CodeTooLate, "ann", 2, 0) // not open yet
	if got := h.Player("cat").Push("result").String(); got != `trivia:friday result {"q":1,"answer":1,"counts":[0,1,0],"alive":1}` {
		t.Error(got)
	}
}

func TestJoinTellsTheOpenQuestionAndTheAnswerGiven(t *testing.T) {
	h := open(t, three, "ann", "bob")
	h.joinSees("ann", `{"phase":"lobby","players":2,"alive":true,"offset":0}`)
	h.start()
	h.answer("ann", 1, 2)
	h.Advance(4 * time.Second)
	question := `"question":{"q":1,"of":3,"text":"one?","choices":["a","b","c"],"closes_in_ms":6000}`
	h.joinSees("ann", `{"phase":"question","players":2,"alive":true,"offset":1,`+question+`,"answer":2}`)
	h.joinSees("bob", `{"phase":"question","players":2,"alive":true,"offset":1,`+question+`}`)
	h.joinSees("late", `{"phase":"question","players":3,"alive":false,"offset":1,`+question+`}`)
	h.Advance(6*time.Second + grace)
	h.joinSees("ann", `{"phase":"result","players":3,"alive":false,"offset":2}`)
	h.Player("bob").End()
	h.joinSees("ann", `{"phase":"result","players":2,"alive":false,"offset":2}`)
}

func TestLateJoinersOnlyWatch(t *testing.T) {
	h := open(t, three, "ann")
	h.start()
	h.join("late")
	h.refused(protocol.CodeOut, "late", 1, 1)
	h.answer("ann", 1, 1)
	h.result()
	h.sees("late", `trivia:friday result {"q":1,"answer":1,"counts":[0,1,0],"alive":1}`) // and no verdict
	h.pause()
	h.refused(protocol.CodeOut, "late", 2, 0)
	h.sees("late", `trivia:friday question {"q":2,"of":3,"text":"two?","choices":["a","b"],"closes_in_ms":10000}`)
}

func TestALeaverForfeits(t *testing.T) {
	h := open(t, three, "ann", "bob", "cat")
	h.Player("cat").OK(friday, "leave", nil)
	h.join("cat") // in the lobby one may come and go
	h.start()
	for _, name := range []string{"ann", "bob", "cat"} {
		h.answer(name, 1, 1)
	}
	if got := h.Player("bob").OK(friday, "leave", nil).String(); got != "{}" {
		t.Error(got)
	}
	h.Player("cat").End()
	h.Player("bob").Refused(protocol.CodeForbidden, friday, "leave", nil)
	h.refused(protocol.CodeForbidden, "bob", 1, 1)
	h.forget("bob", "cat")
	h.result()
	// The accepted answers stay in the counts; who gave them is not in any more.
	if got := h.Player("ann").Push("result").String(); got != `trivia:friday result {"q":1,"answer":1,"counts":[0,3,0],"alive":1}` {
		t.Error(got)
	}
	h.joinSees("bob", `{"phase":"result","players":2,"alive":false,"offset":2}`)
	h.pause()
	h.refused(protocol.CodeOut, "bob", 2, 0)
	h.sees("cat")
}

func TestMalformedPayloads(t *testing.T) {
	h := open(t, three, "ann")
	h.start()
	ann := h.Player("ann")
	for _, bad := range []string{`{"q":1}`, `{"choice":1}`, `{"q":"1","choice":1}`, `{"q":1,"choice":1.0}`, `[1,1]`} {
		ann.Refused(protocol.CodeInvalid, friday, "answer", gametest.JSON(bad))
	}
	ann.Refused(protocol.CodeInvalid, friday, "answer", nil)
	ann.Refused(protocol.CodeInvalid, friday, "join", gametest.JSON(`7`))
	ann.Refused(protocol.CodeInvalid, friday, "leave", gametest.JSON(`7`))
	ann.Refused(protocol.CodeNotFound, friday, "cheat", nil)
	ann.Refused(protocol.CodeNotFound, "trivia:", "join", nil)
	ann.OK(friday, "answer", gametest.JSON(`{"q":1,"choice":1,"sure":true}`))
}

func TestClientsAndStrangersAreKeptOut(t *testing.T) {
	h := open(t, three, "ann")
	for _, event := range []string{"standing", "payout", "final"} {
		h.Player("ann").Refused(protocol.CodeNotFound, friday, event, nil)
	}
	room := game.Address{Topic: friday}
	for _, from := range []game.Address{{Topic: "chat:x"}, {Player: "ann", Topic: "trivia:other"}} {
		for _, event := range []string{"join", "leave", "standing", "payout", "open", "start"} {
			if code, _ := h.Call(from, room, event, nil); code != protocol.CodeNotFound {
				t.Errorf("%v may %s: %s", from, event, code)
			}
		}
	}
	if code, _ := h.Call(part0("ann"), room, "steal", nil); code != protocol.CodeNotFound {
		t.Error("an unknown event:", code)
	}
	if code, _ := h.Call(room, part0("ann"), "answer", reply(1, 1)); code != protocol.CodeNotFound {
		t.Error("an answer that no client gave:", code)
	}
}

// The push can reach a client before the notice reaches his part.
func TestAnAnswerAheadOfTheNotice(t *testing.T) {
	h := open(t, three, "ann", "bob")
	deaf := func(player, _ string) bool { return player == "ann" }
	h.LoseNotices(deaf)
	h.start()
	h.answer("ann", 1, 1)
	h.answer("bob", 1, 1)
	h.result() // ann's part does not hear of it either
	h.pause()
	h.forget("ann")
	h.refused(protocol.CodeInvalid, "ann", 2, 5)
	h.sees("ann", `- verdict {"topic":"trivia:friday","q":1,"correct":true,"alive":true}`)
	h.answer("ann", 2, 0)
	h.LoseNotices(nil)
	h.result()
	if got := h.Player("bob").Push("result"); got.Int("alive") != 2 {
		t.Error(got)
	}
	if got := h.Player("bob").Push("result").String(); got != `trivia:friday result {"q":2,"answer":0,"counts":[1,0],"alive":1}` {
		t.Error(got)
	}
}

// One who guesses the next question's number asks the room once a second at most.
func TestGuessersCostTheRoomLittle(t *testing.T) {
	h := open(t, three, "ann")
	h.start()
	asked := 0
	h.Faults(func(d gametest.Delivery) gametest.Fate {
		if d.Event == "standing" {
			asked++
		}
		return gametest.Deliver
	})
	for range 50 {
		h.refused(protocol.CodeTooLate, "ann", 2, 0)
	}
	h.Advance(time.Second)
	h.refused(protocol.CodeTooLate, "ann", 2, 0)
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
}

func TestALostAnswerToJoin(t *testing.T) {
	h := open(t, three)
	h.Faults(func(gametest.Delivery) gametest.Fate { return gametest.LoseAnswer })
	h.Player("ann").Refused(protocol.CodeUnavailable, friday, "join", nil)
	h.Faults(nil)
	h.start()
	h.answer("ann", 1, 1) // the room had made it a member, and its notice says so
	h.joinSees("ann", `{"phase":"question","players":1,"alive":true,"offset":1,"question":`+
		`{"q":1,"of":3,"text":"one?","choices":["a","b","c"],"closes_in_ms":10000},"answer":1}`)
	h.Faults(func(gametest.Delivery) gametest.Fate { return gametest.LoseAnswer })
	h.Player("ann").Refused(protocol.CodeUnavailable, friday, "leave", nil)
	h.Faults(nil)
	h.Player("ann").OK(friday, "leave", nil)
}

// Whatever answers get lost, nobody comes in by a second join.
func TestNobodyGetsInByALostAnswer(t *testing.T) {
	h := open(t, three, "ann", "bob")
	lostJoin := func(name string) {
		t.Helper()
		h.Faults(func(gametest.Delivery) gametest.Fate { return gametest.LoseAnswer })
		p := h.Player(name).Start(friday, "join", nil)
		h.Faults(nil)
		if p.Done() {
			t.Errorf("%s: the answer was not lost", name)
		}
	}
	h.start()
	h.Player("bob").OK(friday, "leave", nil)
	lostJoin("bob")
	h.join("bob")
	h.refused(protocol.CodeOut, "bob", 1, 1)
	h.answer("ann", 1, 1)
	h.result()
	h.pause()
	h.LoseNotices(func(player, _ string) bool { return player == "late" })
	lostJoin("late")
	h.join("late")
	h.sees("late") // no verdict
	h.refused(protocol.CodeOut, "late", 2, 0)
}

// A part that has not heard of the next show does not answer for the last one.
func TestAnAnswerAheadOfTheNextShow(t *testing.T) {
	h := open(t, Show{Questions: three.Questions[:1]}, "ann", "bob")
	h.start()
	h.answer("ann", 1, 0)
	h.answer("bob", 1, 2)
	h.result()
	h.LoseNotices(func(player, _ string) bool { return player == "ann" })
	h.host.OK(friday, "open", three.Payload())
	h.start()
	h.answer("ann", 1, 1)
}

func TestWords(t *testing.T) {
	h := open(t, three, "ann")
	ann := h.Player("ann")
	if code, _ := ann.Type("join " + friday); code != protocol.CodeOK {
		t.Fatal(code)
	}
	for _, bad := range []string{"answer", "answer x", "answer 0", "answer 1"} { // nothing was asked yet
		if code, _ := ann.Type(bad); code != protocol.CodeInvalid {
			t.Errorf("%s: %s", bad, code)
		}
	}
	h.start()
	if code, p := ann.Type("answer 2"); code != protocol.CodeOK || string(p) != string(reply(1, 1).Payload()) {
		t.Errorf("answer 2: %s % x, want the second choice of question 1", code, p)
	}
	h.Player("late").Type("join " + friday)
	if code, _ := h.Player("late").Type("answer 1"); code != protocol.CodeOut { // the question is known from the answer to join
		t.Error("late:", code)
	}
}
