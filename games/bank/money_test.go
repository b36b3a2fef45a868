package bank

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gamed/game/gametest"
	"gamed/protocol"
)

// Whatever calls are lost, doubled or late, whoever crashes, and whether the store works or not: at the end every account holds
// what a simple model says, and nothing is left under way.
func TestMoneyIsConserved(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := gametest.New(t, Game())
		names := []string{"ann", "bob", "cat", "dan"}
		full := false // an account was near its limit: transfers to it may have been refused and paid back
		model, ids := map[string]int64{}, map[string]string{}
		w.Faults(func(gametest.Delivery) gametest.Fate {
			return rapid.SampledFrom([]gametest.Fate{gametest.Deliver, gametest.Lose, gametest.LoseAnswer, gametest.Twice, gametest.Late}).Draw(rt, "fate")
		})
		name := rapid.SampledFrom(names)
		n := rapid.Int64Range(1, 20)
		if rapid.Bool().Draw(rt, "big ones too") {
			n = rapid.OneOf(n, rapid.Int64Range(Max-20, Max))
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			who, amount := name.Draw(rt, "who"), n.Draw(rt, "amount")
			p := w.Player(who)
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0, 1:
				id := fmt.Sprint("id", rapid.IntRange(0, 3).Draw(rt, "id"))
				code, _ := p.Call(Topic, "deposit", amountOf(amount).Text("id", id))
				content := fmt.Sprint(amount)
				switch first := ids[who+id]; {
				case first == "" && code == protocol.CodeOK:
					ids[who+id], model[who] = content, model[who]+amount
					full = full || amount > 20
				case first != "" && first != content && code != protocol.CodeConflict, first == content && code != protocol.CodeOK:
					rt.Fatalf("deposit again: %s", code)
				}
			case 2:
				if code, _ := p.Call(Topic, "withdraw", amountOf(amount)); code == protocol.CodeOK {
					model[who] -= amount
				}
			case 3, 4:
				to := name.Draw(rt, "to")
				code, _ := p.Call(Topic, "transfer", give(to, min(amount, 20)))
				if code == protocol.CodeOK {
					model[who] -= min(amount, 20)
					model[to] += min(amount, 20)
				}
			case 5:
				w.Crash(account0(who))
				w.StoreDown(rapid.Bool().Draw(rt, "down"))
			case 6:
				w.Advance(time.Duration(rapid.Int64Range(0, 20_000).Draw(rt, "ms")) * time.Millisecond)
			}
		}
		w.StoreDown(false)
		w.Faults(nil)
		w.Advance(time.Minute)
		var sum, want int64
		for _, who := range names {
			sum, want = sum+balance(w.Player(who)), want+model[who]
			var a account
			if b := w.State(account0(who)); b != nil {
				if err := a.Restore(b); err != nil || len(a.out) != 0 {
					rt.Fatalf("%s: %d transfers under way, %v", who, len(a.out), err)
				}
			}
			if a.balance < 0 || a.balance > Max {
				rt.Fatalf("%s holds %d", who, a.balance)
			}
			if got := a.balance; got != model[who] && !full {
				rt.Fatalf("%s holds %d, want %d", who, got, model[who])
			}
		}
		if sum != want {
			rt.Fatalf("accounts hold %d together, want %d", sum, want)
		}
	})
}

func TestRestoreRefusesGarbage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes")
		var a, again account
		if a.Restore(b) == nil {
			if err := again.Restore(a.Snapshot(nil)); err != nil {
				rt.Fatalf("restored % x, not its snapshot: %v", b, err)
			}
		}
	})
	var a account
	full := a.Snapshot(nil)
	for n := range full {
		if a.Restore(full[:n]) == nil {
			t.Errorf("accepted %d of %d bytes", n, len(full))
		}
	}
}
