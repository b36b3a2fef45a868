package hostile

import (
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gamed/protocol"
)

// TestConnectionFlood: connections are opened as fast as it goes, some left open and silent, more than the node may have files.
// An honest login still works, if at the second attempt: silent sockets have a small pool of their own, in which the oldest makes
// room, and at this rate an honest socket may be the oldest before its HELLO is read.
func TestConnectionFlood(t *testing.T) {
	t.Parallel()
	length := 4 * time.Second
	if testing.Short() {
		length = 1500 * time.Millisecond
	}
	n := startAs(t, exec.Command("sh", "-c", `ulimit -n 400 && exec "$0" "$@"`, gamed))
	before := n.memory()
	logins := newLogins(t, n, visitAgain)
	defer logins.stop()
	var opened atomic.Int64
	var wg sync.WaitGroup
	until := time.Now().Add(length)
	for i := range 4 {
		wg.Go(func() {
			var silent []net.Conn
			for k := 0; time.Now().Before(until); k++ {
				c, err := net.Dial("tcp", n.Players)
				if err != nil {
					continue // its backlog may be full: that is the flooder's trouble
				}
				opened.Add(1)
				switch k % 4 {
				case 0: // stays, silent
					if silent = append(silent, c); len(silent) > 500 {
						_ = silent[0].Close()
						silent = silent[1:]
					}
					continue
				case 1:
					_, _ = c.Write([]byte{0})
				case 2:
					_ = c.(*net.TCPConn).SetLinger(0) // a reset
				case 3:
					_, _ = c.Write(hello("flooder-"+string(rune('a'+i)), ""))
				}
				_ = c.Close()
			}
			for _, c := range silent {
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	if n := opened.Load(); n < 1000 {
		t.Errorf("only %d connections in %v are no flood", n, length)
	} else {
		t.Logf("%d connections in %v", n, length)
	}
	logins.judge(20)
	m := n.metrics()
	if m[closedBy("crowded")] == 0 {
		t.Error("no silent connection had to make room: the flood is too small")
	}
	await(t, "the node is empty", func() bool { return n.metric("gamed_listener_connections") == 0 })
	if after := n.memory(); after > before+flat {
		t.Errorf("memory went from %d to %d MiB", before, after)
	}
	n.calm(t)
}

// TestNoFilesLeft: when the process can open no more files it goes on accepting as soon as it can again, and those who are
// connected play on meanwhile.
func TestNoFilesLeft(t *testing.T) {
	t.Parallel()
	n := start(t)
	playing, _ := mustLogin(t, n.Players, "playing", "")
	ref := uint64(0)
	echo := func() {
		t.Helper()
		ref++
		if r, err := playing.call(ref, "echo:", "e", nil); err != nil || r.Status != protocol.CodeOK {
			t.Fatalf("echo: %v %v", r.Status, err)
		}
	}
	echo()
	restore := n.limitFiles(t)
	var waiting []*peer
	for range 20 {
		p := dial(t, n.Players) // the kernel takes it
		if _, err := p.Write(hello("waiting", "")); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, p)
	}
	echo()
	last := waiting[len(waiting)-1]
	_ = last.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
	if b, err := last.frame(); err == nil {
		t.Fatalf("it was served with % x: the limit is not reached", b)
	}
	echo()
	restore()
	began := time.Now()
	_ = last.SetReadDeadline(time.Now().Add(patience))
	b, err := last.next(protocol.KindWelcome)
	if d := time.Since(began); err != nil || d > 3*time.Second {
		t.Errorf("WELCOME after %v: % x %v", d, b, err)
	}
	if got := n.metric("gamed_listener_accept_errors_total"); got == 0 || got > 1000 {
		t.Errorf("%v failed accepts: none, or no pause between them", got)
	}
	echo()
	n.calm(t)
}
