package config

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// withPort adds the default port to an address that names only a host.
func withPort(addr, port string) string {
	if addr == "" {
		return addr
	}
	if ip, err := netip.ParseAddr(strings.Trim(addr, "[]")); err == nil {
		return net.JoinHostPort(ip.String(), port)
	}
	if !strings.Contains(addr, ":") && strings.Trim(addr, "0123456789") != "" {
		return net.JoinHostPort(addr, port)
	}
	return addr
}

// Loopback says whether an address HOST:PORT is reached from this machine only. A name other than localhost is not.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// checkAddr judges HOST:PORT. Port 0 (pick a free one) is good only where something listens.
func checkAddr(addr string, zeroPort bool) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("want HOST:PORT, such as 127.0.0.1:7300")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("port %q: want a number from 1 to 65535", port)
	}
	if n == 0 && !zeroPort {
		return errors.New("port 0 cannot be connected to: name the port that the other side listens on")
	}
	if host == "" && !zeroPort {
		return errors.New("the host is missing: want HOST:PORT")
	}
	return checkHost(host)
}

func checkHost(host string) error {
	if strings.ContainsAny(host, " /@") || len(host) > 253 {
		return fmt.Errorf("host %q: want a name or an IP address", host)
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("host %q: want a name or an IP address", host)
		}
	}
	return nil
}

// NodeName is Node, or the name of a node that was given none: the host's name, followed by the player port when it is not the
// usual one, so that several nodes on one machine differ and a restart keeps its name. With port 0 a random number takes the
// port's place: ask once.
func (c *Config) NodeName() string {
	if c.Node != "" {
		return c.Node
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	host, _, _ = strings.Cut(host, ".")
	host = strings.Map(func(r rune) rune {
		if r < 0x80 && nameByte(byte(r)) {
			return r
		}
		return '-'
	}, host)
	_, port, _ := net.SplitHostPort(c.Listen)
	switch port {
	case "7300", "":
	case "0":
		host = fmt.Sprintf("%.50s-%04x", host, rand.Uint32N(1<<16))
	default:
		host = fmt.Sprintf("%.50s-%s", host, port)
	}
	return fmt.Sprintf("%.64s", host)
}

// nameByte says whether a node's name may have c: the alphabet of player names.
func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
}
