// Package state is an entity's state as it travels to the backup, to another node and to the store: named sections of bytes, and
// changes of them. What one message changed is one Change, so it is applied whole or not at all.
package state

import (
	"errors"

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

// Append encodes the change.
func (c *Change) Append(dst []byte) []byte {
	return append(protocol.AppendUint(dst, uint64(c.n)), c.b...)
}

// Change is the change that makes s of nothing.
func (s Sections) Change() *Change {
	c := &Change{}
	for name, value := range s {
		c.Put(name, value)
	}
	return c
}

// ErrFormat is the error of Apply.
var ErrFormat = errors.New("state: malformed change")

// Apply applies an encoded change; on an error s is as it was.
func (s Sections) Apply(b []byte) error {
	if err := walk(b, func(string, []byte, bool) {}); err != nil {
		return err
	}
	return walk(b, func(name string, value []byte, put bool) {
		if put {
			s[name] = append([]byte{}, value...)
		} else {
			delete(s, name)
		}
	})
}

func walk(b []byte, each func(name string, value []byte, put bool)) error {
	c := protocol.NewCursor(b)
	n, ok := c.Uint()
	if !ok || n > uint64(len(b)) {
		return ErrFormat
	}
	for range n {
		name, ok := c.Text()
		if !ok {
			return ErrFormat
		}
		if c.Nil() {
			each(string(name), nil, false)
			continue
		}
		value, ok := c.Text()
		if !ok {
			return ErrFormat
		}
		each(string(name), value, true)
	}
	if len(c.Rest()) > 0 {
		return ErrFormat
	}
	return nil
}
