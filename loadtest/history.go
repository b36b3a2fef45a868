package loadtest

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"gamed/protocol"
)

// Connection is a WELCOME and when it came.
type Connection struct {
	At      time.Time
	Node    string
	Resumed bool
	Missed  map[string]bool
}

// WriteHistory writes what happened to each player, a line for each thing, in the order of time; for looking into a violation:
//
//	PLAYER TIME what
func (r *ShowRecord) WriteHistory(w io.Writer) error {
	b := bufio.NewWriter(w)
	type line struct {
		at   time.Time
		text string
	}
	for _, bot := range r.Bots {
		var lines []line
		add := func(at time.Time, format string, args ...any) {
			lines = append(lines, line{at, fmt.Sprintf(format, args...)})
		}
		for _, c := range bot.Connections {
			add(c.At, "welcome by %s, resumed %v, missed %v", c.Node, c.Resumed, c.Missed)
		}
		for _, p := range bot.Pushes {
			json, err := protocol.AppendJSON(nil, p.Payload)
			if err != nil {
				json = []byte(err.Error())
			}
			add(p.At, "push %q %d %s %s", p.Topic, p.Offset, p.Event, json)
		}
		for i, a := range bot.Answers {
			add(a.Sent, "answer %d begun: question %d, choice %d", i, a.Q, a.Choice)
			add(a.Done, "answer %d ended: %s, counts %d %s", i, a.Code, a.Got, a.Err)
		}
		if r.Kill != nil {
			add(r.Kill.At, "node %s is killed", r.Kill.Node)
		}
		slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
		for _, l := range lines {
			fmt.Fprintf(b, "%s %s %s\n", bot.Name, l.at.Format("15:04:05.000000"), l.text)
		}
		fmt.Fprintf(b, "%s at the end: sessions %d, duplicates %d, balance %d, %s%s\n", bot.Name, bot.Sessions, bot.Duplicates, bot.Balance, bot.Problem, bot.Ended)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}
