package hostile

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// The deadlines of the protocol, and how much later than that a busy machine may keep them.
const (
	helloLimit = 5 * time.Second
	frameLimit = 10 * time.Second
	slack      = 3 * time.Second
)

// silent is a client that does not get anywhere.
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
	n := start(t)
	cases := []silent{
		{name: "nothing"},
		{name: "half a length", first: "\x00\x00"},
		{name: "a binary HELLO byte by byte", first: "\x00\x00\x04\x00", drip: "\x92\x01\x81", says: "hello_timeout"},
		{name: "a JSON HELLO byte by byte", first: "[", drip: "1, ", says: "hello_timeout"},
		{name: "a word byte by byte", first: "h", drip: "e", says: "hello_timeout"},
		{name: "words, but no hello", first: "help\n", drip: "\n", says: "hello_timeout"},
		{name: "a request byte by byte", first: "G", drip: "E"},
	}
	if !testing.Short() {
		cases = append(cases,
			silent{name: "half a frame after WELCOME", first: string(hello("half", "")) + "\x00\x00\x01\x00\x95", drip: "\x03", limit: frameLimit, says: "idle"},
			silent{name: "half a line after WELCOME", first: `[1,{"v":1,"name":"half-json"}]` + "\n[3,1", drip: " ", limit: frameLimit, says: "idle"})
	}
	playAll(t, n, cases)
}

// TestSilenceAndDripsWithTLS: the handshake counts towards the five seconds of HELLO.
func TestSilenceAndDripsWithTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	n := start(t, "--tls-cert", cert, "--tls-key", key)
	inside := func(t *testing.T) net.Conn { return dialTLS(t, n.Players) }
	playAll(t, n, []silent{
		{name: "a byte", first: "\x16"},
		{name: "a handshake byte by byte", first: "\x16\x03\x01\x02\x00", drip: "\x01\x00"},
		{name: "silence inside", open: inside},
		{name: "a drip inside", open: inside, first: "[", drip: " ", says: "hello_timeout"},
	})
}

func playAll(t *testing.T, n *node, cases []silent) {
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
		conn = dial(t, n.Players).stream
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
	size := 5000
	if testing.Short() {
		size = 2000
		t.Parallel()
	}
	n := start(t)
	if got := openFiles(); got < size+1000 {
		t.Skipf("only %d files may be open", got)
	}
	logins := newLogins(t, n, visit)
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
