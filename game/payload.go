package game

import (
	"errors"
	"fmt"
	"math"

	"github.com/vmihailenco/msgpack/v5"

	"gamed/protocol"
)

// Payload is one encoded value: msgpack, or JSON text as it came from a client (protocol.TaggedJSON). It was checked
// (protocol.Check) when it entered the cluster.
type Payload []byte

// Clone is a copy that may be kept.
func (p Payload) Clone() Payload {
	if p == nil {
		return nil
	}
	return append(Payload(nil), p...)
}

// Decode reads the payload into v by reflection. Prefer Fields: it is strict about types and does not reflect. Numbers that do
// not fit a narrow type are cut silently by the codec, so decode into int64 and judge.
func (p Payload) Decode(v any) error {
	b, err := protocol.Normalize(p)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if len(b) == 0 {
		return nil
	}
	if err := protocol.Check(b); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if err := msgpack.Unmarshal(b, v); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	return nil
}

// Fields reads the payload as a map. An empty or nil payload is an empty map; unknown keys are ignored; of a key that comes
// twice the last counts.
func (p Payload) Fields() Fields {
	b, err := protocol.Normalize(p)
	if err != nil {
		return Fields{err: fmt.Errorf("payload: %w", err)}
	}
	if len(b) == 0 || (len(b) == 1 && b[0] == 0xc0) {
		return Fields{}
	}
	cur := protocol.NewCursor(b)
	if _, ok := cur.Map(); !ok {
		return Fields{err: errors.New("payload: want a map")}
	}
	return Fields{b: b}
}

// Fields gives the values of a map by key and remembers the first thing that was wrong: read all, then ask Err.
type Fields struct {
	b   []byte
	err error
}

// Err is the first mistake: a missing key, a wrong type, a payload that is no map.
func (f *Fields) Err() error { return f.err }

func (f *Fields) fail(key, want string) {
	if f.err == nil {
		f.err = fmt.Errorf("%s: want %s", key, want)
	}
}

// Has says whether the key is there and not nil.
func (f *Fields) Has(key string) bool {
	v, ok := f.find(key)
	return ok && (len(v) != 1 || v[0] != 0xc0)
}

func (f *Fields) find(key string) (val []byte, found bool) {
	cur := protocol.NewCursor(f.b)
	n, ok := cur.Map()
	for i := 0; ok && i < n; i++ {
		var k, v []byte
		var isText bool
		if k, isText = cur.Text(); !isText && !cur.Skip() {
			return val, found
		}
		if v, ok = cur.Raw(); !ok {
			return val, found
		}
		if isText && string(k) == key {
			val, found = v, true
		}
	}
	return val, found
}

// Int is a whole number. Floats are not, whatever their value.
func (f *Fields) Int(key string) int64 {
	v, ok := f.find(key)
	if ok {
		cur := protocol.NewCursor(v)
		if n, isInt := cur.Int(); isInt {
			return n
		}
	}
	f.fail(key, "a whole number")
	return 0
}

// IntOr is Int with a value for when the key is absent or nil.
func (f *Fields) IntOr(key string, absent int64) int64 {
	if !f.Has(key) {
		return absent
	}
	return f.Int(key)
}

// Float is any number.
func (f *Fields) Float(key string) float64 {
	v, ok := f.find(key)
	if ok {
		cur := protocol.NewCursor(v)
		if n, isInt := cur.Int(); isInt {
			return float64(n)
		}
		cur = protocol.NewCursor(v)
		if n, isFloat := cur.Float(); isFloat && !math.IsNaN(n) {
			return n
		}
	}
	f.fail(key, "a number")
	return 0
}

// FloatOr is Float with a value for when the key is absent or nil.
func (f *Fields) FloatOr(key string, absent float64) float64 {
	if !f.Has(key) {
		return absent
	}
	return f.Float(key)
}

// Text is a str or bin.
func (f *Fields) Text(key string) string {
	v, ok := f.find(key)
	if ok {
		cur := protocol.NewCursor(v)
		if s, isText := cur.Text(); isText {
			return string(s)
		}
	}
	f.fail(key, "text")
	return ""
}

