package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
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
	addr addresses
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when it has ended
}

// startProcess runs gamed serve with free ports on loopback and waits for its first line. join is another node's gossip address,
// "" for the first node.
func startProcess(ctx context.Context, binary, name, join string, args []string, copyLog io.Writer) (*process, error) {
	const free = "127.0.0.1:0"
	line := []string{"serve", "--node", name, "--listen", free, "--mesh", free, "--gossip", free, "--admin", free}
	if join != "" {
		line = append(line, "--join", join)
	}
	p := &process{name: name, cmd: exec.Command(binary, append(line, args...)...), log: &tail{copyTo: copyLog}, done: make(chan struct{})}
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

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}
