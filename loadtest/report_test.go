package loadtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	r := &Report{Scenario: "show", Players: 5, Nodes: 3, Codes: map[string]int64{"ok": 8}}
	rec := perfectShow()
	rec.Bots[0].Balance = 100
	everywhere(rec, "result", 0, counts(1, 1, 3, 0, 3))
	r.judged(JudgeShow(rec))
	if r.OK || r.Lost != 1 || r.Doubled != 1 || r.Wrong != 0 {
		t.Errorf("ok %v, lost %d, doubled %d, wrong %d", r.OK, r.Lost, r.Doubled, r.Wrong)
	}
	var text, js strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"BROKEN: lost 1, doubled 1, wrong 0", "money_extra: 1", "ann has 100, due are 50", "ok 8"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
	var back struct {
		OK         bool
		Violations []struct {
			Kind  string
			Count int
		}
	}
	if err := json.Unmarshal([]byte(js.String()), &back); err != nil || back.OK || len(back.Violations) != 2 || back.Violations[0].Kind != "count_lost" {
		t.Errorf("%v: %+v of %s", err, back, js.String())
	}
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for k := range kindCount {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("kind %d is named %q", k, name)
		}
		seen[k.String()] = true
	}
}

func TestHistoryTellsAPlayersStoryInOrder(t *testing.T) {
	r := perfectShow()
	r.Kill = &Killed{Node: "b", At: time.Unix(1000, 0).Add(time.Millisecond)}
	var b strings.Builder
	if err := r.WriteHistory(&b); err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, want := range []string{"ann ", `question {"q":1`, "node b is killed", "answer 0 ended: ok", `result {"q":1`, `verdict {"topic":"trivia:t","q":1`, "winners", "balance 50", "bob "} {
		i := strings.Index(b.String()[at:], want)
		if i < 0 {
			t.Fatalf("%q does not follow in\n%s", want, b.String())
		}
		at += i
	}
}
