package loadtest

import (
	"fmt"
	"slices"

	"gamed/game"
)

// told is a push of the room's stream, decoded.
type told struct {
	event   string
	q       int64
	of      int64
	text    string
	choices []string
	answer  int64
	counts  []int64
	alive   int64
	count   int64
	share   int64
	names   []string
	err     error
}

func decode(event string, p game.Payload) *told {
	f := p.Fields()
	t := &told{event: event}
	switch event {
	case "question":
		t.q, t.of, t.text = f.Int("q"), f.Int("of"), f.Text("text")
		t.choices = texts(f.List("choices"))
		if ms := f.Int("closes_in_ms"); ms < 0 {
			t.err = fmt.Errorf("closes_in_ms is %d", ms)
		}
	case "result":
		t.q, t.answer, t.alive = f.Int("q"), f.Int("answer"), f.Int("alive")
		for _, n := range f.List("counts") {
			r := game.ReadState(n)
			t.counts = append(t.counts, r.Int())
		}
	case "winners":
		t.count, t.share, t.names = f.Int("count"), f.Int("share"), texts(f.List("names"))
	default:
		t.err = fmt.Errorf("unknown event %q", event)
	}
	if t.err == nil {
		t.err = f.Err()
	}
	return t
}

func texts(list []game.Payload) (out []string) {
	for _, p := range list {
		r := game.ReadState(p)
		out = append(out, r.Text())
	}
	return out
}

// streams judges each player's streams by their offsets, and that all got the same; the room's is then known.
func (j *showJudge) streams() {
	type first struct {
		*told
		key, by string
	}
	room := map[uint64]first{}
	for _, p := range j.players {
		next := map[string]uint64{"": 1, j.Topic: p.Joined + 1}
		for _, v := range p.Pushes {
			want, known := next[v.Topic]
			if v.Offset == 0 || !known {
				continue
			}
			switch {
			case v.Offset > want:
				j.addN(StreamGap, int64(v.Offset-want), "%s, topic %q: %d to %d are missing", p.Name, v.Topic, want, v.Offset-1)
			case v.Offset < want:
				j.add(StreamDoubled, "%s, topic %q: %d after %d", p.Name, v.Topic, v.Offset, want-1)
			}
			next[v.Topic] = max(want, v.Offset+1)
			if v.Topic != j.Topic {
				continue
			}
			t := decode(v.Event, v.Payload)
			key := fmt.Sprint(*t)
			if seen, ok := room[v.Offset]; !ok {
				room[v.Offset] = first{t, key, p.Name}
			} else if seen.key != key {
				j.add(StreamDiffers, "offset %d: %s got %s, %s got %s", v.Offset, seen.by, seen.key, p.Name, key)
			}
		}
	}
	offsets := make([]uint64, 0, len(room))
	for o := range room {
		offsets = append(offsets, o)
	}
	slices.Sort(offsets)
	for _, o := range offsets {
		j.stream = append(j.stream, room[o].told)
	}
	for _, p := range j.players {
		if n := len(offsets); n > 0 && !slices.ContainsFunc(p.Pushes, func(v Received) bool { return v.Topic == j.Topic && v.Offset == offsets[n-1] }) {
			j.add(StreamGap, "%s did not get the last push, %d", p.Name, offsets[n-1])
		}
	}
}

// events judges that the room's stream is question and result in turn, then winners, with the show's contents.
func (j *showJudge) events() {
	q, open := 0, false
	for _, t := range j.stream {
		n := int64(len(j.Show.Questions))
		switch {
		case t.err != nil:
			j.add(EventWrong, "%s: %v", t.event, t.err)
		case j.final != nil:
			j.add(EventWrong, "%s after winners", t.event)
		case t.event == "question" && !open && int(t.q) == q+1 && t.q <= n && t.of == n:
			q, open = q+1, true
			j.results = append(j.results, nil)
			if s := j.Show.Questions[q-1]; s.Text != t.text || !slices.Equal(s.Choices, t.choices) {
				j.add(EventWrong, "question %d is %q with %q", q, t.text, t.choices)
			}
		case t.event == "result" && open && int(t.q) == q:
			open = false
			j.results[q-1] = t
			if s := j.Show.Questions[q-1]; int64(s.Answer) != t.answer || len(t.counts) != len(s.Choices) {
				j.add(EventWrong, "result of question %d: answer %d, %d counts", q, t.answer, len(t.counts))
				j.results[q-1] = nil
			}
		case t.event == "winners" && !open:
			j.final = t
		default:
			j.add(EventWrong, "%s %d out of turn after question %d", t.event, t.q, q)
		}
	}
	if open {
		j.add(EventWrong, "question %d has no result", q)
	}
	switch {
	case j.final == nil:
		j.add(EventWrong, "there was no winners")
	case q < len(j.Show.Questions) && (q == 0 || j.results[q-1] == nil || j.results[q-1].alive > 0):
		j.add(EventWrong, "the show ended after question %d of %d with players in", q, len(j.Show.Questions))
	}
}
