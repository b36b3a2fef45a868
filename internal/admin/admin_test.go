package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Source of one node with a player ann.
type fake struct {
	mu       sync.Mutex
	ready    bool
	degraded []string
	events   []Event
	done     []string
}

func (f *fake) Live() bool { return true }
func (f *fake) Ready() (bool, []string, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ready {
		return true, nil, f.degraded
	}
	return false, []string{"waiting for 3 nodes, 1 met"}, f.degraded
}
func (f *fake) Members(context.Context) []Member {
	return []Member{{Node: "a", Boot: "1f", State: "alive", Addr: "127.0.0.1:7300", Partitions: 1021, Players: 1}, {Node: "b", State: "dead", Error: "no answer"},
		{Node: "a", Boot: "1e", State: "dead", Addr: "127.0.0.1:7309"}} // its life before the restart, never shown
}
func (f *fake) Table() Table {
	return Table{Term: 7, Hash: "ab", Partitions: []Partition{{Owner: "a", Backup: "b", Term: 7}}}
}
func (f *fake) Locate(key string) (Location, error) {
	if !strings.Contains(key, "/") {
		return Location{}, fmt.Errorf("key %q: %w", key, ErrInvalid)
	}
	return Location{Partition: 12, Owner: "a", Backup: "b", Term: 7}, nil
}
func (f *fake) Players(_ context.Context, cursor string, limit int) (PlayersPage, error) {
	if cursor == "end" {
		return PlayersPage{}, nil
	}
	return PlayersPage{Players: []PlayerRow{{Player: "ann", Owner: "a", Topics: limit}}, Cursor: "end"}, nil
}
func (f *fake) Player(_ context.Context, id string) (Player, error) {
	if id != "ann" {
		return Player{}, fmt.Errorf("player %s: %w", id, ErrNotFound)
	}
	return Player{Player: id, Owner: "a", Session: "0a1b2c", Refs: []uint64{1, 2}, Topics: []string{"chat:lobby"}}, nil
}
func (f *fake) Events(after uint64) []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Event(nil), f.events[min(int(after), len(f.events)):]...)
}
func (f *fake) add(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, Event{Seq: uint64(len(f.events) + 1), Kind: kind, Node: "b"})
}
func (f *fake) Limits() []Limit { return []Limit{{"connections", 10, 1}} }
func (f *fake) Stats() Stats    { return Stats{Node: "a", Term: 7, Sessions: 1} }
func (f *fake) note(what, id string) error {
	if strings.HasPrefix(id, "no") {
		return fmt.Errorf("%s %s: %w", what, id, ErrNotFound)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, what+" "+id)
	return nil
}
func (f *fake) Conflicts(_ context.Context, cursor string, limit int) (ConflictsPage, error) {
	if cursor != "" {
		return ConflictsPage{}, nil
	}
	return ConflictsPage{Conflicts: []Conflict{{ID: "1-a", Key: "player/ann", Node: "a", Winner: "a", Loser: "b", Notes: []string{"bank: lost"}, Bytes: limit}}, Cursor: "x.1-a"}, nil
}
func (f *fake) Conflict(_ context.Context, id string) (ConflictCopies, error) {
	if id != "1-a" {
		return ConflictCopies{}, fmt.Errorf("%w: no conflict %q is kept", ErrNotFound, id)
	}
	return ConflictCopies{Conflict: Conflict{ID: id}, Lost: Copy{Sections: []Section{{Name: "o", Bytes: 1, Value: "7", Raw: []byte{7}}}}}, nil
}
func (f *fake) Forget(_ context.Context, node string) error { return f.note("forget", node) }
func (f *fake) Drain(_ context.Context, node string) error  { return f.note("drain", node) }
func (f *fake) Kick(_ context.Context, p string) error      { return f.note("kick", p) }
func (f *fake) CloseRoom(_ context.Context, t string) error {
	if t == "chat:broken" {
		return errors.New("wrong")
	}
	return f.note("close", t)
}

// start runs a Server on a free loopback port; it is stopped at the end of the test.
func start(t *testing.T, f *fake, change func(*Options)) string {
	t.Helper()
	url, _ := startStop(t, f, change)
	return url
}

