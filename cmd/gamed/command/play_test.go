package command

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gamed/games"
	"gamed/internal/config"
)

// oneNode runs a node in this process for the length of the test.
func oneNode(t *testing.T) addrs {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a node in real time")
	}
	cfg := config.Default()
	cfg.Node = "a"
	cfg.Listen, cfg.Mesh, cfg.Gossip, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s, err := startNode(nodeOptions{Config: cfg, Games: games.All(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	t.Cleanup(func() { // the context has ended
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	await(t, "the node", func() bool { ok, _ := s.Ready(); return ok })
	return s.Addrs()
}

func TestPlayInTheTerminal(t *testing.T) {
	a := oneNode(t)
	tm := newTerminal()
	r, in := io.Pipe()
	tm.stdin = r
	code := make(chan int, 1)
	go func() { code <- tm.run("play", "--addr", a.Players, "--as", "ann") }()
	for _, line := range []string{"help", "say hi", "join", "join chat:lobby", "say hi there", "deposit 5", "balance", `call echo: anything {"a":[1,"b"]}`,
		"call", "dance", "answer 1"} {
		say(t, in, line)
	}
	await(t, "the own push", tm.has("[chat:lobby] ann: hi there"))
	say(t, in, "bye")
	if c := <-code; c != exitOK {
		t.Fatalf("exit code %d: %s", c, tm.err.String())
	}
	in.Close()
	out := tm.out.String()
	for _, want := range []string{"* connected to a", "deposit <amount>", "join a topic first", "join what?", `"members":["ann"]`,
		`+ {"balance":5}`, `+ {"a":[1,"b"]}`, "call what?", `there is no command "dance"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestPlayFromAScriptSeesItsPushes(t *testing.T) {
	a := oneNode(t)
	tm := newTerminal()
	tm.stdin = strings.NewReader("join chat:lobby\nsay hi\n")
	if code := tm.run("play", "--addr", a.Players, "--as", "bob"); code != exitOK || !tm.has("[chat:lobby] bob: hi")() {
		t.Errorf("exit code %d: %s%s", code, tm.out.String(), tm.err.String())
	}
}

func TestPlayCannotConnect(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a time-out")
	}
	tm := newTerminal()
	if code := tm.run("play", "--addr", "127.0.0.1:1", "--as", "ann"); code != exitUnreachable || strings.Count(tm.err.String(), "\n") != 1 {
		t.Errorf("exit code %d: %s", code, tm.err.String())
	}
}

func TestShowRunHostsAShow(t *testing.T) {
	a := oneNode(t)
	file := filepath.Join(t.TempDir(), "show.json")
	if err := os.WriteFile(file, []byte(`{"questions":[{"text":"First?","choices":["yes","no"],"answer":0,"seconds":1},
		{"text":"Second?","choices":["yes","no"],"answer":1,"seconds":1}],"prize":10,"pause":0.1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ann := newTerminal()
	r, in := io.Pipe()
	ann.stdin = r
	played := make(chan int, 1)
	go func() { played <- ann.run("play", "--addr", a.Players, "--as", "ann", "--join", "trivia:friday") }()

	host := newTerminal()
	hosted := make(chan int, 1)
	go func() {
		hosted <- host.run("show", "run", "--addr", a.Players, "friday", file, "--wait-players", "1", "--prize", "100", "-o", "json")
	}()
	await(t, "the first question", ann.has("First?"))
	say(t, in, "answer 1")
	await(t, "the second question", ann.has("Second?"))
	say(t, in, "answer 2")
	if code := <-hosted; code != exitOK {
		t.Errorf("show run: exit code %d: %s", code, host.err.String())
	}
	say(t, in, "balance")
	await(t, "the prize", ann.has(`{"balance":100}`))
	say(t, in, "bye")
	if code := <-played; code != exitOK {
		t.Errorf("play: exit code %d: %s", code, ann.err.String())
	}
	in.Close()
	var events []string
	for line := range strings.Lines(host.out.String()) {
		var l showLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, l.Event)
		if l.Event == "winners" && !strings.Contains(line, `"names":["ann"]`) {
			t.Errorf("winners: %s", line)
		}
	}
	if got := strings.Join(events, " "); got != "question result question result winners" {
		t.Errorf("the host saw: %s", got)
	}
	for _, want := range []string{"Right! You are still in trivia:friday", "The show is over: 1 winner, 100 each: ann"} {
		if !strings.Contains(ann.out.String(), want) {
			t.Errorf("ann did not see %q:\n%s", want, ann.out.String())
		}
	}
}

func TestShowRunNeedsPlayersInTime(t *testing.T) {
	a := oneNode(t)
	host := newTerminal()
	host.stdin = strings.NewReader(`[{"text":"x?","choices":["a","b"],"answer":0}]`)
	if code := host.run("show", "run", "--addr", a.Players, "friday", "-", "--wait-players", "1", "--wait-timeout", "500ms"); code != exitFinding ||
		!strings.Contains(host.err.String(), "fewer than 1 player came within 500ms") {
		t.Errorf("exit code %d: %s", code, host.err.String())
	}
}