// TextOr is Text with a value for when the key is absent or nil.
func (f *Fields) TextOr(key, absent string) string {
	if !f.Has(key) {
		return absent
	}
	return f.Text(key)
}

// Bool is true or false.
func (f *Fields) Bool(key string) bool {
	v, ok := f.find(key)
	if ok {
		cur := protocol.NewCursor(v)
		if b, isBool := cur.Bool(); isBool {
			return b
		}
	}
	f.fail(key, "true or false")
	return false
}

// Raw is the value as it is, nil when absent.
func (f *Fields) Raw(key string) Payload {
	v, _ := f.find(key)
	return v
}

// List is an array's values as they are.
func (f *Fields) List(key string) []Payload {
	v, ok := f.find(key)
	if ok {
		cur := protocol.NewCursor(v)
		if n, isArray := cur.Array(); isArray {
			out := make([]Payload, 0, n)
			for range n {
				e, ok := cur.Raw()
				if !ok {
					break
				}
				out = append(out, e)
			}
			return out
		}
	}
	f.fail(key, "a list")
	return nil
}

// Map builds a map payload in the order of the calls.
type Map struct {
	n int
	b []byte
}

// NewMap starts an empty map.
func NewMap() *Map { return &Map{b: make([]byte, 3, 64)} }

func (m *Map) key(k string) { m.n++; m.b = protocol.AppendStr(m.b, k) }

// Int adds a whole number.
func (m *Map) Int(k string, v int64) *Map { m.key(k); m.b = protocol.AppendInt(m.b, v); return m }

// Float adds a number.
func (m *Map) Float(k string, v float64) *Map {
	m.key(k)
	m.b = protocol.AppendFloat(m.b, v)
	return m
}

// Text adds a str.
func (m *Map) Text(k, v string) *Map { m.key(k); m.b = protocol.AppendStr(m.b, v); return m }

// Bool adds true or false.
func (m *Map) Bool(k string, v bool) *Map { m.key(k); m.b = protocol.AppendBool(m.b, v); return m }

// Texts adds a list of str.
func (m *Map) Texts(k string, v []string) *Map {
	m.key(k)
	m.b = protocol.AppendArray(m.b, len(v))
	for _, s := range v {
		m.b = protocol.AppendStr(m.b, s)
	}
	return m
}

// Ints adds a list of whole numbers.
func (m *Map) Ints(k string, v []int64) *Map {
	m.key(k)
	m.b = protocol.AppendArray(m.b, len(v))
	for _, n := range v {
		m.b = protocol.AppendInt(m.b, n)
	}
	return m
}

// Raw adds an encoded value; nothing, or what is not well-formed, is encoded as nil.
func (m *Map) Raw(k string, p Payload) *Map {
	m.key(k)
	if b, err := protocol.Normalize(p); err == nil && len(b) > 0 {
		m.b = append(m.b, b...)
	} else {
		m.b = protocol.AppendNil(m.b)
	}
	return m
}

// Payload is the finished map. The builder must not be used after it.
func (m *Map) Payload() Payload {
	if m.n < 16 {
		m.b[2] = 0x80 | byte(m.n)
		return m.b[2:]
	}
	m.b[0], m.b[1], m.b[2] = 0xde, byte(m.n>>8), byte(m.n)
	return m.b
}

// EmptyMap is the payload {}.
var EmptyMap = Payload{0x80}

// Encode makes a payload by reflection. It panics on what msgpack cannot encode (a channel, a function): a mistake in the
// game's code, which costs the message it handles.
func Encode(v any) Payload {
	b, err := msgpack.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("game: encode %T: %v", v, err))
	}
	return b
}

func payloadOf(v any) Payload {
	switch v := v.(type) {
	case Payload:
		return v
	case *Map:
		return v.Payload()
	case nil:
		return EmptyMap
	default:
		return Encode(v)
	}
}
