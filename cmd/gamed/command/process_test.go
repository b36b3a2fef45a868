package command

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a real gamed.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr addrs
	err  buffer
	done chan error
}

// serveProcess starts `gamed serve` on free ports and returns when it has printed its addresses.
func serveProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, done: make(chan error, 1)}
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--mesh", "127.0.0.1:0", "--gossip", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)
	p.cmd = exec.CommandContext(t.Context(), "gamed", args...)
	p.cmd.Stderr = &p.err
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { p.done <- p.cmd.Wait() }()
	if err != nil {
		t.Fatalf("no ready line: %v\n%s", err, p.err.String())
	}
	if err := json.Unmarshal([]byte(line), &p.addr); err != nil || !p.addr.Ready {
		t.Fatalf("ready line %q: %v", line, err)
	}
	return p
}

// signal sends s and gives the exit code.
func (p *process) signal(s syscall.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	return p.exitCode()
}

func (p *process) exitCode() int {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		p.t.Fatalf("does not end:\n%s", p.err.String())
		return -1
	}
}

// gamed runs a command to its end.
func gamed(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "gamed", args...)
	var stdout, stderr buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the exit code tells
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func TestProcessesFormAClusterAndEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	a := serveProcess(t, "--node", "a")
	await(t, "the first node to be ready", func() bool { code, _, _ := gamed(t, "health", "--admin", a.addr.Admin); return code == 0 })
	b := serveProcess(t, "--node", "b", "--join", a.addr.Gossip)
	await(t, "both to be well", func() bool {
		code, out, _ := gamed(t, "check", "--admin", b.addr.Admin)
		return code == 0 && strings.Contains(out, "2 nodes")
	})
	if code, out, errs := gamed(t, "members", "--admin", a.addr.Admin, "-o", "json"); code != 0 || !strings.Contains(out, `"node":"b"`) || !strings.Contains(out, b.addr.Players) {
		t.Errorf("members: %d %s %s", code, out, errs)
	}
	if code, out, errs := gamed(t, "locate", "player/ann", "--admin", b.addr.Admin); code != 0 || !strings.Contains(out, "PARTITION") {
		t.Errorf("locate: %d %s %s", code, out, errs)
	}

	if code, _, errs := gamed(t, "serve", "--listen", a.addr.Players); code != exitUsage || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, a.addr.Players) {
		t.Errorf("a taken port: exit code %d, %s", code, errs)
	}
	twin := serveProcess(t, "--node", "b", "--join", a.addr.Gossip)
	if code := twin.exitCode(); code != exitUsage || !strings.Contains(twin.err.String(), "gamed: ") {
		t.Errorf("a second b: exit code %d\n%s", code, twin.err.String())
	}

	if code := b.signal(syscall.SIGTERM); code != exitOK {
		t.Errorf("b after SIGTERM: exit code %d\n%s", code, b.err.String())
	}
	if code := a.signal(syscall.SIGTERM); code != exitOK {
		t.Errorf("a after SIGTERM: exit code %d\n%s", code, a.err.String())
	}
}
