package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"gamed/internal/envelope"
	"gamed/protocol"
)

// A frame is a 4-byte big-endian length and a body of 1 to envelope.MaxSize bytes (before the welcome: maxHello). A body whose
// first byte is below 0x10 belongs to the link: that byte is its type and one msgpack array follows, to which elements may be
// added at the end. Any other body is an envelope, which as a msgpack array never starts with such a byte.
const (
	frameHello   = 1 // dialer → acceptor, first: see hello
	frameWelcome = 2 // acceptor → dialer: see welcome
	frameRefuse  = 3 // acceptor → dialer: [reason, text], then it closes
	framePing    = 4 // either way: [seq, state]
	framePong    = 5 // either way: [seq of the ping, state]
	frameLink    = 0x10
)

const (
	header   = 4
	maxHello = 4096 // bytes of a frame before the welcome
	maxText  = 256  // bytes of a name or a reason in them
	magic    = "gamed-mesh"
)

var errFrame = errors.New("malformed frame")

// begin starts a frame of the link at the end of dst; end completes it. at is where it started.
func begin(dst []byte, kind byte) (buf []byte, at int) {
	return append(dst, 0, 0, 0, 0, kind), len(dst)
}

func end(buf []byte, at int) []byte {
	binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-header))
	return buf
}

// frameLen is the length that a header declares, if it is within limit.
func frameLen(h []byte, limit int) (int, error) {
	n := binary.BigEndian.Uint32(h)
	if n == 0 || n > uint32(limit) {
		return 0, fmt.Errorf("%w: length %d, limit %d", errFrame, n, limit)
	}
	return int(n), nil
}

// readFrame reads one whole frame of the hello and not a byte more.
func readFrame(r io.Reader) ([]byte, error) {
	var h [header]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n, err := frameLen(h[:], maxHello)
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return body, nil
}

// fields reads the array of a frame of the link. A wrong type or an overlong text sets bad, missing elements too.
type fields struct {
	c    protocol.Cursor
	left int
	bad  bool
}

// openFrame judges a link frame's array: it must be one well-formed msgpack value.
func openFrame(body []byte) fields {
	if protocol.Check(body[1:]) != nil {
		return fields{bad: true}
	}
	f := fields{c: protocol.NewCursor(body[1:])}
	n, ok := f.c.Array()
	f.left, f.bad = n, !ok
	return f
}

func (f *fields) next() bool {
	if f.bad || f.left == 0 {
		f.bad = true
		return false
	}
	f.left--
	return true
}

func (f *fields) uint(limit uint64) uint64 {
	if !f.next() {
		return 0
	}
	v, ok := f.c.Uint()
	if !ok || v > limit {
		f.bad = true
		return 0
	}
	return v
}

// bytes aliases the frame.
func (f *fields) bytes(limit int) []byte {
	if !f.next() {
		return nil
	}
	v, ok := f.c.Text()
	if !ok || len(v) > limit {
		f.bad = true
		return nil
	}
	return v
}

func (f *fields) text() string { return string(f.bytes(maxText)) }

func appendPing(dst []byte, seq uint64, state []byte) []byte {
	dst, at := begin(dst, framePing)
	dst = protocol.AppendArray(dst, 2)
	dst = protocol.AppendUint(dst, seq)
	dst = protocol.AppendBin(dst, state)
	return end(dst, at)
}

func appendPong(dst []byte, seq uint64, state []byte) []byte {
	dst, at := begin(dst, framePong)
	dst = protocol.AppendArray(dst, 2)
	dst = protocol.AppendUint(dst, seq)
	dst = protocol.AppendBin(dst, state)
	return end(dst, at)
}

// appendEnvelope appends e as a frame; false leaves dst as it was: too large.
func appendEnvelope(dst []byte, e *envelope.Envelope) ([]byte, bool) {
	at := len(dst)
	out := e.Append(append(dst, 0, 0, 0, 0))
	if len(out)-at-header > envelope.MaxSize {
		return out[:at], false
	}
	return end(out, at), true
}
