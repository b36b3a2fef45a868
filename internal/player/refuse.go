package player

import (
	"encoding/binary"
	"time"

	"gamed/internal/envelope"
	"gamed/protocol"
)

// Refuse makes what a sender gets back when e could not be delivered: an envelope for ToNode when toNode is set, else for
// Route. False: nobody waits for an answer.
func Refuse(e *envelope.Envelope, why error) (back envelope.Envelope, toNode, ok bool) {
	a := refusal(why)
	switch e.Kind {
	case envelope.Frames:
		frames := RefuseFrames(nil, e.Payload, why)
		return envelope.Envelope{Kind: envelope.Out, Conn: e.Conn, Payload: frames}, true, len(frames) > 0
	case envelope.Hello:
		f := protocol.AppendGoaway(nil, protocol.Goaway{Code: a.Code, Reason: a.Text, RetryMS: envelope.RetryMS(a)})
		return envelope.Envelope{Kind: envelope.Out, Conn: e.Conn, Flags: envelope.FlagClose, Payload: f}, true, true
	case envelope.Call:
		return envelope.Envelope{Kind: envelope.Reply, Key: e.From, Ref: e.Ref, Flags: e.Flags & envelope.FlagClient, Session: e.Session,
			Event: string(a.Code), Payload: envelope.AnswerPayload(a), FromTopic: e.Topic}, false, true
	}
	return envelope.Envelope{}, false, false
}

// RefuseFrames appends the REPLY frames that refuse all calls of a read.
func RefuseFrames(dst, frames []byte, why error) []byte {
	a := refusal(why)
	for len(frames) >= 4 {
		n := int(binary.BigEndian.Uint32(frames))
		if n < 1 || n > len(frames)-4 {
			break
		}
		if c, ok := protocol.ParseCall(frames[4 : 4+n]); ok && c.Ref != 0 {
			dst = protocol.AppendReplyError(dst, c.Ref, a.Code, a.Text, envelope.RetryMS(a))
		}
		frames = frames[4+n:]
	}
	return dst
}

// retryReplies makes of REPLY frames that must not leave the answers that say: ask again.
func retryReplies(frames []byte) []byte {
	var out []byte
	for _, ref := range replyRefs(frames) {
		out = protocol.AppendReplyError(out, ref, protocol.CodeMoved, "another node owns the player now: ask again", 100)
	}
	return out
}

// replyRefs are the refs that frames answer.
func replyRefs(frames []byte) (refs []uint64) {
	for len(frames) >= protocol.LengthSize {
		n := int(binary.BigEndian.Uint32(frames))
		if n < 1 || n > len(frames)-protocol.LengthSize {
			break
		}
		if r, ok := protocol.ParseReply(frames[protocol.LengthSize : protocol.LengthSize+n]); ok {
			refs = append(refs, r.Ref)
		}
		frames = frames[protocol.LengthSize+n:]
	}
	return refs
}

// Refs reads the payload of an Out whose Event is OpenCallsEvent.
func Refs(b []byte) (refs []uint64, left []time.Duration) {
	for pairs := numbers(b); len(pairs) > 1; pairs = pairs[2:] {
		refs, left = append(refs, pairs[0]), append(left, time.Duration(min(pairs[1], uint64(callLimit.Milliseconds())))*time.Millisecond)
	}
	return refs, left
}
