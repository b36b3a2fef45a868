package trivia

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/games/bank"
	"gamed/protocol"
)

const friday = "trivia:friday"

// three has right choices 1, 0, 2, each open for ten seconds.
var three = Show{Prize: 100, Pause: 3, Questions: []Question{
	{Text: "one?", Choices: []string{"a", "b", "c"}, Answer: 1, Seconds: 10},
	{Text: "two?", Choices: []string{"a", "b"}, Answer: 0, Seconds: 10},
	{Text: "three?", Choices: []string{"a", "b", "c", "d"}, Answer: 2, Seconds: 10},
}}

// hall is a show with its host and players.
type hall struct {
	*gametest.World
	t    *testing.T
	host *gametest.Player
}

// open makes a hall in which show was opened and players have joined.
func open(t *testing.T, show Show, players ...string) hall {
	t.Helper()
	h := hall{World: gametest.New(t, Game(), bank.Game()), t: t}
	h.host = h.Player("host")
	h.host.SetRole("host")
	h.host.OK(friday, "open", show.Payload())
	h.join(players...)
	return h
}

func (h hall) join(players ...string) {
	h.t.Helper()
	for _, name := range players {
		h.Player(name).SetRole("")
		h.Player(name).OK(friday, "join", nil)
	}
}

func (h hall) start() { h.t.Helper(); h.host.OK(friday, "start", nil) }

func (h hall) answer(player string, q, choice int64) {
	h.t.Helper()
	want := fmt.Sprintf(`{"q":%d,"choice":%d}`, q, choice)
	if got := h.Player(player).OK(friday, "answer", reply(q, choice)).String(); got != want {
		h.t.Errorf("%s: %s, want %s", player, got, want)
	}
}

func (h hall) refused(code protocol.Code, player string, q, choice int64) {
	h.t.Helper()
	h.Player(player).Refused(code, friday, "answer", reply(q, choice))
}

// result lets the open question pass until its result is out.
func (h hall) result() { h.Advance(10*time.Second + grace) }

func (h hall) pause() { h.Advance(3 * time.Second) }

// sees compares the pushes a player got since the last look.
func (h hall) sees(player string, want ...string) {
	h.t.Helper()
	var got []string
	for _, p := range h.Player(player).Pushes() {
		got = append(got, p.String())
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("%s saw\n%q, want\n%q", player, got, want)
	}
}

// forget makes the next look begin here.
func (h hall) forget(players ...string) {
	for _, name := range players {
		h.Player(name).Pushes()
	}
}

func (h hall) holds(player string, want int64) {
	h.t.Helper()
	if got := h.Player(player).OK("bank:", "balance", nil).Int("balance"); got != want {
		h.t.Errorf("%s holds %d, want %d", player, got, want)
	}
}

// joinSees compares the answer to join.
func (h hall) joinSees(player, want string) {
	h.t.Helper()
	if got := h.Player(player).OK(friday, "join", nil).String(); got != want {
		h.t.Errorf("%s joins: %s\nwant %s", player, got, want)
	}
}

func part0(player string) game.Address { return game.Address{Player: player, Topic: friday} }