// startStop is start with a function that stops the server and fails the test when that takes longer than limit.
func startStop(t *testing.T, f *fake, change func(*Options)) (url string, stop func(limit time.Duration)) {
	t.Helper()
	reg := prometheus.NewRegistry()
	opt := Options{Addr: "127.0.0.1:0", Source: f, Gatherer: reg, Registerer: reg, Log: slog.New(slog.DiscardHandler),
		EventPoll: time.Millisecond, StatsEvery: time.Millisecond}
	if change != nil {
		change(&opt)
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func(limit time.Duration) {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(limit):
				t.Errorf("Run does not return within %v", limit)
			}
		})
	}
	t.Cleanup(func() { stop(5 * time.Second) })
	return "http://" + s.Addr().String(), stop
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func do(t *testing.T, method, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestResourcesAreAsDocumented(t *testing.T) {
	f := &fake{ready: true}
	url := start(t, f, nil)
	for _, tc := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/livez", 200, `{"live":true}`},
		{"GET", "/readyz", 200, `{"ready":true,"reasons":[],"degraded":[]}`},
		{"GET", "/api/v1/members", 200, `[{"node":"a","boot":"1f","state":"alive","addr":"127.0.0.1:7300","rtt_ms":0,"partitions":1021,"players":1},` +
			`{"node":"b","boot":"","state":"dead","addr":"","rtt_ms":0,"partitions":0,"players":0,"error":"no answer"}]`},
		{"GET", "/api/v1/table", 200, `{"term":7,"hash":"ab","partitions":[{"owner":"a","backup":"b","term":7}]}`},
		{"GET", "/api/v1/locate?key=player/ann", 200, `{"partition":12,"owner":"a","backup":"b","term":7}`},
		{"GET", "/api/v1/locate?key=ann", 400, `{"error":"key \"ann\": invalid","hint":"check the request"}`},
		{"GET", "/api/v1/locate", 400, `{"error":"invalid","hint":"the key is missing: locate?key=player/ann"}`},
		{"GET", "/api/v1/players?limit=5", 200, `{"players":[{"player":"ann","owner":"a","gateway":"","topics":5}],"cursor":"end"}`},
		{"GET", "/api/v1/players?cursor=end", 200, `{"players":[],"cursor":""}`},
		{"GET", "/api/v1/players?limit=many", 400, `{"error":"invalid","hint":"limit: want a whole number up to 1000"}`},
		{"GET", "/api/v1/players/ann", 200, `{"player":"ann","owner":"a","backup":"","gateway":"","session":"0a1b2c","mailbox":0,"refs":[1,2],"topics":["chat:lobby"]}`},
		{"GET", "/api/v1/players/bob", 404, `{"error":"player bob: not found","hint":"check the name"}`},
		{"GET", "/api/v1/events", 200, `[]`},
		{"POST", "/api/v1/nodes/a/drain", 202, `{"action":"drain","target":"a"}`},
		{"POST", "/api/v1/nodes/b/forget", 200, `{"action":"forget","target":"b"}`},
		{"POST", "/api/v1/nodes/nobody/forget", 404, `{"error":"forget nobody: not found","hint":"check the name"}`},
		{"GET", "/api/v1/conflicts?limit=5", 200, `{"conflicts":[{"id":"1-a","time":"0001-01-01T00:00:00Z","key":"player/ann","node":"a","winner":"a","loser":"b","notes":["bank: lost"],"bytes":5,"replaced":false}],"dropped":0,"cursor":"x.1-a"}`},
		{"GET", "/api/v1/conflicts?cursor=x", 200, `{"conflicts":[],"dropped":0,"cursor":""}`},
		{"GET", "/api/v1/conflicts?limit=x", 400, ""},
		{"GET", "/api/v1/conflicts/1-a", 200, ""},
		{"GET", "/api/v1/conflicts/2-a", 404, `{"error":"not found: no conflict \"2-a\" is kept","hint":"check the name"}`},
		{"POST", "/api/v1/nodes/nobody/drain", 404, `{"error":"drain nobody: not found","hint":"check the name"}`},
		{"POST", "/api/v1/players/ann/kick", 200, `{"action":"kick","target":"ann"}`},
		{"POST", "/api/v1/rooms/chat:lobby/close", 200, `{"action":"close","target":"chat:lobby"}`},
		{"POST", "/api/v1/rooms/chat:broken/close", 500, `{"error":"wrong","hint":"see the log of the node"}`},
		{"GET", "/api/v1/nodes/a/drain", 404, ""},
		{"GET", "/api/v2", 404, ""},
		{"POST", "/api/v1/members", 404, ""},
		{"GET", "/console/console.js", 200, ""},
		{"GET", "/console/uPlot.LICENSE", 200, ""},
		{"GET", "/console/none.js", 404, ""},
		{"GET", "/debug/pprof/", 200, ""},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, ""},
	} {
		status, body := do(t, tc.method, url+tc.path)
		if status != tc.status || tc.want != "" && strings.TrimSpace(body) != tc.want {
			t.Errorf("%s %s: %d %s\nwant %d %s", tc.method, tc.path, status, body, tc.status, tc.want)
		}
	}
	if got := fmt.Sprint(f.done); got != "[drain a forget b kick ann close chat:lobby]" {
		t.Errorf("done: %s", got)
	}
	if _, body := do(t, "GET", url+"/"); !strings.Contains(body, "console/console.js") {
		t.Errorf("/ is not the console: %.80s", body)
	}
}

