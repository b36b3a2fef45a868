// Package envelope is the one message that travels between entities, gateways and nodes, and its hand-written msgpack codec.
//
// An envelope is an array whose elements stand in the order of their use on the hot path; elements at the end that hold their
// zero value are left out, elements beyond those known are ignored, so fields can be added at the end (wire version: see
// cluster). Decoding allocates for the rare text fields only; Key and Payload alias the bytes decoded.
package envelope

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"gamed/protocol"
)

// NodeID names one life of a node: a restart under the same name is another node.
type NodeID struct {
	Name string
	Boot uint64 // random, new at each start; 0 only in the zero NodeID
}

// IsZero says that no node is named.
func (n NodeID) IsZero() bool { return n.Boot == 0 && n.Name == "" }

func (n NodeID) String() string { return fmt.Sprintf("%s/%08x", n.Name, n.Boot>>32) }

// Kind says what an envelope is and thereby who gets it: an entity (by Key), a connection (by Conn), or a node's relay.
type Kind uint8

// To an entity, by Key. The first three come from the gateway of the connection Conn on Node.
const (
	Frames  Kind = iota + 1 // Conn, Payload: CALL frames of one read
	Hello                   // Conn, Node, Boot, Flags (FlagText), Role, Session, Payload: the `seen` map, see player
	Gone                    // Conn, Flags (FlagBye): the socket ended, or BYE
	Call                    // Ref, TTL, Topic, Event, From, FromTopic, Role, Flags, Payload (Conn, Node, Boot, Session: the caller's client, for join)
	Cast                    // as Call, without Ref
	Reply                   // Ref, Event (status), Payload, Flags (FlagJoined|FlagLeft), Offset
	Tallied                 // Ref, Topic, Event (round), Payload: the answer to Collect
	Seen                    // Conn, Node, Offset: what the connection has of the player's own stream; the rest is to follow
	Acked                   // Conn: the outbox's life, Ref: the backup has everything up to this change; Flags (FlagMore)

	// To a connection, on the node it is sent to.
	Out // Conn, Flags (FlagWelcome|FlagClose), Payload: binary frames, Offset: of the last push of the own stream in them (FlagWelcome: where it goes on), Key: the player, who asks what is there when nothing else is set

	// To the relay of Topic on the node it is sent to.
	Attach  // Conn, From (player), Offset, Payload: frames to replay. The connection gets the stream from Offset on
	Detach  // Conn, From (player)
	Push    // Offset, Payload: one PUSH frame. Offset 0: outside the stream; From: the player who does not get it
	Collect // Ref (attempt), Key (the home), Event (round), Flags (FlagResume), Offset: the notice that all must have heard
	Notify  // Event, Payload: to the player parts of members
	Moved   // Payload: an envelope that came to a node that does not own its key; Term: the table of that node
	Query   // Ref, Event (what), Payload: a question of the admin API to a node
	Answer  // Ref, Payload: its answer
	Table   // Event (what), Payload: the agreement on the table, between the nodes' cluster packages

	// To the node that holds, or is to hold, the copy of partition Part.
	Replicate // Key (the entity), Conn: the outbox's life, Ref: number of the change, Offset: number of the one before, Flags (FlagWhole|FlagMore|FlagDropped), Payload: state.Change
	Handoff   // all entities of the partition were sent: the receiver may serve it

	sentinel // one past the last kind
)

var kindNames = [...]string{Frames: "frames", Hello: "hello", Gone: "gone", Call: "call", Cast: "cast", Reply: "reply", Tallied: "tallied", Seen: "seen", Acked: "acked",
	Out: "out", Attach: "attach", Detach: "detach", Push: "push", Collect: "collect", Notify: "notify", Moved: "moved", Query: "query", Answer: "answer", Replicate: "replicate", Handoff: "handoff", Table: "table"}

