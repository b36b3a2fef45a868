package gametest

import (
	"strings"

	"gamed/game"
	"gamed/protocol"
)

// Type sends a line as a person with nc would: "join chat:lobby", "bye", or a word of one of the games.
func (p *Player) Type(line string) (protocol.Code, game.Payload) {
	p.w.t.Helper()
	word, args, _ := strings.Cut(line, " ")
	switch word {
	case "join":
		return p.Call(args, "join", nil)
	case "bye":
		p.End()
		return protocol.CodeOK, nil
	}
	for _, g := range p.w.games {
		for _, wd := range g.Words {
			if wd.Name != word {
				continue
			}
			topic := wd.Topic
			if topic == "" {
				topic = p.joined
			}
			var payload game.Payload
			if wd.Parse != nil {
				var err error
				if payload, err = wd.Parse(args, memory{p, topic}); err != nil {
					return protocol.CodeInvalid, protocol.AppendFailure(nil, err.Error(), -1)
				}
			}
			return p.Call(topic, wd.Event, payload)
		}
	}
	p.w.t.Fatalf("gametest: no game has the word %q", word)
	return "", nil
}

// memory is what a word-mode connection remembers.
type memory struct {
	p     *Player
	topic string
}

// Pushed implements game.Memory.
func (m memory) Pushed(event string) game.Payload { return m.p.last[m.topic+" "+event] }

// Replied implements game.Memory.
func (m memory) Replied(event string) game.Payload { return m.p.replies[m.topic+" "+event] }
