package bank

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/protocol"
)

func amountOf(n int64) *game.Map { return game.NewMap().Int("amount", n) }

func give(to string, n int64) *game.Map { return game.NewMap().Text("to", to).Int("amount", n) }

func balance(p *gametest.Player) int64 { return p.OK(Topic, "balance", nil).Int("balance") }

func wantBalance(t *testing.T, p *gametest.Player, want int64) {
	t.Helper()
	if got := balance(p); got != want {
		t.Errorf("%s has %d, want %d", p.Name(), got, want)
	}
}

func account0(player string) game.Address { return game.Address{Player: player, Topic: Topic} }

func TestDepositAndWithdraw(t *testing.T) {
	ann := gametest.New(t, Game()).Player("ann")
	for _, step := range []struct {
		event  string
		amount int64
		want   string
	}{{"balance", 0, `{"balance":0}`}, {"deposit", 5, `{"balance":5}`}, {"deposit", 7, `{"balance":12}`}, {"withdraw", 12, `{"balance":0}`}} {
		if got := ann.OK(Topic, step.event, amountOf(step.amount)).String(); got != step.want {
			t.Errorf("%s %d: %s, want %s", step.event, step.amount, got, step.want)
		}
	}
	ann.Refused(protocol.CodeInvalid, Topic, "withdraw", amountOf(1))
	wantBalance(t, ann, 0)
}

func TestWhatIsInvalid(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	ann.OK(Topic, "deposit", amountOf(10))
	for _, bad := range []any{nil, game.NewMap().Text("amount", "5"), game.NewMap().Float("amount", 5), amountOf(0), amountOf(-1),
		amountOf(Max + 1), amountOf(-1 << 63), gametest.JSON(`{"amount":5.0}`), gametest.JSON(`{"amount":18446744073709551615}`),
		gametest.JSON(`[5]`), amountOf(5).Int("id", 7), amountOf(5).Text("id", strings.Repeat("x", 65))} {
		for _, event := range []string{"deposit", "withdraw"} {
			ann.Refused(protocol.CodeInvalid, Topic, event, bad)
		}
	}
	for _, to := range []string{"ann", "", "a b", strings.Repeat("b", 65), "bank:"} {
		ann.Refused(protocol.CodeInvalid, Topic, "transfer", give(to, 1))
	}
	ann.Refused(protocol.CodeInvalid, Topic, "transfer", amountOf(1))
	ann.Refused(protocol.CodeInvalid, Topic, "transfer", give("bob", 11))
	ann.Refused(protocol.CodeInvalid, Topic, "balance", game.Encode("x"))
	ann.Refused(protocol.CodeNotFound, Topic, "rob", amountOf(1))
	ann.Refused(protocol.CodeNotFound, "bank:vault", "balance", nil)
	ann.OK(Topic, "deposit", gametest.JSON(`{"amount":1,"id":null,"why":"unknown keys are ignored"}`))
	wantBalance(t, ann, 11)
}

func TestTheLimit(t *testing.T) {
	ann := gametest.New(t, Game()).Player("ann")
	ann.OK(Topic, "deposit", amountOf(Max))
	wantBalance(t, ann, 1<<53)
	ann.Refused(protocol.CodeInvalid, Topic, "deposit", amountOf(1))
	wantBalance(t, ann, 1<<53)
}

func TestAnIDIsAppliedOnce(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	id := func(m *game.Map) *game.Map { return m.Text("id", "k") }
	for range 3 {
		if got := ann.OK(Topic, "deposit", id(amountOf(5))).Int("balance"); got != 5 {
			t.Errorf("balance %d, want the first answer, 5", got)
		}
		ann.OK(Topic, "deposit", amountOf(1))
	}
	wantBalance(t, ann, 8)
	ann.Refused(protocol.CodeConflict, Topic, "deposit", id(amountOf(6)))
	ann.Refused(protocol.CodeConflict, Topic, "withdraw", id(amountOf(5)))
	ann.Refused(protocol.CodeConflict, Topic, "transfer", id(give("bob", 5)))
	ann.End() // whatever the session
	if got := ann.OK(Topic, "deposit", id(amountOf(5))).Int("balance"); got != 5 {
		t.Errorf("balance %d in a new session, want 5", got)
	}
	ann.OK(Topic, "transfer", give("bob", 1).Text("id", "t"))
	ann.OK(Topic, "transfer", give("bob", 1).Text("id", "t"))
	ann.Refused(protocol.CodeConflict, Topic, "transfer", give("cat", 1).Text("id", "t"))
	wantBalance(t, ann, 7)
	wantBalance(t, w.Player("bob"), 1)
}

func TestARefusalUsesUpNoID(t *testing.T) {
	ann := gametest.New(t, Game()).Player("ann")
	ann.Refused(protocol.CodeInvalid, Topic, "withdraw", amountOf(5).Text("id", "k"))
	ann.OK(Topic, "deposit", amountOf(6).Text("id", "k"))
	wantBalance(t, ann, 6)
}

