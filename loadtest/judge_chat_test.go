package loadtest

import (
	"testing"
	"time"

	"gamed/client"
)

// perfectChat is two talkers in a room, three words.
func perfectChat() *ChatRecord {
	began := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	heard := func() []Heard {
		return []Heard{{Offset: 0, Start: true, At: at(0)}, {Offset: 1, From: "ann", N: 1, At: at(1)}, {Offset: 2, From: "bob", N: 1, At: at(2)}, {Offset: 3, From: "ann", N: 2, At: at(3)}}
	}
	return &ChatRecord{Talkers: []*TalkerRecord{
		{Name: "ann", Room: "chat:x", Joined: true, Sessions: 1, Heard: heard(), Said: []Saying{
			{N: 1, Acknowledged: true, Offset: 1, Sent: at(1), Done: at(1)}, {N: 2, Acknowledged: true, Offset: 3, Sent: at(3), Done: at(3)}}},
		{Name: "bob", Room: "chat:x", Joined: true, Sessions: 1, Heard: heard(), Said: []Saying{
			{N: 1, Acknowledged: true, Offset: 2, Sent: at(2), Done: at(2)}}},
	}}
}

func TestJudgeChat(t *testing.T) {
	split := func(r *ChatRecord) {
		at := r.Talkers[0].Said[0].Sent
		r.Forks = []Span{{at.Add(-time.Second), at.Add(time.Second / 2)}}
	}
	for _, c := range []struct {
		name  string
		spoil func(*ChatRecord)
		want  []Kind
	}{
		{"all is well", func(*ChatRecord) {}, nil},
		{"a node died", func(r *ChatRecord) { r.Died = []string{"a"} }, []Kind{NodeDied}},
		{"not in", func(r *ChatRecord) { r.Talkers = append(r.Talkers, &TalkerRecord{Name: "eve", Room: "chat:x"}) }, []Kind{LoginFailed}},
		{"two sessions", func(r *ChatRecord) { r.Talkers[0].Sessions = 2 }, []Kind{SessionLost}},
		{"ended", func(r *ChatRecord) { r.Talkers[0].Ended = []string{"kicked"} }, []Kind{SessionLost}},
		{"twice the same push", func(r *ChatRecord) { r.Talkers[0].Duplicates = 1 }, []Kind{StreamDoubled}},
		{"a gap", func(r *ChatRecord) { r.Talkers[0].Heard = append(r.Talkers[0].Heard[:2], r.Talkers[0].Heard[3]) }, []Kind{StreamGap, StreamGap}},
		{"a gap that was told", func(r *ChatRecord) {
			r.Talkers[0].Heard[2] = Heard{Missed: true}
			r.Talkers[1].Said = nil
		}, nil},
		{"a gap that the client noticed", func(r *ChatRecord) { r.Talkers[0].Gaps = []client.Gap{{Topic: "chat:x", From: 4, To: 5}} }, []Kind{StreamGap}},
		{"back in the stream", func(r *ChatRecord) {
			h := r.Talkers[0].Heard
			r.Talkers[0].Heard = append(h, h[3])
		}, []Kind{StreamDoubled}},
		{"two truths", func(r *ChatRecord) { r.Talkers[0].Heard[2].N = 7 }, []Kind{StreamDiffers, StreamGap}},
		{"lost", func(r *ChatRecord) {
			for _, one := range r.Talkers {
				one.Heard[1].From = "eve"
			}
		}, []Kind{SayLost}},
		{"lost in a split", func(r *ChatRecord) {
			split(r)
			for _, one := range r.Talkers {
				one.Heard[1].From = "eve"
			}
		}, nil},
		{"lost after a split", func(r *ChatRecord) {
			split(r)
			for _, one := range r.Talkers {
				one.Heard[2].From = "eve"
			}
			r.Talkers[1].Said = append(r.Talkers[1].Said, r.Talkers[0].Said[1])
		}, []Kind{SayLost, SayLost, StreamGap}},
		{"doubled", func(r *ChatRecord) {
			for _, one := range r.Talkers {
				one.Heard = append(one.Heard, Heard{Offset: 4, From: "ann", N: 2, At: one.Heard[3].At})
			}
		}, []Kind{SayDoubled}},
		{"reordered", func(r *ChatRecord) {
			for _, one := range r.Talkers {
				one.Heard[1].N, one.Heard[3].N = 2, 1
			}
			r.Talkers[0].Said[0].Offset, r.Talkers[0].Said[1].Offset = 3, 1
		}, []Kind{SayReordered}},
		{"another offset", func(r *ChatRecord) { r.Talkers[0].Said[0].Offset = 9 }, []Kind{ReplyWrong}},
		{"no answer", func(r *ChatRecord) { r.Talkers[0].Said[1].Acknowledged = false }, []Kind{CallUnanswered}},
		{"deaf at the end", func(r *ChatRecord) { r.Talkers[1].Heard = r.Talkers[1].Heard[:3] }, []Kind{StreamGap}},
	} {
		r := perfectChat()
		c.spoil(r)
		var want []Kind
		seen := map[Kind]bool{}
		for _, k := range c.want {
			if !seen[k] {
				want = append(want, k)
			}
			seen[k] = true
		}
		judged(t, c.name, JudgeChat(r), want)
	}
}
