package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gamed/client"
	"gamed/game"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type member struct {
	Node  string `json:"node"`
	State string `json:"state"`
}

type table struct {
	Term uint64 `json:"term"`
	Hash any    `json:"hash"`
}

// TestComposeCluster is the operator's first hour: three nodes come up as one cluster, players on any of them play together,
// a show is played to its end, a node is killed and its players go on.
func TestComposeCluster(t *testing.T) {
	s := startStack(t)
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"one cluster", s.testOneCluster},
		{"nothing but gamed in the container", s.testLocked},
		{"alerts name metrics that exist", s.testAlerts},
		{"chat across nodes", s.testChat},
		{"a show", s.testShow},
		{"a killed node", s.testKill},
	} {
		t.Run(step.name, func(t *testing.T) {
			s.t = t
			defer func() { s.t = nil }()
			step.test(t)
		})
	}
}

// agree says whether the first n nodes asked show want alive members and one table.
func (s *stack) agree(want int, nodes ...int) error {
	var hash string
	for _, n := range nodes {
		var members []member
		if err := s.gamed(n, &members, "members", "-o", "json"); err != nil {
			return err
		}
		alive := 0
		for _, m := range members {
			if m.State == "alive" {
				alive++
			}
		}
		var tab table
		if err := s.gamed(n, &tab, "table", "-o", "json"); err != nil {
			return err
		}
		got := fmt.Sprint(tab.Term, " ", tab.Hash)
		if hash == "" {
			hash = got
		}
		if alive != want || got != hash || tab.Term == 0 {
			return fmt.Errorf("%s: %d alive, table %s; others: table %s", s.node(n), alive, got, hash)
		}
	}
	return nil
}

func (s *stack) testOneCluster(*testing.T) {
	s.await(20*time.Second, "one table on all three", func() error { return s.agree(3, 0, 1, 2) })
}

func (s *stack) testLocked(t *testing.T) {
	c := s.container(0)
	for format, want := range map[string]string{
		"{{.Config.User}}": "65532:65532", "{{.HostConfig.ReadonlyRootfs}}": "true", "{{.HostConfig.CapDrop}}": "[ALL]",
		"{{.HostConfig.SecurityOpt}}": "[no-new-privileges:true]",
	} {
		if got := s.run("docker", "inspect", "--format", format, c); got != want {
			t.Errorf("%s is %s, want %s", format, got, want)
		}
	}
	if out, err := s.try("docker", "exec", c, "/bin/sh", "-c", "true"); err == nil {
		t.Errorf("there is a shell in the image: %s", out)
	}
	ports := s.run("docker", "port", c)
	for line := range strings.Lines(ports) {
		if !strings.Contains(line, "127.0.0.1:") {
			t.Errorf("a port is published beyond loopback: %s", line)
		}
	}
}

var metric = regexp.MustCompile(`\b(?:gamed|process)_[a-z0-9_]+`)

// testAlerts: an alert on a metric that nobody has never fires.
func (s *stack) testAlerts(t *testing.T) {
	rules, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin[0]+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s %v", resp.Status, err)
	}
	names := metric.FindAllString(string(rules), -1)
	if len(names) == 0 {
		t.Fatal("no metric named in alerts.yml")
	}
	for _, name := range names {
		if name == "gamed_node_certificate_not_after_seconds" { // only nodes with certificates have it; see TestComposeSecure
			continue
		}
		if !regexp.MustCompile(`(?m)^` + name + `(_total)?[{ ]`).Match(body) {
			t.Errorf("alerts.yml names %s, which a node does not have", name)
		}
	}
}

// player logs in at one node, knowing all of them.
func (s *stack) player(t *testing.T, name string, at int, pushes chan client.Push) *client.Client {
	t.Helper()
	addrs := []string{s.players[at], s.players[(at+1)%3], s.players[(at+2)%3]}
	c, err := client.Dial(t.Context(), addrs, client.Options{Name: name, OnPush: func(p client.Push) {
		if pushes != nil {
			pushes <- p
		}
	}})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// call calls and fails the test when there is no ok answer.
func call(t *testing.T, c *client.Client, topic, event string, payload any) game.Fields {
	t.Helper()
	p, err := c.Call(t.Context(), topic, event, payload)
	if err != nil {
		t.Fatalf("%s: %v", c.Player(), err)
	}
	return p.Fields()
}

// awaitPush waits for an event and drops others.
func awaitPush(t *testing.T, pushes chan client.Push, event string) client.Push {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case p := <-pushes:
			if p.Event == event {
				return p
			}
		case <-limit:
			t.Fatalf("no push %s", event)
		}
	}
}

