package loadtest

import (
	"time"

	"gamed/client"
	"gamed/games/trivia"
)

// ShowRecord is all that was seen of a show from outside.
type ShowRecord struct {
	Topic string
	Show  trivia.Show // as it was opened
	Bots  []*BotRecord
	Ended bool     // every bot got winners
	Kill  *Killed  // nil: nobody was killed
	Died  []string // nodes that ended by themselves, and what they said
}

// Killed tells of the node that was killed.
type Killed struct {
	Node     string    `json:"node"`
	Question int       `json:"question"`
	At       time.Time `json:"at"`
	Home     bool      `json:"home"` // it was the room's home
}

// BotRecord is what one player sent and was told.
type BotRecord struct {
	Name    string
	Problem string // why he could not take part; "": he did
	Joined  uint64 // the stream's offset when he joined
	Pushes  []Received
	Answers []Answer

	Connections []Connection

	Sessions   uint64 // begun; more than one: one was lost
	Duplicates uint64 // pushes that came a second time
	Ended      string // why the server ended him; "": it did not

	Balance    int64
	HasBalance bool

	OnKilled    bool // his socket was on the killed node
	Reconnected time.Duration
	Recovered   time.Duration // from the kill until a call begun after it was answered; 0: never, or there was no kill
}

// Received is a push and when it came.
type Received struct {
	client.Push
	At time.Time
}

// unknown stands for the code of a call whose outcome is not known.
const unknown = "unknown"

// Answer is one attempt to answer a question.
type Answer struct {
	Q      int
	Choice int64
	Sent   time.Time
	Done   time.Time
	Code   string // "ok", the server's code, or unknown
	Got    int64  // with ok: the choice that counts
	GotQ   int
	Err    string
}
