package protocol

import (
	"encoding/binary"
	"errors"
)

// What Check finds. Each is a bad_frame.
var (
	ErrTruncated = errors.New("protocol: a value is longer than the bytes there are")
	ErrTrailing  = errors.New("protocol: bytes after the value")
	ErrDepth     = errors.New("protocol: more than 16 arrays and maps inside each other")
	ErrValues    = errors.New("protocol: more than 4096 values")
	ErrExt       = errors.New("protocol: ext type")
	ErrCode      = errors.New("protocol: 0xc1 is no msgpack value")
	ErrFrame     = errors.New("protocol: a frame is an array that begins with an integer")
)

// Check judges the structure of bytes from outside before anything else looks at them: exactly one msgpack value, at most
// MaxDepth deep and MaxValues wide, no declared length longer than the bytes left, no ext type. Text is not judged. It neither
// recurses nor allocates, and takes time in proportion to the values it passes, never to the lengths they declare. The errors
// are the sentinels above.
func Check(b []byte) error {
	var open [MaxDepth]uint16 // values still to come in each array and map around the present one
	i, depth, values, left := 0, 0, 1, 1
	for {
		for left == 0 {
			if depth == 0 {
				if i != len(b) {
					return ErrTrailing
				}
				return nil
			}
			depth--
			left = int(open[depth&(MaxDepth-1)])
		}
		left--
		if i >= len(b) {
			return ErrTruncated
		}
		c := b[i]
		i++
		if c < 0x80 || c >= 0xe0 {
			continue
		}
		var n int
		if c >= 0xa0 && c < 0xc0 {
			if n = int(c & 0x1f); n > len(b)-i {
				return ErrTruncated
			}
			i += n
			continue
		}
		if c < 0xa0 {
			if n = int(c & 0x0f); c < 0x90 {
				n *= 2
			}
		} else {
			h := &heads[c-0xc0]
			if h.shape >= shapeBad {
				if h.shape == shapeExt {
					return ErrExt
				}
				return ErrCode
			}
			if int(h.size) > len(b)-i {
				return ErrTruncated
			}
			if h.shape == shapeFixed {
				i += int(h.size)
				continue
			}
			long := readLength(b[i:], h.size)
			i += int(h.size)
			if long > uint64(len(b)-i) {
				return ErrTruncated
			}
			n = int(long)
			if h.shape == shapeText {
				i += n
				continue
			}
			if h.shape == shapeMap {
				n *= 2
			}
		}
		if depth == MaxDepth {
			return ErrDepth
		}
		if values += n; values > MaxValues {
			return ErrValues
		}
		if n > len(b)-i {
			return ErrTruncated
		}
		open[depth&(MaxDepth-1)] = uint16(left)
		depth++
		left = n
	}
}

// CheckFrame is Check, and that the value is an array that begins with an integer.
func CheckFrame(b []byte) error {
	if err := Check(b); err != nil {
		return err
	}
	if _, ok := FrameKind(b); !ok {
		return ErrFrame
	}
	return nil
}

// What follows the first byte of a value from 0xc0 to 0xdf.
const (
	shapeFixed = iota // size bytes
	shapeText         // a length of size bytes, then as many bytes
	shapeArray        // a count of size bytes, then as many values
	shapeMap          // a count of size bytes, then as many pairs
	shapeBad          // not msgpack
	shapeExt          // a length of size bytes (0: of the fixed kinds), a type, the data
)

type head struct{ shape, size uint8 }

var heads = [32]head{
	0xc0 - 0xc0: {shapeFixed, 0}, // nil
	0xc1 - 0xc0: {shapeBad, 0},
	0xc2 - 0xc0: {shapeFixed, 0}, // false
	0xc3 - 0xc0: {shapeFixed, 0}, // true
	0xc4 - 0xc0: {shapeText, 1},  // bin
	0xc5 - 0xc0: {shapeText, 2},
	0xc6 - 0xc0: {shapeText, 4},
	0xc7 - 0xc0: {shapeExt, 1},
	0xc8 - 0xc0: {shapeExt, 2},
	0xc9 - 0xc0: {shapeExt, 4},
	0xca - 0xc0: {shapeFixed, 4}, // float
	0xcb - 0xc0: {shapeFixed, 8},
	0xcc - 0xc0: {shapeFixed, 1}, // uint
	0xcd - 0xc0: {shapeFixed, 2},
	0xce - 0xc0: {shapeFixed, 4},
	0xcf - 0xc0: {shapeFixed, 8},
	0xd0 - 0xc0: {shapeFixed, 1}, // int
	0xd1 - 0xc0: {shapeFixed, 2},
	0xd2 - 0xc0: {shapeFixed, 4},
	0xd3 - 0xc0: {shapeFixed, 8},
	0xd4 - 0xc0: {shapeExt, 0},
	0xd5 - 0xc0: {shapeExt, 0},
	0xd6 - 0xc0: {shapeExt, 0},
	0xd7 - 0xc0: {shapeExt, 0},
	0xd8 - 0xc0: {shapeExt, 0},
	0xd9 - 0xc0: {shapeText, 1}, // str
	0xda - 0xc0: {shapeText, 2},
	0xdb - 0xc0: {shapeText, 4},
	0xdc - 0xc0: {shapeArray, 2},
	0xdd - 0xc0: {shapeArray, 4},
	0xde - 0xc0: {shapeMap, 2},
	0xdf - 0xc0: {shapeMap, 4},
}

// readLength reads a big-endian number of 1, 2 or 4 bytes, which must be there.
func readLength(b []byte, size uint8) uint64 {
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	default:
		return uint64(binary.BigEndian.Uint32(b))
	}
}
