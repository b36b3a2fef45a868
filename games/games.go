// Package games is the list of the games in the box.
package games

import (
	"gamed/game"
	"gamed/games/bank"
	"gamed/games/chat"
	"gamed/games/echo"
	"gamed/games/trivia"
)

// All are the games every server has.
func All() []game.Game {
	return []game.Game{bank.Game(), chat.Game(), echo.Game(), trivia.Game()}
}
