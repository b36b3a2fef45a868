package bank

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/protocol"
)

var ann0 = account0("ann")

// fork gives a world that goes on from ann's and bob's accounts in w.
func fork(t testing.TB, w *gametest.World) *gametest.World {
	other := gametest.New(t, Game())
	other.Advance(w.Now().Sub(other.Now()))
	other.Fork(w, ann0)
	other.Fork(w, account0("bob"))
	return other
}

func merge(t rapid.TB, base, mine, theirs []byte) account {
	t.Helper()
	b, err := (&account{}).Merge(base, mine, theirs)
	if err != nil {
		t.Fatal(err)
	}
	var a account
	if err := a.Restore(b); err != nil {
		t.Fatalf("what was merged cannot be restored: %v", err)
	}
	return a
}

// histories draws what a client does with an account, and says by how much it changes the balance.
func history(t *rapid.T, side string, from []byte) ([]byte, int64) {
	var a account
	if err := a.Restore(from); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for i := range rapid.IntRange(0, 30).Draw(t, side+" operations") {
		op := operation{kind: rapid.SampledFrom([]string{"deposit", "withdraw"}).Draw(t, "kind"), amount: rapid.Int64Range(1, 50).Draw(t, "amount")}
		if rapid.Bool().Draw(t, "with an id") {
			op.id = fmt.Sprint(side, i)
		}
		_, _, _, err := a.apply(op, time.Unix(0, 0))
		if err == nil {
			sum += op.delta()
			if op.id == "" {
				a.calls.note(hash(side), uint64(i+1), op.delta())
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "credit") == 0 {
			if _, err := a.grant(5, fmt.Sprint("prize", side, i)); err == nil {
				sum += 5
			}
		}
	}
	return a.Snapshot(nil), sum
}

// Whatever the sides of a split did, the merged account has all of it, in whatever order they are merged, and whoever wins.
func TestMergedSumsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := account{balance: 10_000}
		base, _ := history(t, "base", start.Snapshot(nil))
		var before account
		_ = before.Restore(base)
		sides, want := [][]byte{}, before.balance
		for _, name := range []string{"a", "b", "c"} {
			s, sum := history(t, name, base)
			sides, want = append(sides, s), want+sum
		}
		order := rapid.Permutation([]int{0, 1, 2}).Draw(t, "order")
		two := merge(t, base, sides[order[0]], sides[order[1]])
		swapped := merge(t, base, sides[order[1]], sides[order[0]])
		if two.balance != swapped.balance {
			t.Fatalf("merged one way: %d, the other way: %d", two.balance, swapped.balance)
		}
		three := merge(t, base, two.Snapshot(nil), sides[order[2]])
		if rapid.Bool().Draw(t, "the other way round") {
			three = merge(t, base, sides[order[2]], two.Snapshot(nil))
		}
		if three.balance != want {
			t.Fatalf("merged: %d, want %d", three.balance, want)
		}
		same := three.Snapshot(nil)
		if again := merge(t, same, same, same); again.balance != want {
			t.Fatalf("merged with itself: %d, want %d", again.balance, want)
		}
	})
}

// What was asked for on both sides under one id, or in the same call, was asked for once.
func TestMergeCountsARepeatOnce(t *testing.T) {
	w := gametest.New(t, Game())
	ann := w.Player("ann")
	ann.OK(Topic, "deposit", amountOf(100).Text("id", "before"))
	base := w.State(ann0)
	other := fork(t, w)
	for _, p := range []*gametest.Player{ann, other.Player("ann")} {
		p.OK(Topic, "deposit", amountOf(5).Text("id", "five"))
		p.OK(Topic, "withdraw", amountOf(30).Text("id", "thirty"))
		p.OK(Topic, "deposit", amountOf(5).Text("id", "before "+p.Name()))
		p.OK(Topic, "deposit", amountOf(100).Text("id", "before"))
	}
	other.Player("ann").OK(Topic, "deposit", amountOf(1))
	payer := game.Address{Topic: "show:x"}
	for i, side := range []*gametest.World{w, other} { // as many winners as that side knew
		side.Call(payer, ann0, "credit", amountOf(int64(40+10*i)).Text("id", "prize"))
	}
	if err := w.Merge(other, ann0, base); err != nil {
		t.Error(err)
	}
	wantBalance(t, ann, 100+5-30+5+1+50)
	ann.OK(Topic, "deposit", amountOf(5).Text("id", "five"))
	w.Call(payer, ann0, "credit", amountOf(40).Text("id", "prize"))
	wantBalance(t, ann, 131)
	ann.Refused(protocol.CodeConflict, Topic, "deposit", amountOf(6).Text("id", "five"))
}

func TestMergeCountsOneCallOnce(t *testing.T) {
	var base, a, b account
	base.balance = 10
	base.calls.note(1, 6, 10)
	a, b = base, base
	a.calls.done, b.calls.done = slices.Clone(base.calls.done), slices.Clone(base.calls.done)
	for _, side := range []*account{&a, &b} { // the gateway asked the other side when this one did not answer
		side.balance += 7
		side.calls.note(1, 7, 7)
	}
	b.balance++
	b.calls.note(1, 8, 1)
	got := merge(t, base.Snapshot(nil), a.Snapshot(nil), b.Snapshot(nil))
	if got.balance != 18 || len(got.calls.done) != 3 {
		t.Errorf("got %d after calls %v, want 18 after three", got.balance, got.calls.done)
	}
	b.calls.session = 2 // the same numbers in another session are other calls
	if got := merge(t, base.Snapshot(nil), a.Snapshot(nil), b.Snapshot(nil)); got.balance != 25 {
		t.Errorf("got %d, want 25", got.balance)
	}
}

