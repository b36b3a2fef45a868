package deploy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gamed/client"
	"gamed/game"
	"gamed/protocol"
)

// secureStack is a cluster with everything on.
type secureStack struct {
	*stack
	dir string // of the keys
}

// TestComposeSecure: make up SECURE=1 brings up a cluster in which everything is on, on a machine that has nothing but the tree.
func TestComposeSecure(t *testing.T) {
	dir := t.TempDir()
	env := []string{"SECURE=1", "GAMED_SECRETS=" + dir, "COMPOSE_FILE=docker-compose.secure.yml"}
	s := &secureStack{startStack(t, env...), dir}
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"nothing but gamed in the container", s.testLocked},
		{"limits of memory and processes", s.testBounds},
		{"one cluster, seen with a token", s.testMembers},
		{"players with tokens and TLS", s.testPlayers},
		{"a changed gossip key", s.testRotation},
		{"alerts on keys name metrics that exist", s.testAlertsOnKeys},
		{"secrets are not shown", s.testSilence},
	} {
		t.Run(step.name, func(t *testing.T) {
			s.t = t
			defer func() { s.t = nil }()
			step.test(t)
		})
	}
}

func (s *secureStack) testBounds(t *testing.T) {
	for n := range 3 {
		got := s.run("docker", "inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.Config.User}} {{.HostConfig.Privileged}}", s.container(n))
		f := strings.Fields(got)
		if len(f) != 4 || f[0] == "0" || f[1] == "0" || strings.HasPrefix(f[2], "0") || f[2] == "root" || f[3] != "false" {
			t.Errorf("%s: memory, processes, user, privileged: %s", s.node(n), got)
		}
	}
}

// host runs this tree's gamed on this machine.
func (s *secureStack) host(args ...string) (string, error) { return s.try("../bin/gamed", args...) }

func (s *secureStack) file(name string) string { return filepath.Join(s.dir, name) }

// members is how many alive members a node shows to the bearer of a viewer's token.
func (s *secureStack) members(n int) (int, error) {
	out, err := s.host("members", "-o", "json", "--admin", s.admin[n], "--admin-token-file", s.file("viewer.token"))
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	var members []member
	if err := json.Unmarshal([]byte(out), &members); err != nil {
		return 0, err
	}
	alive := 0
	for _, m := range members {
		if m.State == "alive" {
			alive++
		}
	}
	return alive, nil
}

func (s *secureStack) all(want int) func() error {
	return func() error {
		for n := range 3 {
			if alive, err := s.members(n); err != nil || alive != want {
				return fmt.Errorf("%s: %d alive, %w", s.node(n), alive, err)
			}
		}
		return nil
	}
}

func (s *secureStack) testMembers(t *testing.T) {
	s.await(30*time.Second, "three alive on all three", s.all(3))
	if out, err := s.host("members", "--admin", s.admin[0]); err == nil || !strings.Contains(out, "GAMED_ADMIN_TOKEN_FILE") {
		t.Errorf("without a token: %v %s", err, out)
	}
	if out, err := s.host("drain", "gamed-2", "--admin", s.admin[0], "--admin-token-file", s.file("viewer.token")); err == nil || !strings.Contains(out, "operator") {
		t.Errorf("a viewer drains: %v %s", err, out)
	}
}

func (s *secureStack) token(t *testing.T, player string) string {
	t.Helper()
	out, err := s.host("token", "--auth-key-file", s.file("sign.json"), "--cluster", "compose", player)
	if err != nil {
		t.Fatal(out, err)
	}
	return out
}

func (s *secureStack) testPlayers(t *testing.T) {
	ca, err := os.ReadFile(s.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	token := s.token(t, "ann")
	c, err := client.Dial(t.Context(), s.players[:], client.Options{Token: token, TLS: &tls.Config{RootCAs: pool}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Player() != "ann" {
		t.Errorf("the player is %s", c.Player())
	}
	for n := range 3 {
		if f := call(t, c, "bank:", "deposit", game.NewMap().Int("amount", 5)); f.Int("balance") != int64(5*(n+1)) {
			t.Errorf("balance %d", f.Int("balance"))
		}
	}
	if _, err := client.Dial(t.Context(), s.players[:1], client.Options{Name: "ann", TLS: &tls.Config{RootCAs: pool}, DialTimeout: 5 * time.Second}); err == nil || !strings.Contains(err.Error(), string(protocol.CodeBadToken)) {
		t.Errorf("with a name only: %v", err)
	}
	plain, err := net.Dial("tcp", s.players[0]) // comes from the bridge, not from the container's own loopback
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(plain, "hello %s\n", token); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1000)
	n, _ := plain.Read(b)
	if !strings.Contains(string(b[:n]), string(protocol.CodeForbidden)) {
		t.Errorf("without TLS: %q", b[:n])
	}
}

// testRotation changes the gossip key of the running cluster as the operator would.
func (s *secureStack) testRotation(t *testing.T) {
	for _, step := range []string{"--add", "--use", "--drop"} {
		if out, err := s.host("certs", "gossip-key", s.file("gossip.key"), step); err != nil {
			t.Fatal(out, err)
		}
		s.run("sh", "secrets.sh", s.dir)
		for n := range 3 {
			s.run("docker", "kill", "--signal", "HUP", s.container(n))
		}
		time.Sleep(time.Second) // gossip goes on between the steps
		if err := s.all(3)(); err != nil {
			t.Fatalf("after %s: %v", step, err)
		}
	}
}

// testAlertsOnKeys: a node with certificates tells when they end, to who has a viewer's token.
func (s *secureStack) testAlertsOnKeys(t *testing.T) {
	token, err := os.ReadFile(s.file("viewer.token"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.admin[0]+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `gamed_node_certificate_not_after_seconds{what="mesh_certificate"}`) {
		t.Errorf("/metrics: %s %v", resp.Status, err)
	}
}

// testSilence: neither the logs nor what docker knows of the containers has a secret.
func (s *secureStack) testSilence(t *testing.T) {
	said := s.run("docker-compose", "-p", s.project, "logs", "--no-color")
	for n := range 3 {
		said += s.run("docker", "inspect", s.container(n))
	}
	if len(said) < 2000 || !strings.Contains(said, "read again") {
		t.Fatalf("%d bytes are no search", len(said))
	}
	for _, name := range []string{"gossip.key", "players.key", "gamed-1.key", "operator.token", "viewer.token"} {
		text, err := os.ReadFile(s.file(name))
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(text)) {
			if l = strings.TrimSpace(l); len(l) > 15 && l[0] != '#' && l[0] != '-' && strings.Contains(said, l) {
				t.Errorf("%s is shown", name)
			}
		}
	}
}
