package loadtest

import (
	"slices"
	"time"

	"gamed/client"
)

// ChatRecord is all that was seen of a chat scenario from outside.
type ChatRecord struct {
	Talkers []*TalkerRecord
	Died    []string // nodes that ended by themselves, and what they said
	Forks   []Span   // when both sides of a split may have served
}

// Span is a time from one moment to another.
type Span struct{ From, To time.Time }

// TalkerRecord is what one player said and heard.
type TalkerRecord struct {
	Name, Room  string
	Joined      bool
	Said        []Saying
	Heard       []Heard // in the order in which it came
	Gaps        []client.Gap
	Connections []Connection
	Codes       map[string]int64 // outcomes of all attempts

	Sessions   uint64   // begun
	Duplicates uint64   // pushes that came a second time
	Ended      []string // why the server ended sessions
}

// Saying is a number said, one after the other.
type Saying struct {
	N            int
	Acknowledged bool
	Offset       uint64 // as the answer said
	Repeated     bool   // an attempt before had no known outcome: it may be there twice
	Sent, Done   time.Time
}

// Heard is a push of the room's stream, or one of two marks.
type Heard struct {
	Offset uint64
	From   string
	N      int
	At     time.Time
	Start  bool // no push: the talker joined here, what follows has higher offsets
	Missed bool // no push: a resume said that the history did not reach back
}

// word is something said, by whom.
type word struct {
	from string
	n    int
}

// JudgeChat lists every promise that was broken in a chat scenario. It sees nothing but the record. What was said while both sides of a
// split served may be gone, with its place in the stream; nothing else may.
func JudgeChat(r *ChatRecord) []Violation {
	j := &chatJudge{ChatRecord: r}
	for _, died := range r.Died {
		j.add(NodeDied, "%s", died)
	}
	rooms := map[string][]*TalkerRecord{}
	for _, t := range r.Talkers {
		if !t.Joined {
			j.add(LoginFailed, "%s did not get into %s", t.Name, t.Room)
			continue
		}
		rooms[t.Room] = append(rooms[t.Room], t)
		j.session(t)
		j.stream(t)
	}
	for name, members := range rooms {
		j.room(name, members)
	}
	return j.list()
}

type chatJudge struct {
	*ChatRecord
	findings
}

// forked says whether a time from one moment to another touches one in which both sides served.
func (j *chatJudge) forked(from, to time.Time) bool {
	return slices.ContainsFunc(j.Forks, func(s Span) bool { return !from.After(s.To) && !to.Before(s.From) })
}

func (j *chatJudge) session(t *TalkerRecord) {
	if len(j.Forks) == 0 {
		if t.Sessions > 1 {
			j.add(SessionLost, "%s had %d sessions", t.Name, t.Sessions)
		}
		for _, why := range t.Ended {
			j.add(SessionLost, "%s was ended: %s", t.Name, why)
		}
	}
	if t.Duplicates > 0 && len(j.Forks) == 0 {
		j.addN(StreamDoubled, int64(t.Duplicates), "%s got %d pushes twice", t.Name, t.Duplicates)
	}
	for _, s := range t.Said {
		if !s.Acknowledged {
			j.add(CallUnanswered, "%s: %d was never acknowledged", t.Name, s.N)
		}
	}
}

// stream judges the offsets that one talker got.
func (j *chatJudge) stream(t *TalkerRecord) {
	for _, g := range t.Gaps {
		if len(j.Forks) == 0 {
			j.addN(StreamGap, int64(g.To-g.From+1), "%s, %s: the client was not told %d to %d", t.Name, t.Room, g.From, g.To)
		}
	}
	next, known := uint64(0), false
	for i, h := range t.Heard {
		switch {
		case h.Start:
			next, known = h.Offset+1, true
			continue
		case h.Missed:
			known = false
			continue
		case !known:
		case j.forked(t.Heard[max(i-1, 0)].At, h.At):
		case h.Offset > next:
			j.addN(StreamGap, int64(h.Offset-next), "%s, %s: %d to %d are missing", t.Name, t.Room, next, h.Offset-1)
		case h.Offset < next:
			j.add(StreamDoubled, "%s, %s: %d after %d", t.Name, t.Room, h.Offset, next-1)
		}
		next, known = h.Offset+1, true
	}
}

// room judges what all members of a room heard together.
func (j *chatJudge) room(name string, members []*TalkerRecord) {
	type place struct {
		word
		by string
	}
	at := map[uint64]place{}
	heard := map[word][]uint64{}
	for _, t := range members {
		for _, h := range t.Heard {
			if h.Start || h.Missed || j.forked(h.At, h.At) {
				continue
			}
			w := word{h.From, h.N}
			if seen, known := at[h.Offset]; !known {
				at[h.Offset] = place{w, t.Name}
			} else if seen.word != w {
				j.add(StreamDiffers, "%s, offset %d: %s heard %v, %s heard %v", name, h.Offset, seen.by, seen.word, t.Name, w)
			}
			if !slices.Contains(heard[w], h.Offset) {
				heard[w] = append(heard[w], h.Offset)
			}
		}
	}
	for _, t := range members {
		last := uint64(0)
		for i, s := range t.Said {
			if j.forked(s.Sent, s.Done) || !s.Acknowledged && s.Done.IsZero() && j.forked(s.Sent, time.Now()) {
				continue
			}
			offsets := heard[word{t.Name, s.N}]
			switch {
			case s.Acknowledged && len(offsets) == 0:
				j.add(SayLost, "%s, %s: %d was acknowledged at offset %d (%s) and heard by nobody", name, t.Name, s.N, s.Offset, s.Done.Format(clock))
				continue
			case len(offsets) == 0:
				continue
			case len(offsets) > 1 && !s.Repeated:
				j.add(SayDoubled, "%s, %s: %d was heard at offsets %v", name, t.Name, s.N, offsets)
			}
			if s.Acknowledged && !slices.Contains(offsets, s.Offset) {
				j.add(ReplyWrong, "%s, %s: %d was acknowledged at offset %d, heard at %v", name, t.Name, s.N, s.Offset, offsets)
			}
			if first := slices.Min(offsets); first <= last {
				j.add(SayReordered, "%s, %s: %d was heard at offset %d, %d before it at %d", name, t.Name, s.N, first, t.Said[i-1].N, last)
			}
			last = max(last, slices.Max(offsets))
		}
		j.end(name, t, members)
	}
}

// end judges that a member heard the last word of everybody: the room is whole again for all.
func (j *chatJudge) end(room string, t *TalkerRecord, members []*TalkerRecord) {
	for _, other := range members {
		n := len(other.Said)
		if n == 0 || !other.Said[n-1].Acknowledged {
			continue
		}
		final := word{other.Name, other.Said[n-1].N}
		if !slices.ContainsFunc(t.Heard, func(h Heard) bool { return word{h.From, h.N} == final }) {
			j.add(StreamGap, "%s: %s did not hear the last word of %s, %d", room, t.Name, final.from, final.n)
		}
	}
}

// clock is how moments are told.
const clock = "15:04:05.000"
