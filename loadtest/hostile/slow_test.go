package hostile

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

const blocked = "gamed_listener_connections_blocked"

// readSlowly reads a byte a second until the connection ends.
func (p *peer) readSlowly(t testing.TB) {
	_ = p.stream.(*net.TCPConn).SetReadBuffer(4096)
	one := make([]byte, 1)
	every(t, time.Second, func() bool {
		_, err := p.stream.Read(one)
		return err == nil
	})
}

// TestSlowClientCostsOnlyItself: of the members of a busy room one reads a byte a second. It alone is closed, when what waits for
// it comes to 256 KiB or is 5 s old; the others get everything, no later than before.
func TestSlowClientCostsOnlyItself(t *testing.T) {
	n := start(t)
	w := hire(t, n, 8, "chat:busy")
	const period, size = time.Second / 30, 1900
	rounds, number, session := 3, 0, ""
	if testing.Short() {
		rounds = 1
	}
	unmoved(t, rounds, func() (quiet, attacked time.Duration) {
		quiet = w.talk(time.Second, period, size, func() bool { n.metrics(); return false }) // which is asked below, too
		number++
		name := fmt.Sprintf("slow-%d", number)
		p, wel := mustLogin(t, n.Players, name, "")
		session = wel.Session
		if r, err := p.call(1, "chat:busy", "join", nil); err != nil || r.Status != protocol.CodeOK {
			t.Fatalf("join: %v %v", r.Status, err)
		}
		p.readSlowly(t)
		var since, took time.Duration
		began := time.Now()
		attacked = w.talk(patience, period, size, func() bool {
			m := n.metrics()
			if since == 0 && m[blocked] > 0 {
				since = time.Since(began)
			}
			if m[closedBy("slow_consumer")] == float64(number) {
				took = time.Since(began)
			}
			return took > 0
		})
		// At 450 KB a second the kernel's buffers are full in about two seconds, and 256 KiB are there in less than one more.
		if took == 0 || took-since > 5*time.Second+2*time.Second {
			t.Errorf("blocked after %v, closed after %v", since, took)
		}
		return quiet, attacked
	})
	m := n.metrics()
	if got := m[closedBy("slow_consumer")]; got != float64(number) {
		t.Errorf("%v connections closed as slow, want %d", got, number)
	}
	for name, v := range m {
		if strings.HasPrefix(name, "gamed_listener_closed_total") && name != closedBy("slow_consumer") && v > 0 {
			t.Errorf("%s %v", name, v)
		}
	}
	if _, wel := mustLogin(t, n.Players, fmt.Sprintf("slow-%d", number), session); !wel.Resumed {
		t.Error("its session is gone")
	}
}

// TestSlowClientIsClosedByTime: little waits, but nothing is read, in each dialect.
func TestSlowClientIsClosedByTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than five seconds")
	}
	t.Parallel()
	n := start(t)
	text := strings.Repeat("x", 30_000)
	since := map[string]time.Time{}
	for i, d := range []struct{ name, hello, call string }{
		{"binary", string(hello("slow-binary", "")), string(protocol.AppendCall(nil, 1, "echo:", "e", protocol.AppendStr(nil, text)))},
		{"JSON", `[1,{"v":1,"name":"slow-json"}]` + "\n", `[3,1,"echo:","e","` + text + `"]` + "\n"},
		{"words", "hello slow-words\n", `call echo: e "` + text + `"` + "\n"},
	} {
		p := dial(t, n.Players)
		_ = p.stream.(*net.TCPConn).SetReadBuffer(4096)
		if _, err := p.Write([]byte(d.hello)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.r.ReadByte(); err != nil {
			t.Fatalf("%s: no WELCOME: %v", d.name, err)
		}
		p.readSlowly(t)
		frames := n.metric("gamed_listener_frames_received_total")
		await(t, d.name+" is blocked", func() bool {
			m := n.metrics()
			if m[blocked] == float64(i+1) {
				return true
			}
			if now := m["gamed_listener_frames_received_total"]; now > frames { // the last one was taken
				frames = now
			} else if _, err := p.Write([]byte(d.call)); err != nil {
				t.Fatalf("%s: %v", d.name, err)
			}
			return false
		})
		since[d.name] = time.Now()
	}
	for i := range len(since) {
		await(t, "one more is closed", func() bool { return n.metric(closedBy("slow_consumer")) >= float64(i+1) })
	}
	for name, at := range since {
		if d := time.Since(at); d < 4*time.Second || d > 5*time.Second+5*time.Second {
			t.Errorf("%s: closed about %v after it was blocked", name, d)
		}
	}
	if p, err := connect(n.Players); err != nil {
		t.Error(err)
	} else {
		defer p.Close()
		if _, err = p.login("after", ""); err != nil {
			t.Error(err)
		}
		if _, err = p.call(1, "echo:", "e", game.NewMap().Payload()); err != nil {
			t.Error(err)
		}
	}
}
