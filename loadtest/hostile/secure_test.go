package hostile

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// enter says HELLO with a token on a new connection and gives what it got.
func (v *vault) enter(p *peer, token, session string) (w protocol.Welcome, g protocol.Goaway) {
	v.t.Helper()
	if _, err := p.Write(helloWith(token, session)); err != nil {
		v.t.Fatal(err)
	}
	b, err := p.frame()
	if err != nil {
		v.t.Fatalf("answer to HELLO: %v", err)
	}
	w, _ = protocol.ParseWelcome(b)
	g, _ = protocol.ParseGoaway(b)
	return w, g
}

// TestTokensAtTheDoor: who has no token, a broken, foreign or old one, stays outside; the name and the role are the token's.
func TestTokensAtTheDoor(t *testing.T) {
	t.Parallel()
	v, foreign := newVault(t, "a"), newVault(t, "a")
	n := start(t, v.players()...)
	for name, tc := range map[string]struct {
		hello []byte
		want  protocol.Code
	}{
		"a name":          {hello("ann", ""), protocol.CodeBadToken},
		"garbage":         {helloWith("x.y.z", ""), protocol.CodeBadToken},
		"nothing":         {helloWith("", ""), protocol.CodeBadToken},
		"a foreign key":   {helloWith(foreign.token("ann"), ""), protocol.CodeBadToken},
		"another cluster": {helloWith(v.token("ann", "--cluster", "other"), ""), protocol.CodeBadToken},
		"without its end": {helloWith(v.token("ann")[:100], ""), protocol.CodeBadToken},
	} {
		for _, p := range []*peer{dial(t, n.Players), v.dialTLS(n.Players)} {
			if _, err := p.Write(tc.hello); err != nil {
				t.Fatal(err)
			}
			if g, ok, err := p.last(); err != nil || !ok || g.Code != tc.want || g.RetryMS != -1 {
				t.Errorf("%s: %+v %v", name, g, err)
			}
		}
	}
	p := v.dialTLS(n.Players)
	host := v.token("ann", "--role", "host")
	if w, g := v.enter(p, host, ""); w.Player != "ann" {
		t.Fatalf("a good token: %+v %+v", w, g)
	}
	guest := v.dialTLS(n.Players)
	if w, g := v.enter(guest, v.token("bob"), ""); w.Player != "bob" {
		t.Fatalf("a good token: %+v %+v", w, g)
	}
	question := game.NewMap().Text("text", "?").Texts("choices", []string{"a", "b"}).Int("answer", 0).Float("seconds", 1).Payload()
	show := game.NewMap().Raw("questions", append(protocol.AppendArray(nil, 1), question...)).Int("prize", 1).Payload()
	if r, err := guest.call(1, "trivia:x", "open", show); err != nil || r.Status != protocol.CodeForbidden {
		t.Errorf("a guest opens a show: %+v %v", r, err)
	}
	if r, err := p.call(1, "trivia:x", "open", show); err != nil || r.Status != protocol.CodeOK {
		t.Errorf("the host opens a show: %+v %v", r, err)
	}
	words := dial(t, n.Players)
	if _, err := words.Write([]byte("hello " + host + "\nbye\n")); err != nil {
		t.Fatal(err)
	}
	if l, err := words.r.ReadString('\n'); err != nil || !strings.HasPrefix(l, "+ok") || !strings.Contains(l, `"ann"`) {
		t.Errorf("words: %q %v", l, err)
	}
	if w, g := v.enter(dial(t, n.Players), v.token("ann", "--ttl", "1s"), ""); w.Player != "ann" {
		t.Errorf("within the skew: %+v", g)
	}
	n.calmWith(v)
}

// calmWith is calm for a node that wants tokens.
func (n *node) calmWith(v *vault) {
	n.t.Helper()
	if dead := n.metric("gamed_actor_dead_letters_total"); dead > 0 {
		n.t.Errorf("%v dead letters", dead)
	}
	if w, g := v.enter(v.dialTLS(n.Players), v.token("after"), ""); w.Player != "after" {
		n.t.Errorf("an honest login afterwards: %+v", g)
	}
}

