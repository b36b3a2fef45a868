package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gamed/game"
	"gamed/protocol"
)

func TestOrdersOfTheDemo(t *testing.T) {
	for line, want := range map[string]string{
		"kill 2": "{kill 2 []}", " KILL  demo-3 ": "{kill 3 []}", "drain 1": "{drain 1 []}",
		"split 1|23": "{split 0 [[1] [2 3]]}", "split 1 | 2,3": "{split 0 [[1] [2 3]]}", "split 2|3": "{split 0 [[2] [3 1]]}", "split 1|2|3": "{split 0 [[1] [2] [3]]}",
		"heal": "{heal 0 []}", "add": "{add 0 []}", "status": "{status 0 []}", "help": "{help 0 []}", "": "{ 0 []}", "quit": "{quit 0 []}", "exit": "{quit 0 []}",
	} {
		o, err := parseOrder(line, 3)
		if got := fmt.Sprint(o); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", line, got, err, want)
		}
	}
	for line, want := range map[string]string{
		"kill": "kill which node? 1 to 3", "kill 4": "1 to 3", "kill two": "1 to 3", "drain 0": "drain which node",
		"split": "for example: split 1|23", "split 123": "for example", "split 1|": "for example", "split 1|4": `"4" is no node`, "split 1|12": "in two groups",
		"heal 2": "heal stands alone", "explode": `"explode"; help lists them`,
	} {
		if o, err := parseOrder(line, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", line, o, err, want)
		}
	}
	if o, err := parseOrder("split 1,10|2", 11); err != nil || fmt.Sprint(o.groups) != "[[1 10] [2 3 4 5 6 7 8 9 11]]" {
		t.Errorf("of eleven: %v, %v", o.groups, err)
	}
}

