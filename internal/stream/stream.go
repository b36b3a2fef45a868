// Package stream is a topic's numbered stream with its bounded history. It is a pure structure for one goroutine. Frames are never
// copied and must not be changed by who gave or got them.
package stream

// Bounds of a history: pushes and bytes, whichever is less.
const (
	MaxPushes = 64
	MaxBytes  = 64 << 10
)

// Stream numbers pushes from 1 without gaps and keeps the last ones as whole frames. The zero value is a new stream.
type Stream struct {
	offset uint64
	frames [][]byte // oldest first
	bytes  int
}

// Offset is the position: the number of the last push, 0 before the first.
func (s *Stream) Offset() uint64 { return s.offset }

// First is the number of the oldest push kept; Offset()+1 when none is.
func (s *Stream) First() uint64 { return s.offset + 1 - uint64(len(s.frames)) }

// Frames are the pushes kept, oldest first; valid until the next Append or Restore.
func (s *Stream) Frames() [][]byte { return s.frames }

// Restore makes the stream stand at offset with these last frames, oldest first, which it owns from now on. Of too many it keeps
// the last.
func (s *Stream) Restore(offset uint64, frames [][]byte) {
	*s = Stream{offset: offset, frames: frames}
	for _, f := range frames {
		s.bytes += len(f)
	}
	for uint64(len(s.frames)) > min(offset, MaxPushes) || s.bytes > MaxBytes {
		s.dropOldest()
	}
}

// Append keeps a frame, which must carry the number Offset()+1. The stream owns frame from now on.
func (s *Stream) Append(frame []byte) {
	s.offset++
	for len(s.frames) > 0 && (len(s.frames) == MaxPushes || s.bytes+len(frame) > MaxBytes) {
		s.dropOldest()
	}
	if len(frame) > MaxBytes {
		return
	}
	s.bytes += len(frame)
	s.frames = append(s.frames, frame)
}

func (s *Stream) dropOldest() {
	s.bytes -= len(s.frames[0])
	s.frames[0] = nil
	s.frames = s.frames[1:]
}

// Since gives the frames after position seen, oldest first, valid until the next Append or Restore; missed when the history does
// not reach back so far, or the stream has never been there.
func (s *Stream) Since(seen uint64) (frames [][]byte, missed bool) {
	if seen > s.offset {
		return nil, true
	}
	n := s.offset - seen
	if n > uint64(len(s.frames)) {
		return nil, true
	}
	return s.frames[len(s.frames)-int(n):], false
}
