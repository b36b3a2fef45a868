// Package state is an entity's state as it travels to the backup, to another node and to the store: named sections of bytes, and
// changes of them. What one message changed is one Change, so it is applied whole or not at all.
package state

import (
	"errors"
	"slices"
	"unsafe"

	"gamed/protocol"
)

// Sections is an entity's whole state.
type Sections map[string][]byte

// Change is a list of puts and deletes. The zero value is empty; it is reused after Reset.
type Change struct {
	n int
	b []byte // pairs of name and value; nil deletes
}

// Reset empties the change.
func (c *Change) Reset() {
	c.n = 0
	c.b = c.b[:0]
	if cap(c.b) > 1<<20 {
		c.b = nil
	}
}

// Empty says that nothing is changed.
func (c *Change) Empty() bool { return c.n == 0 }

// Put sets a section. Both are copied.
func (c *Change) Put(name string, value []byte) {
	c.n++
	c.b = protocol.AppendBin(protocol.AppendStr(c.b, name), value)
}

// Delete removes a section.
func (c *Change) Delete(name string) {
	c.n++
	c.b = protocol.AppendNil(protocol.AppendStr(c.b, name))
}

// Len is the length of the encoded change, but for its first few bytes.
func (c *Change) Len() int { return len(c.b) }

// Append encodes the change.
func (c *Change) Append(dst []byte) []byte {
	return append(protocol.AppendUint(dst, uint64(c.n)), c.b...)
}

// Change is the change that makes s of nothing. Equal sections make the same one.
func (s Sections) Change() *Change {
	names, size := make([]string, 0, len(s)), 0
	for name, value := range s {
		names = append(names, name)
		size += len(name) + len(value) + 2*longestHead
	}
	slices.Sort(names)
	c := &Change{b: make([]byte, 0, size)}
	for _, name := range names {
		c.Put(name, s[name])
	}
	return c
}

// longestHead is the longest head of a name or value, in bytes.
const longestHead = 5

// Sections are those that a change puts. They alias it: it must not be reset.
func (c *Change) Sections() Sections {
	s := make(Sections, c.n)
	cur := protocol.NewCursor(c.b)
	for range c.n {
		if name, value, what, ok := pair(&cur); ok && what == puts {
			s[string(name)] = value
		}
	}
	return s
}

// ErrFormat is the error of Apply.
var ErrFormat = errors.New("state: malformed change")

// Apply applies an encoded change; on an error s is as it was.
func (s Sections) Apply(b []byte) error {
	_, err := s.Grow(b)
	return err
}

// Grow is Apply that says by how many bytes the sections have grown, names included.
func (s Sections) Grow(b []byte) (grown int, err error) { return s.grow(b, false) }

// Adopt is Grow with bytes that belong to s from then on: they must not be changed any more.
func (s Sections) Adopt(b []byte) (grown int, err error) { return s.grow(b, true) }

func (s Sections) grow(b []byte, adopt bool) (grown int, err error) {
	if err := walk(b, func([]byte, []byte, action) {}); err != nil {
		return 0, err
	}
	err = walk(b, func(name, value []byte, what action) {
		old, had := s[string(name)]
		if had {
			grown -= len(name) + len(old)
		}
		switch {
		case what == deletes:
			delete(s, string(name))
			return
		case what == extends: // the bytes before stay as they are
			value = append(old, value...)
		case !adopt:
			value = append([]byte{}, value...)
		}
		if adopt && len(name) > 0 {
			s[unsafe.String(&name[0], len(name))] = value
		} else {
			s[string(name)] = value
		}
		grown += len(name) + len(value)
	})
	return grown, err
}

// action is what a change does to a section.
type action uint8

const (
	puts action = iota
	deletes
	extends // appends to it; only in the pieces that a Cutter makes
)

func walk(b []byte, each func(name, value []byte, what action)) error {
	c := protocol.NewCursor(b)
	n, ok := c.Uint()
	if !ok || n > uint64(len(b)) {
		return ErrFormat
	}
	for range n {
		name, value, what, ok := pair(&c)
		if !ok {
			return ErrFormat
		}
		each(name, value, what)
	}
	if len(c.Rest()) > 0 {
		return ErrFormat
	}
	return nil
}

// pair reads one section of a change.
func pair(c *protocol.Cursor) (name, value []byte, what action, ok bool) {
	if name, ok = c.Text(); !ok {
		return nil, nil, 0, false
	}
	if c.Nil() {
		return name, nil, deletes, true
	}
	if n, piece := c.Array(); piece {
		if what = extends; n != 1 {
			return nil, nil, 0, false
		}
	}
	value, ok = c.Text()
	return name, value, what, ok
}
