package echo

import (
	"bytes"
	"testing"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/protocol"
)

func TestAnswersWithTheSameBytes(t *testing.T) {
	ann := gametest.New(t, Game()).Player("ann")
	payloads := map[string]game.Payload{
		"map":  game.NewMap().Int("a", 1).Text("b", "<&>").Payload(),
		"list": game.Encode([]any{1, "two", nil, 3.5, true}),
		"bin":  protocol.AppendBin(nil, []byte{0, 255}),
		"int":  protocol.AppendUint(nil, 1<<63+1),
		"nil":  {0xc0},
		"json": gametest.JSON(` {"a" : 1.0, "a":2} `),
	}
	for name, p := range payloads {
		for _, event := range []string{"anything", "join", ""} {
			code, got := ann.Call(Topic, event, p)
			if code != protocol.CodeOK || !bytes.Equal(got, p) {
				t.Errorf("%s, event %q: %s % x, want % x", name, event, code, got, p)
			}
		}
	}
}

func TestHasOneTopic(t *testing.T) {
	ann := gametest.New(t, Game()).Player("ann")
	ann.Refused(protocol.CodeNotFound, "echo:other", "x", nil)
	ann.Refused(protocol.CodeNotFound, "echo", "x", nil)
}

func TestAllocatesNothing(t *testing.T) {
	g, c := Game(), new(game.Context)
	m := &game.Message{Event: "x", Payload: game.NewMap().Int("a", 1).Payload(), From: game.Address{Player: "ann", Topic: Topic}, Client: true}
	var n int
	got := testing.AllocsPerRun(1000, func() {
		c.Begin(game.Frame{Message: m, Wants: true})
		g.Player("").Call(c, m)
		n += len(c.Outcome().Answer.Payload)
	})
	if got != 0 || n == 0 {
		t.Errorf("%v allocations, %d bytes answered; want none, some", got, n)
	}
}
