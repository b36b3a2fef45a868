package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// NodesOptions say what to start. Zero values mean the defaults named.
type NodesOptions struct {
	Binary string       // gamed, see Build; required
	Count  int          // nodes, named a, b, c, …; default 3, at most 26
	Args   []string     // further flags of each node
	LogDir string       // where each node's log goes, NODE.log; "": only its end is kept in memory
	Logger *slog.Logger // what happens to the nodes; nil: silent
}

// Nodes is a cluster of real processes on loopback. Methods may be called from any goroutine.
type Nodes struct {
	opt  NodesOptions
	log  *slog.Logger
	http *http.Client

	mu     sync.Mutex // guards what follows
	procs  []*process // by number; a killed node's stays until it is started again
	files  []io.Closer
	killed map[string]bool // on purpose
}

// Build compiles gamed into dir and gives the file's name. It needs the Go tool and runs in the module's tree.
func Build(ctx context.Context, dir string) (string, error) {
	to := filepath.Join(dir, "gamed")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "gamed/cmd/gamed")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gamed: %w\n%s", err, out)
	}
	return to, nil
}

// StartNodes starts the processes and waits until they are one cluster in which every partition has its backup. After an error
// none is left.
func StartNodes(ctx context.Context, o NodesOptions) (*Nodes, error) {
	if o.Count == 0 {
		o.Count = 3
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Binary == "" || o.Count < 1 || o.Count > 26 {
		return nil, errors.New("start nodes: want a binary and 1 to 26 nodes")
	}
	n := &Nodes{opt: o, log: o.Logger, http: &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}, killed: map[string]bool{}}
	for i := range o.Count {
		p, err := n.start(ctx, string(rune('a'+i)))
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.procs = append(n.procs, p)
	}
	if err := n.Whole(ctx, 30*time.Second); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Nodes) start(ctx context.Context, name string) (*process, error) {
	join := ""
	for _, p := range n.list() {
		if p.alive() {
			join = p.addr.Gossip
			break
		}
	}
	var to io.Writer
	if n.opt.LogDir != "" {
		f, err := os.OpenFile(filepath.Join(n.opt.LogDir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, fmt.Errorf("log of node %s: %w", name, err)
		}
		n.mu.Lock()
		n.files = append(n.files, f)
		n.mu.Unlock()
		to = f
	}
	p, err := startProcess(ctx, n.opt.Binary, name, join, n.opt.Args, to)
	if err == nil {
		n.log.Info("node started", "node", name, "pid", p.cmd.Process.Pid, "players", p.addr.Players, "admin", p.addr.Admin)
	}
	return p, err
}

func (n *Nodes) list() []*process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*process(nil), n.procs...)
}

func (n *Nodes) find(name string) (int, *process) {
	for i, p := range n.list() {
		if p.name == name {
			return i, p
		}
	}
	return -1, nil
}

// Names are the nodes' names in the order of their start, dead ones included.
func (n *Nodes) Names() []string {
	var names []string
	for _, p := range n.list() {
		names = append(names, p.name)
	}
	return names
}

// Alive are the names of those that run.
func (n *Nodes) Alive() []string {
	var names []string
	for _, p := range n.list() {
		if p.alive() {
			names = append(names, p.name)
		}
	}
	return names
}

// Dial connects to the players' port of the node named; anything else is taken for an address. A node that was started again has
// another port, so clients of these nodes use names where others use addresses.
func (n *Nodes) Dial(ctx context.Context, name string) (net.Conn, error) {
	addr := name
	if _, p := n.find(name); p != nil {
		addr = p.addr.Players
	}
	return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", addr)
}

// Kill ends a node with SIGKILL. The time is that just before the signal.
func (n *Nodes) Kill(name string) (time.Time, error) {
	_, p := n.find(name)
	if p == nil || !p.alive() {
		return time.Time{}, fmt.Errorf("kill %s: no such node runs", name)
	}
	n.mu.Lock()
	n.killed[name] = true
	n.mu.Unlock()
	at := time.Now()
	if err := p.kill(); err != nil {
		return at, err
	}
	n.log.Info("node killed", "node", name, "pid", p.cmd.Process.Pid)
	return at, nil
}

// Restart starts a killed node again, under its name, on new ports, with nothing remembered.
func (n *Nodes) Restart(ctx context.Context, name string) error {
	i, old := n.find(name)
	if old == nil || old.alive() {
		return fmt.Errorf("restart %s: no such node was killed", name)
	}
	p, err := n.start(ctx, name)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.procs[i] = p
	delete(n.killed, name)
	return nil
}

// Died are the nodes that ended though nobody killed them, with the end of their logs.
func (n *Nodes) Died() []string {
	var died []string
	for _, p := range n.list() {
		n.mu.Lock()
		killed := n.killed[p.name]
		n.mu.Unlock()
		if !p.alive() && !killed {
			died = append(died, fmt.Sprintf("node %s ended by itself:\n%s", p.name, p.log.last(20)))
		}
	}
	return died
}

// Logs gives the last lines of each node's log, and how many lines in all told of an error.
func (n *Nodes) Logs(lines int) (text string, errorLines int) {
	for _, p := range n.list() {
		text += fmt.Sprintf("--- node %s\n%s\n", p.name, p.log.last(lines))
		errorLines += p.log.errorLines()
	}
	return text, errorLines
}

// Close kills what still runs. It may be called more than once.
func (n *Nodes) Close() error {
	var errs []error
	for _, p := range n.list() {
		if p.alive() {
			n.mu.Lock()
			n.killed[p.name] = true
			n.mu.Unlock()
			errs = append(errs, p.kill())
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.files {
		errs = append(errs, f.Close())
	}
	n.files = nil
	n.http.CloseIdleConnections()
	return errors.Join(errs...)
}