func TestShowFiles(t *testing.T) {
	const good = `{"text":"x?","choices":["a","b"],"answer":1,"seconds":2.5}`
	for text, want := range map[string]string{
		`{"questions":[` + good + `],"prize":7,"pause":0}`: "{[{x? [a b] 1 2.5}] 7 0}",
		`[` + good + `]`: "{[{x? [a b] 1 2.5}] 0 3}",
		`[{"text":"x?","choices":["a","b"],"answer":0}]`: "{[{x? [a b] 0 10}] 0 3}",
	} {
		if s, err := parseShow([]byte(text)); err != nil || fmt.Sprint(s) != want {
			t.Errorf("%s: %v, %v, want %s", text, s, err, want)
		}
	}
	for text, want := range map[string]string{
		``:                   "ends too early",
		`{"questions":[`:     "ends too early",
		"{\n\"questions\":x": "line 2",
		`{"questions":[]}`:   "questions",
		`{"questoins":[]}`:   `unknown field "questoins"`,
		"[\n{\"text\":5}]":   "line 2: text: want string, not number",
		`[` + good + `] []`:  "more follows",
		`[` + good + `,{"text":"","choices":["a","b"],"answer":0}]`:                      "question 2: text is missing",
		`[{"text":"x","choices":["a","b"]}]`:                                             "question 1: answer is missing",
		`[{"text":"x","choices":["a"],"answer":0}]`:                                      "question 1: choices: want 2 to 8",
		`[{"text":"x","choices":["a","b"],"answer":2}]`:                                  "question 1: answer",
		`[{"text":"x","choices":["a","b"],"answer":0,"seconds":121}]`:                    "question 1: seconds",
		`{"questions":[` + good + `],"prize":-1}`:                                        "prize",
		`{"questions":[` + good + `],"pause":61}`:                                        "pause",
		`[` + strings.Repeat(good+",", 2000) + good + `]`:                                "take fewer questions",
		`[{"text":"` + strings.Repeat("x", 70000) + `","choices":["a","b"],"answer":0}]`: "take fewer questions",
	} {
		if s, err := parseShow([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.80s: %.80v, %v, want %q", text, s, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "show.json")
	if err := os.WriteFile(file, []byte(`[`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readShow(file, nil); err == nil || !strings.HasPrefix(err.Error(), file+": ") {
		t.Errorf("the error does not name the file: %v", err)
	}
	if s, err := readShow("-", strings.NewReader(`[`+good+`]`)); err != nil || len(s.Questions) != 1 {
		t.Errorf("from standard input: %v, %v", s, err)
	}
}

func TestPushesInWords(t *testing.T) {
	list := func(texts ...string) game.Payload {
		b := protocol.AppendArray(nil, len(texts))
		for _, s := range texts {
			b = protocol.AppendStr(b, s)
		}
		return b
	}
	for _, tc := range []struct {
		topic, event string
		p            *game.Map
		want         string
	}{
		{"trivia:x", "question", game.NewMap().Int("q", 1).Int("of", 5).Text("text", "Why?\x1b[2J").Raw("choices", list("so", "not")).Int("closes_in_ms", 2500),
			"Question 1 of 5 (2.5 s): Why? [2J\n   1) so\n   2) not"},
		{"trivia:x", "result", game.NewMap().Int("q", 1).Int("answer", 1).Ints("counts", []int64{3, 4}).Int("alive", 4),
			"Question 1: 2) was right. Answers: 1) 3  2) 4. Still in: 4"},
		{"trivia:x", "winners", game.NewMap().Int("count", 2).Int("share", 50).Raw("names", list("ann", "bob")), "The show is over: 2 winners, 50 each: ann, bob"},
		{"trivia:x", "winners", game.NewMap().Int("count", 1).Int("share", 50).Raw("names", list("ann")), "The show is over: 1 winner, 50 each: ann"},
		{"trivia:x", "winners", game.NewMap().Int("count", 21).Int("share", 5).Raw("names", list("ann")), "The show is over: 21 winners, 5 each: ann, …"},
		{"trivia:x", "winners", game.NewMap().Int("count", 0).Int("share", 0).Raw("names", list()), "The show is over: nobody won"},
		{"", "verdict", game.NewMap().Text("topic", "trivia:x").Int("q", 1).Bool("correct", true).Bool("alive", true), "Right! You are still in trivia:x"},
		{"", "verdict", game.NewMap().Text("topic", "trivia:x").Int("q", 1).Bool("correct", false).Bool("alive", false), "You are out of trivia:x"},
		{"chat:x", "said", game.NewMap().Text("from", "ann").Text("text", "hi\nthere"), "[chat:x] ann: hi there"},
		{"chat:x", "joined", game.NewMap().Text("player", "bob"), "[chat:x] bob joined"},
		{"", "degraded", game.NewMap().Bool("on", false), "the cluster is whole again"},
		{"", "strange", game.NewMap().Int("a", 1), `< - strange {"a":1}`},
		{"chat:x", "said", game.NewMap().Int("from", 1), `< chat:x said {"from":1}`},
	} {
		if got := describe(tc.topic, tc.event, tc.p.Payload()); got != tc.want {
			t.Errorf("%s %s: %q\nwant %q", tc.topic, tc.event, got, tc.want)
		}
	}
}

func TestAdminAddresses(t *testing.T) {
	for addr, want := range map[string]string{"": "http://127.0.0.1:7303", "0.0.0.0:7400": "http://127.0.0.1:7400", ":7400": "http://127.0.0.1:7400", "[::]:7400": "http://[::1]:7400",
		"node": "http://node:7303", "https://node:443/": "https://node:443", "10.0.0.1:1": "http://10.0.0.1:1"} {
		if got, err := adminURL(addr); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", addr, got, err, want)
		}
	}
	for _, addr := range []string{"a:b:c", "node:", "ftp://node:1", "node:1/path"} {
		if got, err := adminURL(addr); err == nil {
			t.Errorf("%q: taken as %q", addr, got)
		}
	}
}
