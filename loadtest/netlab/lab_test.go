package netlab

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab makes a network until the test ends, or skips it.
func lab(t *testing.T, hosts ...string) *Lab {
	t.Helper()
	if err := Check(); err != nil {
		t.Skip(err)
	}
	l, err := New(t.Context(), hosts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		entries, err := os.ReadDir(runFolder)
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), l.prefix) {
				t.Errorf("%s is left", e.Name())
			}
		}
	})
	return l
}

// answering runs a process on the host that greets whoever connects to its port, and gives the address.
func answering(t *testing.T, l *Lab, host string) string {
	t.Helper()
	if os.Getenv("NETLAB_ANSWER") != "" {
		t.Fatal("nested")
	}
	addr := l.Addr(host) + ":7000"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := l.Command(host, self, "-test.run=^TestAnswer$")
	cmd.Env = append(os.Environ(), "NETLAB_ANSWER="+addr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	limit, tick := time.After(5*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for greeted(t.Context(), l, host, addr, time.Second) != nil {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s does not answer", host)
		}
	}
	return addr
}

// TestAnswer is the process of answering.
func TestAnswer(t *testing.T) {
	addr := os.Getenv("NETLAB_ANSWER")
	if addr == "" {
		t.Skip("run by the other tests")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "hello")
		c.Close()
	}
}

func greeted(ctx context.Context, l *Lab, from, addr string, limit time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	c, err := l.Dial(ctx, from, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	b, err := io.ReadAll(c)
	if err == nil && string(b) != "hello" {
		err = errors.New("another answer")
	}
	return err
}

// TestCuts: what is cut does not pass, the rest does, and a heal mends it.
func TestCuts(t *testing.T) {
	l := lab(t, "a", "b", "c")
	at := map[string]string{"a": answering(t, l, "a"), "b": answering(t, l, "b"), "c": answering(t, l, "c")}
	for name, c := range map[string]struct {
		cuts []Cut
		dead string // pairs FROM-TO that cannot talk over TCP
	}{
		"whole":    {nil, ""},
		"split":    {Split([]string{"a"}, []string{"b", "c"}), "ab ba ac ca"},
		"three":    {Split([]string{"a"}, []string{"b"}, []string{"c"}), "ab ba ac ca bc cb"},
		"link":     {Link("b", "c", All), "bc cb"},
		"one way":  {[]Cut{{From: "a", To: "b"}}, "ab ba"}, // a handshake needs both
		"tcp":      {Link("a", "b", TCP), "ab ba"},
		"udp":      {Link("a", "b", UDP), ""},
		"all lost": {[]Cut{{From: "a", To: "b", Percent: 100}}, "ab ba"},
	} {
		if err := l.Cut(c.cuts...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, from := range []string{"a", "b", "c", Outside} {
			for to, addr := range at {
				if from == to {
					continue
				}
				err := greeted(t.Context(), l, from, addr, 150*time.Millisecond)
				if dead := strings.Contains(c.dead, from+to); dead != (err != nil) {
					t.Errorf("%s: from %s to %s: %v", name, from, to, err)
				}
			}
		}
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := greeted(t.Context(), l, "a", at["b"], time.Second); err != nil {
		t.Errorf("after the heal: %v", err)
	}
}

func TestWrongCutsAreRefused(t *testing.T) {
	l := &Lab{addrs: map[string]string{"a": "10.77.0.1", "b": "10.77.0.2"}}
	for _, c := range []Cut{{}, {From: "a", To: "x"}, {From: "a", To: "a"}, {From: "a", To: "b", Kind: "icmp"}, {From: "a", To: "b", Percent: 101}} {
		if s, err := l.script([]Cut{c}); err == nil {
			t.Errorf("%+v: %s", c, s)
		}
	}
}
