package game

import (
	"time"

	"gamed/protocol"
)

// Game describes a game to the server. The zero value of a field means "does not have this".
type Game struct {
	// Name is the part of a topic before the colon: 1–32 of a-z, 0-9 and "-".
	Name string
	// HasTopic judges the part of a topic after the colon; nil admits every well-formed one. Others are answered not_found.
	HasTopic func(id string) bool
	// Player makes the part that runs in a player's entity for one topic. It must be cheap: parts that never call
	// Context.Changed are dropped after each message.
	Player func(id string) Player
	// Room makes the part that runs in the home of one topic.
	Room func(id string) Room
	// Words are the commands the game adds to word mode (nc).
	Words []Word
}

// Player is a game's part in one player's entity, for one topic.
type Player interface {
	// Call handles a call or cast: from the player's own client (m.Client), or from another entity. Unless it answers,
	// fails, forwards or defers, the caller gets an empty map.
	Call(c *Context, m *Message)
	Stater
}

// Room is a game's part in the home of one topic.
type Room interface {
	Call(c *Context, m *Message)
	Stater
}

// Stater is state that can be carried: to the backup, to another node, to the store, and back after a panic.
type Stater interface {
	// Snapshot appends the state to dst and returns it. It must not keep dst.
	Snapshot(dst []byte) []byte
	// Restore replaces the state with one that Snapshot gave. It must not keep b.
	Restore(b []byte) error
}

// Stateless is embedded by a part that has no state.
type Stateless struct{}

// Snapshot appends nothing.
func (Stateless) Snapshot(dst []byte) []byte { return dst }

// Restore accepts anything.
func (Stateless) Restore([]byte) error { return nil }

// The optional abilities of a part. A part that makes use of a Context method named here must have the ability.
type (
	// Answered gets the answer to a call made with Context.Call. status is CodeOK or a code; p then is its failure.
	// Every call is answered: by its deadline at the latest, with CodeUnavailable.
	Answered interface {
		Answered(c *Context, tag string, status protocol.Code, p Payload)
	}
	// Timed gets a timer set with Context.After.
	Timed interface {
		Timer(c *Context, name string)
	}
	// Noticed (player part) gets what the room of its topic told all members with Context.Notify, in order, each once.
	Noticed interface {
		Notice(c *Context, event string, p Payload)
	}
	// Leaver is told that a membership ended other than by Context.Leave: the room is told which player left, a player
	// part that it is the player itself (c.Self().Player).
	Leaver interface {
		Left(c *Context, player string)
	}
	// Replayer (room part) brings up to date what a member who resumes gets again: it is asked for each push of the stream that is
	// replayed, with its offset, and gives the payload to send, p itself when nothing has to change. It must not change state,
	// and what it asks of c is not done.
	Replayer interface {
		Replay(c *Context, offset uint64, event string, p Payload) Payload
	}
	// Merger puts two states of the part together that went on apart while the network was split. base is the state both had
	// before, nil when the part was made on each side anew; mine is that of the side whose client changed something last. All are
	// as Snapshot gave them, and the result is one that Restore takes. It is asked of a part that was just made, only when both
	// states differ from base, and must not keep or change what it is given.
	//
	// With a state and an error the state is taken, and the error is noted in the conflict log: it says what had to be given up.
	// With an error alone mine stays, as it does for a part without this ability. A room that gives theirs as it is goes on as on
	// that side altogether: with its timers, its stream, and what it collects.
	//
	// A merge should give the same when mine and theirs are exchanged, as far as it matters, and must count what is in base once:
	// of three sides two are merged first, then the third.
	Merger interface {
		Merge(base, mine, theirs []byte) ([]byte, error)
	}
	// Reteller (room part) is asked before a round is collected again, because a node went or something moved: it tells the members'
	// parts with Context.Notify what they must have heard before they are summed up. They may have heard, and done, it before. It
	// must not change the room's state, nor begin to collect.
	Reteller interface {
		Retell(c *Context, round string)
	}
	// Collected (room part) gets the result of Context.Collect: the sum over all partitions, exact.
	Collected interface {
		Collected(c *Context, round string, t Tally)
	}
)

// Address names a part: Player empty is the room of Topic, else the part of that player for Topic.
type Address struct {
	Player string
	Topic  string
}

// Message is one call or cast.
type Message struct {
	Event   string
	Payload Payload // valid only during the handler
	// From is who sent it: the player (with the topic called) for a client's call, also when his player part passed it on.
	From Address
	// Client says that it is the player's client that speaks, not another entity. Events meant for entities only must
	// refuse clients.
	Client bool
	// Role is the role in the client's token, "" without; with --auth none every client may do everything (AnyRole).
	Role string
}

// AnyRole is the role of every client when the server runs without authentication.
const AnyRole = "*"

// HasRole says whether the sender may act as role.
func (m *Message) HasRole(role string) bool { return m.Role == role || m.Role == AnyRole }

// Tally is a sum of what player parts added in one round.
type Tally struct {
	Slots [TallySlots]int64
	Names []string // the first TallyNames names marked, in no particular order
}

// Limits of a tally.
const (
	TallySlots = 32
	TallyNames = 20
)

// Word is a command of word mode, such as "deposit 5".
type Word struct {
	Name  string // the first word of the line
	Usage string // its arguments, e.g. "<amount>"
	Help  string // one line
	Topic string // the topic called; "" is the topic joined last
	Event string
	// Parse makes the payload from the rest of the line. The error's text is shown to the person. nil: the command takes no
	// arguments and has an empty payload.
	Parse func(args string, mem Memory) (Payload, error)
}

// Memory is what a word-mode connection remembers of its topic.
type Memory interface {
	// Pushed gives the payload of the last push of event in the topic the word is for, nil if there was none.
	Pushed(event string) Payload
	// Replied gives the payload of the last ok answer to event in that topic, nil if there was none.
	Replied(event string) Payload
}

// CallTimeout is how long a call between entities waits for its answer.
const CallTimeout = 5 * time.Second
