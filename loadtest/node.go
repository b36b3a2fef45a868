package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"gamed/loadtest/netlab"
)

// startLimit is how long a node may take to bind its ports; endLimit, to be gone after SIGKILL.
const (
	startLimit = 15 * time.Second
	endLimit   = 10 * time.Second
)

// addresses is the first line that a node prints.
type addresses struct {
	Ready   bool   `json:"ready"`
	Node    string `json:"node"`
	Players string `json:"players"`
	Mesh    string `json:"mesh"`
	Gossip  string `json:"gossip"`
	Admin   string `json:"admin"`
}

// process is one gamed. Its fields do not change after startProcess.
type process struct {
	name string
	host string // of the lab
	addr addresses
	lab  *netlab.Lab // nil: it is on loopback
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when it has ended
}

// startProcess runs gamed serve and waits for its first line: with free ports on loopback, or on its host in a network of its own with the
// default ports, admin on the host's loopback. join is other nodes' gossip addresses.
func startProcess(ctx context.Context, o NodesOptions, name string, join []string, with Extra, copyLog io.Writer) (*process, error) {
	line := []string{"serve", "--node", name}
	players, mesh, gossip, admin := "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	command := exec.Command
	if o.Lab != nil {
		host := o.Lab.Addr(with.Host)
		players, mesh, gossip, admin = host+":7300", host+":7301", host+":7302", "127.0.0.1:7303"
		line = append(line, "--insecure")
		command = func(file string, args ...string) *exec.Cmd { return o.Lab.Command(with.Host, file, args...) }
	}
	line = append(line, "--listen", players, "--mesh", mesh, "--gossip", gossip, "--admin", admin)
	if len(join) > 0 {
		line = append(line, "--join", strings.Join(join, ","))
	}
	line = slices.Concat(line, o.Args, with.Args)
	p := &process{name: name, host: with.Host, lab: o.Lab, cmd: command(o.Binary, line...), log: &tail{copyTo: copyLog}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), with.Env...)
	first := &firstLine{got: make(chan []byte, 1)}
	p.cmd.Stdout, p.cmd.Stderr = first, p.log
	p.cmd.WaitDelay = time.Second
	dieWithUs(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start node %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is told by its log
		close(p.done)
	}()
	ctx, stop := context.WithTimeout(ctx, startLimit)
	defer stop()
	select {
	case b := <-first.got:
		if err := json.Unmarshal(b, &p.addr); err != nil || !p.addr.Ready {
			_ = p.kill()
			return nil, fmt.Errorf("start node %s: first line %q: %w", name, b, err)
		}
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("start node %s: it ended:\n%s", name, p.log.last(5))
	case <-ctx.Done():
		_ = p.kill()
		return nil, fmt.Errorf("start node %s: %w:\n%s", name, ctx.Err(), p.log.last(5))
	}
}

// kill ends the process at once (SIGKILL) and waits until it is gone. Killing what has ended is no error.
func (p *process) kill() error {
	_ = p.cmd.Process.Kill() // the only failure is that it has ended
	select {
	case <-p.done:
		return nil
	case <-time.After(endLimit):
		return errors.New("node " + p.name + " does not end")
	}
}

// dial connects to one of the process's ports: a player's to the first, an operator's to the second.
func (p *process) dial(ctx context.Context, admin bool) (net.Conn, error) {
	switch {
	case p.lab != nil && admin:
		return p.lab.Dial(ctx, p.host, p.addr.Admin)
	case p.lab != nil:
		return p.lab.Dial(ctx, netlab.Outside, p.addr.Players)
	case admin:
		return dialTCP(ctx, p.addr.Admin)
	}
	return dialTCP(ctx, p.addr.Players)
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", addr) // the protocol has its own heartbeat
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}
