package stream

import (
	"slices"
	"strconv"

	"gamed/protocol"
)

// The sections of an entity's state that hold its stream.
const (
	OffsetSection = "o"  // the position
	PushSection   = "o/" // + offset: a PUSH frame
)

// Change is what takes the sections; state.Change is one.
type Change interface {
	Put(name string, value []byte)
	Delete(name string)
}

// Push appends a frame and records it, with what the history drops for it.
func (s *Stream) Push(c Change, frame []byte) {
	first := s.First()
	s.Append(frame)
	if len(s.frames) > 0 {
		c.Put(section(s.offset), frame)
	}
	for ; first < s.First() && first < s.offset; first++ {
		c.Delete(section(first))
	}
	c.Put(OffsetSection, protocol.AppendUint(nil, s.offset))
}

// Record records the whole stream.
func (s *Stream) Record(c Change) {
	c.Put(OffsetSection, protocol.AppendUint(nil, s.offset))
	for i, f := range s.frames {
		c.Put(section(s.First()+uint64(i)), f)
	}
}

// Load makes the stream what sections say. A history with a gap begins after it.
func (s *Stream) Load(sections map[string][]byte) {
	c := protocol.NewCursor(sections[OffsetSection])
	offset, _ := c.Uint()
	var frames [][]byte
	for at := offset; at > 0 && len(frames) < MaxPushes; at-- {
		f := sections[section(at)]
		if f == nil {
			break
		}
		frames = append(frames, f)
	}
	slices.Reverse(frames)
	s.Restore(offset, frames)
}

func section(offset uint64) string { return PushSection + strconv.FormatUint(offset, 10) }
