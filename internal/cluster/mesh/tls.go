package mesh

import (
	"crypto/tls"
	"fmt"
	"slices"
)

// serverTLS is base for accepted connections: the peer must show a certificate of the mesh's own CA.
func serverTLS(base *tls.Config) *tls.Config {
	c := base.Clone()
	c.MinVersion = tls.VersionTLS13
	c.ClientAuth = tls.RequireAndVerifyClientCert
	if c.ClientCAs == nil {
		c.ClientCAs = c.RootCAs
	}
	c.NextProtos = nil
	return c
}

// clientTLS is base for a connection to the node of that name, which its certificate must name.
func clientTLS(base *tls.Config, name string) *tls.Config {
	c := base.Clone()
	c.MinVersion = tls.VersionTLS13
	c.ServerName = name
	c.InsecureSkipVerify = false
	c.NextProtos = nil
	return c
}

// certified checks that the peer's verified certificate names the node exactly: the letter's case counts, as in node names, and
// wildcards do not.
func certified(c *tls.Conn, name string) error {
	certs := c.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return fmt.Errorf("no certificate for node %s", name)
	}
	if !slices.Contains(certs[0].DNSNames, name) {
		return fmt.Errorf("the certificate is for %q, not for node %s", certs[0].DNSNames, name)
	}
	return nil
}
