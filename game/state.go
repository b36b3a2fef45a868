package game

import (
	"errors"

	"gamed/protocol"
)

// StateReader reads back, value by value, what a Snapshot appended with protocol's appenders. It remembers the first mistake, so
// that a Restore reads everything and asks Err once. After a mistake all reads give zero values. Unchecked bytes do no harm.
type StateReader struct {
	cur protocol.Cursor
	bad bool
}

// ReadState begins at the first value of b, which it does not keep beyond the reads.
func ReadState(b []byte) *StateReader { return &StateReader{cur: protocol.NewCursor(b)} }

// ErrState says that bytes given to Restore are no state of this part.
var ErrState = errors.New("state: malformed")

// Err is ErrState when a read found something else than it wanted.
func (r *StateReader) Err() error {
	if r.bad {
		return ErrState
	}
	return nil
}

// Int reads a whole number.
func (r *StateReader) Int() int64 {
	if r.bad {
		return 0
	}
	n, ok := r.cur.Int()
	r.bad = !ok
	return n
}

// Text reads a str or bin.
func (r *StateReader) Text() string { return string(r.bytes()) }

// Bytes reads a str or bin; the result is a copy.
func (r *StateReader) Bytes() []byte { return append([]byte(nil), r.bytes()...) }

func (r *StateReader) bytes() []byte {
	if r.bad {
		return nil
	}
	s, ok := r.cur.Text()
	r.bad = !ok
	return s
}

// Bool reads true or false.
func (r *StateReader) Bool() bool {
	if r.bad {
		return false
	}
	v, ok := r.cur.Bool()
	r.bad = !ok
	return ok && v
}

// Len reads the head of an array of at most limit values, which are read next.
func (r *StateReader) Len(limit int) int {
	if r.bad {
		return 0
	}
	n, ok := r.cur.Array()
	if r.bad = !ok || n < 0 || n > limit; r.bad {
		return 0
	}
	return n
}
