package protocol

// Version is the protocol's version, "v" in HELLO.
const Version = 1

// Limits of frames. A frame's size is that of its body, without the 4 bytes of its length; for a JSON line, that of the line
// without its newline.
const (
	MaxFrameIn    = 64 << 10  // bytes, from clients after WELCOME
	MaxFrameHello = 4 << 10   // bytes, from clients before WELCOME
	MaxFrameOut   = 128 << 10 // bytes, from servers
	MaxDepth      = 16        // arrays and maps inside each other, the frame's own array included
	MaxValues     = 4096      // values in a frame, the frame's own array included; a map pair counts two
)

// LengthSize is the number of bytes of a frame's length.
const LengthSize = 4

// Kind is the first element of a frame.
type Kind uint8

// The kinds of frames.
const (
	KindHello   Kind = 1 // client → server: [1, {…}]
	KindWelcome Kind = 2 // server → client: [2, {…}]
	KindCall    Kind = 3 // client → server: [3, ref, topic, event, payload]
	KindReply   Kind = 4 // server → client: [4, ref, status, payload]
	KindPush    Kind = 5 // server → client: [5, topic, offset, event, payload]
	KindPing    Kind = 6 // both: [6, t]
	KindPong    Kind = 7 // both: [7, t]
	KindGoaway  Kind = 8 // server → client: [8, {…}]
	KindBye     Kind = 9 // client → server: [9]
)

var kindNames = [...]string{"unknown", "HELLO", "WELCOME", "CALL", "REPLY", "PUSH", "PING", "PONG", "GOAWAY", "BYE"}

// String is the name used in docs, logs and metrics; "unknown" for kinds that this version does not know.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// FromClient says whether a client may send frames of this kind.
func (k Kind) FromClient() bool {
	switch k {
	case KindHello, KindCall, KindPing, KindPong, KindBye:
		return true
	}
	return false
}

// FrameKind is the kind of a frame's body; 0 for a number that is no kind of this version and may be one of a later one. ok is
// false when the body is no array that begins with an integer.
func FrameKind(body []byte) (k Kind, ok bool) {
	if len(body) >= 2 && body[0]&0xf0 == 0x90 && body[0] != 0x90 && body[1] <= byte(KindBye) {
		return Kind(body[1]), true
	}
	c := NewCursor(body)
	if n, isArray := c.Array(); !isArray || n == 0 {
		return 0, false
	}
	if v, isUint := c.Uint(); isUint {
		if v > uint64(KindBye) {
			v = 0
		}
		return Kind(v), true
	}
	_, ok = c.Int()
	return 0, ok
}
