package loadtest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what a scenario came to. OK is the verdict: not one promise was broken.
type Report struct {
	Scenario string  `json:"scenario"`
	OK       bool    `json:"ok"`
	Seed     uint64  `json:"seed"`
	Nodes    int     `json:"nodes"`
	Players  int     `json:"players"`
	Seconds  float64 `json:"seconds"` // of the whole run

	Login Login `json:"login"`

	Questions int              `json:"questions,omitempty"` // that have a result
	Winners   int64            `json:"winners,omitempty"`
	Share     int64            `json:"share,omitempty"`
	Codes     map[string]int64 `json:"codes"`  // how often each came as the outcome of an answer or deposit
	Answer    Latency          `json:"answer"` // of answers or deposits, retries and reconnects included
	Spread    *Latency         `json:"push_spread,omitempty"`

	Deposits *Deposits `json:"deposits,omitempty"`
	Words    *Words    `json:"words,omitempty"`

	Savers []*SaverRecord `json:"-"` // what each player of the bank did, for further questions

	Killed    []Killed `json:"killed,omitempty"`
	Reconnect *Latency `json:"reconnect,omitempty"` // players whose socket was on the killed node: until the session was resumed
	Recovery  *Latency `json:"recovery,omitempty"`  // all: until a call begun after the kill was answered

	Lost       int64       `json:"lost"`
	Doubled    int64       `json:"doubled"`
	Wrong      int64       `json:"wrong"`
	Violations []Violation `json:"violations"`
	LogErrors  int         `json:"log_errors"` // lines of level error in the logs of the nodes started
}

// Login is how the players came in.
type Login struct {
	Latency
	PerSecond float64 `json:"per_second,omitempty"` // where all come in at once
}

// judged enters the verdict.
func (r *Report) judged(list []Violation) {
	r.Violations, r.OK = list, len(list) == 0
	r.Lost, r.Doubled, r.Wrong = sum(list, lost), sum(list, doubled), sum(list, wrong)
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// WriteText writes it for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("scenario", "%s: %d players, %d nodes, %.1f s, seed %d", r.Scenario, r.Players, r.Nodes, r.Seconds, r.Seed)
	if r.Login.PerSecond > 0 {
		line("log in", "%.0f/s, %v", r.Login.PerSecond, r.Login.Latency)
	} else {
		line("log in", "%v", r.Login.Latency)
	}
	if r.Questions > 0 {
		line("show", "%d questions, %d winners, %d each", r.Questions, r.Winners, r.Share)
	}
	if d := r.Deposits; d != nil {
		line("deposits", "%d acknowledged, %d sent again, %d connections broken, %d sessions left, %d connections and %d sessions in all", d.Acknowledged, d.Repeated, d.Broken, d.Left,
			d.Connects, d.Sessions)
	}
	if w := r.Words; w != nil {
		line("words", "%d said and acknowledged, %d heard", w.Said, w.Heard)
	}
	line("calls", "%v", r.Answer)
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		line("", "%s %d", code, r.Codes[code])
	}
	if r.Spread != nil {
		line("push spread", "%v", *r.Spread)
	}
	for _, k := range r.Killed {
		if k.Question > 0 {
			line("killed", "node %s in question %d (home of the room: %v)", k.Node, k.Question, k.Home)
		} else {
			line("killed", "node %s", k.Node)
		}
	}
	if r.Reconnect != nil {
		line("reconnect", "%v", *r.Reconnect)
	}
	if r.Recovery != nil {
		line("recovery", "%v", *r.Recovery)
	}
	for _, v := range r.Violations {
		line("VIOLATION", "%v: %d", v.Kind, v.Count)
		for _, e := range v.Examples {
			line("", "%s", strings.ReplaceAll(e, "\n", "\n             "))
		}
	}
	if r.LogErrors > 0 {
		line("logs", "%d lines of level error", r.LogErrors)
	}
	verdict := "exact"
	if !r.OK {
		verdict = "BROKEN"
	}
	line("verdict", "%s: lost %d, doubled %d, wrong %d", verdict, r.Lost, r.Doubled, r.Wrong)
	_, err := io.WriteString(w, b.String())
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func rate(n int, d time.Duration) float64 { return float64(n) / max(d.Seconds(), 1e-9) }
