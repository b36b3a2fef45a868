package hostile

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gamed/protocol"
)

// The deadlines of the protocol, and how much later than that a busy machine may keep them.
const (
	helloLimit = 5 * time.Second
	frameLimit = 10 * time.Second
	slack      = 3 * time.Second
)

// begins dials as its first act, so that the clocks agree, and sends the first bytes.
type silent struct {
	name  string
	open  func(t *testing.T) net.Conn // nil: plain TCP
	first string
	drip  string // sent a byte a second, over and over
	limit time.Duration
	says  string // in what the server answers; "": anything
}

// TestSilenceAndDrips: whoever has not said the whole HELLO five seconds after connecting is closed, however he begins it, TLS
// included, and so is he who does not complete a frame within ten.
func TestSilenceAndDrips(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	n := start(t, "--tls-cert", cert, "--tls-key", key)
	cases := []silent{
		{name: "nothing"},
		{name: "half a length", first: "\x00\x00"},
		{name: "a binary HELLO byte by byte", first: "\x00\x00\x04\x00", drip: "\x92\x01\x81", says: "hello_timeout"},
		{name: "a JSON HELLO byte by byte", first: "[", drip: "1, ", says: "hello_timeout"},
		{name: "a word byte by byte", first: "h", drip: "e", says: "hello_timeout"},
		{name: "words, but no hello", first: "help\n", drip: "\n", says: "hello_timeout"},
		{name: "a request byte by byte", first: "G", drip: "E"},
		{name: "TLS, a byte", first: "\x16"},
		{name: "TLS byte by byte", first: "\x16\x03\x01\x02\x00", drip: "\x01\x00"},
		{name: "silence inside TLS", open: func(t *testing.T) net.Conn { return dialTLS(t, n.Players) }},
		{name: "a drip inside TLS", open: func(t *testing.T) net.Conn { return dialTLS(t, n.Players) }, first: "[", drip: " ", says: "hello_timeout"},
	}
	if !testing.Short() {
		cases = append(cases,
			silent{name: "half a frame after WELCOME", first: string(hello("half", "")) + "\x00\x00\x01\x00\x95", drip: "\x03", limit: frameLimit, says: "idle"},
			silent{name: "half a line after WELCOME", first: `[1,{"v":1,"name":"half-json"}]` + "\n[3,1", drip: " ", limit: frameLimit, says: "idle"})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.play(t, n)
		})
	}
}

func (c *silent) play(t *testing.T, n *node) {
	limit := c.limit
	if limit == 0 {
		limit = helloLimit
	}
	began := time.Now()
	var conn net.Conn
	if c.open != nil {
		conn = c.open(t)
	} else {
		conn = dial(t, n.Players).TCPConn
	}
	if c.limit > 0 {
		began = time.Now()
	}
	if _, err := io.WriteString(conn, c.first); err != nil {
		t.Fatal(err)
	}
	at := 0
	if c.drip != "" {
		every(t, time.Second, func() bool {
			at++
			_, err := io.WriteString(conn, c.drip[at%len(c.drip):][:1])
			return err == nil
		})
	}
	got, err := io.ReadAll(conn) // a reset is an end like another
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Fatalf("never closed, got %q", got)
	}
	if d := time.Since(began); d < limit-100*time.Millisecond || d > limit+slack {
		t.Errorf("closed after %v, want %v", d, limit)
	}
	if !strings.Contains(string(got), c.says) {
		t.Errorf("got %q, want %s", got, c.says)
	}
}

func dialTLS(t *testing.T, addr string) net.Conn {
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is not the subject
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	return c
}

// TestSilentCrowd: thousands that say nothing, or a byte a second, do not hurt an honest login, and are all gone after five
// seconds.
func TestSilentCrowd(t *testing.T) {
	n := start(t)
	size := 5000
	if testing.Short() {
		size = 2000
	}
	if got := openFiles(); got < size+1000 {
		t.Skipf("only %d files may be open", got)
	}
	logins := newLogins(t, n)
	defer logins.stop()
	began := time.Now()
	crowd := make([]net.Conn, 0, size)
	defer func() {
		for _, c := range crowd {
			_ = c.Close()
		}
	}()
	for i := range size {
		c, err := net.Dial("tcp", n.Players)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		crowd = append(crowd, c)
		if _, err := c.Write([][]byte{nil, {0}, []byte("[")}[i%3]); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	full := time.Now()
	if early := n.metric("gamed_listener_connections_before_hello"); early < float64(size)/2 {
		t.Errorf("only %v connections are open, %v after the first: the crowd is too slow to be one", early, full.Sub(began))
	}
	every(t, time.Second, func() bool {
		for i, c := range crowd {
			if i%3 == 2 {
				_, _ = c.Write([]byte(" ")) // in time all fail
			}
		}
		return true
	})
	var m map[string]float64
	await(t, "the crowd is closed", func() bool {
		m = n.metrics()
		return m[closedBy("hello_timeout")]+m[closedBy("crowded")] >= float64(size)
	})
	if d := time.Since(full); d > helloLimit+slack {
		t.Errorf("the last one was closed %v after it connected", d)
	}
	logins.judge(20)
}

// logins are honest players who log in one after the other, each once.
type logins struct {
	t    testing.TB
	stop func()
	took []time.Duration
	bad  []string
}

const loginLimit = 2 * time.Second

// newLogins begins four logins at a time, up to 40 a second in all, until stop.
func newLogins(t testing.TB, n *node) *logins {
	l := &logins{t: t}
	type result struct {
		took time.Duration
		err  error
	}
	results := make(chan result, 4)
	var stops []func()
	for lane := range 4 {
		number := 0
		stops = append(stops, every(t, 100*time.Millisecond, func() bool {
			number++
			began := time.Now()
			err := visit(n, "visitor-"+string(rune('a'+lane))+string(binary.BigEndian.AppendUint16(nil, uint16(0x4141+number%26))))
			results <- result{time.Since(began), err}
			return true
		}))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r := range results {
			if r.err != nil && len(l.bad) < 100 {
				l.bad = append(l.bad, r.err.Error())
			}
			l.took = append(l.took, r.took)
		}
	}()
	ended := false
	l.stop = func() {
		if ended {
			return
		}
		ended = true
		for _, s := range stops {
			s()
		}
		close(results)
		<-done
	}
	return l
}

// visit logs in, calls, and says BYE.
func visit(n *node, name string) error {
	p, err := connect(n.Players)
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // BYE is what counts
	if _, err := p.login(name, ""); err != nil {
		return err
	}
	if _, err := p.call(1, "echo:", "e", nil); err != nil {
		return err
	}
	if _, err := p.Write(protocol.AppendBye(nil)); err != nil {
		return err
	}
	_, _, err = p.last()
	return err
}

// judge ends the logins: of at least so many, 99 in 100 must have worked within two seconds.
func (l *logins) judge(atLeast int) {
	l.t.Helper()
	l.stop()
	good := 0
	for _, d := range l.took {
		if d <= loginLimit {
			good++
		}
	}
	good -= len(l.bad)
	if len(l.took) < atLeast {
		l.t.Errorf("only %d logins, want %d", len(l.took), atLeast)
	}
	if good*100 < len(l.took)*99 {
		l.t.Errorf("of %d logins %d worked within %v; errors %q", len(l.took), good, loginLimit, bytes.Join([][]byte{[]byte(strings.Join(l.bad, "; "))}, nil))
		return
	}
	l.t.Logf("%d logins, p50 %v, p99 %v", len(l.took), percentile(l.took, 50), percentile(l.took, 99))
}
