package protocol

import "bytes"

// FrameFromJSON appends one JSON line (with or without its newline) as a binary frame, length included. The payload of a CALL
// becomes tagged JSON, exactly the bytes it has in the line; elements behind it are left out. Everything else becomes plain
// msgpack. What it gives needs no CheckFrame, and would not pass it with a tagged payload. On an error, which is a bad_frame,
// dst is returned as it was.
func FrameFromJSON(dst, line []byte) ([]byte, error) {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if bytes.IndexByte(line, '\n') >= 0 {
		return dst, ErrJSON // white space in JSON, but an echo of it would be two lines
	}
	r := jsonReader{b: line}
	if t, err := r.next(); err != nil || t.kind != tokenArray {
		return dst, orFrame(err)
	}
	kind, err := r.next()
	if err != nil || kind.kind != tokenInt {
		return dst, orFrame(err)
	}
	out, at := begin(dst)
	if kind.uint == uint64(KindCall) {
		out, err = appendCallFromJSON(out, &r)
	} else {
		out, err = AppendFromJSON(out, line)
	}
	if err != nil {
		return dst, err
	}
	return end(out, at), nil
}

func orFrame(err error) error {
	if err == nil {
		err = ErrFrame
	}
	return err
}

// appendCallFromJSON appends a CALL of which r has passed the kind.
func appendCallFromJSON(dst []byte, r *jsonReader) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0, byte(KindCall))
	n := 1
	for ; ; n++ {
		t, err := r.next()
		if err != nil {
			return dst, err
		}
		if t.kind == tokenClose {
			break
		}
		if n < 4 {
			if dst, err = appendToken(dst, r, t); err != nil {
				return dst, err
			}
			continue
		}
		end, err := endOf(r, t)
		if err != nil {
			return dst, err
		}
		if n == 4 {
			dst = AppendTaggedJSON(dst, r.b[t.start:end])
		}
	}
	dst[at] = 0x90 | byte(min(n, 5))
	_, err := r.next()
	return dst, err
}

// endOf finds the end of the value that begins with t.
func endOf(r *jsonReader, t token) (int, error) {
	if t.kind != tokenArray && t.kind != tokenMap {
		return t.end, nil
	}
	for depth := r.depth - 1; r.depth > depth; {
		var err error
		if t, err = r.next(); err != nil {
			return 0, err
		}
	}
	return t.end, nil
}

// FrameToJSON appends a frame's body as one JSON line, newline included. When the payload of a REPLY has no JSON form, the
// REPLY becomes one with status internal; a PUSH keeps its place in the stream with payload null: no call stays unanswered and
// no stream gets a gap. On an error dst is returned as it was.
func FrameToJSON(dst, body []byte) ([]byte, error) {
	out, err := AppendJSON(dst, body)
	if err == nil {
		return append(out, '\n'), nil
	}
	if reply, ok := ParseReply(body); ok {
		frame := AppendReplyError(nil, reply.Ref, CodeInternal, "the answer has no JSON form", -1)
		out, err = AppendJSON(dst, frame[LengthSize:])
	} else if push, ok := ParsePush(body); ok {
		frame := AppendPush(nil, push.Topic, push.Offset, push.Event, nil)
		out, err = AppendJSON(dst, frame[LengthSize:])
	}
	if err != nil {
		return dst, err
	}
	return append(out, '\n'), nil
}
