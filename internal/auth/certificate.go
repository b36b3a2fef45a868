package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// Certificate is a certificate that can be replaced while connections go on: those that begin later get the new one.
type Certificate struct {
	certFile, keyFile string
	name              string // which it must be for; "" for any
	now               atomic.Pointer[tls.Certificate]
}

// LoadCertificate reads a certificate chain and its key, both PEM. A name that is not empty must be among its DNS names, letter
// for letter.
func LoadCertificate(certFile, keyFile, name string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, name: name}
	return c, c.Reload()
}

// Reload reads the files again. When that fails the certificate in use stays.
func (c *Certificate) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load certificate %s and key %s: %w", c.certFile, c.keyFile, err)
	}
	if c.name != "" && !slices.Contains(pair.Leaf.DNSNames, c.name) {
		return fmt.Errorf("certificate %s is for %q, not for %s: make one with gamed certs node DIR %s", c.certFile, pair.Leaf.DNSNames, c.name, c.name)
	}
	c.now.Store(&pair)
	return nil
}

// NotAfter is when the certificate in use is over.
func (c *Certificate) NotAfter() time.Time { return c.now.Load().Leaf.NotAfter }

// Server is a configuration for a server that always shows the present certificate.
func (c *Certificate) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: c.toClient}
}

// Mutual is a configuration for both sides of a connection between holders of certificates of a CA.
func (c *Certificate) Mutual(ca *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca, ClientCAs: ca, GetCertificate: c.toClient,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.now.Load(), nil }}
}

func (c *Certificate) toClient(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.now.Load(), nil
}

// LoadCA reads the certificates of the CA that others' certificates must come from, PEM.
func LoadCA(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("CA " + file + " has no certificate in PEM form")
	}
	return pool, nil
}
