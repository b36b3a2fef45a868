package hostile

import (
	"fmt"
	"io"
	"testing"
	"time"

	"gamed/protocol"
)

// flooder sends 2,000 calls and as many casts and pings a second over one connection and reads what comes.
type flooder struct {
	stop    func()
	done    chan struct{} // closed when the connection has ended; then the rest may be read
	ok      int
	limited int
	first   time.Time // of the first refusal
	ended   time.Time
	goaway  *protocol.Goaway
	err     error
}

func flood(t *testing.T, n *node, name string) *flooder {
	t.Helper()
	p, _ := mustLogin(t, n.Players, name, "")
	f := &flooder{done: make(chan struct{})}
	ref := uint64(0)
	f.stop = every(t, 10*time.Millisecond, func() bool {
		var b []byte
		for range 20 {
			ref++
			b = protocol.AppendCall(b, ref, "echo:", "e", nil)
			b = protocol.AppendCall(b, 0, "echo:", "cast", nil)
			b = protocol.AppendPing(b, nil)
		}
		_, err := p.Write(b)
		return err == nil
	})
	go func() {
		defer close(f.done)
		f.read(p)
	}()
	return f
}

func (f *flooder) read(p *peer) {
	for {
		b, err := p.frame()
		if err != nil {
			f.ended = time.Now()
			if err != io.EOF {
				f.err = err
			}
			return
		}
		if g, ok := protocol.ParseGoaway(b); ok {
			f.goaway = &g
			continue
		}
		r, ok := protocol.ParseReply(b)
		switch fail, _ := protocol.ParseFailure(r.Payload); {
		case !ok: // PONG
		case r.Status == protocol.CodeOK:
			f.ok++
		case r.Status == protocol.CodeRateLimited && fail.HasRetry && fail.RetryMS > 0 && fail.RetryMS <= 3000:
			if f.limited++; f.limited == 1 {
				f.first = time.Now()
			}
		default:
			f.err = fmt.Errorf("answer %s %+v", r.Status, fail)
		}
	}
}

// TestFlood: who sends a hundred times as much as he may gets rate_limited with a time to come back, and GOAWAY after ten
// seconds of it. The others notice nothing.
func TestFlood(t *testing.T) {
	n := start(t)
	w := hire(t, n, 6, "chat:calm")
	talk := func() time.Duration { return w.talk(1300*time.Millisecond, time.Second/30, 100, nil) }
	rounds, number := 3, 0
	if testing.Short() {
		rounds = 1
	}
	unmoved(t, rounds, func() (quiet, attacked time.Duration) {
		quiet = talk()
		number++
		f := flood(t, n, fmt.Sprintf("flooder-%d", number))
		await(t, "calls are refused", func() bool { return n.metric("gamed_listener_calls_rate_limited_total") > 0 })
		attacked = talk()
		f.stop()
		return quiet, attacked
	})
	if testing.Short() || t.Failed() {
		return
	}
	f := flood(t, n, "flooder")
	select {
	case <-f.done:
	case <-time.After(2 * patience):
		t.Fatal("the flooder is not closed")
	}
	f.stop()
	if f.err != nil || f.goaway == nil || f.goaway.Code != protocol.CodeRateLimited || f.goaway.RetryMS <= 0 {
		t.Errorf("it got %+v, %v", f.goaway, f.err)
	}
	// The last frame may be read a moment after it was sent: 10 s count from the first refusal to the GOAWAY.
	if d := f.ended.Sub(f.first); d < 10*time.Second-time.Second/2 || d > 10*time.Second+slack {
		t.Errorf("closed %v after the first refusal", d)
	}
	// 60 frames a second, a burst of twice that; a third of them are calls that could be answered.
	if most := 120 + 60*11; f.ok > most || f.ok < most/6 {
		t.Errorf("%d calls were answered", f.ok)
	}
	m := n.metrics()
	for _, name := range []string{"cast_over_rate", "ping_over_rate"} {
		if m[`gamed_listener_dropped_total{reason="`+name+`"}`] < 1000 {
			t.Errorf("too few frames counted as %s", name)
		}
	}
	await(t, "it alone is closed", func() bool {
		m = n.metrics()
		return m[closedBy("rate_limited")] == 1 && m["gamed_listener_connections"] == float64(len(w.all)+number)
	})
	mustLogin(t, n.Players, "flooder", "") // it may come back
}
