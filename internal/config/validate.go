package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Error is a setting that cannot be used. Its text names the setting, says what is wrong and what to do, in one line.
type Error struct {
	Key    string // the setting, "" when it is about none in particular
	Origin Origin // where the value came from; zero when unknown
	Reason string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Key != "" {
		b.WriteString("--" + e.Key)
		if e.Origin.Kind == FromEnv || e.Origin.Kind == FromFile {
			b.WriteString(" (" + e.Origin.String() + ")")
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return strings.Join(strings.FieldsFunc(b.String(), func(r rune) bool { return r < ' ' || r == 0x7f }), " ") // one line, whatever a file holds
}

func bad(key, format string, args ...any) error {
	return &Error{Key: key, Reason: fmt.Sprintf(format, args...)}
}

// Validate says what is wrong with the configuration, nil when a node can start with it. It touches neither network nor disk.
func (c *Config) Validate() error {
	for _, check := range []func(*Config) error{checkNames, checkAddresses, checkRanges, checkWords, checkStore, checkSecurity, checkForming, checkBuilt} {
		if err := check(c); err != nil {
			return err
		}
	}
	return nil
}

func checkNames(c *Config) error {
	for _, n := range []struct{ key, name string }{{"node", c.Node}, {"cluster", c.Cluster}} {
		if n.name == "" && n.key == "node" {
			continue
		}
		if len(n.name) < 1 || len(n.name) > 64 || strings.ContainsFunc(n.name, func(r rune) bool { return r >= 0x80 || !nameByte(byte(r)) }) {
			return bad(n.key, "%q: want 1 to 64 of A-Z a-z 0-9 _ . -", n.name)
		}
	}
	return nil
}

func checkAddresses(c *Config) error {
	for _, a := range []struct{ key, addr string }{{"listen", c.Listen}, {"mesh", c.Mesh}, {"gossip", c.Gossip}, {"admin", c.Admin}} {
		if err := checkAddr(a.addr, true); err != nil {
			return bad(a.key, "%q: %v", a.addr, err)
		}
	}
	if c.Advertise != "" {
		if err := checkHost(c.Advertise); err != nil {
			return bad("advertise", "%v (without a port)", err)
		}
	}
	if c.AdvertisePlayers != "" {
		if err := checkAddr(c.AdvertisePlayers, false); err != nil {
			return bad("advertise-players", "%q: %v", c.AdvertisePlayers, err)
		}
	}
	for _, j := range c.Join {
		if err := checkAddr(strings.TrimPrefix(j, "dns+"), false); err != nil {
			return bad("join", "%q: %v; name the gossip address of a node, such as 10.0.0.1:7302, or dns+NAME:7302", j, err)
		}
	}
	return nil
}

func checkRanges(c *Config) error {
	for _, n := range []struct {
		key            string
		v, least, most int
	}{{"expect", c.Expect, 0, 1000}, {"rate-limit", c.RateLimit, 0, 1_000_000}, {"workers", c.Workers, 0, 4096}} {
		if n.v < n.least || n.v > n.most {
			return bad(n.key, "%d: want %d to %d", n.v, n.least, n.most)
		}
	}
	for _, d := range []struct {
		key            string
		v, least, most time.Duration
	}{{"heartbeat", c.Heartbeat, 100 * time.Millisecond, 10 * time.Minute}, {"session-ttl", c.SessionTTL, 100 * time.Millisecond, 24 * time.Hour},
		{"drain-timeout", c.DrainTimeout, 0, 24 * time.Hour}} {
		if d.v < d.least || d.v > d.most {
			return bad(d.key, "%v: want %v to %v", d.v, d.least, d.most)
		}
	}
	return nil
}

func checkWords(c *Config) error {
	for _, w := range []struct{ key, v, words string }{
		{"policy", c.Policy, "available quorum"}, {"ack", c.Ack, "replicated local"}, {"dispatch", c.Dispatch, "sharded single per-player"},
		{"restore", c.Restore, "lazy eager"}, {"auth", c.Auth, "none jwt"}, {"log-level", c.LogLevel, "debug info warn error"},
		{"log-format", c.LogFormat, "text json"},
	} {
		list := strings.Fields(w.words)
		if !slices.Contains(list, w.v) {
			return bad(w.key, "%q: want %s%s", w.v, strings.Join(list, " or "), didYouMean(w.v, list))
		}
	}
	return nil
}

func checkStore(c *Config) error {
	switch {
	case c.Store == "mem" && c.DataDir != "":
		return bad("data-dir", "--store mem keeps nothing on disk: leave one of the two out (a data directory alone means --store bolt)")
	case c.Store == "bolt" && c.DataDir == "":
		return bad("store", "bolt needs --data-dir DIR")
	case c.Store == "mem", c.Store == "bolt":
		return nil
	case strings.HasPrefix(c.Store, "postgres://"), strings.HasPrefix(c.Store, "postgresql://"):
		if c.DataDir != "" {
			return bad("data-dir", "a node with a PostgreSQL store keeps nothing on disk: leave --data-dir out")
		}
		return nil
	}
	return bad("store", "want mem, bolt or postgres://USER@HOST/DATABASE") // not the value: it may be a password in the wrong place
}

func checkForming(c *Config) error {
	if c.Policy == "quorum" && c.Expect == 0 && len(c.Join) == 0 {
		return bad("policy", "quorum needs to know the cluster: add --expect N to form a new one, or --join HOST:PORT to join one")
	}
	return nil
}

// checkBuilt refuses what the build does not have, so that nobody believes to have it.
func checkBuilt(c *Config) error {
	for _, f := range []struct {
		key   string
		wants bool
		what  string
	}{
		{"store", c.Store != "mem", "a store on disk or in a database"},
		{"restore", c.Restore == "eager", "restore eager"},
	} {
		if f.wants {
			return bad(f.key, "%s is not supported by this build yet: leave it out", f.what)
		}
	}
	return nil
}
