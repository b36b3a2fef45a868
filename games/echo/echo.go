// Package echo is the smallest game in the box: topic "echo:" answers every event with the payload it came with. It is there to
// measure the way through the server, so it allocates nothing and keeps nothing.
package echo

import "gamed/game"

// Topic is the only topic of the game.
const Topic = "echo:"

// Game describes echo to the server.
func Game() game.Game {
	var same game.Player = part{} // without state, one serves all players
	return game.Game{
		Name:     "echo",
		HasTopic: func(id string) bool { return id == "" },
		Player:   func(string) game.Player { return same },
	}
}

type part struct{ game.Stateless }

// Call answers with the payload as it is: the same bytes within a dialect, the same value across.
func (part) Call(c *game.Context, m *game.Message) { c.ReplyPayload(m.Payload) }
