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
	"slices"
	"sync"
	"syscall"
	"time"

	"gamed/loadtest/netlab"
)

// NodesOptions say what to start. Zero values mean the defaults named.
type NodesOptions struct {
	Binary string       // gamed, see Build; required
	Count  int          // nodes, named a, b, c, …; default 3, at most 26; below 0: none yet
	Args   []string     // further flags of each node
	LogDir string       // where each node's log goes, NODE.log; "": only its end is kept in memory
	Logger *slog.Logger // what happens to the nodes; nil: silent

	// Lab puts each node on the host of its name; the clients are outside. It stays the caller's. nil: all are on loopback.
	Lab *netlab.Lab
	// AtOnce starts all at the same moment, each knowing the addresses of all; needs Lab. Else one follows the other.
	AtOnce bool
}

// Extra is what one start of one node has beside what all have.
type Extra struct {
	Args []string // further flags
	Env  []string // further variables, NAME=VALUE
	Host string   // of the lab; default the node's name
}

// Nodes is a cluster of real processes, on loopback or in a network of its own. Methods may be called from any goroutine.
type Nodes struct {
	opt  NodesOptions
	log  *slog.Logger
	http *http.Client

	mu     sync.Mutex // guards what follows
	procs  []*process // by number; one that ended stays until it is started again
	files  []io.Closer
	ended  map[string]bool // ended on purpose, or about to be
	frozen map[string]bool // stopped by SIGSTOP
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

// HostNames are the names of so many nodes, for a lab that they are to run in.
func HostNames(count int) []string {
	var names []string
	for i := range count {
		names = append(names, string(rune('a'+i)))
	}
	return names
}

// StartNodes starts the processes and waits until they are one cluster in which every partition has its backup. After an error
// none is left.
func StartNodes(ctx context.Context, o NodesOptions) (*Nodes, error) {
	if o.Count == 0 {
		o.Count = 3
	}
	if o.Count < 0 {
		o.Count = 0
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Binary == "" || o.Count > 26 || o.AtOnce && o.Lab == nil {
		return nil, errors.New("start nodes: want a binary and at most 26 nodes; all at once needs a lab")
	}
	n := &Nodes{opt: o, log: o.Logger, ended: map[string]bool{}, frozen: map[string]bool{}}
	n.http = &http.Client{Transport: &http.Transport{DialContext: n.dialAdmin}, Timeout: 5 * time.Second}
	var err error
	if names := HostNames(o.Count); o.AtOnce {
		err = n.StartAll(ctx, names...)
	} else {
		for _, name := range names {
			if err = n.Start(ctx, name, Extra{}); err != nil {
				break
			}
		}
	}
	if err == nil && o.Count > 0 {
		err = n.Whole(ctx, 30*time.Second)
	}
	if err != nil {
		text, _ := n.Logs(10)
		return nil, errors.Join(err, errors.New(text), n.Close())
	}
	return n, nil
}

// StartAll starts these nodes at the same moment.
func (n *Nodes) StartAll(ctx context.Context, names ...string) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { errs[i] = n.Start(ctx, name, Extra{}) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Start starts a node that never ran, or one that has ended, under its name, with nothing remembered. It returns when the node's ports
// are bound.
func (n *Nodes) Start(ctx context.Context, name string, with Extra) error {
	if _, p := n.find(name); p != nil && p.alive() {
		return fmt.Errorf("start %s: it runs", name)
	}
	var join []string
	for _, p := range n.list() {
		if n.opt.Lab == nil && p.alive() {
			join = append(join, p.addr.Gossip)
		}
	}
	if with.Host == "" {
		with.Host = name
	}
	if lab := n.opt.Lab; lab != nil {
		if lab.Addr(with.Host) == "" {
			return fmt.Errorf("start %s: the lab has no host %s", name, with.Host)
		}
		for _, host := range lab.Hosts() {
			if host != with.Host {
				join = append(join, lab.Addr(host)+":7302")
			}
		}
	}
	log, err := n.logFile(name)
	if err != nil {
		return err
	}
	p, err := startProcess(ctx, n.opt, name, join, with, log)
	if err != nil {
		return err
	}
	n.log.Info("node started", "node", name, "pid", p.cmd.Process.Pid, "players", p.addr.Players, "admin", p.addr.Admin)
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.ended, name)
	if i := slices.IndexFunc(n.procs, func(p *process) bool { return p.name == name }); i >= 0 {
		n.procs[i] = p
	} else {
		n.procs = append(n.procs, p)
	}
	return nil
}

func (n *Nodes) logFile(name string) (io.Writer, error) {
	if n.opt.LogDir == "" {
		return nil, nil
	}
	f, err := os.OpenFile(filepath.Join(n.opt.LogDir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of node %s: %w", name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files = append(n.files, f)
	return f, nil
}

func (n *Nodes) list() []*process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.procs)
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

// Alive are the names of those that run and are not frozen.
func (n *Nodes) Alive() []string {
	var names []string
	for _, p := range n.list() {
		n.mu.Lock()
		frozen := n.frozen[p.name]
		n.mu.Unlock()
		if p.alive() && !frozen {
			names = append(names, p.name)
		}
	}
	return names
}

// Dial connects to the players' port of the node named; anything else is taken for an address. A node that was started again has
// another port, so clients of these nodes use names where others use addresses.
func (n *Nodes) Dial(ctx context.Context, name string) (net.Conn, error) {
	if _, p := n.find(name); p != nil {
		return p.dial(ctx, false)
	}
	if n.opt.Lab != nil {
		return n.opt.Lab.Dial(ctx, netlab.Outside, name) // learned from a GOAWAY
	}
	return dialTCP(ctx, name)
}

// Kill ends a node with SIGKILL. The time is that just before the signal.
func (n *Nodes) Kill(name string) (time.Time, error) {
	p, err := n.doom(name)
	if err != nil {
		return time.Time{}, fmt.Errorf("kill %w", err)
	}
	at := time.Now()
	if err := p.kill(); err != nil {
		return at, err
	}
	n.log.Info("node killed", "node", name, "pid", p.cmd.Process.Pid)
	return at, nil
}

// Expect says that the node will end by itself, and that this is meant. The channel is closed when it has.
func (n *Nodes) Expect(name string) (<-chan struct{}, error) {
	p, err := n.doom(name)
	if err != nil {
		return nil, fmt.Errorf("expect the end of %w", err)
	}
	return p.done, nil
}

// Terminate sends SIGTERM and waits until the node has ended. code is its exit code.
func (n *Nodes) Terminate(name string, limit time.Duration) (code int, took time.Duration, err error) {
	p, err := n.doom(name)
	if err != nil {
		return 0, 0, fmt.Errorf("terminate %w", err)
	}
	at := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, 0, fmt.Errorf("terminate %s: %w", name, err)
	}
	select {
	case <-p.done:
		n.log.Info("node terminated", "node", name, "pid", p.cmd.Process.Pid, "took", time.Since(at))
		return p.cmd.ProcessState.ExitCode(), time.Since(at), nil
	case <-time.After(limit):
		return 0, time.Since(at), fmt.Errorf("terminate %s: it has not ended after %v", name, limit)
	}
}

// doom finds a running node and notes that its end is meant.
func (n *Nodes) doom(name string) (*process, error) {
	_, p := n.find(name)
	if p == nil || !p.alive() {
		return nil, fmt.Errorf("%s: no such node runs", name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended[name] = true
	delete(n.frozen, name)
	return p, nil
}

// Freeze stops a node with SIGSTOP, Thaw lets it go on.
func (n *Nodes) Freeze(name string) error { return n.pause(name, true) }

// Thaw is the end of Freeze.
func (n *Nodes) Thaw(name string) error { return n.pause(name, false) }

func (n *Nodes) pause(name string, stop bool) error {
	_, p := n.find(name)
	if p == nil || !p.alive() {
		return fmt.Errorf("pause %s: no such node runs", name)
	}
	sig := syscall.SIGCONT
	if stop {
		sig = syscall.SIGSTOP
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if stop {
		n.frozen[name] = true
	} else {
		delete(n.frozen, name)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("pause %s: %w", name, err)
	}
	n.log.Info("node paused", "node", name, "stopped", stop)
	return nil
}

// Died are the nodes that ended though nobody meant it, with the end of their logs.
func (n *Nodes) Died() []string {
	var died []string
	for _, p := range n.list() {
		n.mu.Lock()
		meant := n.ended[p.name]
		n.mu.Unlock()
		if !p.alive() && !meant {
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
			_, err := n.Kill(p.name)
			errs = append(errs, err)
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
