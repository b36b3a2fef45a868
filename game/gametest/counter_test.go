package gametest_test

import (
	"testing"
	"time"

	"gamed/game"
	"gamed/game/gametest"
	"gamed/protocol"
)

// counter is a whole game: a room in which everybody presses one button, and hears the number a second later.
func counter() game.Game {
	return game.Game{Name: "counter", Room: func(string) game.Room { return &button{} }}
}

type button struct{ presses int64 }

func (b *button) Call(c *game.Context, m *game.Message) {
	switch m.Event {
	case "join":
		c.Join()
	case "press":
		b.presses++
		c.Changed()
		c.After("tell", time.Second)
	default:
		c.Fail(protocol.CodeNotFound, "there is only the button")
	}
}

func (b *button) Timer(c *game.Context, _ string) {
	c.Broadcast("pressed", game.NewMap().Int("times", b.presses))
}

func (b *button) Snapshot(dst []byte) []byte { return protocol.AppendInt(dst, b.presses) }

func (b *button) Restore(state []byte) error {
	r := game.ReadState(state)
	b.presses = r.Int()
	return r.Err()
}

func TestCounter(t *testing.T) {
	w := gametest.New(t, counter())
	ann, bob := w.Player("ann"), w.Player("bob")
	ann.OK("counter:x", "join", nil)
	ann.OK("counter:x", "press", nil)
	bob.OK("counter:x", "press", nil)
	w.Advance(time.Second)
	if got := ann.Push("pressed").Int("times"); got != 2 {
		t.Errorf("ann hears %d, want 2", got)
	}
	bob.Refused(protocol.CodeNotFound, "counter:x", "kick", nil)
}
