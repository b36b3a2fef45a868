package protocol

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// foreign encodes a drawn value with another implementation.
func foreign(t *rapid.T, e *msgpack.Encoder, v any) {
	var err error
	switch v := v.(type) {
	case nil:
		err = e.EncodeNil()
	case bool:
		err = e.EncodeBool(v)
	case int64:
		err = e.EncodeInt(v)
	case uint64:
		err = e.EncodeUint(v)
	case float64:
		err = e.EncodeFloat64(v)
	case string:
		err = e.EncodeString(v)
	case []byte:
		err = e.EncodeBytes(v)
	case []any:
		err = e.EncodeArrayLen(len(v))
		for _, el := range v {
			foreign(t, e, el)
		}
	case []pair:
		err = e.EncodeMapLen(len(v))
		for _, el := range v {
			foreign(t, e, el.key)
			foreign(t, e, el.val)
		}
	default:
		t.Fatalf("no encoding for %T", v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAppendersAgreeWithMsgpack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := genValue(t, 0, false)
		var want bytes.Buffer
		foreign(t, msgpack.NewEncoder(&want), v)
		if got := encode(nil, v); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("got  % x\nwant % x", got, want.Bytes())
		}
	})
}

func TestAppendersAtTheirEdges(t *testing.T) {
	check := func(what string, got []byte, foreign func(e *msgpack.Encoder) error) {
		t.Helper()
		var want bytes.Buffer
		if err := foreign(msgpack.NewEncoder(&want)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: got % .20x, want % .20x", what, got, want.Bytes())
		}
	}
	for bit := range 64 {
		for d := int64(-2); d <= 2; d++ {
			u := uint64(1)<<bit + uint64(d)
			check(fmt.Sprint("uint ", u), AppendUint(nil, u), func(e *msgpack.Encoder) error { return e.EncodeUint(u) })
			check(fmt.Sprint("int ", int64(u)), AppendInt(nil, int64(u)), func(e *msgpack.Encoder) error { return e.EncodeInt(int64(u)) })
			check(fmt.Sprint("int ", -int64(u)), AppendInt(nil, -int64(u)), func(e *msgpack.Encoder) error { return e.EncodeInt(-int64(u)) })
		}
	}
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536} {
		s := strings.Repeat("x", n)
		check(fmt.Sprint("str ", n), AppendStr(nil, s), func(e *msgpack.Encoder) error { return e.EncodeString(s) })
		check(fmt.Sprint("bin ", n), AppendBin(nil, []byte(s)), func(e *msgpack.Encoder) error { return e.EncodeBytes([]byte(s)) })
		check(fmt.Sprint("array ", n), AppendArray(nil, n), func(e *msgpack.Encoder) error { return e.EncodeArrayLen(n) })
		check(fmt.Sprint("map ", n), AppendMap(nil, n), func(e *msgpack.Encoder) error { return e.EncodeMapLen(n) })
		if got := AppendStr(nil, []byte(s)); !bytes.Equal(got, AppendStr(nil, s)) {
			t.Errorf("str of %d bytes differs between string and []byte", n)
		}
		b := AppendBin(nil, []byte(s))
		if c := NewCursor(b); true {
			if got, ok := c.Text(); !ok || string(got) != s || len(c.Rest()) != 0 {
				t.Errorf("bin of %d bytes does not read back", n)
			}
		}
	}
}

func TestCursorReadsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := encode(nil, genValue(t, 0, false))
		want, ok := modelCheck(b)
		if !ok {
			t.Skip("beyond the limits")
		}
		var got strings.Builder
		c := NewCursor(b)
		if !cursorTree(&c, &got) || got.String() != want || len(c.Rest()) != 0 {
			t.Fatalf("got  %s\nwant %s", got.String(), want)
		}
		c = NewCursor(append(b[:len(b):len(b)], 0xc3))
		raw, ok := c.Raw()
		if !ok || !bytes.Equal(raw, b) || !bytes.Equal(c.Rest(), []byte{0xc3}) {
			t.Fatalf("Raw gave % x of % x", raw, b)
		}
		if _ = append(raw, 0xff); c.Peek() != 0xc3 {
			t.Fatal("appending to Raw's bytes writes over what follows")
		}
	})
}

