package protocol

import (
	"encoding/binary"
	"math"
)

// Cursor reads msgpack values one after the other without allocating. A read gives the value and steps over it; when the next
// bytes are not of the kind asked for, or are cut off, it says so and stays where it is. That holds for any bytes, checked or
// not. Slices given alias the bytes read.
type Cursor struct {
	b []byte
	i int
}

// NewCursor starts at the beginning of b.
func NewCursor(b []byte) Cursor { return Cursor{b: b} }

// Peek is the next value's first byte; 0xc1, which no value begins with, at the end.
func (c *Cursor) Peek() byte {
	if c.i < len(c.b) {
		return c.b[c.i]
	}
	return 0xc1
}

// Rest is what was not read yet.
func (c *Cursor) Rest() []byte { return c.b[c.i:] }

// Array enters an array and gives the number of its values, which is never more than the bytes left.
func (c *Cursor) Array() (n int, ok bool) {
	if v := c.Peek(); v&0xf0 == 0x90 {
		n = int(v & 0x0f)
		if n >= len(c.b)-c.i {
			return 0, false
		}
		c.i++
		return n, true
	}
	return c.long(shapeArray, 1)
}

// Map enters a map and gives the number of its pairs, of which twice is never more than the bytes left.
func (c *Cursor) Map() (n int, ok bool) {
	if v := c.Peek(); v&0xf0 == 0x80 {
		n = int(v & 0x0f)
		if 2*n >= len(c.b)-c.i {
			return 0, false
		}
		c.i++
		return n, true
	}
	return c.long(shapeMap, 2)
}

// long enters an array or map whose count does not stand in its first byte.
func (c *Cursor) long(shape uint8, each uint64) (n int, ok bool) {
	v := c.Peek()
	if v < 0xc0 || v >= 0xe0 || heads[v-0xc0].shape != shape {
		return 0, false
	}
	size := heads[v-0xc0].size
	rest := c.b[c.i+1:]
	if int(size) > len(rest) {
		return 0, false
	}
	count := readLength(rest, size)
	if count*each > uint64(len(rest)-int(size)) {
		return 0, false
	}
	c.i += 1 + int(size)
	return int(count), true
}

// Uint reads an integer that is not negative, however it is encoded.
func (c *Cursor) Uint() (uint64, bool) {
	if c.i < len(c.b) {
		if v := c.b[c.i]; v < 0x80 {
			c.i++
			return uint64(v), true
		}
	}
	v, negative, size := c.integer()
	if size == 0 || negative {
		return 0, false
	}
	c.i += size
	return v, true
}

// Int reads an integer up to 2⁶³−1, however it is encoded.
func (c *Cursor) Int() (int64, bool) {
	v, negative, size := c.integer()
	if size == 0 || !negative && v > math.MaxInt64 {
		return 0, false
	}
	c.i += size
	return int64(v), true
}

// integer is the next integer in two's complement and the bytes it takes; size 0 when there is none.
func (c *Cursor) integer() (v uint64, negative bool, size int) {
	rest := c.b[c.i:]
	if len(rest) == 0 {
		return 0, false, 0
	}
	first := rest[0]
	if first < 0x80 {
		return uint64(first), false, 1
	}
	if first >= 0xe0 {
		return uint64(int64(int8(first))), true, 1
	}
	if first < 0xcc || first > 0xd3 {
		return 0, false, 0
	}
	size = 1 + int(heads[first-0xc0].size)
	if size > len(rest) {
		return 0, false, 0
	}
	var s int64
	switch first {
	case 0xcc:
		return uint64(rest[1]), false, size
	case 0xcd:
		return uint64(binary.BigEndian.Uint16(rest[1:])), false, size
	case 0xce:
		return uint64(binary.BigEndian.Uint32(rest[1:])), false, size
	case 0xcf:
		return binary.BigEndian.Uint64(rest[1:]), false, size
	case 0xd0:
		s = int64(int8(rest[1]))
	case 0xd1:
		s = int64(int16(binary.BigEndian.Uint16(rest[1:])))
	case 0xd2:
		s = int64(int32(binary.BigEndian.Uint32(rest[1:])))
	case 0xd3:
		s = int64(binary.BigEndian.Uint64(rest[1:]))
	}
	return uint64(s), s < 0, size
}

