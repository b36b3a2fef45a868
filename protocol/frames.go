package protocol

// Hello is the first frame of a connection. Its texts are copies.
type Hello struct {
	V       int64 // 0: absent
	Name    string
	Token   string
	Session string // "": a new session
	// HasName and HasToken say that the key is there, which an empty text does not tell.
	HasName, HasToken bool
	Seen              []Seen // in the frame's order; nothing keeps a topic from coming twice
}

// Seen is how far a client has seen a topic's stream.
type Seen struct {
	Topic  string
	Offset uint64
}

// Welcome answers Hello.
type Welcome struct {
	Player, Session, Node string
	Resumed               bool
	Missed                []Missed
	Degraded              bool
	HeartbeatMS           int64
	Limits                Limits
}

// Missed says of a topic of a resumed session whether its history does not reach back to what the client has seen.
type Missed struct {
	Topic  string
	Missed bool
}

// Limits are what a client must keep to.
type Limits struct {
	Frame       int64 // bytes of one frame
	Rate        int64 // frames a second; 0: no limit
	Burst       int64 // frames at once; 0: no limit
	Outstanding int64 // calls open at the same time
}

// Call is a command. Its fields alias the frame.
type Call struct {
	Ref     uint64 // 0: a cast, not answered
	Topic   []byte
	Event   []byte
	Payload []byte // one encoded value; nil (0xc0) when the frame has none. May be tagged JSON, see AppendTaggedJSON
}

// Reply answers a Call. Payload aliases the frame.
type Reply struct {
	Ref     uint64
	Status  Code
	Payload []byte // when Status is not CodeOK, see ParseFailure
}

// Push is one message of a topic's stream, or beside it. Its fields alias the frame.
type Push struct {
	Topic   []byte
	Offset  uint64 // 0: not part of the stream
	Event   []byte
	Payload []byte
}

// Failure is the payload of a Reply whose status is not ok.
type Failure struct {
	Message  string // for people
	RetryMS  int64  // milliseconds to wait before the same call again
	HasRetry bool
}

// Goaway is the last frame before the server closes.
type Goaway struct {
	Code    Code
	Reason  string   // for people
	RetryMS int64    // milliseconds to wait before coming back; −1: do not come back
	Addrs   []string // the players' addresses of all other known nodes
}
