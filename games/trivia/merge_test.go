package trivia

import (
	"bytes"
	"testing"
	"time"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/games/bank"
)

var room0 = game.Address{Topic: friday}

// fork gives a hall that goes on from this one, as on the other side of a split.
func (h hall) fork(players ...string) (other hall, base []byte) {
	h.t.Helper()
	other = hall{World: gametest.New(h.t, Game(), bank.Game()), t: h.t}
	other.Advance(h.Now().Sub(other.Now()))
	other.Fork(h.World, room0)
	for _, name := range players {
		other.Fork(h.World, part0(name))
	}
	return other, h.State(room0)
}

// The side that has come further goes on with the show, its timers included; who was alive there can still win.
func TestMergedShowsGoOn(t *testing.T) {
	h := open(t, three, "ann", "bob")
	other, base := h.fork("ann", "bob")
	began := h.Now()
	other.host = other.Player("host")
	other.start()
	for q, right := range []int64{1, 0} {
		other.answer("bob", int64(q+1), right)
		other.result()
		other.pause()
	}
	h.Advance(other.Now().Sub(began) - 14*time.Second) // there the host began earlier
	h.start()
	h.answer("ann", 1, 1)
	h.result()
	h.Advance(other.Now().Sub(h.Now()))
	if err := h.Merge(other.World, room0, base); err != nil {
		t.Fatal(err)
	}
	h.Fork(other.World, part0("bob")) // whose client was there
	h.forget("ann", "bob")
	h.Advance(time.Second)
	h.answer("bob", 3, 2)
	h.result()
	h.pause()
	h.Advance(time.Minute)
	h.sees("bob", `trivia:friday result {"q":3,"answer":2,"counts":[0,0,1,0],"alive":1}`,
		`- verdict {"topic":"trivia:friday","q":3,"correct":true,"alive":true}`, `trivia:friday winners {"count":1,"share":100,"names":["bob"]}`)
	h.holds("bob", 100)
	h.holds("ann", 0)
}

// Both sides pay the prize of one show: the winner has it once.
func TestAPrizePaidOnBothSidesIsOne(t *testing.T) {
	show := three
	show.Questions = three.Questions[:1]
	h := open(t, show, "ann", "bob")
	h.start()
	other, base := h.fork("ann", "bob")
	account := game.Address{Player: "bob", Topic: "bank:"}
	for _, side := range []hall{h, other} {
		side.answer("bob", 1, 1)
	}
	other.answer("ann", 1, 1) // there two win
	for _, side := range []hall{h, other} {
		side.result()
		side.Advance(time.Minute)
	}
	other.holds("bob", 50)
	for _, merged := range []struct {
		part game.Address
		base []byte
	}{{room0, base}, {account, nil}} {
		if err := h.Merge(other.World, merged.part, merged.base); err != nil {
			t.Error(err)
		}
	}
	h.Advance(time.Minute)
	h.holds("bob", 100)
}

func TestMergeOfStages(t *testing.T) {
	at := func(run int64, q int, p phase) []byte {
		s := stage{run: run, show: three, q: q, phase: p}
		return (&room{s}).Snapshot(nil)
	}
	for i, c := range [][2][]byte{ // the first has come further
		{at(2, 0, lobby), at(1, 3, over)}, {at(1, 2, asking), at(1, 1, showing)}, {at(1, 2, counting), at(1, 2, asking)},
	} {
		for _, pair := range [][2][]byte{c, {c[1], c[0]}} {
			if got, err := (&room{}).Merge(nil, pair[0], pair[1]); err != nil || !bytes.Equal(got, c[0]) {
				t.Errorf("case %d: %x, %v", i, got, err)
			}
		}
	}
	if got, err := (&room{}).Merge(nil, at(1, 0, lobby), []byte{7}); got != nil || err == nil {
		t.Errorf("%x, %v", got, err)
	}
}

// A question that is asked again, since the other side had come further, can be answered until it closes now.
func TestAQuestionIsAskedAgain(t *testing.T) {
	now := time.Unix(1000, 0)
	p := contestant{member: true}
	asked := standing{run: 1, q: 1, choices: 2, closes: 10_000}
	p.hear(asked, false, now)
	now = now.Add(time.Minute)
	if p.open(now) {
		t.Error("open after a minute")
	}
	p.hear(asked, false, now)
	if !p.open(now.Add(9*time.Second)) || p.open(now.Add(11*time.Second)) {
		t.Error("not open as asked now")
	}
	asked.closes = 1000
	if p.hear(asked, false, now); !p.open(now.Add(9 * time.Second)) {
		t.Error("it closes earlier than was said")
	}
}
