package command

import (
	"encoding/json"
	"fmt"
	"strings"

	"gamed/game"
	"gamed/protocol"
)

// jsonOf is a payload as JSON, for people and programs.
func jsonOf(p game.Payload) json.RawMessage {
	if len(p) == 0 {
		return json.RawMessage("null")
	}
	b, err := protocol.AppendJSON(nil, p)
	if err != nil || !json.Valid(b) {
		return json.RawMessage(`"(unreadable)"`)
	}
	return b
}

// describe tells of a push in words; events it does not know are shown as word mode shows them.
func describe(topic, event string, p game.Payload) string {
	f := p.Fields()
	var text string
	switch event {
	case "question":
		text = describeQuestion(&f)
	case "result":
		text = describeResult(&f)
	case "winners":
		text = describeWinners(&f)
	case "verdict":
		text = describeVerdict(&f)
	case "said":
		text = fmt.Sprintf("[%s] %s: %s", topic, f.Text("from"), printable(f.Text("text")))
	case "joined", "left":
		text = fmt.Sprintf("[%s] %s %s", topic, f.Text("player"), event)
	case "count":
		text = fmt.Sprintf("[%s] %d are here", topic, f.Int("count"))
	case "degraded":
		if f.Bool("on") {
			text = "! the cluster is degraded: what happens now may be merged with what happens elsewhere"
		} else {
			text = "the cluster is whole again"
		}
	}
	if text == "" || f.Err() != nil {
		if topic == "" {
			topic = "-"
		}
		return fmt.Sprintf("< %s %s %s", topic, printable(event), jsonOf(p))
	}
	return text
}

func describeQuestion(f *game.Fields) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Question %d of %d (%.1f s): %s", f.Int("q"), f.Int("of"), float64(f.IntOr("closes_in_ms", 0))/1000, printable(f.Text("text")))
	for i, c := range f.List("choices") {
		cur := protocol.NewCursor(c)
		text, _ := cur.Text()
		fmt.Fprintf(&b, "\n   %d) %s", i+1, printable(string(text)))
	}
	return b.String()
}

func describeResult(f *game.Fields) string {
	var counts []string
	for i, c := range f.List("counts") {
		cur := protocol.NewCursor(c)
		n, _ := cur.Int()
		counts = append(counts, fmt.Sprintf("%d) %d", i+1, n))
	}
	return fmt.Sprintf("Question %d: %d) was right. Answers: %s. Still in: %d", f.Int("q"), f.Int("answer")+1, strings.Join(counts, "  "), f.Int("alive"))
}

func describeWinners(f *game.Fields) string {
	count, share := f.Int("count"), f.Int("share")
	var names []string
	for _, n := range f.List("names") {
		cur := protocol.NewCursor(n)
		text, _ := cur.Text()
		names = append(names, string(text))
	}
	switch {
	case count == 0:
		return "The show is over: nobody won"
	case int64(len(names)) < count:
		names = append(names, "…")
	}
	return fmt.Sprintf("The show is over: %s, %d each: %s", plural(count, "winner"), share, strings.Join(names, ", "))
}

func describeVerdict(f *game.Fields) string {
	switch {
	case f.Bool("correct"):
		return fmt.Sprintf("Right! You are still in %s", f.Text("topic"))
	case f.Bool("alive"):
		return "Wrong, but you are still in " + f.Text("topic")
	}
	return "You are out of " + f.Text("topic")
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printable is text of others made harmless for a terminal: control characters become spaces.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