func TestCursorStaysWhereItIsOnAMismatch(t *testing.T) {
	values := map[string][]byte{
		"array": {0x90}, "map": {0x80}, "text": {0xa1, 'x'}, "bin": {0xc4, 1, 'x'}, "uint": {0x07}, "int": {0xff},
		"float": AppendFloat(nil, 1), "float32": {0xca, 0x3f, 0x80, 0, 0}, "bool": {0xc3}, "nil": {0xc0}, "ext": AppendTaggedJSON(nil, []byte("1")),
	}
	reads := map[string]func(c *Cursor) bool{
		"array": func(c *Cursor) bool { _, ok := c.Array(); return ok },
		"map":   func(c *Cursor) bool { _, ok := c.Map(); return ok },
		"text":  func(c *Cursor) bool { _, ok := c.Text(); return ok },
		"uint":  func(c *Cursor) bool { _, ok := c.Uint(); return ok },
		"int":   func(c *Cursor) bool { _, ok := c.Int(); return ok },
		"float": func(c *Cursor) bool { _, ok := c.Float(); return ok },
		"bool":  func(c *Cursor) bool { _, ok := c.Bool(); return ok },
		"nil":   func(c *Cursor) bool { return c.Nil() },
	}
	matches := map[string]string{"bin": "text", "float32": "float"}
	for value, b := range values {
		for read, f := range reads {
			c := NewCursor(b)
			want := value == read || matches[value] == read || value == "uint" && read == "int"
			got := f(&c)
			if got != want {
				t.Errorf("%s read as %s: %v, want %v", value, read, got, want)
			}
			if !got && len(c.Rest()) != len(b) {
				t.Errorf("%s read as %s: moved", value, read)
			}
			// Cut anywhere it fails and stays.
			for n := range b {
				c := NewCursor(b[:n])
				if f(&c) || len(c.Rest()) != n {
					t.Errorf("%s cut to %d bytes read as %s", value, n, read)
				}
			}
		}
		c := NewCursor(b)
		if !c.Skip() || len(c.Rest()) != 0 || c.Peek() != 0xc1 {
			t.Errorf("%s: Skip left % x", value, c.Rest())
		}
		if c.Skip() {
			t.Errorf("%s: Skip at the end", value)
		}
	}
}

func TestIntegersOfAllEncodings(t *testing.T) {
	for _, tc := range []struct {
		b    []byte
		i    int64
		u    uint64
		isI  bool
		isU  bool
		what string
	}{
		{[]byte{0xd0, 5}, 5, 5, true, true, "int8"},
		{[]byte{0xd1, 0, 5}, 5, 5, true, true, "int16"},
		{[]byte{0xd2, 0, 0, 0, 5}, 5, 5, true, true, "int32"},
		{[]byte{0xd3, 0, 0, 0, 0, 0, 0, 0, 5}, 5, 5, true, true, "int64"},
		{[]byte{0xcf, 0, 0, 0, 0, 0, 0, 0, 5}, 5, 5, true, true, "uint64"},
		{[]byte{0xd0, 0x80}, -128, 0, true, false, "−128"},
		{[]byte{0xe0}, -32, 0, true, false, "−32"},
		{[]byte{0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, math.MaxInt64, math.MaxInt64, true, true, "2⁶³−1"},
		{[]byte{0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0}, 0, 1 << 63, false, true, "2⁶³"},
		{[]byte{0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0}, math.MinInt64, 0, true, false, "−2⁶³"},
	} {
		c := NewCursor(tc.b)
		if v, ok := c.Int(); v != tc.i || ok != tc.isI {
			t.Errorf("%s: Int = %d, %v", tc.what, v, ok)
		}
		c = NewCursor(tc.b)
		if v, ok := c.Uint(); v != tc.u || ok != tc.isU {
			t.Errorf("%s: Uint = %d, %v", tc.what, v, ok)
		}
	}
}

func TestCountsNeverExceedTheBytesLeft(t *testing.T) {
	for _, b := range [][]byte{{0x92, 0xc0}, {0xdc, 0, 2, 0xc0}, {0xdd, 0xff, 0xff, 0xff, 0xff}, {0x81, 0xc0}, {0xde, 0, 1, 0xc0}, {0xdf, 0xff, 0xff, 0xff, 0xff}} {
		c := NewCursor(b)
		if n, ok := c.Array(); ok {
			t.Errorf("% x: an array of %d", b, n)
		}
		if n, ok := c.Map(); ok {
			t.Errorf("% x: a map of %d", b, n)
		}
	}
}
