package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// CA signs certificates of nodes.
type CA struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Pair is a certificate and its key, both PEM.
type Pair struct{ Cert, Key []byte }

// clockSlack is how long before they are made certificates begin to be good.
const clockSlack = time.Hour

// NewCA makes a CA that signs for a cluster until life has passed.
func NewCA(cluster string, life time.Duration) (*CA, Pair, error) {
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: "gamed " + cluster}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	a := &CA{}
	p, err := a.issue(tmpl, life)
	if err != nil {
		return nil, Pair{}, err
	}
	a, err = ParseCA(p)
	return a, p, err
}

// ParseCA reads a CA that signs.
func ParseCA(p Pair) (*CA, error) {
	c, _ := pem.Decode(p.Cert)
	k, _ := pem.Decode(p.Key)
	if c == nil || k == nil {
		return nil, errors.New("CA: want a certificate and a key in PEM form")
	}
	cert, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(k.Bytes)
	if err != nil {
		return nil, errors.New("CA key: want PKCS #8") // the error might quote it
	}
	signer, ok := key.(crypto.Signer)
	if !ok || !cert.IsCA {
		return nil, errors.New("CA: the certificate is none of a CA, or its key cannot sign")
	}
	return &CA{cert, signer}, nil
}

// Node makes the certificate of a node for the mesh: for its name, as client and server.
func (a *CA) Node(name string, life time.Duration) (Pair, error) {
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	p, err := a.issue(tmpl, life)
	if err != nil {
		return Pair{}, err
	}
	if err := a.good(p, name); err != nil {
		return Pair{}, fmt.Errorf("node %q: a certificate cannot be for this name: want the form of a host's name, such as gamed-1: %w", name, err)
	}
	return p, nil
}

// Server makes a certificate for hosts, DNS names or addresses, such as that of the player port.
func (a *CA) Server(life time.Duration, hosts ...string) (Pair, error) {
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: hosts[0]}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	p, err := a.issue(tmpl, life)
	if err != nil {
		return Pair{}, err
	}
	return p, a.good(p, hosts[0])
}

// good checks a certificate as the other side will.
func (a *CA) good(p Pair, host string) error {
	block, _ := pem.Decode(p.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

// issue signs a certificate with a key of its own; a CA without a certificate signs itself.
func (a *CA) issue(tmpl *x509.Certificate, life time.Duration) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make key: %w", err)
	}
	if tmpl.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return Pair{}, fmt.Errorf("make serial number: %w", err)
	}
	now := time.Now()
	tmpl.NotBefore, tmpl.NotAfter = now.Add(-clockSlack), now.Add(life)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	} else if tmpl.NotAfter.After(parent.NotAfter) {
		tmpl.NotAfter = parent.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, fmt.Errorf("make certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("make key: %w", err)
	}
	return Pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})}, nil
}

// Write writes both halves: FILE.pem, which everybody may read, and FILE.key, which only its owner may.
func (p Pair) Write(file string) error {
	if err := WriteFile(file+".key", p.Key); err != nil {
		return err
	}
	if err := os.WriteFile(file+".pem", p.Cert, 0o644); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	return nil
}

// ReadPair reads what Write wrote.
func ReadPair(file string) (p Pair, err error) {
	if p.Cert, err = readFile(file + ".pem"); err == nil {
		p.Key, err = readFile(file + ".key")
	}
	return p, err
}
