package state

import "gamed/protocol"

// Cutter cuts a change into pieces, each a change of its own that is to be applied in order. A section longer than a piece goes in
// several. The change must not be changed meanwhile.
type Cutter struct {
	rest  []byte // pairs not yet given
	name  []byte // of a section of which a part was given; value is its rest
	value []byte
	size  int
}

// Cut gives a cutter of pieces of about size bytes: a piece exceeds it by one section's name and a few bytes at most.
func (c *Change) Cut(size int) Cutter { return Cutter{rest: c.b, size: size} }

// Pieces is how many are left.
func (k Cutter) Pieces() (n int) {
	for n = 1; k.step(func([]byte, bool) {}); n++ {
	}
	return n
}

// Next appends the next piece, and says whether more follow.
func (k *Cutter) Next(dst []byte) (piece []byte, more bool) {
	n := 0
	ahead := *k
	ahead.step(func([]byte, bool) { n++ })
	dst = protocol.AppendUint(dst, uint64(n))
	more = k.step(func(b []byte, begun bool) {
		if begun {
			dst = protocol.AppendStr(dst, string(k.name))
			dst = protocol.AppendBin(protocol.AppendArray(dst, 1), b)
		} else {
			dst = append(dst, b...)
		}
	})
	return dst, more
}

// step gives what is in one piece: pairs as they are, or a part of a section of which there was one before (begun), whose name is
// k.name. It says whether more follow.
func (k *Cutter) step(give func(b []byte, begun bool)) (more bool) {
	left := k.size
	if k.value != nil {
		n := min(len(k.value), max(left, 1))
		give(k.value[:n], true)
		left -= n
		if k.value = k.value[n:]; len(k.value) > 0 {
			return true
		}
		k.value = nil
	}
	for len(k.rest) > 0 {
		c := protocol.NewCursor(k.rest)
		name, value, what, ok := pair(&c)
		if !ok { // not a change that this package made
			k.rest = nil
			break
		}
		end := len(k.rest) - len(c.Rest())
		switch {
		case end <= left:
			give(k.rest[:end], false)
			left -= end
			k.rest = c.Rest()
			continue
		case end <= k.size || what != puts: // in the next piece
			return true
		case left < k.size && left < minPart:
			return true
		}
		n := min(len(value), max(left, 1))
		give(protocol.AppendBin(protocol.AppendStr(nil, string(name)), value[:n]), false)
		k.rest, k.name, k.value = c.Rest(), name, value[n:]
		if len(k.value) > 0 {
			return true
		}
		k.value = nil
		left -= end
	}
	return false
}

// minPart is the least of a section that is begun at the end of a piece.
const minPart = 1 << 10
