package client

import "gamed/protocol"

// maxStreams bounds the topics whose offsets are kept; pushes of further ones are delivered without a check.
const maxStreams = 1024

// streams keeps, per topic, the offset of the last push taken. The client's mutex guards it.
type streams map[string]*stream

type stream struct {
	topic string
	seen  uint64
}

// accept judges a push: the topic as a string that costs nothing, whether it is new, and the first offset missing before it
// (0: none).
func (s streams) accept(topic []byte, offset uint64) (name string, fresh bool, missing uint64) {
	st := s[string(topic)]
	if st == nil {
		name = string(topic)
		if offset > 0 && len(s) < maxStreams {
			s[name] = &stream{topic: name, seen: offset}
		}
		return name, true, 0
	}
	switch {
	case offset == 0:
		return st.topic, true, 0
	case offset <= st.seen:
		return st.topic, false, 0
	case offset > st.seen+1:
		missing = st.seen + 1
	}
	st.seen = offset
	return st.topic, true, missing
}

// joined takes the position that the answer to a join names. before is what had been seen when the join was sent: a position
// below it means that the stream began anew. Pushes may have overtaken the answer.
func (s streams) joined(topic string, offset, before uint64) {
	st := s[topic]
	if st == nil {
		if len(s) < maxStreams {
			s[topic] = &stream{topic: topic, seen: offset}
		}
		return
	}
	if offset < before {
		st.seen = offset
	} else {
		st.seen = max(st.seen, offset)
	}
}

func (s streams) position(topic string) uint64 {
	if st := s[topic]; st != nil {
		return st.seen
	}
	return 0
}

// resumed forgets the topics that the session no longer has and those whose history did not reach back.
func (s streams) resumed(missed map[string]bool) {
	for topic := range s {
		if lost, named := missed[topic]; lost || !named {
			delete(s, topic)
		}
	}
}

// helloRoom is what the offsets may take of a HELLO, whose limit is protocol.MaxFrameHello; the rest is for the other fields.
const helloRoom = protocol.MaxFrameHello - 512

// list gives the offsets for a HELLO with so many bytes taken by its other fields. The player's own stream comes first; what
// does not fit is left out and then reported as missed.
func (s streams) list(taken int) []protocol.Seen {
	out := make([]protocol.Seen, 0, len(s))
	room := helloRoom - taken
	add := func(st *stream) {
		if cost := len(st.topic) + 14; cost <= room {
			out = append(out, protocol.Seen{Topic: st.topic, Offset: st.seen})
			room -= cost
		}
	}
	if own := s[""]; own != nil {
		add(own)
	}
	for topic, st := range s {
		if topic != "" {
			add(st)
		}
	}
	return out
}
