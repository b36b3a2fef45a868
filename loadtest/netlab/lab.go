package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Outside is the host that reaches all others and is never cut off unless a [Cut] names it: players and operators dial from it.
const Outside = "outside"

const (
	prefix    = "gamedlab" // of namespaces: prefix-PID-NUMBER-HOST
	runFolder = "/run/netns"
	stepLimit = 10 * time.Second // for one run of ip or nft
)

var labs atomic.Int64

// Lab is a network with its hosts. Its methods may be called from any goroutine.
type Lab struct {
	prefix string
	addrs  map[string]string // by host
	order  []string

	mu     sync.Mutex // guards cutting and closing
	closed bool
}

// Check says what is missing to make a lab on this machine; nil: nothing.
func Check() error {
	if runtime.GOOS != "linux" {
		return errors.New("network namespaces need Linux")
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for tool, from := range map[string]string{"ip": "iproute2", "nft": "nftables"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed (package %s)", tool, from)
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), stepLimit)
	defer stop()
	l, err := New(ctx, "probe")
	if err != nil {
		return fmt.Errorf("network namespaces cannot be made here: %w", err)
	}
	err = l.Cut(Cut{From: "probe", To: Outside})
	return errors.Join(err, l.Close())
}

// New makes a network with these hosts and Outside. After an error nothing is left of it.
func New(ctx context.Context, hosts ...string) (*Lab, error) {
	sweep(ctx)
	l := &Lab{prefix: fmt.Sprintf("%s-%d-%d-", prefix, os.Getpid(), labs.Add(1)), addrs: map[string]string{}}
	if err := l.build(ctx, hosts); err != nil {
		return nil, errors.Join(fmt.Errorf("make a network: %w", err), l.Close())
	}
	return l, nil
}

const bridge = "bridge" // the host that only carries the bridge

func (l *Lab) build(ctx context.Context, hosts []string) error {
	if len(hosts) > 200 {
		return errors.New("want at most 200 hosts")
	}
	ns := l.prefix + bridge
	if err := run(ctx, "", "ip", "netns", "add", ns); err != nil {
		return err
	}
	if err := run(ctx, "", "ip", "-n", ns, "link", "add", "br0", "up", "type", "bridge", "mcast_snooping", "0"); err != nil {
		return err
	}
	for i, h := range append(slices.Clone(hosts), Outside) {
		if l.addrs[h] != "" || h == bridge || h == "" || strings.ContainsAny(h, "/ -") {
			return fmt.Errorf("host %q: want different names without dash, slash or blank", h)
		}
		addr, port, host := fmt.Sprintf("10.77.0.%d", i+1), "p"+strconv.Itoa(i), l.prefix+h
		l.addrs[h] = addr
		l.order = append(l.order, h)
		for _, args := range [][]string{
			{"netns", "add", host},
			{"-n", ns, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host},
			{"-n", ns, "link", "set", port, "master", "br0", "up"},
			{"-n", host, "link", "set", "lo", "up"},
			{"-n", host, "address", "add", addr + "/24", "dev", "eth0"},
			{"-n", host, "link", "set", "eth0", "up"},
		} {
			if err := run(ctx, "", "ip", args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// Addr is a host's address, "" for one that does not exist.
func (l *Lab) Addr(host string) string { return l.addrs[host] }

// Hosts are those given to New.
func (l *Lab) Hosts() []string { return slices.Clone(l.order[:len(l.order)-1]) }

// Command is exec.Command on a host. The process started has the pid of the command.
func (l *Lab) Command(host, file string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", l.prefix + host, file}, args...)...)
}

// Dial connects from a host; address is IP:PORT.
func (l *Lab) Dial(ctx context.Context, from, address string) (net.Conn, error) {
	if l.addrs[from] == "" {
		return nil, fmt.Errorf("dial from %s: no such host", from)
	}
	conn, err := dialInside(ctx, filepath.Join(runFolder, l.prefix+from), address)
	if err != nil {
		return nil, fmt.Errorf("dial %s from %s: %w", address, from, err)
	}
	return conn, nil
}

// Close removes the network. What still runs on its hosts keeps its sockets, but reaches nobody. It may be called more than once.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	ctx, stop := context.WithTimeout(context.Background(), stepLimit)
	defer stop()
	return remove(ctx, func(name string) bool { return strings.HasPrefix(name, l.prefix) })
}

// sweep removes the labs of processes that are gone. What fails is left to the next one.
func sweep(ctx context.Context) {
	_ = remove(ctx, func(name string) bool {
		rest, ours := strings.CutPrefix(name, prefix+"-")
		pid, _, _ := strings.Cut(rest, "-")
		if _, err := strconv.Atoi(pid); err != nil || !ours {
			return false
		}
		_, err := os.Stat("/proc/" + pid)
		return os.IsNotExist(err)
	})
}

func remove(ctx context.Context, which func(name string) bool) error {
	entries, err := os.ReadDir(runFolder)
	if os.IsNotExist(err) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if which(e.Name()) {
			errs = append(errs, run(ctx, "", "ip", "netns", "delete", e.Name()))
		}
	}
	return errors.Join(errs...)
}

// run runs a tool to its end.
func run(ctx context.Context, stdin, tool string, args ...string) error {
	ctx, stop := context.WithTimeout(ctx, stepLimit)
	defer stop()
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", tool, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