func TestTheLast128IDsAreKept(t *testing.T) {
	ann := gametest.New(t, Game()).Player("ann")
	for i := range 129 {
		ann.OK(Topic, "deposit", amountOf(1).Text("id", fmt.Sprint(i)))
	}
	ann.OK(Topic, "deposit", amountOf(1).Text("id", "1"))
	wantBalance(t, ann, 129)
	ann.OK(Topic, "deposit", amountOf(1).Text("id", "0"))
	wantBalance(t, ann, 130)
}

func TestTransfer(t *testing.T) {
	w := gametest.New(t, Game())
	ann, bob := w.Player("ann"), w.Player("bob")
	ann.OK(Topic, "deposit", amountOf(10))
	if got := ann.OK(Topic, "transfer", give("bob", 4)).String(); got != `{"balance":6}` {
		t.Error(got)
	}
	wantBalance(t, bob, 4)
	if left := w.Timers(account0("ann")); len(left) != 0 {
		t.Errorf("timers %v are left after a settled transfer", left)
	}
}

func TestATransferIsAnsweredBeforeTheOtherHasIt(t *testing.T) {
	w := gametest.New(t, Game())
	ann, bob := w.Player("ann"), w.Player("bob")
	ann.OK(Topic, "deposit", amountOf(10))
	w.Faults(func(gametest.Delivery) gametest.Fate { return gametest.Lose })
	ann.OK(Topic, "transfer", give("bob", 4))
	w.Advance(time.Hour)
	wantBalance(t, ann, 6)
	wantBalance(t, bob, 0)
	w.Crash(account0("ann"))
	w.Faults(nil)
	w.Advance(10 * time.Second)
	wantBalance(t, bob, 4)
	wantBalance(t, ann, 6)
}

func TestLostAnswersCreditOnce(t *testing.T) {
	for _, fate := range []gametest.Fate{gametest.LoseAnswer, gametest.Twice, gametest.Late} {
		w := gametest.New(t, Game())
		ann, bob := w.Player("ann"), w.Player("bob")
		ann.OK(Topic, "deposit", amountOf(10))
		w.Faults(func(gametest.Delivery) gametest.Fate { return fate })
		ann.OK(Topic, "transfer", give("bob", 4))
		w.Advance(time.Minute)
		w.Faults(nil)
		w.Advance(time.Minute)
		wantBalance(t, ann, 6)
		wantBalance(t, bob, 4)
		if left := w.Timers(account0("ann")); len(left) != 0 {
			t.Errorf("fate %d: timers %v are left", fate, left)
		}
	}
}

// The first call is delayed, the second refused and paid back; then there is room, and the first arrives.
func TestARefusedTransferStaysRefused(t *testing.T) {
	w := gametest.New(t, Game())
	ann, bob := w.Player("ann"), w.Player("bob")
	ann.OK(Topic, "deposit", amountOf(10))
	bob.OK(Topic, "deposit", amountOf(Max-1))
	receive := 0
	w.Faults(func(d gametest.Delivery) gametest.Fate {
		if d.Event == "receive" {
			if receive++; receive == 1 {
				return gametest.Twice
			}
		}
		return gametest.Deliver
	})
	ann.OK(Topic, "transfer", give("bob", 2))
	wantBalance(t, ann, 10)
	bob.OK(Topic, "withdraw", amountOf(Max-1))
	from, to := account0("ann"), account0("bob")
	again := game.NewMap().Int("seq", w.Now().UnixNano()).Int("amount", 2).Int("low", 0)
	if code, _ := w.Call(from, to, "receive", again); code != protocol.CodeBusy {
		t.Errorf("a call from the past: %s, want busy without effect", code)
	}
	w.Advance(time.Minute)
	wantBalance(t, ann, 10)
	wantBalance(t, bob, 0)
}

func TestRoomIsKeptForARefund(t *testing.T) {
	w := gametest.New(t, Game())
	ann, bob := w.Player("ann"), w.Player("bob")
	ann.OK(Topic, "deposit", amountOf(Max))
	bob.OK(Topic, "deposit", amountOf(Max))
	w.Faults(func(gametest.Delivery) gametest.Fate { return gametest.Lose })
	ann.OK(Topic, "transfer", give("bob", 3))
	ann.Refused(protocol.CodeInvalid, Topic, "deposit", amountOf(1))
	w.Faults(nil)
	w.Advance(time.Minute)
	wantBalance(t, ann, Max)
	wantBalance(t, bob, Max)
}

