package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"gamed/games"
	"gamed/internal/admin"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain makes this test binary gamed itself when it is called by that name, for tests with real processes.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"gamed": func() { os.Exit(Main(os.Args[1:], games.All()...)) },
	})
}

type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// buffer is an io.Writer that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// terminal is the world of a command in a test.
type terminal struct {
	env
	out, err buffer
	signals  chan os.Signal
}

func newTerminal(environ ...string) *terminal {
	t := &terminal{signals: make(chan os.Signal, 4)}
	t.env = env{stdin: strings.NewReader(""), stdout: &t.out, stderr: &t.err, environ: environ, signals: t.signals, games: games.All(), start: noNode}
	return t
}

func noNode(nodeOptions) (server, error) { return nil, errors.New("players' port is taken") }

func (t *terminal) run(args ...string) int { return run(args, &t.env) }

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("waited 20 s for " + what)
		}
	}
}

// Whoever makes a mistake gets one line that says what to do, and exit code 2.
func TestUsageErrors(t *testing.T) {
	for _, tc := range []struct {
		args string
		want []string
	}{
		{"--lisen 127.0.0.1:1", []string{"unknown flag: --lisen", "did you mean --listen?", "gamed --help"}},
		{"serve --joni x", []string{"did you mean --join?"}},
		{"membres", []string{`no command "membres"`, "did you mean gamed members?"}},
		{"show rum x y", []string{"did you mean gamed show run?"}},
		{"show", []string{"gamed show run TOPIC FILE"}},
		{"members extra", []string{"extra"}},
		{"locate", []string{"accepts 1 arg", "gamed locate --help"}},
		{"--listen 0.0.0.0:7300", []string{"--listen", "--insecure"}},
		{"--join nowhere", []string{"--join", "HOST:PORT"}},
		{"--policy quorum", []string{"--expect"}},
		{"--store mem --data-dir x", []string{"--data-dir"}},
		{"--store bolt --data-dir x", []string{"not supported by this build yet"}},
		{"--rate-limit fast", []string{"--rate-limit"}},
		{"--config /nowhere/gamed.yaml", []string{"/nowhere/gamed.yaml"}},
		{"--listen 127.0.0.1:0", []string{"players' port is taken"}},
		{"members -o xml", []string{"--output", "text or json"}},
		{"members --watch=1ms", []string{"--watch", "100ms"}},
		{"members --admin ftp://x", []string{"--admin", "HOST:PORT"}},
		{"players --limit 0", []string{"--limit"}},
		{"play", []string{"--as NAME"}},
		{"play --as a/b", []string{`"a/b"`, "1 to 64"}},
		{"play --as ann --token x --token-file y", []string{"token"}},
		{"demo --nodes 0", []string{"--nodes 0", "1 to 20"}},
		{"demo --seconds 1ms", []string{"--seconds"}},
		{"show run friday /nowhere.json", []string{"/nowhere.json"}},
		{"show run a/b /dev/null", []string{"a/b"}},
		{"show run friday /dev/null", []string{"/dev/null", "ends too early"}},
	} {
		tm := newTerminal()
		if code := tm.run(strings.Fields(tc.args)...); code != exitUsage {
			t.Errorf("%s: exit code %d, want 2: %s", tc.args, code, tm.err.String())
		}
		text := tm.err.String()
		if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "gamed: ") || tm.out.String() != "" {
			t.Errorf("%s: want one line on standard error and nothing else, got %q and %q", tc.args, text, tm.out.String())
		}
		for _, w := range tc.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q does not mention %q", tc.args, text, w)
			}
		}
	}
}