func TestReadyzTellsWhyNot(t *testing.T) {
	url := start(t, &fake{degraded: []string{"store is down"}}, nil)
	if status, body := do(t, "GET", url+"/readyz"); status != 503 || !strings.Contains(body, "waiting for 3 nodes") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := do(t, "GET", url+"/readyz", "Accept", "text/plain"); status != 503 || body != "not ready\nwaiting for 3 nodes, 1 met\ndegraded: store is down\n" {
		t.Errorf("%d %q", status, body)
	}
}

func TestStoreDownKeepsReady(t *testing.T) {
	url := start(t, &fake{ready: true, degraded: []string{"store is down"}}, nil)
	if status, body := do(t, "GET", url+"/readyz"); status != 200 || !strings.Contains(body, `"degraded":["store is down"]`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestMetricsCountEveryOutcome(t *testing.T) {
	url := start(t, &fake{}, nil)
	do(t, "GET", url+"/api/v1/players/bob")
	do(t, "GET", url+"/", "Host", "evil.example")
	do(t, "GET", url+"/readyz")
	_, body := do(t, "GET", url+"/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	for _, want := range []string{`gamed_admin_requests_total{outcome="request"} 1`, `{outcome="refused"} 1`, `{outcome="failed"} 1`, `{outcome="ok"} 0`, "gamed_admin_streams 0", "# EOF"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}

// A page of another site must neither read nor change anything through the visitor's browser.
func TestOtherPagesAreRefused(t *testing.T) {
	f := &fake{}
	url := start(t, f, nil)
	for _, tc := range []struct {
		method string
		header []string
		status int
	}{
		{"GET", []string{"Host", "evil.example"}, 421},
		{"GET", []string{"Host", "localhost:1"}, 200},
		{"GET", []string{"Host", "[::1]:1"}, 200},
		{"POST", []string{"Host", "evil.example"}, 421},
		{"POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", []string{"Origin", "http://evil.example"}, 403},
		{"POST", []string{"Sec-Fetch-Site", "same-origin"}, 202},
	} {
		path := "/api/v1/members"
		if tc.method == "POST" {
			path = "/api/v1/nodes/a/drain"
		}
		if status, body := do(t, tc.method, url+path, tc.header...); status != tc.status {
			t.Errorf("%s %v: %d %s, want %d", tc.method, tc.header, status, body, tc.status)
		}
	}
	if len(f.done) != 1 {
		t.Errorf("done: %v", f.done)
	}
}

func TestTokenOnLoopbackIsForChanges(t *testing.T) {
	url := start(t, &fake{ready: true}, func(o *Options) { o.Who = crew })
	for _, tc := range []struct {
		method, path, token string
		status              int
	}{
		{"GET", "/api/v1/members", "", 200},
		{"POST", "/api/v1/nodes/a/drain", "", 401},
		{"POST", "/api/v1/nodes/a/drain", "s3creT", 401},
		{"POST", "/api/v1/nodes/a/drain", "s3cret", 202},
		{"GET", "/debug/pprof/cmdline", "", 401},
	} {
		if status, body := do(t, tc.method, url+tc.path, "Authorization", "Bearer "+tc.token); status != tc.status {
			t.Errorf("%+v: %d %s", tc, status, body)
		}
	}
}

// beyond is a listener that claims to be reachable from other machines.
type beyond struct{ net.Listener }

func (beyond) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7303} }

func TestBeyondLoopbackNeedsATokenForReadsToo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, &fake{ready: true}, func(o *Options) { o.Listener, o.Who = beyond{ln}, crew })
	url := "http://" + ln.Addr().String()
	for path, status := range map[string]int{"/livez": 200, "/readyz": 200, "/": 200, "/console/console.js": 200,
		"/metrics": 401, "/api/v1/members": 401, "/api/v1/stats/stream": 401, "/debug/pprof/": 401} {
		if got, body := do(t, "GET", url+path, "Host", "node.example"); got != status {
			t.Errorf("%s: %d %s, want %d", path, got, body, status)
		}
	}
	if got, _ := do(t, "GET", url+"/metrics", "Authorization", "Bearer s3cret"); got != 200 {
		t.Errorf("with the token: %d", got)
	}
}

