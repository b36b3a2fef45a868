package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func flags(kv ...string) Input {
	in := Input{Flags: map[string][]string{}}
	for _, s := range kv {
		k, v, _ := strings.Cut(s, "=")
		in.Flags[k] = append(in.Flags[k], v)
	}
	return in
}

func TestDefaultsAreValidAndAsDocumented(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:7300" || c.Mesh != "127.0.0.1:7301" || c.Gossip != "127.0.0.1:7302" || c.Admin != "127.0.0.1:7303" {
		t.Errorf("addresses: %+v", c)
	}
	if c.RateLimit != 60 || c.Heartbeat != 15*time.Second || c.SessionTTL != time.Minute || c.DrainTimeout != time.Minute {
		t.Errorf("limits: %+v", c)
	}
	if c.Store != "mem" || c.Policy != "available" || c.Ack != "replicated" || c.Dispatch != "sharded" || c.Auth != "none" || c.Insecure {
		t.Errorf("modes: %+v", c)
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Fields() {
		if f.Key == "" || f.Doc == "" || seen[f.Key] || (f.Arg == "") != f.Switch {
			t.Errorf("field %+v: key, doc or arg is missing or double", f)
		}
		seen[f.Key] = true
	}
}

func TestFlagValues(t *testing.T) {
	for _, tc := range []struct {
		in   Input
		key  string
		want string
	}{
		{flags("rate-limit=off"), "rate-limit", "off"},
		{flags("rate-limit=0"), "rate-limit", "off"},
		{flags("rate-limit=5"), "rate-limit", "5"},
		{flags("listen=127.0.0.1:0"), "listen", "127.0.0.1:0"},
		{flags("listen=127.0.0.9"), "listen", "127.0.0.9:7300"},
		{flags("gossip=::1"), "gossip", "[::1]:7302"},
		{flags("mesh=localhost"), "mesh", "localhost:7301"},
		{flags("join=10.0.0.1:7302,10.0.0.2:7302", "join=dns+gamed:7302"), "join", "10.0.0.1:7302,10.0.0.2:7302,dns+gamed:7302"},
		{flags("heartbeat=250ms"), "heartbeat", "250ms"},
		{flags("insecure=true", "listen=:7300"), "listen", ":7300"},
		{flags("ack=local"), "ack", "local"},
		{flags("dispatch=per-player"), "dispatch", "per-player"},
	} {
		l, err := Load(tc.in)
		if err != nil {
			t.Errorf("%v: %v", tc.in.Flags, err)
			continue
		}
		f, _ := Lookup(tc.key)
		if got := f.Show(&l.Config); got != tc.want {
			t.Errorf("%v: %s = %q, want %q", tc.in.Flags, tc.key, got, tc.want)
		}
		if o := l.Origin(tc.key); o.Kind != FromFlag {
			t.Errorf("%v: origin of %s is %v", tc.in.Flags, tc.key, o)
		}
	}
}