// Float reads a float of either size. Integers are none.
func (c *Cursor) Float() (float64, bool) {
	rest := c.b[c.i:]
	switch v := c.Peek(); {
	case v == 0xca && len(rest) >= 5:
		c.i += 5
		return float64(math.Float32frombits(binary.BigEndian.Uint32(rest[1:]))), true
	case v == 0xcb && len(rest) >= 9:
		c.i += 9
		return math.Float64frombits(binary.BigEndian.Uint64(rest[1:])), true
	}
	return 0, false
}

// Bool reads true or false.
func (c *Cursor) Bool() (v, ok bool) {
	if first := c.Peek(); first == 0xc2 || first == 0xc3 {
		c.i++
		return first == 0xc3, true
	}
	return false, false
}

// Nil steps over a nil and says whether there was one.
func (c *Cursor) Nil() bool {
	if c.Peek() == 0xc0 {
		c.i++
		return true
	}
	return false
}

// Text reads a str or bin. Its bytes need not be UTF-8.
func (c *Cursor) Text() ([]byte, bool) {
	rest := c.b[c.i:]
	if len(rest) == 0 {
		return nil, false
	}
	first := rest[0]
	if first&0xe0 == 0xa0 {
		end := 1 + int(first&0x1f)
		if end > len(rest) {
			return nil, false
		}
		c.i += end
		return rest[1:end:end], true
	}
	if first < 0xc4 || first > 0xdb || heads[first-0xc0].shape != shapeText {
		return nil, false
	}
	start := 1 + int(heads[first-0xc0].size)
	if start > len(rest) {
		return nil, false
	}
	n := readLength(rest[1:], heads[first-0xc0].size)
	if n > uint64(len(rest)-start) {
		return nil, false
	}
	end := start + int(n)
	c.i += end
	return rest[start:end:end], true
}

// Skip steps over one value of any kind, ext included, with all that is inside it.
func (c *Cursor) Skip() bool {
	i, ok := skip(c.b, c.i)
	if ok {
		c.i = i
	}
	return ok
}

// Raw gives the next value of any kind as it is encoded and steps over it.
func (c *Cursor) Raw() ([]byte, bool) {
	i, ok := skip(c.b, c.i)
	if !ok {
		return nil, false
	}
	v := c.b[c.i:i:i]
	c.i = i
	return v, true
}

// skip finds the end of the value that begins at i.
func skip(b []byte, i int) (end int, ok bool) {
	for left := 1; left > 0; left-- {
		if i >= len(b) {
			return 0, false
		}
		v := b[i]
		i++
		var n uint64
		switch {
		case v < 0x80 || v >= 0xe0:
			continue
		case v < 0x90:
			left += int(v&0x0f) * 2
			continue
		case v < 0xa0:
			left += int(v & 0x0f)
			continue
		case v < 0xc0:
			n = uint64(v & 0x1f)
		default:
			h := heads[v-0xc0]
			n = uint64(h.size)
			if n > uint64(len(b)-i) {
				return 0, false
			}
			switch h.shape {
			case shapeBad:
				return 0, false
			case shapeExt:
				if h.size == 0 {
					n = 1 + 1<<(v-0xd4)
				} else {
					n += 1 + readLength(b[i:], h.size)
				}
			case shapeText:
				n += readLength(b[i:], h.size)
			case shapeArray, shapeMap:
				count := readLength(b[i:], h.size)
				i += int(h.size)
				if count > uint64(len(b)-i) {
					return 0, false
				}
				left += int(count)
				if h.shape == shapeMap {
					left += int(count)
				}
				continue
			}
		}
		if n > uint64(len(b)-i) {
			return 0, false
		}
		i += int(n)
	}
	return i, true
}
