package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"pgregory.net/rapid"
)

// model is a second, recursive reader of msgpack, as simple as can be: what Check and Cursor are compared with.
type model struct {
	b      []byte
	values int
	tree   strings.Builder
}

// modelCheck says whether b is one value within the limits, and shows it.
func modelCheck(b []byte) (tree string, ok bool) {
	m := model{b: b}
	ok = m.value(0) && len(m.b) == 0 && m.values <= MaxValues
	return m.tree.String(), ok
}

func (m *model) take(n uint64) ([]byte, bool) {
	if n > uint64(len(m.b)) {
		return nil, false
	}
	b := m.b[:n]
	m.b = m.b[n:]
	return b, true
}

func (m *model) number(size uint64) (uint64, bool) {
	b, ok := m.take(size)
	v := uint64(0)
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v, ok
}

func (m *model) text(kind string, n uint64) bool {
	b, ok := m.take(n)
	fmt.Fprintf(&m.tree, "%s(%x)", kind, b)
	return ok
}

func (m *model) many(open, shut string, n uint64, depth int) bool {
	if depth+1 > MaxDepth {
		return false
	}
	m.tree.WriteString(open)
	for ; n > 0; n-- {
		if m.values > MaxValues || !m.value(depth+1) {
			return false
		}
		m.tree.WriteString(" ")
	}
	m.tree.WriteString(shut)
	return true
}

func (m *model) value(depth int) bool {
	m.values++
	first, ok := m.number(1)
	if !ok {
		return false
	}
	sized := func(size uint64, f func(n uint64) bool) bool {
		n, ok := m.number(size)
		return ok && f(n)
	}
	show := func(v any, ok bool) bool { fmt.Fprint(&m.tree, v); return ok }
	str := func(n uint64) bool { return m.text("text", n) }
	array := func(n uint64) bool { return m.many("[", "]", n, depth) }
	pairs := func(n uint64) bool { return m.many("{", "}", 2*n, depth) }
	switch {
	case first < 0x80:
		return show(first, true)
	case first < 0x90:
		return pairs(first & 15)
	case first < 0xa0:
		return array(first & 15)
	case first < 0xc0:
		return str(first & 31)
	case first >= 0xe0:
		return show(int64(int8(first)), true)
	}
	switch first {
	case 0xc0:
		return show("nil", true)
	case 0xc2:
		return show("false", true)
	case 0xc3:
		return show("true", true)
	case 0xc4, 0xd9:
		return sized(1, str)
	case 0xc5, 0xda:
		return sized(2, str)
	case 0xc6, 0xdb:
		return sized(4, str)
	case 0xca:
		v, ok := m.number(4)
		return show(floatShown(float64(math.Float32frombits(uint32(v)))), ok)
	case 0xcb:
		v, ok := m.number(8)
		return show(floatShown(math.Float64frombits(v)), ok)
	case 0xcc, 0xcd, 0xce, 0xcf:
		v, ok := m.number(1 << (first - 0xcc))
		return show(v, ok)
	case 0xd0:
		v, ok := m.number(1)
		return show(int8(v), ok)
	case 0xd1:
		v, ok := m.number(2)
		return show(int16(v), ok)
	case 0xd2:
		v, ok := m.number(4)
		return show(int32(v), ok)
	case 0xd3:
		v, ok := m.number(8)
		return show(int64(v), ok)
	case 0xdc:
		return sized(2, array)
	case 0xdd:
		return sized(4, array)
	case 0xde:
		return sized(2, pairs)
	case 0xdf:
		return sized(4, pairs)
	}
	return false
}

func floatShown(v float64) string { return fmt.Sprintf("f%x", math.Float64bits(v)) }

// cursorTree shows the next value as modelCheck does, read with a Cursor.
func cursorTree(c *Cursor, w *strings.Builder) bool {
	if n, ok := c.Array(); ok {
		return cursorMany(c, w, "[", "]", n)
	}
	if n, ok := c.Map(); ok {
		return cursorMany(c, w, "{", "}", 2*n)
	}
	if b, ok := c.Text(); ok {
		fmt.Fprintf(w, "text(%x)", b)
		return true
	}
	if v, ok := c.Uint(); ok {
		fmt.Fprint(w, v)
		return true
	}
	if v, ok := c.Int(); ok {
		fmt.Fprint(w, v)
		return true
	}
	if v, ok := c.Float(); ok {
		fmt.Fprint(w, floatShown(v))
		return true
	}
	if v, ok := c.Bool(); ok {
		fmt.Fprint(w, v)
		return true
	}
	if c.Nil() {
		fmt.Fprint(w, "nil")
		return true
	}
	return false
}

func cursorMany(c *Cursor, w *strings.Builder, open, shut string, n int) bool {
	w.WriteString(open)
	for range n {
		if !cursorTree(c, w) {
			return false
		}
		w.WriteString(" ")
	}
	w.WriteString(shut)
	return true
}

// pair is an entry of a map whose order counts.
type pair struct{ key, val any }

// genValue draws a value of nil, bool, int64, uint64, float64, string, []any and []pair; []byte and any key when not forJSON.
func genValue(t *rapid.T, depth int, forJSON bool) any {
	kinds := 7
	if depth >= 5 {
		kinds = 5
	}
	switch k := rapid.IntRange(-1, kinds-1).Draw(t, "kind"); k {
	case 0:
		return rapid.Bool().Draw(t, "bool")
	case 1:
		return rapid.Int64().Draw(t, "int")
	case 2:
		return rapid.Uint64().Draw(t, "uint")
	case 3:
		return rapid.Float64().Draw(t, "float")
	case 4:
		if !forJSON && rapid.Bool().Draw(t, "bin") {
			return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		}
		return rapid.StringN(0, 40, 300).Draw(t, "text")
	case 5:
		list := []any{}
		for range rapid.IntRange(0, 18).Draw(t, "len") {
			list = append(list, genValue(t, depth+1, forJSON))
		}
		return list
	case 6:
		pairs := []pair{}
		for range rapid.IntRange(0, 18).Draw(t, "len") {
			var key any = rapid.StringN(0, 10, 40).Draw(t, "key")
			if !forJSON {
				key = genValue(t, 6, false)
			}
			pairs = append(pairs, pair{key, genValue(t, depth+1, forJSON)})
		}
		return pairs
	}
	return nil
}

// encode writes a drawn value with this package's appenders.
func encode(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return AppendNil(dst)
	case bool:
		return AppendBool(dst, v)
	case int64:
		return AppendInt(dst, v)
	case uint64:
		return AppendUint(dst, v)
	case float64:
		return AppendFloat(dst, v)
	case string:
		return AppendStr(dst, v)
	case []byte:
		return AppendBin(dst, v)
	case []any:
		dst = AppendArray(dst, len(v))
		for _, e := range v {
			dst = encode(dst, e)
		}
		return dst
	case []pair:
		dst = AppendMap(dst, len(v))
		for _, e := range v {
			dst = encode(encode(dst, e.key), e.val)
		}
		return dst
	}
	panic(fmt.Sprintf("encode %T", v))
}

// framed is body with its length in front.
func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}
