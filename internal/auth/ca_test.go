package auth

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// office is a CA in a directory.
func office(t *testing.T) (dir string, ca *CA, pool *x509.CertPool) {
	t.Helper()
	dir = t.TempDir()
	ca, p, err := NewCA("show", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(filepath.Join(dir, "ca")); err != nil {
		t.Fatal(err)
	}
	if pool, err = LoadCA(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	return dir, ca, pool
}

func node(t *testing.T, dir string, ca *CA, name string) *Certificate {
	t.Helper()
	p, err := ca.Node(name, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := p.Write(file); err != nil {
		t.Fatal(err)
	}
	c, err := LoadCertificate(file+".pem", file+".key", name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shake is a handshake of a client that expects a node of that name.
func shake(server, client *tls.Config, name string) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server.ClientAuth = tls.RequireAndVerifyClientCert
	client.ServerName = name
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte{1})
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	_, err := c.Read(make([]byte, 1)) // the server judges the client after the client's handshake
	b.Close()
	if other := <-done; err == nil {
		err = other
	}
	return err
}

func TestNodesKnowEachOtherByTheirCA(t *testing.T) {
	dir, ca, pool := office(t)
	a, b := node(t, dir, ca, "gamed-1"), node(t, dir, ca, "Node_2.x")
	if err := shake(a.Mutual(pool), b.Mutual(pool), "gamed-1"); err != nil {
		t.Error(err)
	}
	if err := shake(b.Mutual(pool), a.Mutual(pool), "Node_2.x"); err != nil {
		t.Error(err)
	}
	if err := shake(a.Mutual(pool), b.Mutual(pool), "gamed-2"); err == nil {
		t.Error("another name was taken")
	}
	otherDir, otherCA, otherPool := office(t)
	stranger := node(t, otherDir, otherCA, "gamed-1")
	if err := shake(stranger.Mutual(pool), b.Mutual(pool), "gamed-1"); err == nil {
		t.Error("another CA's server was taken")
	}
	if err := shake(a.Mutual(pool), stranger.Mutual(pool), "gamed-1"); err == nil {
		t.Error("another CA's client was taken")
	}
	if err := shake(a.Mutual(pool), b.Mutual(otherPool), "gamed-1"); err == nil {
		t.Error("a client trusts a CA it was not told of")
	}
	if life := time.Until(a.NotAfter()); life > time.Hour {
		t.Errorf("a certificate lives %v, longer than its CA", life)
	}
	p, err := ca.Server(time.Hour, "127.0.0.1", "game.example")
	if err != nil {
		t.Fatal(err)
	}
	server, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	asClient := a.Mutual(pool)
	asClient.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &server, nil }
	if err := shake(b.Mutual(pool), asClient, "Node_2.x"); err == nil {
		t.Error("the players' certificate passes as a node's")
	}
}

func TestNamesThatNoCertificateCanHave(t *testing.T) {
	dir, ca, _ := office(t)
	for _, name := range []string{"10.0.0.1", "::1"} {
		if _, err := ca.Node(name, time.Hour); err == nil || !strings.Contains(err.Error(), "gamed-1") {
			t.Errorf("%q: %v", name, err)
		}
	}
	node(t, dir, ca, "a")
	if _, err := LoadCertificate(filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key"), "b"); err == nil || !strings.Contains(err.Error(), "gamed certs node DIR b") {
		t.Errorf("a certificate of another name: %v", err)
	}
	for _, file := range []string{"a.key", "ca.key"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
	again, err := ReadPair(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCA(again); err != nil {
		t.Error(err)
	}
	plain, err := ReadPair(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	for what, p := range map[string]Pair{"a node's": plain, "nothing": {}, "no key": {Cert: again.Cert, Key: again.Cert}} {
		if _, err := ParseCA(p); err == nil {
			t.Errorf("%s passes as a CA", what)
		}
	}
}

func TestABrokenCertificateChangesNothing(t *testing.T) {
	dir, ca, _ := office(t)
	c := node(t, dir, ca, "a")
	before := c.now.Load()
	if err := os.WriteFile(filepath.Join(dir, "a.pem"), []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); err == nil || c.now.Load() != before {
		t.Errorf("broken: %v", err)
	}
	p, err := ca.Node("b", time.Hour) // right in itself, of another node
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); err == nil || c.now.Load() != before {
		t.Errorf("another's: %v", err)
	}
	if _, err := LoadCA(filepath.Join(dir, "a.key")); err == nil {
		t.Error("a key passes as a CA")
	}
}
