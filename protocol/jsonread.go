package protocol

import (
	"errors"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// What is wrong with JSON text, besides ErrDepth, ErrValues, ErrTruncated and ErrTrailing. Each is a bad_frame.
var (
	ErrJSON   = errors.New("protocol: not JSON")
	ErrUTF8   = errors.New("protocol: JSON text is not UTF-8")
	ErrNumber = errors.New("protocol: a number fits neither 64-bit integers nor floats")
)

// CheckJSON judges JSON text as Check judges msgpack: one value, at most MaxDepth deep and MaxValues wide, UTF-8, every number
// within 64 bits. Text that passes converts without an error. It neither recurses nor allocates (but for a number that is out
// of range).
func CheckJSON(json []byte) error {
	r := jsonReader{b: json}
	for {
		t, err := r.next()
		if err != nil {
			return err
		}
		if t.kind == tokenEnd {
			return nil
		}
	}
}

// tokenKind is what a jsonReader found.
type tokenKind uint8

const (
	tokenEnd   tokenKind = iota // the text is over
	tokenArray                  // [
	tokenMap                    // {
	tokenClose                  // ] or }
	tokenText                   // a string, quotes included; also a key
	tokenInt                    // no fraction, no exponent
	tokenFloat
	tokenTrue
	tokenFalse
	tokenNull
)

// token is one piece of JSON text, b[start:end].
type token struct {
	kind       tokenKind
	escaped    bool // text: has a backslash
	negative   bool // int
	start, end int
	uint       uint64 // int: two's complement when negative
	float      float64
}

// What a jsonReader expects next.
type expectation uint8

const (
	wantValue    expectation = iota
	wantFirst                // a value or ]
	wantFirstKey             // a key or }
	wantKey
	wantMore // a comma, the closing bracket, or the end
)

// jsonReader gives the tokens of one JSON value, strictly by RFC 8259, with MaxDepth and MaxValues as Check has them. It
// neither recurses nor allocates.
type jsonReader struct {
	b      []byte
	i      int
	depth  int
	values int
	object uint32 // bit d: what is open at depth d is an object
	want   expectation
}

// next gives the next token. After an error or tokenEnd it must not be called again.
func (r *jsonReader) next() (t token, err error) {
	for {
		for r.i < len(r.b) && isSpace(r.b[r.i]) {
			r.i++
		}
		if r.i == len(r.b) {
			if r.want == wantMore && r.depth == 0 {
				return token{kind: tokenEnd, start: r.i, end: r.i}, nil
			}
			return t, ErrTruncated
		}
		c := r.b[r.i]
		switch r.want {
		case wantMore:
			switch {
			case r.depth == 0:
				return t, ErrTrailing
			case c == ',':
				r.i++
				r.want = wantValue
				if r.inObject() {
					r.want = wantKey
				}
				continue
			}
			return r.close(c)
		case wantFirst, wantFirstKey:
			if c == ']' || c == '}' {
				return r.close(c)
			}
			if r.want == wantFirst {
				return r.value(c)
			}
			return r.key(c)
		case wantKey:
			return r.key(c)
		}
		return r.value(c)
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func (r *jsonReader) inObject() bool { return r.object>>r.depth&1 != 0 }

func (r *jsonReader) close(c byte) (t token, err error) {
	if r.inObject() != (c == '}') || c != '}' && c != ']' {
		return t, ErrJSON
	}
	r.i++
	r.depth--
	r.want = wantMore
	return token{kind: tokenClose, start: r.i - 1, end: r.i}, nil
}

func (r *jsonReader) key(c byte) (t token, err error) {
	if c != '"' {
		return t, ErrJSON
	}
	if t, err = r.value(c); err != nil {
		return t, err
	}
	for r.i < len(r.b) && isSpace(r.b[r.i]) {
		r.i++
	}
	if r.i == len(r.b) {
		return t, ErrTruncated
	}
	if r.b[r.i] != ':' {
		return t, ErrJSON
	}
	r.i++
	r.want = wantValue
	return t, nil
}

func (r *jsonReader) value(c byte) (t token, err error) {
	if r.values++; r.values > MaxValues {
		return t, ErrValues
	}
	t.start = r.i
	r.want = wantMore
	switch c {
	case '[', '{':
		if r.depth == MaxDepth {
			return t, ErrDepth
		}
		r.i++
		r.depth++
		r.object &^= 1 << r.depth
		t.kind, r.want = tokenArray, wantFirst
		if c == '{' {
			r.object |= 1 << r.depth
			t.kind, r.want = tokenMap, wantFirstKey
		}
	case '"':
		t.kind = tokenText
		t.escaped, err = r.text()
	case 't':
		t.kind, err = tokenTrue, r.word("true")
	case 'f':
		t.kind, err = tokenFalse, r.word("false")
	case 'n':
		t.kind, err = tokenNull, r.word("null")
	default:
		err = r.number(&t)
	}
	t.end = r.i
	return t, err
}

func (r *jsonReader) word(w string) error {
	rest := r.b[r.i:]
	if len(rest) < len(w) || string(rest[:len(w)]) != w {
		return ErrJSON
	}
	r.i += len(w)
	return nil
}

// text steps over a string.
func (r *jsonReader) text() (escaped bool, err error) {
	b, i := r.b, r.i+1
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			r.i = i + 1
			return escaped, nil
		case c < ' ':
			return false, ErrJSON
		case c == '\\':
			escaped = true
			i++
			if i == len(b) {
				return false, ErrTruncated
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i++
			case 'u':
				if _, ok := hex4(b[i+1:]); !ok {
					return false, ErrJSON
				}
				i += 5
			default:
				return false, ErrJSON
			}
		case c < utf8.RuneSelf:
			i++
		default:
			rune, size := utf8.DecodeRune(b[i:])
			if rune == utf8.RuneError && size == 1 {
				return false, ErrUTF8
			}
			i += size
		}
	}
	return false, ErrTruncated
}

// hex4 reads the four hexadecimal digits b begins with.
func hex4(b []byte) (v rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}

// number steps over a number and reads it.
func (r *jsonReader) number(t *token) error {
	b, i := r.b, r.i
	if b[i] == '-' {
		t.negative = true
		i++
	}
	first := i
	var v uint64
	overflow := false
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		d := uint64(b[i] - '0')
		if v > (math.MaxUint64-d)/10 {
			overflow = true
		}
		v = v*10 + d
	}
	if i == first || b[first] == '0' && i > first+1 {
		return ErrJSON
	}
	whole := true
	if i < len(b) && b[i] == '.' {
		whole = false
		if i = digits(b, i+1); b[i-1] == '.' {
			return ErrJSON
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		whole = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from := i
		if i = digits(b, i); i == from {
			return ErrJSON
		}
	}
	r.i = i
	if whole {
		t.kind = tokenInt
		if overflow || t.negative && v > 1<<63 {
			return ErrNumber
		}
		if t.uint = v; t.negative {
			t.uint = -v
		}
		t.negative = t.negative && v != 0
		return nil
	}
	t.kind = tokenFloat
	var err error
	if t.float, err = strconv.ParseFloat(unsafe.String(&b[t.start], i-t.start), 64); err != nil {
		return ErrNumber
	}
	return nil
}

// digits gives the end of the digits that begin at i.
func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
