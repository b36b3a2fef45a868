package admin

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
)

// crew are the bearers of the tests.
func crew(token string) (Bearer, bool) {
	b, ok := map[string]Bearer{"watch": {"vera", Viewer}, "operate": {"otto", Operator}, "s3cret": {"ada", Admin}}[token]
	return b, ok
}

// memo is a log that may be read while it is written.
type memo struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (m *memo) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.b.Write(p)
}

func (m *memo) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.b.String()
}

// TestRoles: what each role may do beyond loopback, and that every change leaves a line that says who it was.
func TestRoles(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &memo{}
	f := &fake{ready: true}
	start(t, f, func(o *Options) { o.Listener, o.Who, o.Log = beyond{ln}, crew, slog.New(slog.NewTextHandler(log, nil)) })
	url := "http://" + ln.Addr().String()
	for _, tc := range []struct {
		token                         string
		look, change, profile, health int
	}{
		{"", 401, 401, 401, 200},
		{"wrong", 401, 401, 401, 200},
		{"watch", 200, 403, 403, 200},
		{"operate", 200, 202, 403, 200},
		{"s3cret", 200, 202, 200, 200},
	} {
		for _, ask := range []struct {
			method, path string
			want         int
		}{{"GET", "/api/v1/members", tc.look}, {"POST", "/api/v1/nodes/a/drain", tc.change}, {"GET", "/debug/pprof/cmdline", tc.profile}, {"GET", "/livez", tc.health}} {
			if got, body := do(t, ask.method, url+ask.path, "Authorization", "Bearer "+tc.token); got != ask.want {
				t.Errorf("%q %s %s: %d %s, want %d", tc.token, ask.method, ask.path, got, body, ask.want)
			}
		}
	}
	if len(f.done) != 2 {
		t.Errorf("done: %v", f.done)
	}
	text := log.String()
	for _, want := range []string{"refused\" audit=true path=/api/v1/nodes/a/drain by=\"\" role=nobody", "refused\" audit=true path=/api/v1/nodes/a/drain by=vera role=viewer",
		"change\" audit=true action=drain target=a by=otto role=operator", "change\" audit=true action=drain target=a by=ada role=admin"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for _, token := range []string{"operate", "s3cret", "wrong"} {
		if strings.Contains(text, token+" ") || strings.Contains(text, "Bearer") {
			t.Errorf("the log shows token %q:\n%s", token, text)
		}
	}
	for range 1000 {
		do(t, "POST", url+"/api/v1/nodes/a/drain", "Authorization", "Bearer x")
	}
	if n := strings.Count(log.String(), "refused"); n > 200 {
		t.Errorf("%d lines of refusals: the log can be filled", n)
	}
}

func TestRoleNames(t *testing.T) {
	for _, name := range []string{"viewer", "operator", "admin"} {
		if r, err := ParseRole(name); err != nil || r.String() != name {
			t.Errorf("%s: %v %v", name, r, err)
		}
	}
	for _, name := range []string{"", "nobody", "root"} {
		if r, err := ParseRole(name); err == nil || r != Nobody {
			t.Errorf("%s: %v", name, r)
		}
	}
}
