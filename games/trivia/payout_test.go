package trivia

import (
	"fmt"
	"testing"
	"time"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/games/bank"
	"gamed/protocol"
)

// toWinners plays a show of one question that players answer rightly, up to the moment before the prizes.
func toWinners(t *testing.T, prize int64, players ...string) hall {
	t.Helper()
	h := open(t, Show{Questions: three.Questions[:1], Prize: prize, Pause: 3}, players...)
	h.join("watcher")
	h.start()
	for _, name := range players {
		h.answer(name, 1, 1)
	}
	h.result()
	h.forget("watcher")
	return h
}

func (h hall) winners() string {
	h.t.Helper()
	for _, p := range h.Player("watcher").Pushes() {
		if p.Event == "winners" {
			return p.Value.String()
		}
	}
	return ""
}

func (h hall) noWinnersYet() {
	h.t.Helper()
	if got := h.winners(); got != "" {
		h.t.Errorf("winners too early: %s", got)
	}
}

func TestTheShareIsRoundedDown(t *testing.T) {
	h := toWinners(t, 100, "ann", "bob", "cat")
	h.pause()
	h.Advance(payPoll)
	if got := h.winners(); got != `{"count":3,"share":33,"names":["ann","bob","cat"]}` {
		t.Error(got)
	}
	for _, name := range []string{"ann", "bob", "cat"} {
		h.holds(name, 33)
		if left := h.Timers(part0(name)); len(left) != 0 {
			t.Errorf("%s has timers %v left", name, left)
		}
	}
	h.holds("watcher", 0)
}

func TestNothingToShare(t *testing.T) {
	for _, prize := range []int64{0, 1} {
		h := toWinners(t, prize, "ann", "bob")
		h.pause()
		if got := h.winners(); got != `{"count":2,"share":0,"names":["ann","bob"]}` {
			t.Error(got)
		}
		h.Advance(time.Minute)
		if left := h.Timers(part0("ann")); len(left) != 0 {
			t.Errorf("timers %v are left", left)
		}
		h.holds("ann", 0)
	}
}

func TestTheFirstTwentyNames(t *testing.T) {
	var all []string
	for i := range 30 {
		all = append(all, fmt.Sprint("p", i))
	}
	h := toWinners(t, 3000, all...)
	h.pause()
	h.Advance(payPoll)
	for _, p := range h.Player("watcher").Pushes() {
		if p.Event == "winners" && (p.Int("count") != 30 || p.Int("share") != 100 || len(p.Texts("names")) != 20) {
			t.Error(p)
		}
	}
}

func TestWinnersAreToldWhenAllAreCredited(t *testing.T) {
	h := toWinners(t, 100, "ann", "bob")
	lost := true
	h.Faults(func(d gametest.Delivery) gametest.Fate {
		if lost && d.Event == "credit" && d.To.Player == "bob" {
			return gametest.Lose
		}
		return gametest.Deliver
	})
	h.pause()
	h.Advance(5 * time.Minute)
	h.noWinnersYet()
	h.holds("ann", 50)
	h.holds("bob", 0)
	h.host.Refused(protocol.CodeConflict, friday, "open", three.Payload())
	lost = false
	h.Advance(settleWait + 2*payPollMax)
	h.holds("bob", 50)
	if got := h.winners(); got != `{"count":2,"share":50,"names":["ann","bob"]}` {
		t.Error(got)
	}
}

func TestPrizesAreCreditedOnce(t *testing.T) {
	for _, fate := range []gametest.Fate{gametest.LoseAnswer, gametest.Twice, gametest.Late} {
		h := toWinners(t, 100, "ann", "bob")
		h.Faults(func(gametest.Delivery) gametest.Fate { return fate })
		h.pause()
		for range 20 {
			h.Advance(settleWait / 3)
			h.Crash(part0("ann"))
		}
		h.Faults(nil)
		h.Advance(time.Minute)
		if got := h.winners(); got == "" {
			t.Errorf("fate %d: no winners", fate)
		}
		h.holds("ann", 50)
		h.holds("bob", 50)
	}
}

func TestWinnersThatHearNothingAskForTheirPrize(t *testing.T) {
	h := toWinners(t, 100, "ann", "bob")
	h.LoseNotices(func(player, event string) bool { return event == "payout" })
	h.pause()
	h.Advance(time.Minute)
	h.holds("ann", 50)
	h.holds("bob", 50)
	if h.winners() == "" {
		t.Error("no winners")
	}
}

func TestAWinnerWhoLeavesWhileBeingPaidIsPaid(t *testing.T) {
	for _, leave := range []func(p *gametest.Player){
		func(p *gametest.Player) { p.End() },
		func(p *gametest.Player) { p.OK(friday, "leave", nil) },
	} {
		h := toWinners(t, 100, "ann", "bob")
		h.Faults(func(d gametest.Delivery) gametest.Fate {
			if d.Event == "credit" {
				return gametest.Lose
			}
			return gametest.Deliver
		})
		h.pause()
		leave(h.Player("bob"))
		h.Faults(nil)
		h.Advance(time.Minute)
		h.holds("ann", 50)
		h.holds("bob", 50)
		if got := h.winners(); got != `{"count":2,"share":50,"names":["ann","bob"]}` {
			t.Error(got)
		}
	}
}

