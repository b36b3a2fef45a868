package envelope

import (
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

func TestKeysNamePartsOneToOne(t *testing.T) {
	for _, tt := range []struct {
		a   game.Address
		key string
	}{
		{game.Address{Player: "ann"}, "player/ann"},
		{game.Address{Player: "ann", Topic: "bank:"}, "player/ann"},
		{game.Address{Topic: "chat:lobby"}, "chat/lobby"},
		{game.Address{Topic: "echo:"}, "echo/"},
	} {
		if got := KeyOf(tt.a); got != tt.key {
			t.Errorf("%+v: %s, want %s", tt.a, got, tt.key)
		}
	}
	if name, ok := PlayerOf("player/ann"); !ok || name != "ann" {
		t.Errorf("player of player/ann: %q %v", name, ok)
	}
	if _, ok := PlayerOf("chat/player/"); ok {
		t.Error("a room's key was taken for a player's")
	}
	for _, topic := range []string{"chat:lobby", "echo:", "a-1:A_b.c-d"} {
		if got := TopicOf(RoomKey(topic)); got != topic {
			t.Errorf("%s came back as %s", topic, got)
		}
	}
}

func TestAnswersTravel(t *testing.T) {
	for _, a := range []game.Answer{
		{Set: true, Code: protocol.CodeOK, Payload: game.EmptyMap, Retry: -1},
		{Set: true, Code: protocol.CodeBusy, Text: "later", Retry: 250 * time.Millisecond},
		{Set: true, Code: protocol.CodeBusy, Text: "at once", Retry: 0},
		{Set: true, Code: protocol.CodeInvalid, Text: "never", Retry: -1},
	} {
		got := AnswerOf(string(a.Code), AnswerPayload(a))
		if got.Code != a.Code || got.Text != a.Text || got.Retry != a.Retry || string(got.Payload) != string(a.Payload) || !got.Set {
			t.Errorf("%+v became %+v", a, got)
		}
	}
	if got := AnswerOf("busy", []byte{0xc1}); got.Code != protocol.CodeBusy || got.Text != "" || got.Retry != -1 {
		t.Errorf("a damaged failure: %+v", got)
	}
}
