package mesh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"
)

// authority is a CA of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key, _ = a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(tmpl *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key, der
}

// config is the TLS configuration of a node with a certificate for name.
func (a *authority) config(name string) *tls.Config {
	_, key, der := a.issue(&x509.Certificate{DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	return &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	with := func(name string) func(*Options) { return func(o *Options) { o.TLS = ca.config(name) } }
	a, z := start(t, id("node_A.1", 1), with("node_A.1")), start(t, id("z", 2), with("z"))
	know(a, z)
	awaitLinks(t, a, z)
	const n = 2000
	for i := range n {
		await(t, "room", func() bool { return a.Send(z.self(), text(uint64(i+1), "x")) == nil })
	}
	await(t, "all", func() bool { return len(z.messages()) == n })
	for i, m := range z.messages() {
		if m.ref != uint64(i+1) {
			t.Fatalf("message %d has ref %d", i, m.ref)
		}
	}
	z.stop()
	await(t, "end", func() bool { return a.counted("down") == 1 })
}

// TestRogues: without a certificate of the CA that names the node, nobody gets in, and nobody lets us in.
func TestRogues(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	z := start(t, id("z", 2), func(o *Options) { o.TLS = ca.config("z") })
	for name, rogue := range map[string]func(*Options){
		"no TLS":           nil,
		"another CA":       func(o *Options) { o.TLS = other.config("m") },
		"it trusts us not": func(o *Options) { o.TLS = ca.config("m"); o.TLS.RootCAs = other.pool },
		"another's name":   func(o *Options) { o.TLS = ca.config("k") },
		"the name in capitals": func(o *Options) {
			o.TLS = ca.config("M")
		},
		"no certificate": func(o *Options) {
			o.TLS = ca.config("m")
			o.TLS.Certificates = nil
			o.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
			o.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
		},
	} {
		before := z.refusals("us", RefusedCertificate)
		m := start(t, id("m", 9), rogue)
		m.SetPeers([]Peer{z.peerOf()})
		z.SetPeers([]Peer{m.peerOf()})
		await(t, name+" is refused: "+m.logged(), func() bool { return z.refusals("us", RefusedCertificate) >= before+2 })
		if z.counted("up") > 0 || m.counted("up") > 0 {
			t.Errorf("%s: linked", name)
		}
		if p := m.Peers(); len(p) != 1 || p[0].DialError == "" {
			t.Errorf("%s: peers %+v", name, p)
		}
		z.SetPeers(nil)
		m.stop()
	}
	if len(z.Peers()) != 0 || !strings.Contains(z.logged(), "certificate") {
		t.Errorf("peers %+v, log %s", z.Peers(), z.logged())
	}
}

func TestTLSNeedsItsOwnCA(t *testing.T) {
	z := start(t, id("z", 2), nil)
	for _, c := range []*tls.Config{{}, {RootCAs: x509.NewCertPool()}} {
		o := z.opt
		o.TLS = c
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "TLS") {
			t.Errorf("New: %v", err)
		}
	}
}
