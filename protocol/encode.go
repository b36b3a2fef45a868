package protocol

import "encoding/binary"

// begin reserves a frame's length.
func begin(dst []byte) (b []byte, at int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// end writes the length of the frame that begins at at.
func end(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-LengthSize))
	return dst
}

// AppendCall appends a CALL frame. payload is one encoded value; empty: nil.
func AppendCall[T, E ~string | ~[]byte](dst []byte, ref uint64, topic T, event E, payload []byte) []byte {
	dst, at := begin(dst)
	dst = append(dst, 0x95, byte(KindCall))
	dst = AppendUint(dst, ref)
	dst = AppendStr(dst, topic)
	dst = AppendStr(dst, event)
	return end(appendPayload(dst, payload), at)
}

// AppendReply appends a REPLY frame with status ok. payload is one encoded value; empty: nil.
func AppendReply(dst []byte, ref uint64, payload []byte) []byte {
	dst, at := begin(dst)
	dst = append(dst, 0x94, byte(KindReply))
	dst = AppendUint(dst, ref)
	dst = append(dst, 0xa2, 'o', 'k')
	return end(appendPayload(dst, payload), at)
}

// AppendReplyError appends a REPLY frame that says why a call failed. retryMS below 0: no retry_ms.
func AppendReplyError(dst []byte, ref uint64, code Code, message string, retryMS int64) []byte {
	dst, at := begin(dst)
	dst = append(dst, 0x94, byte(KindReply))
	dst = AppendUint(dst, ref)
	dst = AppendStr(dst, code)
	return end(AppendFailure(dst, message, retryMS), at)
}

// AppendFailure appends the payload of a failed call's REPLY. retryMS below 0: no retry_ms.
func AppendFailure(dst []byte, message string, retryMS int64) []byte {
	n := 1
	if retryMS >= 0 {
		n = 2
	}
	dst = AppendMap(dst, n)
	dst = AppendStr(dst, "message")
	dst = AppendStr(dst, message)
	if retryMS >= 0 {
		dst = AppendStr(dst, "retry_ms")
		dst = AppendInt(dst, retryMS)
	}
	return dst
}

// AppendPush appends a PUSH frame. payload is one encoded value; empty: nil.
func AppendPush[T, E ~string | ~[]byte](dst []byte, topic T, offset uint64, event E, payload []byte) []byte {
	dst, at := begin(dst)
	dst = append(dst, 0x95, byte(KindPush))
	dst = AppendStr(dst, topic)
	dst = AppendUint(dst, offset)
	dst = AppendStr(dst, event)
	return end(appendPayload(dst, payload), at)
}

// AppendPing appends a PING frame. t is one encoded value that comes back in PONG; empty: nil.
func AppendPing(dst, t []byte) []byte { return appendBeat(dst, KindPing, t) }

// AppendPong appends a PONG frame. t is the PING's; empty: nil.
func AppendPong(dst, t []byte) []byte { return appendBeat(dst, KindPong, t) }

func appendBeat(dst []byte, kind Kind, t []byte) []byte {
	dst, at := begin(dst)
	dst = append(dst, 0x92, byte(kind))
	return end(appendPayload(dst, t), at)
}

// AppendBye appends a BYE frame.
func AppendBye(dst []byte) []byte {
	return append(dst, 0, 0, 0, 2, 0x91, byte(KindBye))
}

// AppendHello appends a HELLO frame: name and token as HasName and HasToken say, session and seen when they are not empty.
func AppendHello(dst []byte, h Hello) []byte {
	dst, at := begin(dst)
	dst = append(dst, 0x92, byte(KindHello))
	n := 1
	for _, has := range [...]bool{h.HasName, h.HasToken, h.Session != "", len(h.Seen) > 0} {
		if has {
			n++
		}
	}
	dst = AppendMap(dst, n)
	dst = AppendStr(dst, "v")
	dst = AppendInt(dst, h.V)
	if h.HasName {
		dst = appendText(dst, "name", h.Name)
	}
	if h.HasToken {
		dst = appendText(dst, "token", h.Token)
	}
	if h.Session != "" {
		dst = appendText(dst, "session", h.Session)
	}
	if len(h.Seen) > 0 {
		dst = AppendStr(dst, "seen")
		dst = AppendSeen(dst, h.Seen)
	}
	return end(dst, at)
}

// AppendSeen appends the map {topic: offset} that HELLO has under "seen".
func AppendSeen(dst []byte, seen []Seen) []byte {
	dst = AppendMap(dst, len(seen))
	for _, s := range seen {
		dst = AppendStr(dst, s.Topic)
		dst = AppendUint(dst, s.Offset)
	}
	return dst
}

// AppendWelcome appends a WELCOME frame with all its keys.
func AppendWelcome(dst []byte, w Welcome) []byte {
	dst, at := begin(dst)
	dst = append(dst, 0x92, byte(KindWelcome))
	dst = AppendMap(dst, 8)
	dst = appendText(dst, "player", w.Player)
	dst = appendText(dst, "session", w.Session)
	dst = appendText(dst, "node", w.Node)
	dst = AppendStr(dst, "resumed")
	dst = AppendBool(dst, w.Resumed)
	dst = AppendStr(dst, "missed")
	dst = AppendMap(dst, len(w.Missed))
	for _, m := range w.Missed {
		dst = AppendStr(dst, m.Topic)
		dst = AppendBool(dst, m.Missed)
	}
	dst = AppendStr(dst, "degraded")
	dst = AppendBool(dst, w.Degraded)
	dst = appendNumber(dst, "heartbeat_ms", w.HeartbeatMS)
	dst = AppendStr(dst, "limits")
	dst = AppendMap(dst, 4)
	dst = appendNumber(dst, "frame", w.Limits.Frame)
	dst = appendNumber(dst, "rate", w.Limits.Rate)
	dst = appendNumber(dst, "burst", w.Limits.Burst)
	dst = appendNumber(dst, "outstanding", w.Limits.Outstanding)
	return end(dst, at)
}

// AppendGoaway appends a GOAWAY frame with all its keys.
func AppendGoaway(dst []byte, g Goaway) []byte {
	dst, at := begin(dst)
	dst = append(dst, 0x92, byte(KindGoaway))
	dst = AppendMap(dst, 4)
	dst = appendText(dst, "code", string(g.Code))
	dst = appendText(dst, "reason", g.Reason)
	dst = appendNumber(dst, "retry_ms", g.RetryMS)
	dst = AppendStr(dst, "addrs")
	dst = AppendArray(dst, len(g.Addrs))
	for _, a := range g.Addrs {
		dst = AppendStr(dst, a)
	}
	return end(dst, at)
}

func appendText(dst []byte, key, v string) []byte {
	return AppendStr(AppendStr(dst, key), v)
}

func appendNumber(dst []byte, key string, v int64) []byte {
	return AppendInt(AppendStr(dst, key), v)
}
