package node

import (
	"encoding/binary"

	"gamed/protocol"
)

// ownStream is where a connection stands in its player's own stream, so that a push that comes twice, from one owner and from the
// next, is written once, and a missing one is noticed. It belongs to a link and is guarded by its mutex. The zero value knows of no
// push and takes none.
type ownStream struct {
	at    uint64 // the offset of the last push written
	known bool   // WELCOME has said where the stream begins
}

// begin notes where the stream goes on for this connection. Only the first word counts: later ones come from a later owner.
func (o *ownStream) begin(at uint64) {
	if !o.known {
		o.at, o.known = at, true
	}
}

// take gives the frames that are for the client: pushes of the own stream that come next, and all that is no such push. gap: one came
// after a missing one, and was left out.
func (o *ownStream) take(frames []byte) (out []byte, gap bool) {
	whole := true // nothing was left out yet
	for at := 0; at+protocol.LengthSize <= len(frames); {
		n := protocol.LengthSize + int(binary.BigEndian.Uint32(frames[at:]))
		if n < protocol.LengthSize || at+n > len(frames) {
			break
		}
		drop := false
		if offset, own := ownPush(frames[at+protocol.LengthSize : at+n]); own {
			switch {
			case o.known && offset == o.at+1:
				o.at = offset
			default:
				drop = true
				gap = gap || offset > o.at
			}
		}
		switch {
		case drop && whole:
			whole, out = false, append(make([]byte, 0, len(frames)), frames[:at]...)
		case !drop && !whole:
			out = append(out, frames[at:at+n]...)
		}
		at += n
	}
	if whole {
		return frames, gap
	}
	return out, gap
}

// ownPush says whether a frame is a numbered push of the player's own stream.
func ownPush(body []byte) (offset uint64, own bool) {
	if kind, ok := protocol.FrameKind(body); !ok || kind != protocol.KindPush {
		return 0, false
	}
	p, ok := protocol.ParsePush(body)
	return p.Offset, ok && len(p.Topic) == 0 && p.Offset > 0
}
