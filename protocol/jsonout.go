package protocol

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"
)

// ErrKey says that a map's key is an array, a map or an ext, which JSON has no words for.
var ErrKey = errors.New("protocol: a map key that JSON cannot have")

// AppendJSON appends one msgpack value as JSON text. Integers keep all 64 bits; floats are written so that they read back as
// the same float (whole ones with ".0"), those that JSON lacks (NaN, ±Inf) as null; bin becomes padded standard base64; bytes
// of a str that are not UTF-8 become U+FFFD; HTML is not escaped. Keys that are numbers, booleans or nil become strings of
// their text. Tagged JSON appears as the text it holds. It takes any bytes, checked or not, at most MaxDepth deep. On an error
// dst is returned as it was; errors are ErrKey, ErrDepth, ErrExt, ErrTruncated, ErrTrailing and ErrCode.
func AppendJSON(dst, msgpack []byte) ([]byte, error) {
	c := NewCursor(msgpack)
	out, err := appendJSON(dst, &c)
	if err != nil {
		return dst, err
	}
	if c.i != len(msgpack) {
		return dst, ErrTrailing
	}
	return out, nil
}

// level is one array or map that is being written.
type level struct {
	left  int // values still to come, keys included
	isMap bool
	begun bool
}

// appendJSON writes the next value of c.
func appendJSON(dst []byte, c *Cursor) ([]byte, error) {
	var levels [MaxDepth]level
	depth := 0
	for {
		isKey := false
		if depth > 0 {
			l := &levels[depth-1]
			isKey = l.isMap && l.left%2 == 0
			switch {
			case l.isMap && !isKey:
				dst = append(dst, ':')
			case l.begun:
				dst = append(dst, ',')
			}
			l.begun = true
			l.left--
		}
		n, isArray := c.Array()
		isMap := false
		if !isArray {
			if n, isMap = c.Map(); isMap {
				n *= 2
			}
		}
		switch {
		case (isArray || isMap) && isKey:
			return dst, ErrKey
		case isArray || isMap:
			if depth == MaxDepth {
				return dst, ErrDepth
			}
			levels[depth] = level{left: n, isMap: isMap}
			depth++
			if isMap {
				dst = append(dst, '{')
			} else {
				dst = append(dst, '[')
			}
		default:
			var err error
			if dst, err = appendScalar(dst, c, isKey); err != nil {
				return dst, err
			}
		}
		for depth > 0 && levels[depth-1].left == 0 {
			depth--
			if levels[depth].isMap {
				dst = append(dst, '}')
			} else {
				dst = append(dst, ']')
			}
		}
		if depth == 0 {
			return dst, nil
		}
	}
}

// appendScalar writes the next value of c, which is no array and no map.
func appendScalar(dst []byte, c *Cursor, isKey bool) ([]byte, error) {
	first := c.Peek()
	if text, ok := c.Text(); ok {
		if first >= 0xc4 && first <= 0xc6 {
			dst = append(dst, '"')
			dst = base64.StdEncoding.AppendEncode(dst, text)
			return append(dst, '"'), nil
		}
		return appendString(dst, text), nil
	}
	if first >= 0xc7 && first <= 0xc9 && !isKey {
		if raw, ok := c.Raw(); ok {
			if json, ok := TaggedJSON(raw); ok {
				return append(dst, json...), nil
			}
			return dst, ErrExt
		}
		return dst, ErrTruncated
	}
	if isKey {
		dst = append(dst, '"')
	}
	if v, ok := c.Uint(); ok {
		dst = strconv.AppendUint(dst, v, 10)
	} else if v, ok := c.Int(); ok {
		dst = strconv.AppendInt(dst, v, 10)
	} else if v, ok := c.Float(); ok {
		dst = appendFloatText(dst, v)
	} else if v, ok := c.Bool(); ok {
		dst = strconv.AppendBool(dst, v)
	} else if c.Nil() {
		dst = append(dst, "null"...)
	} else {
		return dst, notScalar(c, isKey)
	}
	if isKey {
		dst = append(dst, '"')
	}
	return dst, nil
}

// notScalar says why the next bytes are no value that JSON has.
func notScalar(c *Cursor, isKey bool) error {
	first := c.Peek()
	switch isExt := first >= 0xc0 && first < 0xe0 && heads[first-0xc0].shape == shapeExt; {
	case len(c.Rest()) == 0:
		return ErrTruncated
	case isExt && isKey:
		return ErrKey
	case isExt:
		return ErrExt
	case first == 0xc1:
		return ErrCode
	}
	return ErrTruncated
}

// appendFloatText writes a float as JavaScript does, but for a ".0" behind whole numbers, which keeps them floats.
func appendFloatText(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
	if v == math.Trunc(v) {
		dst = append(dst, ".0"...)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString writes text as a JSON string.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	plain := 0 // begin of what needs no escape
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, text[plain:i]...)
				dst = utf8.AppendRune(dst, utf8.RuneError)
				plain = i + 1
			}
			i += size
			continue
		}
		dst = append(dst, text[plain:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		plain = i
	}
	dst = append(dst, text[plain:]...)
	return append(dst, '"')
}
