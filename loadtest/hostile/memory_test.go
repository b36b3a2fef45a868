package hostile

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

// resident is how much memory the process has now, in bytes.
func (n *node) resident() int {
	n.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		n.t.Skipf("the memory of another process cannot be read here: %v", err)
	}
	_, after, _ := bytes.Cut(b, []byte("VmRSS:"))
	f := bytes.Fields(after)
	if len(f) == 0 {
		n.t.Fatal("VmRSS is not in /proc/PID/status")
	}
	kb, err := strconv.Atoi(string(f[0]))
	if err != nil {
		n.t.Fatal(err)
	}
	return kb << 10
}

// TestMemoryBeforeWelcome: a socket that has not logged in costs at most 8 KiB, the garbage made for it included, whether it is
// silent or holds back the end of the longest HELLO. Inside TLS, where a socket has a goroutine and two ciphers, it is 32 KiB.
func TestMemoryBeforeWelcome(t *testing.T) {
	cert, key := certificate(t)
	for _, tc := range []struct {
		name  string
		first []byte
		tls   bool
		most  int // KiB
	}{
		{"silent", nil, false, 8},
		{"all of a HELLO but its end", append([]byte{0, 0, 0x10, 0}, make([]byte, 4095)...), false, 8},
		{"a line without its end", append([]byte("["), bytes.Repeat([]byte(" "), 4000)...), false, 8},
		{"silent inside TLS", nil, true, 32},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := start(t, "--tls-cert", cert, "--tls-key", key)
			count := 3000
			if tc.tls {
				count = 1000
			}
			open := func(count int) (conns []net.Conn) {
				for range count {
					c, err := net.Dial("tcp", n.Players)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = c.Close() })
					if tc.tls {
						if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := c.Write(tc.first); len(tc.first) > 0 && err != nil {
						t.Fatal(err)
					}
					conns = append(conns, c)
				}
				return conns
			}
			for _, c := range open(200) { // what is needed once
				_ = c.Close()
			}
			await(t, "the first are gone", func() bool { return n.metric("gamed_listener_connections") == 0 })
			begun, before := time.Now(), n.resident()
			open(count)
			await(t, "all are there", func() bool { return n.metric("gamed_listener_connections_before_hello") >= float64(count)*0.9 })
			grown := n.resident() - before
			if took := time.Since(begun); took > 5*time.Second {
				t.Skipf("the machine is too slow for this: the first of %d sockets are closed after 5 s, it took %v", count, took)
			}
			t.Logf("%d bytes a socket", grown/count)
			if grown > count*tc.most<<10 {
				t.Errorf("%d bytes a socket, at most %d KiB", grown/count, tc.most)
			}
		})
	}
}