func (k Kind) String() string {
	if k > 0 && k < sentinel {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ToEntity says whether envelopes of this kind are routed by Key.
func (k Kind) ToEntity() bool { return k >= Frames && k <= Acked }

// Flags of an envelope.
const (
	FlagText    = 1 << iota // Hello: the client speaks JSON or words
	FlagBye                 // Gone: the client said BYE
	FlagClient              // Call, Cast: the player's client speaks
	FlagWelcome             // Out: the payload is the WELCOME frame
	FlagClose               // Out: the payload ends in GOAWAY, close after it
	FlagJoined              // Reply: the call made the player a member
	FlagLeft                // Reply, Cast: the membership ended
	FlagWhole               // Replicate: the payload is the whole state
	FlagDropped             // Replicate: the entity has left memory and has no state
	FlagFill                // Replicate: only for who has no copy of the entity
	FlagConfirm             // Out: is the connection still there? Hello: its gateway says that it is
	FlagResync              // Push: the home is at Offset; a relay that is behind asks for the rest
	FlagResume              // Call: the session's client is at another connection; Offset is what it has seen. Collect: the attempt begins, and notices follow before it
	FlagMore                // Replicate: a piece of a whole state, more follow. Acked: such a piece has come
	FlagFork                // Replicate: a copy from the other side of a split
	FlagPassed              // to an entity: it went to the owner before, who passed it on
)

// Envelope is one message. The zero value of a field means that it is absent.
type Envelope struct {
	Kind      Kind
	Part      uint16 // partition of Key
	Term      uint64 // the sender's term of that partition (entities), or of the table
	Conn      uint64
	Key       string // aliases the bytes decoded
	Payload   []byte // aliases the bytes decoded
	Flags     uint16
	Hops      uint8
	Ref       uint64
	TTL       time.Duration // time left, in whole milliseconds (rounded up) on the wire; relative, so that clocks need not agree
	Offset    uint64
	Topic     string
	Event     string
	From      string // player or room key, see Kind
	FromTopic string
	Role      string
	Node      NodeID
	Session   string
}

const fields = 19

// MaxSize is the longest encoded envelope accepted from another node.
const MaxSize = 4 << 20

// Append encodes e at the end of dst. Decode takes whatever it writes, up to MaxSize.
func (e *Envelope) Append(dst []byte) []byte {
	n := e.used()
	dst = protocol.AppendArray(dst, n)
	dst = protocol.AppendUint(dst, uint64(e.Kind))
	dst = protocol.AppendUint(dst, uint64(e.Part))
	dst = protocol.AppendUint(dst, e.Term)
	dst = protocol.AppendUint(dst, e.Conn)
	dst = protocol.AppendStr(dst, e.Key)
	dst = protocol.AppendBin(dst, e.Payload)
	for i := 6; i < n; i++ {
		switch i {
		case 6:
			dst = protocol.AppendUint(dst, uint64(e.Flags))
		case 7:
			dst = protocol.AppendUint(dst, uint64(e.Hops))
		case 8:
			dst = protocol.AppendUint(dst, e.Ref)
		case 9:
			dst = protocol.AppendUint(dst, wireTTL(e.TTL))
		case 10:
			dst = protocol.AppendUint(dst, e.Offset)
		case 11:
			dst = protocol.AppendStr(dst, e.Topic)
		case 12:
			dst = protocol.AppendStr(dst, e.Event)
		case 13:
			dst = protocol.AppendStr(dst, e.From)
		case 14:
			dst = protocol.AppendStr(dst, e.FromTopic)
		case 15:
			dst = protocol.AppendStr(dst, e.Role)
		case 16:
			dst = protocol.AppendStr(dst, e.Node.Name)
		case 17:
			dst = protocol.AppendUint(dst, e.Node.Boot)
		case 18:
			dst = protocol.AppendStr(dst, e.Session)
		}
	}
	return dst
}

// maxTTL is the longest TTL on the wire, in milliseconds: 34 years.
const maxTTL = 1 << 40

// wireTTL is a TTL in milliseconds, rounded up: what is about to end has not got for ever.
func wireTTL(ttl time.Duration) uint64 {
	if ttl <= 0 {
		return 0
	}
	return min(uint64(ttl-1)/uint64(time.Millisecond)+1, maxTTL)
}

// used is the number of elements up to the last one that is not zero, at least 6.
func (e *Envelope) used() int {
	switch {
	case e.Session != "":
		return fields
	case e.Node.Boot != 0:
		return 18
	case e.Node.Name != "":
		return 17
	case e.Role != "":
		return 16
	case e.FromTopic != "":
		return 15
	case e.From != "":
		return 14
	case e.Event != "":
		return 13
	case e.Topic != "":
		return 12
	case e.Offset != 0:
		return 11
	case e.TTL > 0:
		return 10
	case e.Ref != 0:
		return 9
	case e.Hops != 0:
		return 8
	case e.Flags != 0:
		return 7
	}
	return 6
}

// Errors of Decode.
var (
	ErrFormat = errors.New("envelope: malformed")
	ErrKind   = errors.New("envelope: unknown kind")
)

// Decode reads one envelope that fills b, which may be any bytes. Key and Payload alias b. On an error e is not to be used; the
// error is ErrFormat, ErrKind, or one of protocol.Check.
func (e *Envelope) Decode(b []byte) error {
	if len(b) > MaxSize {
		return ErrFormat
	}
	if err := protocol.Check(b); err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	*e = Envelope{}
	d := decoder{Cursor: protocol.NewCursor(b)}
	n, ok := d.Array()
	if !ok || n < 6 {
		return ErrFormat
	}
	kind := d.uint(255)
	e.Part = uint16(d.uint(1<<16 - 1))
	e.Term = d.uint(1<<64 - 1)
	e.Conn = d.uint(1<<64 - 1)
	if key := d.bytes(); len(key) > 0 {
		e.Key = unsafe.String(&key[0], len(key))
	}
	e.Payload = d.bytes()
	for i := 6; i < min(n, fields); i++ {
		switch i {
		case 6:
			e.Flags = uint16(d.uint(1<<16 - 1))
		case 7:
			e.Hops = uint8(d.uint(255))
		case 8:
			e.Ref = d.uint(1<<64 - 1)
		case 9:
			e.TTL = time.Duration(d.uint(maxTTL)) * time.Millisecond
		case 10:
			e.Offset = d.uint(1<<64 - 1)
		case 11:
			e.Topic = d.text()
		case 12:
			e.Event = d.text()
		case 13:
			e.From = d.text()
		case 14:
			e.FromTopic = d.text()
		case 15:
			e.Role = d.text()
		case 16:
			e.Node.Name = d.text()
		case 17:
			e.Node.Boot = d.uint(1<<64 - 1)
		case 18:
			e.Session = d.text()
		}
	}
	if d.bad {
		return ErrFormat
	}
	if kind == 0 || kind >= uint64(sentinel) {
		return ErrKind
	}
	e.Kind = Kind(kind)
	return nil
}

type decoder struct {
	protocol.Cursor
	bad bool
}

func (d *decoder) uint(limit uint64) uint64 {
	v, ok := d.Uint()
	if !ok || v > limit {
		d.bad = true
		return 0
	}
	return v
}

func (d *decoder) bytes() []byte {
	v, ok := d.Text()
	if !ok {
		d.bad = true
	}
	return v
}

func (d *decoder) text() string { return string(d.bytes()) }