// TestStolenSession: a session id opens nothing for another player, and an invented one nothing at all.
func TestStolenSession(t *testing.T) {
	t.Parallel()
	v := newVault(t, "a")
	n := start(t, v.players()...)
	ann := v.dialTLS(n.Players)
	w, _ := v.enter(ann, v.token("ann"), "")
	if len(w.Session) < 22 { // 128 bits take at least so many characters of base64
		t.Fatalf("session %q is short", w.Session)
	}
	thief, g := v.enter(v.dialTLS(n.Players), v.token("eve"), w.Session)
	if thief.Player != "eve" || thief.Resumed || thief.Session == w.Session {
		t.Errorf("with ann's session: %+v %+v", thief, g)
	}
	if made, _ := v.enter(v.dialTLS(n.Players), v.token("mallory"), "0123456789abcdef0123456789abcdef"); made.Resumed || made.Player != "mallory" {
		t.Errorf("with an invented session: %+v", made)
	}
	if r, err := ann.call(1, "echo:", "e", nil); err != nil || r.Status != protocol.CodeOK {
		t.Errorf("ann was disturbed: %v %v", r.Status, err)
	}
	if w2, _ := v.enter(v.dialTLS(n.Players), v.token("ann"), w.Session); !w2.Resumed || w2.Session != w.Session {
		t.Errorf("ann herself: %+v", w2)
	}
}

