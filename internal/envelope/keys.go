package envelope

import (
	"strings"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// PlayerPrefix begins the keys of players. No game may be called "player".
const PlayerPrefix = "player/"

// KeyOf is the key of the entity that an address lives in.
func KeyOf(a game.Address) string {
	if a.Player != "" {
		return PlayerPrefix + a.Player
	}
	return RoomKey(a.Topic)
}

// RoomKey is the key of a topic's room: "chat:lobby" → "chat/lobby".
func RoomKey(topic string) string { return strings.Replace(topic, ":", "/", 1) }

// PlayerOf is the player's name in a player's key.
func PlayerOf(key string) (string, bool) { return strings.CutPrefix(key, PlayerPrefix) }

// TopicOf is the topic of a room's key.
func TopicOf(key string) string { return strings.Replace(key, "/", ":", 1) }

// AnswerPayload is what a Reply envelope carries for an answer: the payload, or the failure.
func AnswerPayload(a game.Answer) []byte {
	if a.Code == protocol.CodeOK {
		return a.Payload
	}
	return protocol.AppendFailure(nil, a.Text, RetryMS(a))
}

// RetryMS is an answer's retry hint in milliseconds, below 0 when there is none.
func RetryMS(a game.Answer) int64 {
	if a.Retry < 0 {
		return -1
	}
	return a.Retry.Milliseconds()
}

// AnswerOf is the answer that a Reply envelope carries.
func AnswerOf(status string, payload []byte) game.Answer {
	a := game.Answer{Set: true, Code: protocol.Code(status), Retry: -1}
	if a.Code == protocol.CodeOK {
		a.Payload = payload
		return a
	}
	if f, ok := protocol.ParseFailure(payload); ok {
		a.Text = f.Message
		if f.HasRetry {
			a.Retry = time.Duration(f.RetryMS) * time.Millisecond
		}
	}
	return a
}
