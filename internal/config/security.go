package config

import "net/netip"

// checkSecurity refuses to face a network without authentication, unless --insecure says that this is meant.
func checkSecurity(c *Config) error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return bad("tls-cert", "--tls-cert and --tls-key go together: give both or neither")
	}
	if set := countSet(c.MeshCA, c.MeshCert, c.MeshKey); set != 0 && set != 3 {
		return bad("mesh-ca", "--mesh-ca, --mesh-cert and --mesh-key go together: give all three or none")
	}
	if c.Auth == "jwt" && c.AuthKeyFile == "" {
		return bad("auth", "jwt needs --auth-key-file FILE")
	}
	if c.Auth == "none" && c.AuthKeyFile != "" {
		return bad("auth-key-file", "has no effect with --auth none: add --auth jwt or leave it out")
	}
	for _, network := range c.ProxyNetworks {
		if _, err := netip.ParsePrefix(network); err != nil {
			return bad("proxy-networks", "%q: want a network such as 10.0.0.0/8 or fd00::/8", network)
		}
	}
	if c.Insecure {
		return nil
	}
	if !Loopback(c.Listen) && c.Auth == "none" {
		return bad("listen", "%s can be reached from other machines and players need not prove who they are: listen on 127.0.0.1, or say --insecure", c.Listen)
	}
	if !Loopback(c.Listen) && c.TLSCert == "" && len(c.ProxyNetworks) == 0 {
		return bad("listen", "%s can be reached from other machines and tokens would cross the network in the clear: add --tls-cert and --tls-key, or --proxy-networks of what ends TLS in front; or say --insecure", c.Listen)
	}
	for _, a := range []struct{ key, addr string }{{"mesh", c.Mesh}, {"gossip", c.Gossip}} {
		if !Loopback(a.addr) && (c.MeshCA == "" || c.GossipKeyFile == "") {
			return bad(a.key, "%s can be reached from other machines: beyond loopback nodes need --mesh-ca, --mesh-cert, --mesh-key and --gossip-key-file; or say --insecure", a.addr)
		}
	}
	if !Loopback(c.Admin) && c.AdminTokenFile == "" {
		return bad("admin", "%s can be reached from other machines: listen on 127.0.0.1, add --admin-token-file FILE, or say --insecure", c.Admin)
	}
	return nil
}

func countSet(values ...string) (n int) {
	for _, v := range values {
		if v != "" {
			n++
		}
	}
	return n
}