// TestKeysChangeWhileServing: token keys, the players' certificate and operators' tokens change without a restart, at SIGHUP or by
// themselves; who is in stays in.
func TestKeysChangeWhileServing(t *testing.T) {
	t.Parallel()
	v := newVault(t, "a")
	n := start(t, v.players()...)
	reads := func(what, result string) float64 {
		return n.metric(`gamed_node_secret_reads_total{result="` + result + `",what="` + what + `"}`)
	}
	hup := func(what, result string) {
		t.Helper()
		before := reads(what, result)
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await(t, what+" "+result, func() bool { return reads(what, result) > before })
	}
	in := v.dialTLS(n.Players)
	old := v.token("ann")
	v.enter(in, v.token("inside"), "")

	v.gamed("token", "--new-key", "EdDSA", "--kid", "second", "--auth-key-file", v.file("sign.json"), "--public", v.file("check.json"))
	hup("auth_keys", "good")
	fresh := v.token("bob")
	for _, token := range []string{old, fresh} {
		if w, g := v.enter(dial(t, n.Players), token, ""); w.Player == "" {
			t.Errorf("between: %+v", g)
		}
	}
	v.gamed("token", "--drop-key", "first", "--auth-key-file", v.file("sign.json"), "--public", v.file("check.json"))
	hup("auth_keys", "good")
	if _, g := v.enter(dial(t, n.Players), old, ""); g.Code != protocol.CodeBadToken {
		t.Errorf("the old key's token: %+v", g)
	}
	if w, g := v.enter(dial(t, n.Players), fresh, ""); w.Player != "bob" {
		t.Errorf("the new key's token: %+v", g)
	}
	if err := os.WriteFile(v.file("check.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	hup("auth_keys", "bad")
	if w, g := v.enter(dial(t, n.Players), fresh, ""); w.Player != "bob" {
		t.Errorf("after a broken file: %+v", g)
	}

	serial := func() string {
		c, err := tls.Dial("tcp", n.Players, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	v.gamed("certs", "server", v.dir, "players", "127.0.0.1")
	await(t, "the new certificate, without a word", func() bool { return serial() != first })
	if err := os.WriteFile(v.file("players.pem"), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "a broken certificate is seen", func() bool { return reads("players_certificate", "bad") > 0 })
	serial()

	kick := func(token string) int { return n.post(t, "/api/v1/players/nobody/kick", token) }
	otto := strings.TrimSpace(v.read("operator.token"))
	if got := kick(otto); got == 401 || got == 403 {
		t.Errorf("operator: %d", got)
	}
	if got := kick("x"); got != 401 {
		t.Errorf("nobody: %d", got)
	}
	vera := strings.TrimSpace(v.gamed("certs", "admin-token", v.file("admin.tokens"), "--role", "viewer", "--name", "vera"))
	hup("admin_tokens", "good")
	if got := kick(vera); got != 403 {
		t.Errorf("viewer: %d", got)
	}
	if r, err := in.call(1, "echo:", "e", nil); err != nil || r.Status != protocol.CodeOK {
		t.Errorf("who was in is out: %v %v", r.Status, err)
	}
	await(t, "the audit log tells who changed something", func() bool {
		text := n.log.String()
		return strings.Contains(text, "by=otto role=operator") && strings.Contains(text, "by=vera role=viewer")
	})
	n.forgiven = true // the broken files were logged as such
}

// TestSecretsAreNeverShown searches all that a node with everything on says, in its whole life at the most talkative level, for
// what it must not say: keys, tokens, the rest of a session id.
func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	v := newVault(t, "a", "b")
	a := start(t, append(append(v.cluster("a"), v.players()...), "--log-level", "debug")...)
	b := start(t, append(append(v.cluster("b"), v.players()...), "--log-level", "debug", "--log-format", "json", "--join", a.Gossip)...)
	await(t, "a cluster of two", func() bool {
		return a.metric("gamed_cluster_table_nodes") == 2 && b.metric("gamed_cluster_table_nodes") == 2
	})
	secrets := map[string]string{"operator's token": strings.TrimSpace(v.read("operator.token"))}
	for _, name := range []string{"sign.json", "check.json"} {
		var set struct{ Keys []map[string]string }
		if err := json.Unmarshal([]byte(v.read(name)), &set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			if k["d"] != "" {
				secrets[name] = k["d"]
			}
		}
	}
	for _, name := range []string{"gossip.key", "a.key", "b.key", "players.key"} {
		for l := range strings.Lines(v.read(name)) {
			if l = strings.TrimSpace(l); l != "" && l[0] != '#' && l[0] != '-' {
				secrets[name] = l
			}
		}
	}
	token := v.token("ann")
	secrets["token"] = token
	secrets["token's signature"] = token[strings.LastIndexByte(token, '.')+1:]
	for _, n := range []*node{a, b} {
		p := v.dialTLS(n.Players)
		w, g := v.enter(p, token, "")
		if w.Player == "" {
			t.Fatalf("%+v", g)
		}
		secrets["session on "+n.Node] = w.Session
		_, _ = p.call(1, "bank:", "deposit", game.NewMap().Int("amount", 5).Payload())
		v.enter(dial(t, n.Players), token[:len(token)-4], "") // refused
		v.enter(dial(t, n.Players), token, w.Session)         // resumed
		v.enter(dial(t, n.Players), v.token("eve"), w.Session)
		n.post(t, "/api/v1/players/nobody/kick", secrets["operator's token"])
		n.post(t, "/api/v1/players/nobody/kick", token)
		_ = n.cmd.Process.Signal(syscall.SIGHUP)
		await(t, "the files are read again", func() bool { return strings.Contains(n.log.String(), "settings read again") })
	}
	said := map[string]string{}
	for _, n := range []*node{a, b} {
		for _, path := range []string{"/metrics", "/api/v1/members", "/api/v1/players", "/api/v1/players/ann", "/api/v1/events", "/api/v1/stats", "/api/v1/limits", "/readyz", "/"} {
			page, err := n.get(path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			said[n.Node+" "+path] = string(page)
		}
		said[n.Node+" log"] = n.log.String()
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n.cmd.Process.Pid))
		if err != nil {
			t.Logf("the command line of another process cannot be read here: %v", err)
		}
		said[n.Node+" command line"] = string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
	}
	b.mayEnd = true // SIGQUIT: the process ends with the stacks of all its goroutines
	_ = b.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-b.done:
	case <-time.After(patience):
		t.Fatal("no dump")
	}
	if said["dump of b"] = b.log.String(); !strings.Contains(said["dump of b"], "goroutine ") {
		t.Error("the dump has no stacks")
	}
	said["gamed config"] = v.gamed(append(append([]string{"config"}, v.cluster("a")...), v.players()...)...)
	said["gamed config -o json"] = v.gamed(append(append([]string{"config", "-o", "json"}, v.cluster("a")...), v.players()...)...)
	if len(secrets) < 9 || len(said["a log"]) < 1000 || len(said["b log"]) < 1000 {
		t.Fatalf("%d secrets, logs of %d and %d bytes are no search", len(secrets), len(said["a log"]), len(said["b log"]))
	}
	for where, text := range said {
		for what, secret := range secrets {
			if len(secret) < 10 {
				t.Fatalf("%s is too short to search for: %q", what, secret)
			}
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s shows the %s: …%s…", where, what, text[max(0, i-60):i])
			}
			if strings.HasPrefix(what, "session") && strings.Contains(text, secret[:12]) {
				t.Errorf("%s shows more than 6 characters of the %s", where, what)
			}
		}
	}
}