func TestWhoLeavesBeforeThePrizesIsNoWinner(t *testing.T) {
	h := toWinners(t, 100, "ann", "bob")
	h.Player("bob").End()
	h.pause()
	h.Advance(payPoll)
	if got := h.winners(); got != `{"count":1,"share":100,"names":["ann"]}` {
		t.Error(got)
	}
	h.holds("bob", 0)
	h = toWinners(t, 100, "ann")
	h.Player("ann").End()
	h.pause()
	if got := h.winners(); got != `{"count":0,"share":0,"names":[]}` {
		t.Error(got)
	}
}

func TestAFullAccountHoldsNobodyUp(t *testing.T) {
	h := toWinners(t, 100, "ann", "bob")
	h.Player("bob").OK("bank:", "deposit", game.NewMap().Int("amount", bank.Max))
	h.pause()
	h.Advance(payPoll)
	if got := h.winners(); got != `{"count":2,"share":50,"names":["ann","bob"]}` {
		t.Error(got)
	}
	h.holds("ann", 50)
	h.holds("bob", bank.Max)
}

func TestPrizesOfTwoShowsAddUp(t *testing.T) {
	h := toWinners(t, 100, "ann")
	h.pause()
	h.Advance(payPoll)
	h.host.OK(friday, "open", Show{Questions: three.Questions[:1], Prize: 7}.Payload())
	h.start()
	h.answer("ann", 1, 1)
	h.result()
	h.Advance(payPoll)
	h.holds("ann", 107)
}

func TestTheStoreIsDownDuringThePrizes(t *testing.T) {
	h := toWinners(t, 100, "ann")
	h.StoreDown(true)
	h.pause()
	h.Advance(time.Minute)
	h.noWinnersYet()
	h.StoreDown(false)
	h.Advance(settleWait + payPollMax)
	h.holds("ann", 100)
	if h.winners() == "" {
		t.Error("no winners")
	}
}

// A node dies while the winners are counted: its players have lost that they declared themselves, or never heard that they should.
func TestWinnersOfADeadNodeAreCountedInTheNextAttempt(t *testing.T) {
	h := toWinners(t, 100, "ann", "bob", "cat")
	lose, attempts := true, 0
	h.LoseNotices(func(player, event string) bool { return lose && player == "bob" && event == "final" })
	h.InVain(func(round string) (func(string) bool, bool) {
		if attempts++; attempts > 3 {
			return nil, false
		}
		lose = attempts < 2
		return func(player string) bool { return player == "bob" }, true
	})
	h.pause()
	h.Advance(time.Second)
	if got := h.winners(); got != `{"count":3,"share":33,"names":["ann","cat","bob"]}` {
		t.Error(got)
	}
	for _, name := range []string{"ann", "bob", "cat"} {
		h.holds(name, 33)
	}
}

// Who heard final only when the round was closed for him is asked once more.
func TestARefusedWinnerTriesAgain(t *testing.T) {
	h := toWinners(t, 100, "ann", "bob")
	attempts := 0
	h.LoseNotices(func(player, event string) bool { return attempts == 0 && player == "bob" && event == "final" })
	h.InVain(func(string) (func(string) bool, bool) {
		attempts++
		moved := attempts == 2
		return func(player string) bool { return moved && player == "bob" }, attempts <= 2
	})
	h.pause()
	h.Advance(time.Second)
	if got := h.winners(); got != `{"count":2,"share":50,"names":["ann","bob"]}` {
		t.Error(got)
	}
}

// adds takes what is added, or not.
type adds bool

func (a adds) Add(string, string, int, int64, string) bool { return bool(a) }

// A refused answer stays refused, also where the round is open again.
func TestTooLateStaysTooLate(t *testing.T) {
	now := time.Unix(1000, 0)
	p := part{contestant: contestant{member: true, run: 1, q: 1, choices: 3, closes: now.UnixMilli() + 500}}
	for _, open := range []adds{false, true} {
		var c game.Context
		c.Begin(game.Frame{At: now, Me: part0("ann"), Tallies: open})
		if r, _ := p.rule(&c, 1, 1); r != late {
			t.Fatalf("ruled %d", r)
		}
	}
}

// A winner who is not there any more is not waited for without end; one whose account cannot be reached is.
func TestAWinnerWhoVanishedIsNotWaitedForWithoutEnd(t *testing.T) {
	s := stage{winners: 3, share: 33, phase: paying}
	polls := 0
	for all := false; !all; polls++ {
		var round game.Tally
		if polls == 0 {
			round.Slots[paidSlot], round.Slots[owedSlot] = 1, 2
		} else {
			round.Slots[owedSlot] = 1
		}
		if all = s.credited(round); polls > 1000 {
			t.Fatal("waits for a winner who is not there")
		}
	}
	if polls != missingPolls+1 {
		t.Errorf("waited for %d rounds", polls)
	}
	s = stage{winners: 2, share: 33, phase: paying}
	for range 10 * missingPolls {
		var round game.Tally
		if round.Slots[owedSlot] = 2; s.credited(round) {
			t.Fatal("did not wait for who said that he waits")
		}
	}
}
