package protocol

// Limits of names, in bytes.
const (
	MaxPlayer = 64 // a player's name
	MaxGame   = 32 // the part of a topic before the colon
	MaxID     = 64 // the part after it
)

const (
	inPlayer = 1 << iota // may stand in a player's name or a topic's id
	inGame               // may stand in a game's name
)

var nameBytes = func() (t [256]uint8) {
	for c := '0'; c <= '9'; c++ {
		t[c] = inPlayer | inGame
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = inPlayer | inGame
		t[c-'a'+'A'] = inPlayer
	}
	t['-'] = inPlayer | inGame
	t['_'] = inPlayer
	t['.'] = inPlayer
	return t
}()

func allIn[T ~string | ~[]byte](s T, class uint8) bool {
	for i := 0; i < len(s); i++ {
		if nameBytes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// ValidPlayer says whether s is a player's name: 1–64 of A-Z, a-z, 0-9, "_", "." and "-".
func ValidPlayer[T ~string | ~[]byte](s T) bool {
	return len(s) > 0 && len(s) <= MaxPlayer && allIn(s, inPlayer)
}

// ValidGame says whether s is a game's name: 1–32 of a-z, 0-9 and "-".
func ValidGame[T ~string | ~[]byte](s T) bool {
	return len(s) > 0 && len(s) <= MaxGame && allIn(s, inGame)
}

// ValidTopic says whether t is well-formed: "" (the player himself) or as SplitTopic has it.
func ValidTopic[T ~string | ~[]byte](t T) bool {
	if len(t) == 0 {
		return true
	}
	_, _, ok := SplitTopic(t)
	return ok
}

// SplitTopic splits "game:id" at its colon: a game's name, and 0–64 of the alphabet of players' names. Not ok for anything
// else, "" included.
func SplitTopic[T ~string | ~[]byte](t T) (game, id T, ok bool) {
	for i := 0; i < len(t) && i <= MaxGame; i++ {
		if t[i] == ':' {
			game, id = t[:i], t[i+1:]
			return game, id, i > 0 && allIn(game, inGame) && len(id) <= MaxID && allIn(id, inPlayer)
		}
	}
	return game, id, false
}
