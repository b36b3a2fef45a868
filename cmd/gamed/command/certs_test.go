package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gamed/internal/auth"
)

// ok runs a command that must work and gives what it printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	tm := newTerminal()
	if code := tm.run(args...); code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, tm.err.String())
	}
	return tm.out.String()
}

// refused runs a command that must be a usage error and gives its one line.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	tm := newTerminal()
	if code := tm.run(args...); code != exitUsage || strings.Count(tm.err.String(), "\n") != 1 || tm.out.String() != "" {
		t.Errorf("%v: exit code %d: %q %q", args, code, tm.out.String(), tm.err.String())
	}
	return tm.err.String()
}

func TestTokensAndTheirKeys(t *testing.T) {
	dir := t.TempDir()
	sign, check := filepath.Join(dir, "sign.json"), filepath.Join(dir, "check.json")
	ok(t, "token", "--new-key", "EdDSA", "--kid", "one", "--auth-key-file", sign, "--public", check)
	ring, err := auth.LoadKeyring(check, "show")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Token, Kid string }
	if err := json.Unmarshal([]byte(ok(t, "token", "ann", "--role", "host", "--cluster", "show", "--auth-key-file", sign, "-o", "json")), &answer); err != nil {
		t.Fatal(err)
	}
	if c, _, err := ring.Check(answer.Token); err != nil || c != (auth.Claims{Player: "ann", Role: "host"}) || answer.Kid != "one" {
		t.Errorf("%+v %+v %v", answer, c, err)
	}
	tm := newTerminal("GAMED_AUTH_KEY_FILE="+sign, "GAMED_CLUSTER=show")
	if code := tm.run("token", "bob"); code != exitOK {
		t.Fatal(tm.err.String())
	}
	if c, _, err := ring.Check(strings.TrimSpace(tm.out.String())); err != nil || c.Player != "bob" {
		t.Errorf("from the environment: %+v %v", c, err)
	}
	if text := ok(t, "token", "--new-key", "EdDSA", "--kid", "two", "--auth-key-file", sign, "--public", check); text != "two EdDSA\none EdDSA\n" {
		t.Errorf("two keys: %q", text)
	}
	ok(t, "token", "--drop-key", "one", "--auth-key-file", sign, "--public", check)
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, code, err := ring.Check(answer.Token); err == nil {
		t.Errorf("a token of the key that is gone: %q", code)
	}
	for _, tc := range []struct{ args, want string }{
		{"token ann", "--auth-key-file"},
		{"token --auth-key-file " + sign, "PLAYER"},
		{"token ann --auth-key-file " + check, "only checks"},
		{"token ann --kid none --auth-key-file " + sign, "none"},
		{"token a/b --auth-key-file " + sign, "player"},
		{"token ann --role * --auth-key-file " + sign, "role"},
		{"token ann --ttl -1s --auth-key-file " + sign, "over its time"},
		{"token ann --new-key EdDSA --auth-key-file " + sign, "leave PLAYER out"},
		{"token --new-key RS256 --auth-key-file " + sign, "HS256 or EdDSA"},
		{"token --new-key EdDSA --kid two --auth-key-file " + sign, "twice"},
		{"token --drop-key two --auth-key-file " + sign, "no other one"},
		{"token --new-key HS256 --auth-key-file " + filepath.Join(dir, "hs.json") + " --public " + check, "no half"},
	} {
		if text := refused(t, strings.Fields(tc.args)...); !strings.Contains(text, tc.want) {
			t.Errorf("%s: %q does not mention %q", tc.args, text, tc.want)
		}
	}
}

func TestCertsCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	ok(t, "certs", "ca", dir)
	ok(t, "certs", "node", dir, "gamed-1", "gamed-2")
	ok(t, "certs", "server", dir, "players", "localhost", "::1")
	if _, err := auth.LoadCertificate(filepath.Join(dir, "gamed-2.pem"), filepath.Join(dir, "gamed-2.key"), "gamed-2"); err != nil {
		t.Error(err)
	}
	gossip := filepath.Join(dir, "gossip.key")
	state := func() (keys auth.GossipKeys) {
		text, err := auth.ReadText(gossip)
		if err == nil {
			keys, err = auth.ParseGossipKeys(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	ok(t, "certs", "gossip-key", gossip)
	first := state()[0]
	ok(t, "certs", "gossip-key", gossip, "--add")
	if k := state(); len(k) != 2 || string(k[0]) != string(first) {
		t.Error("--add: another key sends")
	}
	second := state()[1]
	refused(t, "certs", "gossip-key", gossip, "--add")
	ok(t, "certs", "gossip-key", gossip, "--use")
	ok(t, "certs", "gossip-key", gossip, "--drop")
	if k := state(); len(k) != 1 || string(k[0]) != string(second) {
		t.Error("--drop: the wrong key stays")
	}
	tokens := filepath.Join(dir, "tokens")
	a := strings.TrimSpace(ok(t, "certs", "admin-token", tokens, "--role", "admin", "--name", "ada"))
	b := strings.TrimSpace(ok(t, "certs", "admin-token", tokens, "--name", "vera"))
	text, err := os.ReadFile(tokens)
	if err != nil {
		t.Fatal(err)
	}
	all, err := auth.ParseOperators(string(text))
	if err != nil || len(all) != 2 || strings.Contains(string(text), a) {
		t.Fatalf("%s: %v", text, err)
	}
	if o, _ := auth.WhoIs(all, b); o.Role != "viewer" || o.Name != "vera" {
		t.Errorf("%+v", o)
	}
	for _, tc := range []struct{ args, want string }{
		{"certs", "certs --help"},
		{"certs nod", "did you mean"},
		{"certs ca " + dir, "there already"},
		{"certs node " + t.TempDir() + " a", "gamed certs ca"},
		{"certs node " + dir + " ca", "not ca"},
		{"certs node " + dir + " a/b", "1 to 64"},
		{"certs node " + dir + " 10.0.0.1", "host's name"},
		{"certs gossip-key " + gossip, "--add"},
		{"certs gossip-key " + gossip + " --use", "--add, --use, --drop"},
		{"certs gossip-key " + gossip + " --use --drop", "use"},
		{"certs admin-token " + tokens, "--name"},
		{"certs admin-token " + tokens + " --name x --role root", "viewer, operator, admin"},
	} {
		if text := refused(t, strings.Fields(tc.args)...); !strings.Contains(text, tc.want) {
			t.Errorf("%s: %q does not mention %q", tc.args, text, tc.want)
		}
	}
}

// TestPlayersCommandsSpeakTLS: a player in the terminal reaches a node that asks for a token and TLS.
func TestPlayersCommandsSpeakTLS(t *testing.T) {
	dir := t.TempDir()
	ok(t, "certs", "ca", dir)
	ok(t, "certs", "server", dir, "players", "127.0.0.1")
	keys := filepath.Join(dir, "keys.json")
	ok(t, "token", "--new-key", "HS256", "--auth-key-file", keys)
	token := filepath.Join(dir, "ann.token")
	if err := os.WriteFile(token, []byte(ok(t, "token", "ann", "--auth-key-file", keys)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serveProcess(t, "--auth", "jwt", "--auth-key-file", keys, "--tls-cert", filepath.Join(dir, "players.pem"), "--tls-key", filepath.Join(dir, "players.key"))
	play := func(args ...string) (string, int) {
		tm := newTerminal()
		tm.stdin = strings.NewReader("balance\n")
		code := tm.run(append([]string{"play", "--addr", p.addr.Players}, args...)...)
		return tm.out.String() + tm.err.String(), code
	}
	if text, code := play("--tls-ca", filepath.Join(dir, "ca.pem"), "--token-file", token); code != exitOK || !strings.Contains(text, `{"balance":0}`) {
		t.Errorf("exit code %d: %s", code, text)
	}
	if text, code := play("--tls", "--token-file", token); code == exitOK || !strings.Contains(text, "certificate") {
		t.Errorf("with the system's CAs: exit code %d: %s", code, text)
	}
	if text, code := play("--tls-ca", filepath.Join(dir, "ca.pem"), "--as", "ann"); code == exitOK || !strings.Contains(text, "token") {
		t.Errorf("without a token: exit code %d: %s", code, text)
	}
}

func TestTokenInAFileOfTheNode(t *testing.T) {
	for text, want := range map[string]string{
		"abc":                 "abc",
		"admin ada abc":       "abc",
		"# x\nviewer v abc":   "abc",
		"admin ada sha256:00": "",
		"a sha256:00\nb c d":  "d",
		"one\ntwo":            "",
	} {
		if got := ownToken(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