// TestEverythingOn: the cluster's nodes are linked by TLS, a player goes from one to the other and back, one gossip key follows
// another with nobody lost.
func TestEverythingOn(t *testing.T) {
	t.Parallel()
	v := newVault(t, "a", "b")
	a := start(t, append(v.cluster("a"), v.players()...)...)
	b := start(t, append(append(v.cluster("b"), v.players()...), "--join", a.Gossip)...)
	two := func() bool {
		return a.metric("gamed_cluster_table_nodes") == 2 && b.metric("gamed_cluster_table_nodes") == 2
	}
	await(t, "a cluster of two", two)
	session := ""
	for i, n := range []*node{a, b, a, b} {
		p := v.dialTLS(n.Players)
		w, g := v.enter(p, v.token("ann"), session)
		if w.Player != "ann" || w.Resumed != (i > 0) {
			t.Fatalf("login %d: %+v %+v", i, w, g)
		}
		session = w.Session
		r, err := p.call(uint64(i+1), "bank:", "deposit", game.NewMap().Int("amount", 5).Payload())
		if want := game.NewMap().Int("balance", int64(5*(i+1))).Payload(); err != nil || !bytes.Equal(r.Payload, want) {
			t.Fatalf("deposit %d: %v % x %v", i, r.Status, r.Payload, err)
		}
	}
	for _, step := range []string{"--add", "--use", "--drop"} {
		v.gamed("certs", "gossip-key", v.file("gossip.key"), step)
		for _, n := range []*node{a, b} {
			const read = `gamed_node_secret_reads_total{result="good",what="gossip_keys"}`
			before := n.metric(read)
			_ = n.cmd.Process.Signal(syscall.SIGHUP)
			await(t, "the keys are read", func() bool { return n.metric(read) > before })
		}
	}
	for range 30 {
		if !two() {
			t.Fatal("a node was lost while the key changed")
		}
		time.Sleep(100 * time.Millisecond)
	}
	c := start(t, "--node", "c", "--gossip-key-file", v.file("gossip.key"), "--join", a.Gossip)
	if c.metric("gamed_cluster_table_nodes") != 1 || !two() {
		t.Error("a node without a certificate came in")
	}
	await(t, "it is in the log", func() bool { return strings.Contains(a.log.String(), "certificate") })
}

