package admin

import (
	"context"
	"errors"
	"time"
)

// Source is what the admin port shows and does. All methods may be called from any goroutine. Those with a context answer within
// its deadline; the others at once, from memory.
type Source interface {
	// Live is false when the process can only be helped by a restart.
	Live() bool
	// Ready says whether this node takes players; if not, why. degraded is what is wrong without keeping players away.
	Ready() (ok bool, reasons []string, degraded []string)
	// Members are all nodes known; one that does not answer has Error set.
	Members(ctx context.Context) []Member
	Table() Table
	// Locate answers for any well-formed key, seen or not.
	Locate(key string) (Location, error)
	// Players gives at most limit rows after cursor ("" for the first).
	Players(ctx context.Context, cursor string, limit int) (PlayersPage, error)
	Player(ctx context.Context, id string) (Player, error)
	// Conflicts gives at most limit rows older than cursor ("" for the newest).
	Conflicts(ctx context.Context, cursor string, limit int) (ConflictsPage, error)
	Conflict(ctx context.Context, id string) (ConflictCopies, error)
	// Supervision asks all nodes; one that does not answer has Error set.
	Supervision(ctx context.Context) Supervision
	// DeadLetters gives at most limit of a node, or of all when node is "".
	DeadLetters(ctx context.Context, node string, limit int) (DeadLettersPage, error)
	// Events are those kept with a Seq above after, oldest first.
	Events(after uint64) []Event
	Stats() Stats
	// Limits are the bounds of this node and how much of each is taken.
	Limits() []Limit
	// Drain begins to empty a node and returns at once; the node stays.
	Drain(ctx context.Context, node string) error
	// Forget gives up a node that is missing: nobody waits for it any more, and what only it had is lost.
	Forget(ctx context.Context, node string) error
	Kick(ctx context.Context, player string) error
	CloseRoom(ctx context.Context, topic string) error
}

// Errors a Source may wrap; they decide the HTTP status. Any other error is 500.
var (
	ErrNotFound    = errors.New("not found")   // 404
	ErrInvalid     = errors.New("invalid")     // 400
	ErrConflict    = errors.New("conflict")    // 409
	ErrUnavailable = errors.New("unavailable") // 503
)

// Member is a node.
type Member struct {
	Node       string  `json:"node"`
	Boot       string  `json:"boot"`  // this life of the node, in hexadecimal
	State      string  `json:"state"` // alive, suspect, draining, dead
	Addr       string  `json:"addr"`  // where players connect
	RTT        float64 `json:"rtt_ms"`
	Partitions int     `json:"partitions"` // owned
	Players    int     `json:"players"`    // sessions owned
	Version    string  `json:"version,omitempty"`
	Error      string  `json:"error,omitempty"` // the node did not answer: the numbers are not known
}

// Table says who owns each partition.
type Table struct {
	Term       uint64      `json:"term"`
	Hash       string      `json:"hash"` // in hexadecimal; equal tables have equal hashes
	Partitions []Partition `json:"partitions"`
}

// Partition is one entry of the table; its index is the partition's number.
type Partition struct {
	Owner  string `json:"owner"`  // "" when nobody owns it
	Backup string `json:"backup"` // "" when there is none
	Term   uint64 `json:"term"`   // fencing token
}

// Location says where a key lives.
type Location struct {
	Partition int    `json:"partition"`
	Owner     string `json:"owner"`
	Backup    string `json:"backup"`
	Term      uint64 `json:"term"`
}

// PlayersPage is a part of the list of players.
type PlayersPage struct {
	Players []PlayerRow `json:"players"`
	Cursor  string      `json:"cursor"`           // of the next page, "" when this is the last
	Errors  []string    `json:"errors,omitempty"` // nodes that did not answer: their players are missing
}

// PlayerRow is a player in a list.
type PlayerRow struct {
	Player  string `json:"player"`
	Owner   string `json:"owner"`
	Gateway string `json:"gateway"` // the node its socket is on, "" when it has none
	Topics  int    `json:"topics"`
}

// Player is all that is shown of one player.
type Player struct {
	Player  string   `json:"player"`
	Owner   string   `json:"owner"`
	Backup  string   `json:"backup"`
	Gateway string   `json:"gateway"`
	Session string   `json:"session"` // the first 6 characters
	Mailbox int      `json:"mailbox"` // messages waiting
	Refs    []uint64 `json:"refs"`    // last answered
	Topics  []string `json:"topics"`
}

// Event is something that happened in the cluster, as this node saw it.
type Event struct {
	Seq  uint64    `json:"seq"` // from 1, without gaps, while the process lives
	Time time.Time `json:"time"`
	Kind string    `json:"kind"` // such as member_joined, table_installed
	Node string    `json:"node"` // whom it is about
	Text string    `json:"text"`
}

// Stats are a few numbers of now. Counters grow while the process lives.
type Stats struct {
	Time        time.Time   `json:"time"`
	Node        string      `json:"node"`
	Term        uint64      `json:"term"`
	Degraded    bool        `json:"degraded"`
	Connections int         `json:"connections"` // players' sockets here
	Sessions    int         `json:"sessions"`    // sessions owned here
	Entities    int         `json:"entities"`    // in memory here
	Calls       uint64      `json:"calls"`       // counter: calls and casts taken from sockets here
	Pushes      uint64      `json:"pushes"`      // counter: pushes written to sockets here
	Forwarded   uint64      `json:"forwarded"`   // counter: messages sent to other nodes
	Failed      uint64      `json:"failed"`      // counter: calls answered with a code other than ok
	Nodes       []NodeStats `json:"nodes"`       // every node as last heard of
}

// Limit is a bound of the node, in the unit its name says; 0: none. Used is -1 where it is counted for each client by itself.
type Limit struct {
	Name  string `json:"name"`
	Limit int64  `json:"limit"`
	Used  int64  `json:"used"`
}

// NodeStats is one node in Stats.
type NodeStats struct {
	Node        string  `json:"node"`
	State       string  `json:"state"`
	RTT         float64 `json:"rtt_ms"`
	Partitions  int     `json:"partitions"`
	Connections int     `json:"connections"`
	Sessions    int     `json:"sessions"`
}
