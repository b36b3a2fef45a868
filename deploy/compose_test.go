// Package deploy holds what gamed is run with; its test starts the cluster of docker-compose.yml for real.
package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// maxImage is the largest image we are willing to ship, in bytes.
const maxImage = 20 << 20

// needDocker skips the test where there is no Docker, and fails it there when GAMED_REQUIRE_DOCKER=1 says that there must be.
func needDocker(t *testing.T) {
	t.Helper()
	missing := ""
	if out, err := exec.CommandContext(t.Context(), "docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput(); err != nil {
		missing = fmt.Sprintf("docker info: %v: %s", err, out)
	} else if out, err := exec.CommandContext(t.Context(), "docker-compose", "version", "--short").CombinedOutput(); err != nil {
		missing = fmt.Sprintf("docker-compose: %v: %s", err, out)
	}
	switch {
	case missing == "":
	case os.Getenv("GAMED_REQUIRE_DOCKER") == "1":
		t.Fatalf("GAMED_REQUIRE_DOCKER=1, but %s", missing)
	default:
		t.Skipf("needs Docker: %s", missing)
	}
}

// stack is one running docker-compose project.
type stack struct {
	t       *testing.T // the test or step that runs
	project string
	env     []string
	players [3]string // 127.0.0.1:port of gamed-1 to 3
	admin   [3]string
}

// startStack builds the image from the binary of this tree and starts three nodes on free ports, as make up does. Everything it
// made is removed when the test ends, however it ends.
func startStack(t *testing.T, env ...string) *stack {
	t.Helper()
	needDocker(t)
	id := strconv.FormatInt(time.Now().UnixNano(), 36)
	s := &stack{t: t, project: "gamedtest" + id}
	image := "gamed:test-" + id
	s.env = append(append(os.Environ(), "GAMED_IMAGE="+image, "COMPOSE_PROJECT_NAME="+s.project), env...)
	for i, addr := range freeAddrs(t, 6) {
		_, port, _ := net.SplitHostPort(addr)
		if i < 3 {
			s.players[i] = addr
			s.env = append(s.env, fmt.Sprintf("GAMED_PORT_%d=%s", i+1, port))
		} else {
			s.admin[i-3] = addr
			s.env = append(s.env, fmt.Sprintf("GAMED_ADMIN_PORT_%d=%s", i-2, port))
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := s.try("docker-compose", "-p", s.project, "logs", "--no-color", "--tail=60")
			t.Logf("logs of the nodes:\n%s", out)
		}
		if out, err := s.try("docker-compose", "-p", s.project, "down", "--volumes", "--timeout", "5"); err != nil {
			t.Errorf("remove the containers: %v\n%s", err, out)
		}
		if out, err := s.try("docker", "image", "rm", "--force", image); err != nil {
			t.Errorf("remove the image: %v\n%s", err, out)
		}
	})
	s.run("make", "--no-print-directory", "-C", "..", "image", "IMAGE="+image)
	if size, err := strconv.Atoi(s.run("docker", "image", "inspect", "--format", "{{.Size}}", image)); err != nil || size > maxImage {
		t.Errorf("the image has %d bytes, the limit is %d (%v)", size, maxImage, err)
	}
	s.run("make", "--no-print-directory", "-C", "..", "up", "IMAGE="+image)
	for n := range 3 {
		s.await(time.Minute, s.node(n)+" healthy", func() error { return s.health(n, "healthy") })
	}
	return s
}

// freeAddrs are ports on loopback that nobody has; they are given back just before they are used.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all are held until the last is found, so that none comes twice
		addrs[i] = l.Addr().String()
	}
	return addrs
}

// node is the container's name; nodes count from 0 here and from 1 there.
func (s *stack) node(n int) string { return fmt.Sprintf("gamed-%d", n+1) }

func (s *stack) container(n int) string {
	s.t.Helper()
	return s.run("docker-compose", "-p", s.project, "ps", "--quiet", s.node(n))
}

func (s *stack) try(name string, args ...string) (string, error) {
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = s.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out) + stderr.String(), fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (s *stack) run(name string, args ...string) string {
	s.t.Helper()
	out, err := s.try(name, args...)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// gamed runs a gamed command inside a node's container and decodes its JSON.
func (s *stack) gamed(n int, into any, args ...string) error {
	out, err := s.try("docker", append([]string{"exec", s.container(n), "/gamed"}, args...)...)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("gamed %v on %s: %w in %q", args, s.node(n), err, out)
	}
	return nil
}

func (s *stack) health(n int, want string) error {
	state, err := s.try("docker", "inspect", "--format", "{{.State.Health.Status}}", s.container(n))
	if err == nil && state != want {
		err = fmt.Errorf("%s is %s", s.node(n), state)
	}
	return err
}

// await asks until f has no error, twice a second, for at most limit.
func (s *stack) await(limit time.Duration, what string, f func() error) {
	s.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for {
		err := f()
		if err == nil {
			s.t.Logf("%s after %v", what, time.Since(begin).Round(100*time.Millisecond))
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			s.t.Fatalf("not %s within %v: %v", what, limit, err)
		}
	}
}