func TestMergeStaysWithinTheLimits(t *testing.T) {
	base := account{balance: 10}
	poor, rich := account{balance: 2}, account{balance: Max - 5}
	for _, c := range []struct {
		a, b account
		want int64
		say  string
	}{
		{poor, account{balance: 1}, 0, "took 7 more than there was"},
		{rich, account{balance: 20}, Max, "5 are lost"},
		{rich, account{balance: 20, out: []transfer{{seq: 1, to: "bob", amount: 100}}}, Max - 100, "105 are lost"},
	} {
		out, err := (&account{}).Merge(base.Snapshot(nil), c.a.Snapshot(nil), c.b.Snapshot(nil))
		var got account
		if rerr := got.Restore(out); rerr != nil {
			t.Fatal(rerr)
		}
		if got.balance != c.want || err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("got %d and %v, want %d and %q", got.balance, err, c.want, c.say)
		}
	}
}

func TestMergeRefusesWhatIsNoState(t *testing.T) {
	good := (&account{}).Snapshot(nil)
	for _, bad := range [][3][]byte{{{1, 2}, good, good}, {good, nil, good}, {good, good, good[:3]}} {
		if out, err := (&account{}).Merge(bad[0], bad[1], bad[2]); out != nil || err == nil {
			t.Errorf("%x: got %x, %v", bad, out, err)
		}
	}
}

// Transfers under way when the network splits, and those of each side, are completed once: on one side, on both, or after the merge.
func TestTransfersAreCompletedOnceAcrossASplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := gametest.New(t, Game())
		bob0 := account0("bob")
		cut := func(w *gametest.World, f gametest.Fate) { w.Faults(func(gametest.Delivery) gametest.Fate { return f }) }
		fate := rapid.SampledFrom([]gametest.Fate{gametest.Deliver, gametest.Lose, gametest.LoseAnswer, gametest.Late})
		sent := int64(0)
		transfers := func(w *gametest.World, n int) {
			for range n {
				cut(w, fate.Draw(rt, "fate"))
				w.Player("ann").OK(Topic, "transfer", give("bob", 3))
				sent += 3
				w.Advance(time.Duration(rapid.IntRange(0, 9000).Draw(rt, "ms")) * time.Millisecond)
			}
		}
		w.Player("ann").OK(Topic, "deposit", amountOf(1000))
		w.Player("bob").OK(Topic, "deposit", amountOf(10))
		transfers(w, rapid.IntRange(0, 3).Draw(rt, "before"))
		bases := map[game.Address][]byte{ann0: w.State(ann0), bob0: w.State(bob0)}
		other := fork(t, w)
		other.Advance(time.Microsecond) // no two sides begin a transfer in one nanosecond
		transfers(w, rapid.IntRange(0, 3).Draw(rt, "here"))
		transfers(other, rapid.IntRange(0, 3).Draw(rt, "there"))
		if later := w.Now().Sub(other.Now()); later > 0 {
			other.Advance(later)
		} else {
			w.Advance(-later)
		}
		first, second := ann0, bob0
		if rapid.Bool().Draw(rt, "the receiver first") {
			first, second = bob0, ann0
		}
		if err := w.Merge(other, first, bases[first]); err != nil {
			rt.Fatal(err)
		}
		cut(w, gametest.Deliver)
		if rapid.Bool().Draw(rt, "some time between") { // the sender's old half still speaks
			w.Advance(0)
		}
		if err := w.Merge(other, second, bases[second]); err != nil {
			rt.Fatal(err)
		}
		w.Advance(3 * time.Minute)
		a, b := balance(w.Player("ann")), balance(w.Player("bob"))
		if a != 1000-sent || b != 10+sent {
			rt.Fatalf("ann has %d and bob %d, want %d and %d", a, b, 1000-sent, 10+sent)
		}
		if timers := w.Timers(ann0); len(timers) > 0 {
			rt.Fatalf("still under way: %v", timers)
		}
	})
}

func TestMergeKeepsWhatIsUnderWay(t *testing.T) {
	to := func(seqs ...transfer) []transfer { return seqs }
	base := account{balance: 9, seq: 3, out: to(transfer{1, "bob", 1, false}, transfer{2, "bob", 1, false}, transfer{3, "bob", 1, false})}
	mine := account{balance: 8, seq: 4, out: to(transfer{1, "bob", 1, false}, transfer{2, "bob", 1, true}, transfer{3, "bob", 1, false}, transfer{4, "bob", 1, false}),
		in: []sender{{name: "cat", low: 9, seen: 1}}}
	theirs := account{balance: 8, seq: 5, out: to(transfer{1, "bob", 1, false}, transfer{2, "bob", 1, false}, transfer{5, "bob", 1, true}),
		in: []sender{{name: "cat", low: 7, seen: 2, open: []outcome{{seq: 8}}}, {name: "dan", low: 1}}}
	for _, got := range []account{merge(t, base.Snapshot(nil), mine.Snapshot(nil), theirs.Snapshot(nil)), merge(t, base.Snapshot(nil), theirs.Snapshot(nil), mine.Snapshot(nil))} {
		want := to(transfer{1, "bob", 1, false}, transfer{2, "bob", 1, true}, transfer{4, "bob", 1, false}, transfer{5, "bob", 1, true})
		if !slices.Equal(got.out, want) || got.seq != 5 || got.balance != 7 {
			t.Errorf("%v under way, the newest is %d, the balance %d; want %v, 5 and 7", got.out, got.seq, got.balance, want)
		}
		slices.SortFunc(got.in, func(a, b sender) int { return strings.Compare(a.name, b.name) })
		if len(got.in) != 2 || got.in[0].low != 7 || got.in[0].seen != 2 || len(got.in[0].open) != 1 {
			t.Errorf("senders %v", got.in)
		}
	}
}