func TestTransfersUnderWayAreBounded(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	ann.OK(Topic, "deposit", amountOf(100))
	w.Faults(func(gametest.Delivery) gametest.Fate { return gametest.Lose })
	for range maxOut {
		ann.OK(Topic, "transfer", give("bob", 1))
	}
	ann.Refused(protocol.CodeBusy, Topic, "transfer", give("bob", 1).Text("id", "k"))
	w.Faults(nil)
	w.Advance(time.Minute)
	ann.OK(Topic, "transfer", give("bob", 1).Text("id", "k"))
	wantBalance(t, ann, 100-maxOut-1)
	wantBalance(t, w.Player("bob"), maxOut+1)
}

func TestSendersRememberedAreBounded(t *testing.T) {
	w := gametest.New(t, Game())
	bob := w.Player("bob")
	for i := range maxSenders + 5 {
		p := w.Player(fmt.Sprint("p", i))
		p.OK(Topic, "deposit", amountOf(1))
		p.OK(Topic, "transfer", give("bob", 1))
	}
	wantBalance(t, bob, maxSenders) // the rest is told busy, and comes back
	w.Advance(time.Minute)
	wantBalance(t, bob, maxSenders+5)
	var a account
	if err := a.Restore(w.State(account0("bob"))); err != nil || len(a.in) > maxSenders {
		t.Errorf("%d senders remembered, %v", len(a.in), err)
	}
}

func TestCreditOncePerID(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	show, to := game.Address{Topic: "trivia:x"}, account0("ann")
	pay := func(n int64, id string) *game.Map { return amountOf(n).Text("id", id) }
	for range 2 {
		if code, p := w.Call(show, to, "credit", pay(5, "a")); code != protocol.CodeOK || string(p) != string(game.NewMap().Int("balance", 5).Payload()) {
			t.Errorf("%s % x", code, p)
		}
	}
	w.Call(game.Address{Player: "ann", Topic: "trivia:x"}, to, "credit", pay(1, "b"))
	wantBalance(t, ann, 6)
	if code, _ := w.Call(show, to, "credit", pay(Max, "c")); code != protocol.CodeInvalid {
		t.Error("past the limit:", code)
	}
	if code, _ := w.Call(show, to, "credit", pay(1, "")); code != protocol.CodeInvalid {
		t.Error("without id:", code)
	}
	ann.Refused(protocol.CodeNotFound, Topic, "credit", pay(1, "d"))
	wantBalance(t, ann, 6)
}

func TestClientsAndStrangersAreKeptOut(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	ann.OK(Topic, "deposit", amountOf(5))
	for _, event := range []string{"receive", "settled"} {
		ann.Refused(protocol.CodeNotFound, Topic, event, amountOf(5).Int("seq", 1).Int("low", 0))
	}
	for _, from := range []game.Address{account0("bob"), {Topic: "chat:x"}, {Player: "bob", Topic: "chat:x"}} {
		for _, event := range []string{"withdraw", "deposit", "transfer", "balance"} {
			if code, _ := w.Call(from, account0("ann"), event, give("bob", 5)); code != protocol.CodeNotFound {
				t.Errorf("%v may %s: %s", from, event, code)
			}
		}
	}
	if code, _ := w.Call(game.Address{Player: "bob", Topic: "chat:x"}, account0("ann"), "receive", amountOf(5).Int("seq", 1).Int("low", 0)); code != protocol.CodeNotFound {
		t.Error("another game's part sends money:", code)
	}
	wantBalance(t, ann, 5)
}

func TestStoreDown(t *testing.T) {
	w := gametest.New(t, Game())
	ann, bob := w.Player("ann"), w.Player("bob")
	ann.OK(Topic, "deposit", amountOf(10))
	w.StoreDown(true)
	ann.Refused(protocol.CodeUnavailable, Topic, "deposit", amountOf(1).Text("id", "k"))
	wantBalance(t, ann, 10)
	w.StoreDown(false)
	w.Faults(func(gametest.Delivery) gametest.Fate { return gametest.Lose })
	ann.OK(Topic, "transfer", give("bob", 4))
	w.Faults(nil)
	w.StoreDown(true)
	w.Advance(time.Minute)
	wantBalance(t, bob, 0)
	w.StoreDown(false)
	w.Advance(time.Minute)
	wantBalance(t, bob, 4)
	wantBalance(t, ann, 6)
}

func TestWords(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	for line, want := range map[string]protocol.Code{"deposit x": protocol.CodeInvalid, "transfer bob": protocol.CodeInvalid, "withdraw 1": protocol.CodeInvalid} {
		if code, _ := ann.Type(line); code != want {
			t.Errorf("%s: %s, want %s", line, code, want)
		}
	}
	for _, line := range []string{"deposit 9", "withdraw 2", "transfer bob 3", "balance"} {
		if code, p := ann.Type(line); code != protocol.CodeOK {
			t.Errorf("%s: %s %s", line, code, p)
		}
	}
	wantBalance(t, ann, 4)
	wantBalance(t, w.Player("bob"), 3)
}