func (s *stack) testChat(t *testing.T) {
	heard := make(chan client.Push, 64)
	ann, bob := s.player(t, "ann", 0, nil), s.player(t, "bob", 1, heard)
	if ann.Node() == bob.Node() {
		t.Fatalf("both are on %s", ann.Node())
	}
	call(t, ann, "chat:lobby", "join", nil)
	call(t, bob, "chat:lobby", "join", nil)
	said := call(t, ann, "chat:lobby", "say", game.NewMap().Text("text", "hi there"))
	got := awaitPush(t, heard, "said")
	f := got.Payload.Fields()
	if f.Text("from") != "ann" || f.Text("text") != "hi there" || got.Offset != uint64(said.Int("offset")) {
		t.Fatalf("bob heard %+v, ann said at %d", got, said.Int("offset"))
	}
}

func (s *stack) testShow(t *testing.T) {
	const topic = "trivia:compose"
	host := s.player(t, "host", 0, nil)
	var crowd []*client.Client
	var pushes []chan client.Push
	for i := range 6 {
		ch := make(chan client.Push, 256)
		crowd, pushes = append(crowd, s.player(t, fmt.Sprintf("guest-%d", i), i%3, ch)), append(pushes, ch)
		call(t, crowd[i], topic, "join", nil)
	}
	question := map[string]any{"text": "Two and two?", "choices": []string{"three", "four"}, "answer": 1, "seconds": 3}
	call(t, host, topic, "open", map[string]any{"questions": []any{question}, "prize": 100, "pause": 0})
	call(t, host, topic, "start", nil)
	for i, c := range crowd {
		q := awaitPush(t, pushes[i], "question").Payload.Fields()
		if q.Int("q") != 1 || q.Int("of") != 1 {
			t.Fatalf("question %d of %d", q.Int("q"), q.Int("of"))
		}
		call(t, c, topic, "answer", game.NewMap().Int("q", 1).Int("choice", int64(i%2))) // every other one is right
	}
	for i := range crowd {
		r := awaitPush(t, pushes[i], "result").Payload.Fields()
		counts := r.List("counts")
		if r.Int("alive") != 3 || len(counts) != 2 || counts[0][0] != 3 || counts[1][0] != 3 {
			t.Fatalf("result: alive %d, counts %x", r.Int("alive"), counts)
		}
		w := awaitPush(t, pushes[i], "winners").Payload.Fields()
		if w.Int("count") != 3 || w.Int("share") != 33 {
			t.Fatalf("winners: %d get %d", w.Int("count"), w.Int("share"))
		}
	}
	for i, c := range crowd {
		b := call(t, c, "bank:", "balance", nil)
		if want := int64(33 * (i % 2)); b.Int("balance") != want {
			t.Errorf("guest-%d has %d, want %d", i, b.Int("balance"), want)
		}
	}
}

// ownedBy is a player's name whose entity lives on the node.
func (s *stack) ownedBy(t *testing.T, n int, prefix string) string {
	t.Helper()
	for i := range 100 {
		name := fmt.Sprintf("%s-%d", prefix, i)
		var at struct {
			Owner string `json:"owner"`
		}
		if err := s.gamed(0, &at, "locate", "player/"+name, "-o", "json"); err != nil {
			t.Fatal(err)
		}
		if at.Owner == s.node(n) {
			return name
		}
	}
	t.Fatalf("%s owns none of a hundred players", s.node(n))
	return ""
}

// testKill: those connected to a killed node go on at another, those whose entity it ran go on with their sockets open and
// with what was acknowledged, and the table is one again.
func (s *stack) testKill(t *testing.T) {
	moved := s.player(t, s.ownedBy(t, 0, "moved"), 1, nil)
	stays := s.player(t, s.ownedBy(t, 1, "stays"), 0, nil)
	for _, c := range []*client.Client{moved, stays} {
		call(t, c, "bank:", "deposit", game.NewMap().Int("amount", 7))
	}
	victim := s.container(1)
	begin := time.Now()
	s.run("docker", "kill", victim) // returns when the process is gone
	for _, c := range []*client.Client{moved, stays} {
		account := call(t, c, "bank:", "balance", nil)
		d := time.Since(begin)
		if b := account.Int("balance"); b != 7 {
			t.Errorf("%s has %d after the crash, 7 were acknowledged", c.Player(), b)
		}
		t.Logf("%s goes on %v after the kill, at %s", c.Player(), d.Round(time.Millisecond), c.Node())
		if d > 10*time.Second {
			t.Errorf("%s was away for %v", c.Player(), d)
		}
	}
	if moved.Stats().Connects < 2 || moved.Node() == s.node(1) {
		t.Errorf("moved is at %s after %d connects", moved.Node(), moved.Stats().Connects)
	}
	if n := stays.Stats().Connects; n != 1 {
		t.Errorf("a player of another node connected %d times", n)
	}
	s.await(15*time.Second, "one table on the other two", func() error { return s.agree(2, 0, 2) })
	s.run("docker-compose", "-p", s.project, "up", "--detach", s.node(1))
	s.await(time.Minute, "the node back in", func() error { return errors.Join(s.health(1, "healthy"), s.agree(3, 0, 1, 2)) })
}