// TestDrainedNodeTellsWhereToGo: a node that was emptied and stays answers who comes with where to go, instead of a shut door.
func TestDrainedNodeTellsWhereToGo(t *testing.T) {
	t.Parallel()
	a := start(t, "--node", "a")
	b := start(t, "--node", "b", "--join", a.Gossip)
	await(t, "a cluster of two", func() bool {
		return a.metric("gamed_cluster_table_nodes") == 2 && b.metric("gamed_cluster_table_nodes") == 2
	})
	in, w := mustLogin(t, a.Players, "ann", "")
	if status := a.post(t, "/api/v1/nodes/a/drain", ""); status != 202 {
		t.Fatalf("drain: %d", status)
	}
	if g, ok, err := in.last(); err != nil || !ok || g.Code != protocol.CodeDraining {
		t.Fatalf("who was in: %+v %v", g, err)
	}
	for range 3 {
		p := dial(t, a.Players)
		if _, err := p.Write(hello("ann", w.Session)); err != nil {
			t.Fatal(err)
		}
		if g, ok, err := p.last(); err != nil || !ok || g.Code != protocol.CodeDraining || len(g.Addrs) != 1 || g.Addrs[0] != b.Players {
			t.Fatalf("who comes: %+v %v", g, err)
		}
	}
	p := dial(t, b.Players)
	if w, err := p.login("ann", w.Session); err != nil || !w.Resumed {
		t.Errorf("there: %+v %v", w, err)
	}
}

// TestPlayersBehindALoadBalancer: the header is needed from the networks stated, and is not taken from others.
func TestPlayersBehindALoadBalancer(t *testing.T) {
	t.Parallel()
	header := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"), 203, 0, 113, 7, 127, 0, 0, 1, 1, 2, 3, 4)
	behind, direct := start(t, "--proxy-networks", "127.0.0.0/8"), start(t, "--proxy-networks", "10.0.0.0/8")
	enter := func(n *node, first []byte) error {
		p := dial(t, n.Players)
		if _, err := p.Write(append(append([]byte{}, first...), hello("ann", "")...)); err != nil {
			return err
		}
		_, err := p.next(protocol.KindWelcome)
		return err
	}
	if err := enter(behind, header); err != nil {
		t.Error(err)
	}
	if err := enter(behind, nil); err == nil {
		t.Error("from the balancer without a header: taken")
	}
	if err := enter(direct, header); err == nil {
		t.Error("a header from elsewhere: taken")
	}
	if err := enter(direct, nil); err != nil {
		t.Error(err)
	}
	await(t, "it is counted", func() bool { return behind.metric(closedBy("proxy")) == 1 && direct.metric(closedBy("garbage")) == 1 })
}

// TestSheddingUnderAMemoryLimit: a node that may use little memory turns new players away before it is killed, tells them to
// go elsewhere, and those who are in play on.
func TestSheddingUnderAMemoryLimit(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(gamed)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=16MiB") // an empty node uses most of it
	n := startAs(t, cmd)
	in, _ := mustLogin(t, n.Players, "ann", "")
	var crowd []*peer
	turned := 0
	for i := 0; i < 6000 && turned < 3; i++ {
		p, err := connect(n.Players)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, p)
		name := fmt.Sprintf("crowd-%d", i)
		if _, err = p.login(name, ""); err != nil {
			if !strings.Contains(err.Error(), string(protocol.CodeUnavailable)) {
				t.Fatalf("%s: %v", name, err)
			}
			turned++
		}
		if r, err := in.call(uint64(i)+1, "echo:", "e", nil); err != nil || r.Status != protocol.CodeOK && r.Status != protocol.CodeRateLimited {
			t.Fatalf("who is in: %v %v", r.Status, err)
		}
	}
	defer func() {
		for _, p := range crowd {
			_ = p.Close()
		}
	}()
	if turned < 3 {
		t.Fatalf("nobody was turned away; pressure %v, used %v", n.metric("gamed_node_memory_pressure"), n.metric("gamed_node_memory_used_bytes"))
	}
	t.Logf("turned away after %d players", len(crowd))
	await(t, "it is counted", func() bool { return n.metric(closedBy("shed")) >= 1 })
}
