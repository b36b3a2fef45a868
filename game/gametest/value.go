package gametest

import (
	"testing"

	"gamed/game"
	"gamed/protocol"
)

// Value is a payload with readers that fail the test on a missing key or a wrong type.
type Value struct {
	t       testing.TB
	Payload game.Payload
}

// String is the payload as JSON, its keys in the order they were written.
func (v Value) String() string {
	b, err := protocol.AppendJSON(nil, v.Payload)
	if err != nil {
		return "malformed payload: " + err.Error()
	}
	return string(b)
}

func read[T any](v Value, key string, get func(*game.Fields, string) T) T {
	v.t.Helper()
	f := v.Payload.Fields()
	x := get(&f, key)
	if err := f.Err(); err != nil {
		v.t.Errorf("%s in %s", err, v)
	}
	return x
}

// Has says whether the key is there and not nil.
func (v Value) Has(key string) bool { return read(v, key, (*game.Fields).Has) }

// Int is a whole number.
func (v Value) Int(key string) int64 { v.t.Helper(); return read(v, key, (*game.Fields).Int) }

// Text is a text.
func (v Value) Text(key string) string { v.t.Helper(); return read(v, key, (*game.Fields).Text) }

// Bool is true or false.
func (v Value) Bool(key string) bool { v.t.Helper(); return read(v, key, (*game.Fields).Bool) }

// Value is the value of a key, itself to be read as a map.
func (v Value) Value(key string) Value { return Value{v.t, read(v, key, (*game.Fields).Raw)} }

// Ints is a list of whole numbers.
func (v Value) Ints(key string) []int64 {
	v.t.Helper()
	var out []int64
	for _, p := range read(v, key, (*game.Fields).List) {
		cur := protocol.NewCursor(p)
		n, ok := cur.Int()
		if !ok {
			v.t.Errorf("%s: want whole numbers in %s", key, v)
		}
		out = append(out, n)
	}
	return out
}

// Texts is a list of texts.
func (v Value) Texts(key string) []string {
	v.t.Helper()
	var out []string
	for _, p := range read(v, key, (*game.Fields).List) {
		cur := protocol.NewCursor(p)
		s, ok := cur.Text()
		if !ok {
			v.t.Errorf("%s: want texts in %s", key, v)
		}
		out = append(out, string(s))
	}
	return out
}

// JSON is a payload as a client of the JSON dialect sends it.
func JSON(text string) game.Payload { return protocol.AppendTaggedJSON(nil, []byte(text)) }

// encode makes a payload of what a test calls with.
func (w *World) encode(v any) game.Payload {
	w.t.Helper()
	switch v := v.(type) {
	case nil:
		return nil
	case game.Payload:
		return v
	case *game.Map:
		return v.Payload()
	}
	return game.Encode(v)
}
