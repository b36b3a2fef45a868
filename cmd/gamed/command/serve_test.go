package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"gamed/internal/cluster"
)

// puppet is a server that does what a test says.
type puppet struct {
	opt    nodeOptions
	drain  func() error // what Run does when its context ends
	fail   chan error   // ends Run
	killed chan struct{}
	once   sync.Once

	reloads atomic.Int32
}

func newPuppet() *puppet {
	return &puppet{drain: func() error { return nil }, fail: make(chan error, 1), killed: make(chan struct{})}
}

func (p *puppet) start(o nodeOptions) (server, error) { p.opt = o; return p, nil }
func (p *puppet) Kill()                               { p.once.Do(func() { close(p.killed) }) }
func (p *puppet) Ready() (bool, []string)             { return true, nil }
func (p *puppet) Addrs() addrs {
	return addrs{Node: p.opt.Config.Node, Players: "127.0.0.1:1", Mesh: "127.0.0.1:2", Gossip: "127.0.0.1:3", Admin: "127.0.0.1:4"}
}
func (p *puppet) Reload() error    { p.reloads.Add(1); return nil }
func (p *puppet) Cut(string, bool) {}
func (p *puppet) View() view       { return view{} }
func (p *puppet) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return p.drain()
	case err := <-p.fail:
		return err
	case <-p.killed:
		return nil
	}
}

// serving runs serve with a puppet; the ready line has been printed when it returns.
func serving(t *testing.T, p *puppet, args ...string) (tm *terminal, code chan int) {
	t.Helper()
	tm = newTerminal()
	tm.start = p.start
	code = make(chan int, 1)
	go func() { code <- tm.run(args...) }()
	await(t, "the ready line", func() bool { return strings.Contains(tm.out.String(), "\n") })
	return tm, code
}

func TestReadyLineIsTheOnlyOutput(t *testing.T) {
	tm, code := serving(t, newPuppet(), "serve", "--node", "a", "--listen", "127.0.0.1:0")
	tm.signals <- syscall.SIGTERM
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d: %s", c, tm.err.String())
	}
	want := `{"ready":true,"node":"a","players":"127.0.0.1:1","mesh":"127.0.0.1:2","gossip":"127.0.0.1:3","admin":"127.0.0.1:4"}` + "\n"
	if tm.out.String() != want {
		t.Errorf("output %q\nwant   %q", tm.out.String(), want)
	}
}

func TestGamedIsGamedServe(t *testing.T) {
	p := newPuppet()
	tm, code := serving(t, p, "--heartbeat", "3s", "--log-format", "json")
	tm.signals <- syscall.SIGINT
	if c := <-code; c != exitOK || p.opt.Config.Heartbeat.Seconds() != 3 || p.opt.Config.Node == "" {
		t.Errorf("exit code %d, %+v", c, p.opt.Config)
	}
	for line := range strings.Lines(tm.err.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line is not JSON: %s", line)
		}
	}
}

func TestHowServeEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(p *puppet, tm *terminal)
		code int
		want string
	}{
		{"drained", func(p *puppet, tm *terminal) { tm.signals <- syscall.SIGTERM }, exitOK, ""},
		{"not drained in time", func(p *puppet, tm *terminal) {
			p.drain = func() error { return errors.New("3 players left") }
			tm.signals <- syscall.SIGTERM
		}, exitFinding, "3 players left"},
		{"two signals", func(p *puppet, tm *terminal) {
			p.drain = func() error { <-p.killed; return nil }
			tm.signals <- syscall.SIGTERM
			tm.signals <- syscall.SIGTERM
		}, exitFinding, "stopped at once"},
		{"duplicate name", func(p *puppet, tm *terminal) { p.fail <- fmt.Errorf("%w: a is at 127.0.0.1:9", cluster.ErrDuplicate) }, exitUsage, "a is at 127.0.0.1:9"},
		{"failed", func(p *puppet, tm *terminal) { p.fail <- errors.New("mesh broke") }, exitFinding, "mesh broke"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPuppet()
			tm, code := serving(t, p)
			tc.do(p, tm)
			if c := <-code; c != tc.code || !strings.Contains(tm.err.String(), tc.want) {
				t.Errorf("exit code %d, want %d: %s", c, tc.code, tm.err.String())
			}
			p.Kill()
		})
	}
}

func TestHangupReadsTheLogLevelAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gamed.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log-level: warn\n")
	p := newPuppet()
	tm, code := serving(t, p, "--config", file)
	p.opt.Log.Info("before")
	write("log-level: debug\nheartbeat: 5s\n")
	tm.signals <- syscall.SIGHUP
	await(t, "the new level", func() bool { return strings.Contains(tm.err.String(), "settings read again") })
	p.opt.Log.Debug("after")
	write("log-lvel: debug\n")
	tm.signals <- syscall.SIGHUP
	await(t, "the refusal", func() bool { return strings.Contains(tm.err.String(), "did you mean log-level?") })
	tm.signals <- syscall.SIGTERM
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
	log := tm.err.String()
	if strings.Contains(log, "before") || !strings.Contains(log, "after") || !strings.Contains(log, "need_restart=[heartbeat]") {
		t.Errorf("log:\n%s", log)
	}
}
