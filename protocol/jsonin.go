package protocol

import (
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendFromJSON appends one JSON value as msgpack. Numbers without fraction and exponent become integers and must fit into 64
// bits, others become floats; strings become str, a lone surrogate in them U+FFFD; keys that come twice stay. The text is held
// to MaxDepth and MaxValues. On an error dst is returned as it was; errors are sentinels of this package.
func AppendFromJSON(dst, json []byte) ([]byte, error) {
	r := jsonReader{b: json}
	out, err := appendFromJSON(dst, &r)
	if err != nil {
		return dst, err
	}
	if _, err := r.next(); err != nil {
		return dst, err
	}
	return out, nil
}

// appendFromJSON converts the next value of r.
func appendFromJSON(dst []byte, r *jsonReader) ([]byte, error) {
	t, err := r.next()
	if err != nil {
		return dst, err
	}
	return appendToken(dst, r, t)
}

// appendToken converts the value that begins with t.
func appendToken(dst []byte, r *jsonReader, t token) ([]byte, error) {
	var heads [MaxDepth]struct {
		at    int    // where the head of the array or map is
		n     uint16 // values so far, keys included
		array bool
	}
	depth := 0
	for {
		if t.kind != tokenClose && depth > 0 {
			heads[depth-1].n++
		}
		switch t.kind {
		case tokenArray, tokenMap:
			heads[depth].at, heads[depth].n, heads[depth].array = len(dst), 0, t.kind == tokenArray
			depth++
			dst = append(dst, 0, 0, 0) // headRoom
		case tokenClose:
			depth--
			h := &heads[depth]
			if h.array {
				dst = closeHead(dst, h.at, headRoom, headSize(int(h.n)))
				AppendArray(dst[:h.at], int(h.n))
			} else {
				dst = closeHead(dst, h.at, headRoom, headSize(int(h.n/2)))
				AppendMap(dst[:h.at], int(h.n/2))
			}
		case tokenText:
			text := r.b[t.start+1 : t.end-1]
			if t.escaped {
				dst = appendUnescaped(dst, text)
			} else {
				dst = AppendStr(dst, text)
			}
		case tokenInt:
			if t.negative {
				dst = AppendInt(dst, int64(t.uint))
			} else {
				dst = AppendUint(dst, t.uint)
			}
		case tokenFloat:
			dst = AppendFloat(dst, t.float)
		case tokenTrue, tokenFalse:
			dst = AppendBool(dst, t.kind == tokenTrue)
		case tokenNull:
			dst = AppendNil(dst)
		default:
			return dst, ErrTruncated
		}
		if depth == 0 {
			return dst, nil
		}
		var err error
		if t, err = r.next(); err != nil {
			return dst, err
		}
	}
}

// headRoom is the longest head of an array or map that MaxValues allows.
const headRoom = 3

func headSize(n int) int {
	if n < 16 {
		return 1
	}
	return headRoom
}

// closeHead makes the room of have bytes at at exactly want bytes long.
func closeHead(dst []byte, at, have, want int) []byte {
	if want == have {
		return dst
	}
	copy(dst[at+want:], dst[at+have:])
	return dst[:len(dst)-have+want]
}

// appendUnescaped appends a str from the inside of a JSON string that was checked.
func appendUnescaped(dst, text []byte) []byte {
	const room = 5
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	for i := 0; i < len(text); {
		c := text[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		i += 2
		switch c = text[i-1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			v, _ := hex4(text[i:])
			i += 4
			if utf16.IsSurrogate(v) {
				low := rune(0)
				if i+6 <= len(text) && text[i] == '\\' && text[i+1] == 'u' {
					low, _ = hex4(text[i+2:])
				}
				if v = utf16.DecodeRune(v, low); v != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, v)
		default: // ", \ and /
			dst = append(dst, c)
		}
	}
	n := len(dst) - at - room
	dst = closeHead(dst, at, room, strHeadSize(n))
	appendStrHead(dst[:at], n)
	return dst
}

func strHeadSize(n int) int {
	switch {
	case n < 32:
		return 1
	case n <= math.MaxUint8:
		return 2
	case n <= math.MaxUint16:
		return 3
	}
	return 5
}
