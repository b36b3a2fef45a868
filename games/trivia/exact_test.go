package trivia

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/protocol"
)

// Random players answer, guess, repeat, leave, come late and crash, and calls between parts get lost: the results are those of a
// model that knows only the accepted answers.
func TestCountsAreExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		show := Show{Prize: rapid.Int64Range(0, 1000).Draw(rt, "prize"), Pause: float64(rapid.IntRange(0, 3).Draw(rt, "pause"))}
		for range rapid.IntRange(1, 4).Draw(rt, "questions") {
			q := Question{Text: "?", Choices: []string{"a", "b", "c"}[:rapid.IntRange(2, 3).Draw(rt, "choices")], Seconds: 5}
			q.Answer = rapid.IntRange(0, len(q.Choices)-1).Draw(rt, "answer")
			show.Questions = append(show.Questions, q)
		}
		h := open(t, show, "eye")
		var names []string
		alive := map[string]bool{"eye": true}
		for i := range rapid.IntRange(0, 12).Draw(rt, "players") {
			names = append(names, fmt.Sprint("p", i))
			alive[names[i]] = true
		}
		h.join(names...)
		h.Faults(func(d gametest.Delivery) gametest.Fate {
			if d.Event == "credit" || d.Event == "payout" {
				return rapid.SampledFrom([]gametest.Fate{gametest.Deliver, gametest.Lose, gametest.LoseAnswer, gametest.Twice}).Draw(rt, "fate")
			}
			return gametest.Deliver
		})
		h.start()
		for q := int64(1); ; q++ {
			question := show.Questions[q-1]
			counts := make([]int64, len(question.Choices))
			given := map[string]int64{}
			for range rapid.IntRange(0, 40).Draw(rt, "steps") {
				if len(names) == 0 {
					break
				}
				name := rapid.SampledFrom(names).Draw(rt, "name")
				switch rapid.IntRange(0, 9).Draw(rt, "what") {
				case 0:
					h.Player(name).End()
					alive[name] = false
				case 1:
					h.join(name)
				case 2:
					h.Crash(part0(name))
				default:
					// Right more often than not, so that some shows have winners.
					choice := rapid.OneOf(rapid.Just(int64(question.Answer)), rapid.Int64Range(-1, 3)).Draw(rt, "choice")
					asked := rapid.SampledFrom([]int64{q, q, q, q + 1}).Draw(rt, "q")
					code, p := h.Player(name).Call(friday, "answer", reply(asked, choice))
					if code != protocol.CodeOK {
						continue
					}
					f := p.Fields()
					c := f.Int("choice")
					first, was := given[name]
					switch {
					case f.Int("q") != q || was && first != c || !was && c != choice:
						rt.Fatalf("%s answers %d to question %d: accepted as %d to %d", name, choice, asked, c, f.Int("q"))
					case !was:
						given[name] = c
						counts[c]++
					}
				}
			}
			h.forget("eye")
			h.Advance(5*time.Second + grace)
			still := int64(0)
			for name, in := range alive {
				c, ok := given[name]
				alive[name] = in && ok && c == int64(question.Answer)
				if alive[name] {
					still++
				}
			}
			r := h.Player("eye").Push("result")
			if r.Int("q") != q || !slices.Equal(r.Ints("counts"), counts) || r.Int("alive") != still {
				rt.Fatalf("%s, want q %d, counts %v, alive %d", r, q, counts, still)
			}
			h.Advance(seconds(show.Pause))
			if still == 0 || q == int64(len(show.Questions)) {
				h.Advance(2 * time.Minute)
				checkWinners(rt, h, show.Prize, alive, still)
				return
			}
		}
	})
}

func checkWinners(rt *rapid.T, h hall, prize int64, alive map[string]bool, count int64) {
	h.Faults(nil)
	h.Advance(2 * time.Minute)
	won := h.Player("eye").Push("winners")
	share := int64(0)
	if count > 0 {
		share = prize / count
	}
	if won.Int("count") != count || won.Int("share") != share || int64(len(won.Texts("names"))) != count {
		rt.Fatalf("%s, want %d with %d each", won, count, share)
	}
	for name, in := range alive {
		want := int64(0)
		if in {
			want = share
		}
		if got := h.Player(name).OK("bank:", "balance", nil).Int("balance"); got != want {
			rt.Fatalf("%s holds %d, want %d", name, got, want)
		}
	}
}

// A thousand press the button at once.
func TestAThousandAnswers(t *testing.T) {
	h := open(t, three, "eye")
	want := make([]int64, 3)
	var calls []*gametest.Pending
	for i := range 1000 {
		h.join(fmt.Sprint("p", i))
	}
	h.start()
	for i := range 1000 {
		calls = append(calls, h.Player(fmt.Sprint("p", i)).Start(friday, "answer", reply(1, int64(i*i%3))))
		want[i*i%3]++
	}
	for _, c := range calls {
		if !c.Done() {
			t.Fatal("an answer is not there at once")
		}
	}
	h.result()
	if got := h.Player("eye").Push("result"); !slices.Equal(got.Ints("counts"), want) || got.Int("alive") != want[1] {
		t.Errorf("%s, want %v", got, want)
	}
}

// A sum that comes twice, or of a round that is past, counts once.
func TestASumCountsOnce(t *testing.T) {
	r, c := &room{}, new(game.Context)
	now := time.Unix(1_700_000_000, 0)
	r.open(three, now)
	r.start(now)
	r.phase = counting
	var sum game.Tally
	sum.Slots[1] = 5
	for i, counts := range []bool{true, false} {
		c.Begin(game.Frame{At: now})
		r.Collected(c, questionRound(r.run, 1), sum)
		if got := len(c.Outcome().Effects); (got > 0) != counts {
			t.Errorf("time %d: %d effects", i+1, got)
		}
	}
	if r.alive != 5 || r.phase != showing {
		t.Errorf("%d alive in phase %d", r.alive, r.phase)
	}
}

func TestRestoreRefusesGarbage(t *testing.T) {
	h := open(t, three, "ann")
	h.start()
	h.answer("ann", 1, 1)
	for who, stater := range map[game.Address]game.Stater{part0("ann"): &part{}, {Topic: friday}: &room{}} {
		full := h.State(who)
		if err := stater.Restore(full); err != nil || string(stater.Snapshot(nil)) != string(full) {
			t.Errorf("%v: not restored as it was: %v", who, err)
		}
		for n := range full {
			if stater.Restore(full[:n]) == nil {
				t.Errorf("%v: accepted %d of %d bytes", who, n, len(full))
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes")
		_ = (&part{}).Restore(b) // does not panic
		_ = (&room{}).Restore(b)
	})
}
