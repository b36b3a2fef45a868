package listener

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gamed/internal/auth"
	"gamed/protocol"
)

// writeCert writes a new self-signed certificate for name.
func writeCert(t testing.TB, certFile, keyFile, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// files are those of a certificate that can be loaded again.
type files struct {
	*auth.Certificate
	cert, key string
}

func startTLS(t testing.TB, h Handler, change func(*Options)) (*Server, files) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCert(t, certFile, keyFile, "one.test")
	cert, err := auth.LoadCertificate(certFile, keyFile, "")
	if err != nil {
		t.Fatal(err)
	}
	return start(t, h, func(o *Options) {
		o.TLS = cert.Server()
		if change != nil {
			change(o)
		}
	}), files{cert, certFile, keyFile}
}

func dialTLS(t testing.TB, s *Server, change func(*tls.Config)) (*peer, *tls.Conn) {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true}
	if change != nil {
		change(cfg)
	}
	conn, err := tls.Dial("tcp", s.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, conn), conn
}

func TestTLS(t *testing.T) {
	h := newEcho()
	s, cert := startTLS(t, h, nil)
	p, conn := dialTLS(t, s, nil)
	if st := conn.ConnectionState(); st.Version != tls.VersionTLS13 || st.PeerCertificates[0].Subject.CommonName != "one.test" {
		t.Fatalf("version %x, certificate %v", st.Version, st.PeerCertificates[0].Subject)
	}
	p.hello("ann")
	big := strings.Repeat("z", 60_000)
	for ref := range uint64(20) {
		p.send(call(ref+1, "small"), call(ref+101, big))
		p.expectReply(ref+1, "small")
		p.expectReply(ref+101, big)
	}
	p.send(raw(0xc0))
	p.expectGoaway(protocol.CodeBadFrame) // and close_notify: the reader sees a clean end
	if r := h.reason(t); r != ReasonBadFrame {
		t.Fatalf("reason %v", r)
	}

	text, _ := dialTLS(t, s, nil)
	text.send([]byte("[1,{\"v\":1,\"name\":\"bob\"}]\n"))
	if l := text.line(); !strings.HasPrefix(l, `[2,{"player":"bob"`) {
		t.Fatal(l)
	}
	plain := dial(t, s) // the same port speaks without TLS too
	plain.hello("cid")

	writeCert(t, cert.cert, cert.key, "two.test")
	if err := cert.Reload(); err != nil {
		t.Fatal(err)
	}
	_, conn = dialTLS(t, s, nil)
	if name := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; name != "two.test" {
		t.Fatalf("after reload: %s", name)
	}
	if err := os.WriteFile(cert.key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cert.Reload(); err == nil {
		t.Fatal("a broken key was accepted")
	}
	_, conn = dialTLS(t, s, nil)
	if name := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; name != "two.test" {
		t.Fatalf("after a failed reload: %s", name)
	}
}

func TestTLSRefusals(t *testing.T) {
	plainOnly(t)
	s, _ := startTLS(t, newEcho(), nil)
	if _, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Fatal("TLS 1.2 was accepted")
	}
	p := dial(t, s)
	p.send([]byte("\x16garbage that is no handshake"))
	_ = p.frameOrEnd()
	await(t, "both failed", func() bool { return value(t, s.m.closed[ReasonTLS]) == 2 })
	inner, _ := dialTLS(t, s, nil)
	inner.send([]byte{0x16}) // TLS in TLS
	inner.expectClosed()
	await(t, "refused", func() bool { return value(t, s.m.closed[ReasonGarbage]) == 1 })
}

// The time for HELLO includes the handshake.
func TestTLSSilence(t *testing.T) {
	plainOnly(t)
	s, _ := startTLS(t, newEcho(), func(o *Options) { o.HelloTimeout = short })
	p := dial(t, s)
	begun := time.Now()
	p.send([]byte{0x16, 3, 1, 0, 100})
	p.drip()
	_ = p.frameOrEnd()
	if d := time.Since(begun); d < short-tick || d > 5*time.Second {
		t.Fatalf("closed after %v", d)
	}
	quiet, _ := dialTLS(t, s, nil)
	quiet.expectClosed()
}

func TestTLSSlowClient(t *testing.T) {
	h := newEcho()
	s, _ := startTLS(t, h, slowOptions)
	p, conn := dialTLS(t, s, nil)
	_ = conn.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10)
	p.hello("ann")
	c := h.only(t)
	frame := protocol.AppendPush(nil, "chat:x", 1, "said", protocol.AppendStr(nil, strings.Repeat("x", 8000)))
	await(t, "closed", func() bool {
		for range 10 {
			c.Send(frame)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.closed) > 0
	})
	if r := h.reason(t); r != ReasonSlowConsumer {
		t.Fatalf("reason %v", r)
	}
	for { // what was sealed arrives whole and in order, then GOAWAY
		body := p.frame()
		if g, ok := protocol.ParseGoaway(body); ok {
			if g.Code != protocol.CodeSlowConsumer {
				t.Fatalf("%+v", g)
			}
			break
		}
	}
}
