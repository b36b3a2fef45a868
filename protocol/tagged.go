package protocol

import (
	"encoding/binary"
	"math"
)

// ExtJSON is the msgpack ext type of tagged JSON ('J').
const ExtJSON = 74

// AppendTaggedJSON appends JSON text as a payload that stays text: msgpack ext of type ExtJSON. It never leaves the cluster in
// a binary frame, and Check refuses ext types, so that no client can forge it. The text must have passed CheckJSON.
func AppendTaggedJSON(dst, json []byte) []byte {
	switch n := len(json); {
	case n <= math.MaxUint8:
		dst = append(dst, 0xc7, byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, 0xc8, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xc9), uint32(n))
	}
	dst = append(dst, ExtJSON)
	return append(dst, json...)
}

// TaggedJSON gives the text of a payload that is tagged JSON, aliasing it.
func TaggedJSON(payload []byte) (json []byte, ok bool) {
	if len(payload) < 3 || payload[0] < 0xc7 || payload[0] > 0xc9 {
		return nil, false
	}
	size := heads[payload[0]-0xc0].size
	start := 1 + int(size) + 1
	if len(payload) < start || payload[start-1] != ExtJSON || readLength(payload[1:], size) != uint64(len(payload)-start) {
		return nil, false
	}
	return payload[start:], true
}

// Normalize gives a payload as plain msgpack: tagged JSON is converted into a new slice, anything else comes back as it is. It
// fails for text that does not pass CheckJSON.
func Normalize(payload []byte) ([]byte, error) {
	json, ok := TaggedJSON(payload)
	if !ok {
		return payload, nil
	}
	return AppendFromJSON(nil, json)
}

// FrameTagged says whether the payload of a REPLY, PUSH or CALL is tagged JSON.
func FrameTagged(body []byte) bool {
	at := payloadAt(body)
	if at < 0 {
		return false
	}
	_, ok := TaggedJSON(body[at:])
	return ok
}

// NormalizeFrame appends a frame, length included, that has body with its payload as plain msgpack. On an error dst is
// returned as it was.
func NormalizeFrame(dst, body []byte) ([]byte, error) {
	out, start := begin(dst)
	at := payloadAt(body)
	if at < 0 {
		return end(append(out, body...), start), nil
	}
	json, ok := TaggedJSON(body[at:])
	if !ok {
		return end(append(out, body...), start), nil
	}
	out, err := AppendFromJSON(append(out, body[:at]...), json)
	if err != nil {
		return dst, err
	}
	return end(out, start), nil
}

// payloadAt is where the payload of a frame begins if it is the last element of a REPLY, PUSH or CALL as this package writes
// them, else −1.
func payloadAt(body []byte) int {
	kind, ok := FrameKind(body)
	before := 0
	switch kind {
	case KindReply:
		before = 3
	case KindPush, KindCall:
		before = 4
	default:
		return -1
	}
	c := NewCursor(body)
	if n, isArray := c.Array(); !ok || !isArray || n != before+1 {
		return -1
	}
	for range before {
		if !c.Skip() {
			return -1
		}
	}
	return c.i
}
