// Package chat is rooms to talk in, topics "chat:<room>". It has a room part only: everything in it is shared.
//
// join → {members, count, offset}, say {text} → {offset} and the push said {from, text} to every member, who → as join, leave → {}.
// Who comes and goes is announced outside the stream: joined and left with the player's name in rooms up to 1,000 members, above
// that count {count} at most once a second.
package chat

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"gamed/game"
	"gamed/protocol"
)

// Limits of a room.
const (
	MaxText   = 2000 // bytes of a text
	MaxListed = 1000 // members named in an answer, and announced by name
)

// countEvery is how often a big room tells its number at most.
const countEvery = time.Second

// Game describes chat to the server.
func Game() game.Game {
	return game.Game{
		Name:     "chat",
		HasTopic: func(id string) bool { return id != "" },
		Room:     func(string) game.Room { return &room{} },
		Words: []game.Word{
			{Name: "say", Usage: "<text>", Help: "say something in the room joined last", Event: "say", Parse: parseSay},
			{Name: "who", Help: "who is in the room joined last", Event: "who"},
			{Name: "leave", Help: "leave the topic joined last", Event: "leave"},
		},
	}
}

func parseSay(args string, _ game.Memory) (game.Payload, error) {
	if strings.TrimSpace(args) == "" {
		return nil, errors.New("say what?")
	}
	return game.NewMap().Text("text", args).Payload(), nil
}

// room is one room. Its members are the server's business; it only knows whether a count is due.
type room struct {
	counting bool // the timer "count" is set
}

// Call implements game.Room.
func (r *room) Call(c *game.Context, m *game.Message) {
	me, f := m.From.Player, m.Payload.Fields()
	if me == "" || m.From.Topic != c.Self().Topic {
		c.Fail(protocol.CodeNotFound, "only players are in rooms")
		return
	}
	switch m.Event {
	case "join":
		if !valid(c, &f) {
			return
		}
		if c.Join() {
			r.announce(c, "joined", me)
		}
		c.Reply(listed(c))
	case "who", "leave", "say":
		if !c.Roster.Has(me) {
			c.Fail(protocol.CodeForbidden, "join first")
			return
		}
		r.member(c, m.Event, me, f)
	default:
		c.Fail(protocol.CodeNotFound, "chat has no event %q", m.Event)
	}
}

// member handles what only members may do.
func (r *room) member(c *game.Context, event, me string, f game.Fields) {
	var text string
	if event == "say" {
		text = f.Text("text")
	}
	if !valid(c, &f) {
		return
	}
	switch event {
	case "who":
		c.Reply(listed(c))
	case "leave":
		c.Leave(me)
		r.announce(c, "left", me)
		c.Reply(game.EmptyMap)
	case "say":
		if len(text) == 0 || len(text) > MaxText || !utf8.ValidString(text) {
			c.Fail(protocol.CodeInvalid, "text: want 1 to %d bytes of UTF-8", MaxText)
			return
		}
		offset := c.Broadcast("said", game.NewMap().Text("from", me).Text("text", text))
		c.Reply(game.NewMap().Int("offset", int64(offset)))
	}
}

// Left implements game.Leaver: a session ended.
func (r *room) Left(c *game.Context, player string) { r.announce(c, "left", player) }

// announce tells the others that player came or went: by name while the room is small, else the new number, soon.
func (r *room) announce(c *game.Context, event, player string) {
	if c.Roster.Len() <= MaxListed {
		c.Announce(event, game.NewMap().Text("player", player), player)
		return
	}
	if !r.counting {
		r.counting = true
		c.Changed()
		c.After("count", countEvery)
	}
}

// Timer implements game.Timed.
func (r *room) Timer(c *game.Context, _ string) {
	r.counting = false
	c.Changed()
	c.Announce("count", game.NewMap().Int("count", int64(c.Roster.Len())), "")
}

// listed is the answer to join and who.
func listed(c *game.Context) *game.Map {
	n := c.Roster.Len()
	members := make([]string, 0, min(n, MaxListed))
	c.Roster.Each(func(player string) bool {
		members = append(members, player)
		return len(members) < MaxListed
	})
	return game.NewMap().Texts("members", members).Int("count", int64(n)).Int("offset", int64(c.StreamOffset()))
}

func valid(c *game.Context, f *game.Fields) bool {
	if err := f.Err(); err != nil {
		c.Fail(protocol.CodeInvalid, "%v", err)
		return false
	}
	return true
}

// Snapshot implements game.Stater.
func (r *room) Snapshot(dst []byte) []byte { return protocol.AppendBool(dst, r.counting) }

// Restore implements game.Stater.
func (r *room) Restore(b []byte) error {
	s := game.ReadState(b)
	r.counting = s.Bool()
	return s.Err()
}
