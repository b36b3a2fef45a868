package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// node is one gamed process.
type node struct {
	Ready                              bool
	Node, Players, Mesh, Gossip, Admin string
	t                                  testing.TB
	cmd                                *exec.Cmd
	log                                *tail
	done                               chan struct{} // closed when it has ended
	forgiven                           bool          // errors in the log are meant
	panics                             bool          // so are handlers that panic
	mayEnd                             bool          // it may end before the test does
}

// start runs gamed serve on free ports until the test ends, and waits until it takes players. That it still lives then, without
// a panic, is part of every test.
func start(t testing.TB, args ...string) *node {
	t.Helper()
	return startAs(t, exec.Command(gamed), args...)
}

// startAs is start with a command to which the arguments are added.
func startAs(t testing.TB, cmd *exec.Cmd, args ...string) *node {
	t.Helper()
	n := launch(t, cmd, args...)
	await(t, "the node takes players", func() bool {
		_, err := n.get("/readyz")
		return err == nil
	})
	return n
}

// launch is startAs without waiting for more than the ports.
func launch(t testing.TB, cmd *exec.Cmd, args ...string) *node {
	t.Helper()
	const free = "127.0.0.1:0"
	n := &node{t: t, cmd: cmd, log: &tail{}, done: make(chan struct{})}
	cmd.Args = append(cmd.Args, "serve", "--node", "target", "--listen", free, "--mesh", free, "--gossip", free, "--admin", free)
	cmd.Args = append(cmd.Args, args...)
	first := &line{got: make(chan []byte, 1)}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = first, n.log, time.Second
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start gamed: %v", err)
	}
	go func() {
		_ = cmd.Wait() // how it ended is told by its log
		close(n.done)
	}()
	t.Cleanup(n.end)
	select {
	case b := <-first.got:
		if err := json.Unmarshal(b, n); err != nil || !n.Ready {
			t.Fatalf("first line %q: %v", b, err)
		}
	case <-n.done:
		t.Fatal("gamed ended before it was ready")
	case <-time.After(patience):
		t.Fatal("gamed binds no ports")
	}
	return n
}

// end kills the process and judges its life.
func (n *node) end() {
	n.mustLive()
	_ = n.cmd.Process.Kill() // fails only when it has ended
	select {
	case <-n.done:
	case <-time.After(patience):
		n.t.Error("gamed does not end when killed")
	}
	text := n.log.String()
	if strings.Contains(text, "panic") && !n.panics || strings.Contains(text, "fatal error") || strings.Contains(text, "level=ERROR") && !n.forgiven {
		n.t.Error("the log tells of a panic or an error")
	}
	if n.t.Failed() {
		n.t.Logf("the end of gamed's log:\n%s", text)
	}
}

// post sends a POST with a token to the admin port and gives the status.
func (n *node) post(t testing.TB, path, token string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+n.Admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	return r.StatusCode
}

// mustLive fails the test when the process has ended.
func (n *node) mustLive() {
	n.t.Helper()
	select {
	case <-n.done:
		if !n.mayEnd {
			n.t.Errorf("gamed has ended: %v", n.cmd.ProcessState)
		}
	default:
	}
}

// get reads a page of the admin port; anything but 200 is an error.
func (n *node) get(path string) ([]byte, error) {
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + n.Admin + path)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", path, err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s: %s", path, r.Status, b)
	}
	return b, err
}

// metrics are the samples of /metrics by name and labels as they stand there.
func (n *node) metrics() map[string]float64 {
	n.t.Helper()
	var b []byte
	if !within(patience, func() bool {
		var err error
		b, err = n.get("/metrics")
		return err == nil
	}) {
		n.t.Error("/metrics does not answer")
		return nil
	}
	m := map[string]float64{}
	for l := range strings.Lines(string(b)) {
		if i := strings.LastIndexByte(l, ' '); i > 0 && l[0] != '#' {
			m[l[:i]], _ = strconv.ParseFloat(strings.TrimSpace(l[i:]), 64) // what is no number is not asked for
		}
	}
	return m
}

// metric is one of them, which must exist.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	v, ok := n.metrics()[name]
	if !ok {
		n.t.Errorf("there is no metric %s", name)
	}
	return v
}

func closedBy(reason string) string { return `gamed_listener_closed_total{reason="` + reason + `"}` }

// memory is the most that the process ever had resident, in MiB.
func (n *node) memory() int {
	n.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		n.t.Skipf("the memory of another process cannot be read here: %v", err)
	}
	_, after, _ := bytes.Cut(b, []byte("VmHWM:"))
	f := bytes.Fields(after)
	if len(f) == 0 {
		n.t.Fatal("VmHWM is not in /proc/PID/status")
	}
	kb, err := strconv.Atoi(string(f[0]))
	if err != nil {
		n.t.Fatal(err)
	}
	return kb >> 10
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex // guards b
	b  []byte
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b = append(l.b, p...); len(l.b) > 2<<20 {
		l.b = append([]byte(nil), l.b[len(l.b)-1<<20:]...)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

// line gives the first line written to it and forgets the rest. One goroutine writes.
type line struct {
	b   []byte
	got chan []byte
	had bool
}

func (l *line) Write(p []byte) (int, error) {
	if !l.had {
		l.b = append(l.b, p...)
		if i := bytes.IndexByte(l.b, '\n'); i >= 0 {
			l.had = true
			l.got <- l.b[:i]
		}
	}
	return len(p), nil
}