func TestRefusesToBindBeyondLoopbackWithoutToken(t *testing.T) {
	reg := prometheus.NewRegistry()
	opt := Options{Addr: "0.0.0.0:0", Source: &fake{}, Gatherer: reg, Registerer: reg, Log: slog.New(slog.DiscardHandler)}
	if s, err := New(opt); err == nil {
		s.Close()
		t.Fatal("bound")
	} else if !strings.Contains(err.Error(), "token") {
		t.Error(err)
	}
	opt.Insecure = true
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	opt.Insecure, opt.Registerer, opt.Addr = false, prometheus.NewRegistry(), "127.0.0.1:0"
	first, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	opt.Registerer, opt.Addr = prometheus.NewRegistry(), first.Addr().String()
	if _, err := New(opt); err == nil || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("a taken port: %v", err)
	}
}

// events reads a stream until n events came.
func events(t *testing.T, url string, n int, header ...string) []Event {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("content type %q", ct)
	}
	var out []Event
	for sc := bufio.NewScanner(res.Body); len(out) < n && sc.Scan(); {
		if data, ok := bytes.CutPrefix(sc.Bytes(), []byte("data: ")); ok {
			var e Event
			if err := json.Unmarshal(data, &e); err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
	}
	return out
}

func TestEventStreamGivesOldAndNewOnceEach(t *testing.T) {
	f := &fake{}
	url := start(t, f, nil)
	f.add("one")
	f.add("two")
	go f.add("three")
	got := events(t, url+"/api/v1/events/stream", 3)
	if len(got) != 3 || got[0].Kind != "one" || got[2].Kind != "three" || got[2].Seq != 3 {
		t.Errorf("%+v", got)
	}
	if got := events(t, url+"/api/v1/events/stream?after=1", 1, "Last-Event-ID", "2"); len(got) != 1 || got[0].Kind != "three" {
		t.Errorf("resumed: %+v", got)
	}
}

func TestStatsStreamRepeats(t *testing.T) {
	url := start(t, &fake{}, nil)
	if got := events(t, url+"/api/v1/stats/stream", 3); len(got) != 3 || got[2].Node != "a" {
		t.Errorf("%+v", got)
	}
}

func TestStreamsAreBoundedAndGivenBack(t *testing.T) {
	url := start(t, &fake{}, nil)
	var bodies []io.Closer
	for range maxStreams {
		res, err := client.Get(url + "/api/v1/events/stream")
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, res.Body)
	}
	if status, body := do(t, "GET", url+"/api/v1/stats/stream"); status != 503 || !strings.Contains(body, "at most 64") {
		t.Errorf("%d %s", status, body)
	}
	for _, b := range bodies {
		b.Close()
	}
	await(t, "streams to be given back", func() bool {
		_, body := do(t, "GET", url+"/metrics")
		return strings.Contains(body, "gamed_admin_streams 0")
	})
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("waited 5 s for " + what)
		}
	}
}

// Run must not wait for streams, which never end by themselves.
func TestRunEndsOpenStreams(t *testing.T) {
	url, stop := startStop(t, &fake{}, nil)
	res, err := client.Get(url + "/api/v1/events/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stop(stopTimeout - 500*time.Millisecond)
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Errorf("the stream broke off instead of ending: %v", err)
	}
}

func TestChangesAreAudited(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	url := start(t, &fake{}, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&locked{&mu, &log}, nil)) })
	do(t, "POST", url+"/api/v1/players/ann/kick")
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"audit=true", "action=kick", "target=ann", "remote=127.0.0.1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, log.String())
		}
	}
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
