package hostile

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gamed/protocol"
)

// vault is a directory with the keys and certificates of a cluster, made by gamed's own commands.
type vault struct {
	t   testing.TB
	dir string
}

// newVault makes all that nodes of these names and a player port on loopback need.
func newVault(t testing.TB, names ...string) *vault {
	t.Helper()
	v := &vault{t: t, dir: t.TempDir()}
	v.gamed("certs", "ca", v.dir)
	v.gamed(append([]string{"certs", "node", v.dir}, names...)...)
	v.gamed("certs", "server", v.dir, "players", "127.0.0.1", "localhost")
	v.gamed("certs", "gossip-key", v.file("gossip.key"))
	v.gamed("token", "--new-key", "EdDSA", "--kid", "first", "--auth-key-file", v.file("sign.json"), "--public", v.file("check.json"))
	v.write("operator.token", v.gamed("certs", "admin-token", v.file("admin.tokens"), "--role", "operator", "--name", "otto"))
	return v
}

func (v *vault) file(name string) string { return filepath.Join(v.dir, name) }

func (v *vault) write(name, text string) {
	v.t.Helper()
	if err := os.WriteFile(v.file(name), []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) read(name string) string {
	v.t.Helper()
	b, err := os.ReadFile(v.file(name))
	if err != nil {
		v.t.Fatal(err)
	}
	return string(b)
}

// gamed runs a command and gives what it printed.
func (v *vault) gamed(args ...string) string {
	v.t.Helper()
	cmd := exec.Command(gamed, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		v.t.Fatalf("gamed %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

// cluster are the flags of a node's part in the cluster: mesh and gossip.
func (v *vault) cluster(name string) []string {
	return []string{"--node", name, "--mesh-ca", v.file("ca.pem"), "--mesh-cert", v.file(name + ".pem"), "--mesh-key", v.file(name + ".key"),
		"--gossip-key-file", v.file("gossip.key")}
}

// players are the flags of what players and operators meet.
func (v *vault) players() []string {
	return []string{"--auth", "jwt", "--auth-key-file", v.file("check.json"), "--tls-cert", v.file("players.pem"), "--tls-key", v.file("players.key"),
		"--admin-token-file", v.file("admin.tokens")}
}

// token is one for a player; more are flags of gamed token.
func (v *vault) token(player string, more ...string) string {
	v.t.Helper()
	return strings.TrimSpace(v.gamed(append([]string{"token", "--auth-key-file", v.file("sign.json"), player}, more...)...))
}

// dialTLS is dial inside TLS, the certificate checked.
func (v *vault) dialTLS(addr string) *peer {
	v.t.Helper()
	text, err := os.ReadFile(v.file("ca.pem"))
	if err != nil {
		v.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
	if err != nil {
		v.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	v.t.Cleanup(func() { _ = c.Close() })
	return wrapPeer(c)
}

func helloWith(token, session string) []byte {
	return protocol.AppendHello(nil, protocol.Hello{V: protocol.Version, Token: token, HasToken: true, Session: session})
}