// Each refusal names the setting and tells what to do.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		in   Input
		want []string
	}{
		{flags("node=a b"), []string{"--node", "1 to 64"}},
		{flags("cluster="), []string{"--cluster"}},
		{flags("listen=7300"), []string{"--listen", "HOST:PORT"}},
		{flags("listen=127.0.0.1:99999"), []string{"--listen", "65535"}},
		{flags("listen=0.0.0.0:7300"), []string{"--listen", "--insecure"}},
		{flags("listen=:7300"), []string{"--listen", "--insecure"}},
		{flags("listen=example.org:7300"), []string{"--listen", "--insecure"}},
		{flags("mesh=0.0.0.0:7301"), []string{"--mesh", "--mesh-ca", "--gossip-key-file", "--insecure"}},
		{flags("gossip=10.0.0.1:7302"), []string{"--gossip", "--gossip-key-file"}},
		{flags("admin=0.0.0.0:7303"), []string{"--admin", "--admin-token-file"}},
		{flags("advertise=a:1"), []string{"--advertise", "without a port"}},
		{flags("advertise-players=game.example"), []string{"--advertise-players", "HOST:PORT"}},
		{flags("join=10.0.0.1"), []string{"--join", "dns+NAME:7302"}},
		{flags("join=10.0.0.1:0"), []string{"--join", "port 0"}},
		{flags("join=:7302"), []string{"--join", "host is missing"}},
		{flags("expect=-1"), []string{"--expect"}},
		{flags("expect=three"), []string{"--expect", "whole number"}},
		{flags("rate-limit=many"), []string{"--rate-limit", "or off"}},
		{flags("heartbeat=15"), []string{"--heartbeat", "15s"}},
		{flags("heartbeat=1ms"), []string{"--heartbeat", "100ms"}},
		{flags("policy=quorun"), []string{"--policy", "did you mean quorum"}},
		{flags("policy=quorum"), []string{"--policy", "--expect", "--join"}},
		{flags("store=mem", "data-dir=/tmp/x"), []string{"--data-dir", "mem"}},
		{flags("data-dir=/tmp/x"), []string{"--store", "not supported by this build yet"}},
		{flags("store=bolt"), []string{"--store", "--data-dir"}},
		{flags("store=postgres://h/d"), []string{"--store", "not supported by this build yet"}},
		{flags("store=secret"), []string{"--store", "mem, bolt or postgres://"}},
		{flags("restore=eager"), []string{"--restore", "not supported"}},
		{flags("auth=jwt"), []string{"--auth", "--auth-key-file"}},
		{flags("auth=jwt", "auth-key-file=k", "listen=0.0.0.0"), []string{"--listen", "--tls-cert", "--proxy-networks", "--insecure"}},
		{flags("tls-cert=c", "tls-key=k", "listen=0.0.0.0"), []string{"--listen", "prove who they are", "--insecure"}},
		{flags("proxy-networks=10.0.0.1"), []string{"--proxy-networks", "10.0.0.0/8"}},
		{flags("mesh=0.0.0.0", "gossip-key-file=k"), []string{"--mesh", "--mesh-ca"}},
		{flags("gossip=0.0.0.0", "mesh-ca=c", "mesh-cert=c", "mesh-key=k"), []string{"--gossip", "--gossip-key-file"}},
		{flags("auth-key-file=k"), []string{"--auth-key-file", "no effect"}},
		{flags("tls-cert=c"), []string{"--tls-cert", "--tls-key"}},
		{flags("mesh-ca=c"), []string{"--mesh-ca", "all three"}},
		{flags("log-level=loud"), []string{"--log-level", "debug or info"}},
		{Input{Env: []string{"GAMED_JION=a:1"}}, []string{"GAMED_JION", "GAMED_JOIN"}},
		{Input{Env: []string{"GAMED_EXPECT=x"}}, []string{"--expect", "env GAMED_EXPECT"}},
		{Input{Env: []string{"GAMED_STORE=mem", "GAMED_STORE_FILE=/nowhere"}}, []string{"--store", "use one"}},
		{Input{Env: []string{"GAMED_STORE_FILE=/nowhere"}}, []string{"--store", "GAMED_STORE_FILE", "no such file"}},
		{Input{File: "/nowhere.yaml"}, []string{"/nowhere.yaml"}},
	} {
		l, err := Load(tc.in)
		if err == nil {
			t.Errorf("%+v: taken: %+v", tc.in, l.Config)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: %q does not mention %q", tc.in, err, w)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: not one line: %q", tc.in, err)
		}
	}
}

func TestInsecureAllowsAllAddresses(t *testing.T) {
	if _, err := Load(flags("insecure=true", "listen=0.0.0.0", "mesh=0.0.0.0", "gossip=0.0.0.0", "admin=0.0.0.0")); err != nil {
		t.Fatal(err)
	}
}