func TestCannotConnect(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for _, args := range []string{"members", "table", "locate player/ann", "players", "player ann", "events", "events --watch", "top", "check", "health", "drain a", "kick ann", "close chat:x"} {
		tm := newTerminal("GAMED_ADMIN=" + addr)
		if code := tm.run(strings.Fields(args)...); code != exitUnreachable || !strings.Contains(tm.err.String(), "--admin HOST:PORT") {
			t.Errorf("%s: exit code %d, %q", args, code, tm.err.String())
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	tm := newTerminal()
	if code := tm.run("--help"); code != exitOK {
		t.Fatal(code, tm.err.String())
	}
	golden := filepath.Join("testdata", "help.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(tm.out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if tm.out.String() != string(want) {
		t.Errorf("gamed --help has changed (go test ./cmd/gamed/command -run Help -update writes it anew):\n%s", tm.out.String())
	}
	for _, c := range newRoot(&tm.env).Commands() {
		tm := newTerminal()
		if code := tm.run(c.Name(), "--help"); code != exitOK || c.Short == "" {
			t.Errorf("%s --help: exit code %d", c.Name(), code)
		}
	}
}

// The names of DESIGN are a contract, and so are those of the flags.
func TestCommandsAndFlagsExist(t *testing.T) {
	tm := newTerminal()
	root := newRoot(&tm.env)
	for _, name := range strings.Fields("serve demo play show members table locate players player events top check drain config health version completion") {
		root.InitDefaultCompletionCmd()
		if c, _, err := root.Find([]string{name}); err != nil || c == root {
			t.Errorf("there is no command %s", name)
		}
	}
	serve, _, _ := root.Find([]string{"serve"})
	for _, name := range strings.Fields(`node cluster listen mesh gossip admin advertise advertise-players join expect rate-limit heartbeat session-ttl drain-timeout
		data-dir store policy ack dispatch workers restore auth auth-key-file tls-cert tls-key gossip-key-file mesh-ca mesh-cert mesh-key insecure config log-level log-format`) {
		if serve.Flags().Lookup(name) == nil || root.Flags().Lookup(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
	}
}

func TestConfigShowsOrigins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gamed.yaml")
	if err := os.WriteFile(file, []byte("heartbeat: 3s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tm := newTerminal("GAMED_CONFIG="+file, "GAMED_EXPECT=3")
	if code := tm.run("config", "--rate-limit", "off", "--insecure", "--join", "10.0.0.1:7302,10.0.0.2:7302", "--join", "10.0.0.3:7302", "-o", "yaml"); code != exitOK {
		t.Fatal(code, tm.err.String())
	}
	for _, want := range []string{"heartbeat: 3s # " + file + ":1\n", "expect: 3 # env GAMED_EXPECT\n", "rate-limit: 0 # flag --rate-limit\n", "insecure: true # flag --insecure\n", "listen: 127.0.0.1:7300 # default\n"} {
		if !strings.Contains(tm.out.String(), want) {
			t.Errorf("no %q in\n%s", want, tm.out.String())
		}
	}
	// The answer is a file that gives the same settings.
	again := filepath.Join(t.TempDir(), "again.yaml")
	if err := os.WriteFile(again, []byte(tm.out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var shown [2]string
	for i, args := range [][]string{{"config", "--rate-limit", "off", "--insecure", "--join", "10.0.0.1:7302,10.0.0.2:7302,10.0.0.3:7302"}, {"config", "--config", again}} {
		tm := newTerminal("GAMED_CONFIG="+file, "GAMED_EXPECT=3")
		if code := tm.run(args...); code != exitOK {
			t.Fatal(code, tm.err.String())
		}
		for line := range strings.Lines(tm.out.String()) {
			f := strings.Fields(line)
			shown[i] += strings.Join(f[:min(2, len(f))], " ") + "\n"
		}
	}
	if !strings.Contains(shown[1], "join 10.0.0.1:7302,10.0.0.2:7302,10.0.0.3:7302") {
		t.Errorf("join is lost:\n%s", shown[1])
	}
}

// source is what the admin port of a small cluster shows.
type source struct {
	mu    sync.Mutex
	ready bool
	left  int // partitions of b
	done  []string

	limits []admin.Limit
}

func (s *source) Live() bool { return true }
func (s *source) Ready() (bool, []string, []string) {
	if s.ready {
		return true, nil, nil
	}
	return false, []string{"1 of 3 nodes met"}, nil
}
func (s *source) Members(context.Context) []admin.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.done) > 0 && s.left > 0 {
		s.left--
	}
	return []admin.Member{{Node: "a", State: "alive", Addr: "127.0.0.1:7300", Partitions: 2, Players: 1}, {Node: "b", State: "alive", Partitions: s.left}}
}
func (s *source) Table() admin.Table {
	t := admin.Table{Term: 4, Hash: "cafe", Partitions: []admin.Partition{{Owner: "a", Backup: "b", Term: 4}, {Owner: "b", Backup: "a", Term: 3}}}
	if !s.ready {
		t.Partitions[1] = admin.Partition{Owner: "c"}
	}
	return t
}
func (s *source) Locate(key string) (admin.Location, error) {
	return admin.Location{Partition: 9, Owner: "a", Backup: "b", Term: 4}, nil
}
func (s *source) Players(_ context.Context, cursor string, _ int) (admin.PlayersPage, error) {
	if cursor == "" {
		return admin.PlayersPage{Players: []admin.PlayerRow{{Player: "ann", Owner: "a", Gateway: "b"}}, Cursor: "ann"}, nil
	}
	return admin.PlayersPage{Players: []admin.PlayerRow{{Player: "bob", Owner: "b"}}}, nil
}
func (s *source) Player(_ context.Context, id string) (admin.Player, error) {
	if id != "ann" {
		return admin.Player{}, fmt.Errorf("player %s: %w", id, admin.ErrNotFound)
	}
	return admin.Player{Player: id, Owner: "a", Topics: []string{"chat:lobby"}}, nil
}
func (s *source) Events(after uint64) []admin.Event {
	if after > 0 {
		return nil
	}
	return []admin.Event{{Seq: 1, Kind: "member_joined", Node: "b"}}
}
func (s *source) Limits() []admin.Limit { return s.limits }
func (s *source) Stats() admin.Stats {
	return admin.Stats{Time: time.Now(), Node: "a", Term: 4, Nodes: []admin.NodeStats{{Node: "a", State: "alive"}}}
}
func (s *source) Drain(_ context.Context, node string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, "drain "+node)
	return nil
}
func (s *source) Forget(_ context.Context, node string) error {
	s.done = append(s.done, "forget "+node)
	return nil
}
func (s *source) Conflicts(_ context.Context, cursor string, _ int) (admin.ConflictsPage, error) {
	return admin.ConflictsPage{Conflicts: []admin.Conflict{{ID: "3-a", Key: "player/ann", Node: "a", Winner: "b", Loser: "a", Notes: []string{"bank: 5 are lost", "a\tb"}}},
		Dropped: 2, Cursor: "f.3-a", Errors: []string{"c: silent"}}, nil
}
func (s *source) Conflict(_ context.Context, id string) (admin.ConflictCopies, error) {
	if id != "3-a" {
		return admin.ConflictCopies{}, fmt.Errorf("%w: no conflict %q is kept", admin.ErrNotFound, id)
	}
	at := time.Now()
	return admin.ConflictCopies{Conflict: admin.Conflict{ID: id, Key: "player/ann", Winner: "b", Loser: "a"},
		Kept: admin.Copy{Spoke: &at, Sections: []admin.Section{{Name: "p/bank:", Bytes: 3, Value: "2 15", Raw: []byte{2, 15}}}}, Lost: admin.Copy{}}, nil
}
func (s *source) Kick(_ context.Context, player string) error {
	s.done = append(s.done, "kick "+player)
	return nil
}
func (s *source) CloseRoom(_ context.Context, topic string) error {
	s.done = append(s.done, "close "+topic)
	return nil
}

// adminPort serves s for the length of the test.
func adminPort(t *testing.T, s *source) string {
	t.Helper()
	reg := prometheus.NewRegistry()
	srv, err := admin.New(admin.Options{Addr: "127.0.0.1:0", Source: s, Gatherer: reg, Registerer: reg, Log: slog.New(slog.DiscardHandler), StatsEvery: time.Millisecond, EventPoll: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return srv.Addr().String()
}

func TestLookAtACluster(t *testing.T) {
	addr := adminPort(t, &source{ready: true, left: 3})
	for _, tc := range []struct {
		args string
		code int
		want []string
	}{
		{"members", 0, []string{"NODE", "a     alive  127.0.0.1:7300"}},
		{"members -o json", 0, []string{`[{"node":"a","boot":"","state":"alive"`}},
		{"table", 0, []string{"term 4  hash cafe", "a     1     1"}},
		{"table --all", 0, []string{"1          b      a       3"}},
		{"table -o json", 0, []string{`"partitions":[{"owner":"a","backup":"b","term":4}`}},
		{"locate player/ann", 0, []string{"9          a      b       4"}},
		{"locate player/ann -o json", 0, []string{`{"partition":9,"owner":"a","backup":"b","term":4}`}},
		{"players", 0, []string{"ann     a      b", "more: gamed players --cursor ann"}},
		{"players --all", 0, []string{"bob     b      (away)"}},
		{"player ann", 0, []string{"chat:lobby"}},
		{"player bob", 1, []string{"not found"}},
		{"conflicts", 0, []string{"3-a", "player/ann  b       a        bank: 5 are lost", "2 older ones", "incomplete: c: silent", "more: gamed conflicts --cursor f.3-a"}},
		{"conflicts -o json", 0, []string{`{"conflicts":[{"id":"3-a",`}},
		{"conflicts 3-a", 0, []string{"the copy of b (the client changed something last at", "p/bank:  3      2 15", "the copy of a (the client changed nothing during the split)"}},
		{"conflicts 3-a -o json", 0, []string{`"raw":"Ag8="`}},
		{"conflicts 4-a", 1, []string{"not found: no conflict"}},
		{"supervision", 1, []string{"worker 0    blocked      3         7        1         player/ann (call bad: block) for 12.5s", "player/bob  quarantined", "for another 2s", "does not answer: silent"}},
		{"supervision -o json", 1, []string{`{"nodes":[{"node":"a",`}},
		{"deadletters", 0, []string{"bad: panic", "for 4s", "3 in all", "incomplete: c: silent"}},
		{"deadletters b --limit 7 -o json", 0, []string{`"cause":"b 7","stack":"main"`}},
		{"events", 0, []string{"member_joined"}},
		{"events -o json", 0, []string{`[{"seq":1,`}},
		{"top --count 2", 0, []string{"term 4", "NODE"}},
		{"top --count 1 -o json", 0, []string{`"node":"a"`}},
		{"check", 0, []string{"✓ 2 nodes"}},
		{"check -o json", 0, []string{`{"findings":[],"limits":[],"ok":true}`}},
		{"health", 0, []string{"ready"}},
		{"version", 0, []string{"gamed "}},
		{"version -o json", 0, []string{`"version":`}},
		{"completion bash", 0, []string{"gamed"}},
	} {
		tm := newTerminal("GAMED_ADMIN=" + addr)
		code := tm.run(strings.Fields(tc.args)...)
		text := tm.out.String() + tm.err.String()
		if code != tc.code {
			t.Errorf("%s: exit code %d, want %d: %s", tc.args, code, tc.code, text)
		}
		for _, w := range tc.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", tc.args, w, text)
			}
		}
	}
}

func TestFindingsOfASickCluster(t *testing.T) {
	addr := adminPort(t, &source{})
	tm := newTerminal()
	if code := tm.run("check", "--admin", addr); code != exitFinding {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"not ready: 1 of 3 nodes met", "1 partition owned by c, which is not alive", "1 partition without a living backup: [1]"} {
		if !strings.Contains(tm.out.String(), want) {
			t.Errorf("no %q in\n%s", want, tm.out.String())
		}
	}
	tm = newTerminal()
	if code := tm.run("health", "--admin", addr); code != exitFinding || !strings.Contains(tm.out.String(), "1 of 3 nodes met") {
		t.Errorf("health: exit code %d, %s", code, tm.out.String())
	}
}

func TestChangeACluster(t *testing.T) {
	s := &source{ready: true, left: 3}
	addr := adminPort(t, s)
	for _, args := range []string{"drain b", "forget b", "kick ann", "close chat:lobby"} {
		tm := newTerminal()
		if code := tm.run(append(strings.Fields(args), "--admin", addr)...); code != exitOK {
			t.Errorf("%s: exit code %d, %s", args, code, tm.err.String())
		}
		if strings.HasPrefix(args, "drain") && !strings.Contains(tm.out.String(), "b is empty") {
			t.Errorf("%s: %s", args, tm.out.String())
		}
	}
	if got := strings.Join(s.done, ", "); got != "drain b, forget b, kick ann, close chat:lobby" {
		t.Errorf("done: %s", got)
	}
}

func TestWatchRepeatsUntilInterrupted(t *testing.T) {
	addr := adminPort(t, &source{ready: true})
	tm := newTerminal("GAMED_ADMIN=" + addr)
	done := make(chan int)
	go func() { done <- tm.run("members", "--watch=100ms", "-o", "json") }()
	await(t, "two answers", func() bool { return strings.Count(tm.out.String(), "\n") >= 2 })
	tm.signals <- syscall.SIGINT
	if code := <-done; code != exitOK {
		t.Error(code, tm.err.String())
	}
}

func TestTokenOfTheAdminPortComesFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	s := &source{ready: true}
	srv, err := admin.New(admin.Options{Addr: "127.0.0.1:0", Source: s,
		Who: func(token string) (admin.Bearer, bool) {
			return admin.Bearer{Name: "ada", Role: admin.Admin}, token == "s3cret"
		}, Gatherer: reg, Registerer: reg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	defer func() { cancel(); <-done }()
	tm := newTerminal("GAMED_ADMIN=" + srv.Addr().String())
	if code := tm.run("kick", "ann"); code != exitUsage || !strings.Contains(tm.err.String(), "GAMED_ADMIN_TOKEN_FILE") {
		t.Errorf("without: exit code %d, %s", code, tm.err.String())
	}
	tm = newTerminal("GAMED_ADMIN="+srv.Addr().String(), "GAMED_ADMIN_TOKEN_FILE="+file)
	if code := tm.run("kick", "ann"); code != exitOK {
		t.Errorf("with: exit code %d, %s", code, tm.err.String())
	}
}