// TestEverythingOnAllowsAllAddresses: with all there is for security on, --insecure is not needed for any address.
func TestEverythingOnAllowsAllAddresses(t *testing.T) {
	on := []string{"listen=0.0.0.0", "mesh=0.0.0.0", "gossip=0.0.0.0", "admin=0.0.0.0", "auth=jwt", "auth-key-file=a", "tls-cert=c", "tls-key=k",
		"mesh-ca=c", "mesh-cert=c", "mesh-key=k", "gossip-key-file=g", "admin-token-file=t"}
	if _, err := Load(flags(on...)); err != nil {
		t.Fatal(err)
	}
	for i, part := range on { // and each part is needed
		if key, _, _ := strings.Cut(part, "="); key == "listen" || key == "mesh" || key == "gossip" || key == "admin" {
			continue
		}
		if _, err := Load(flags(append(slices.Clone(on[:i]), on[i+1:]...)...)); err == nil {
			t.Errorf("without %s: taken", part)
		}
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gamed.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLaterSourcesWin(t *testing.T) {
	path := write(t, "# a node\nnode: from-file\nexpect: 2\nheartbeat: 3s\nrate-limit: off\njoin:\n  - 10.0.0.1:7302\n  - 10.0.0.2:7302\ninsecure: true\n")
	l, err := Load(Input{File: path, Env: []string{"GAMED_EXPECT=3", "GAMED_HEARTBEAT=4s", "PATH=/bin", "GAMED_LISTEN=", "GAMED_SERVICE_HOST=10.1.1.1"},
		Flags: map[string][]string{"heartbeat": {"5s"}}})
	if err != nil {
		t.Fatal(err)
	}
	if l.Node != "from-file" || l.Expect != 3 || l.Heartbeat != 5*time.Second || l.RateLimit != 0 || !l.Insecure {
		t.Errorf("%+v", l.Config)
	}
	if !slices.Equal(l.Join, []string{"10.0.0.1:7302", "10.0.0.2:7302"}) {
		t.Errorf("join: %v", l.Join)
	}
	for key, want := range map[string]string{"node": path + ":2", "expect": "env GAMED_EXPECT", "heartbeat": "flag --heartbeat", "listen": "default"} {
		if got := l.Origin(key).String(); got != want {
			t.Errorf("origin of %s: %q, want %q", key, got, want)
		}
	}
}

func TestFileRefusals(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"lisen: 127.0.0.1:1\n", []string{":1:", `"lisen"`, "did you mean listen?"}},
		{"node: a\nnode: b\n", []string{"node"}},
		{"- node\n", []string{"want lines"}},
		{"node: [a, b]\n", []string{":1", "node", "not a list"}},
		{"node: {a: b}\n", []string{":1", "node", "want text"}},
		{"node: a\nheartbeat: soon\n", []string{":2", "--heartbeat", "15s"}},
		{"node: \"a\n", []string{"config"}},
		{"node: a\n---\nnode: b\n", []string{"several documents"}},
	} {
		_, err := Load(Input{File: write(t, tc.text)})
		if err == nil {
			t.Errorf("%q: taken", tc.text)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %q does not mention %q", tc.text, err, w)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: not one line: %q", tc.text, err)
		}
	}
	for _, text := range []string{"", "# nothing\n", "node:\n"} {
		if _, err := Load(Input{File: write(t, text)}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	c := Default()
	for _, url := range []string{"postgres://u:hunter2@h/d", "postgres://u:hunter2%zz@h/d"} {
		c.Store = url
		f, _ := Lookup("store")
		if got := f.Show(&c); strings.Contains(got, "hunter2") {
			t.Errorf("shown: %s", got)
		}
	}
	_, err := Load(Input{Env: []string{"GAMED_STORE_FILE=" + write(t, "postgres://u:hunter2@h/d\n")}})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("error: %v", err)
	}
}

func TestReadSecret(t *testing.T) {
	if s, err := ReadSecret(write(t, " k y \r\n")); err != nil || s != " k y " {
		t.Errorf("%q, %v", s, err)
	}
	if _, err := ReadSecret(write(t, "\n")); err == nil {
		t.Error("an empty secret was taken")
	}
}

func TestNodeName(t *testing.T) {
	named := func(listen string) string {
		c := Default()
		c.Listen = listen
		c.Node = c.NodeName()
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		return c.NodeName()
	}
	usual, other := named("127.0.0.1:7300"), named("127.0.0.1:7400")
	if other != usual+"-7400" || usual != named("127.0.0.1:7300") {
		t.Errorf("%q and %q: want the port in the second", usual, other)
	}
	if free := named("127.0.0.1:0"); !strings.HasPrefix(free, usual+"-") {
		t.Errorf("with a free port: %q", free)
	}
}

func TestSuggest(t *testing.T) {
	for word, want := range map[string]string{"lisetn": "listen", "lister": "listen", "zzzzzz": "", "dran-timeout": "drain-timeout"} {
		if got := Suggest(word, keys()); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
