package listener

import (
	"sync/atomic"
	"testing"
	"time"

	"gamed/protocol"
)

// TestConnectingAnewGivesNothingBack: the rate is the player's, however he spreads his frames over connections, one after the other
// or while the older one is open.
func TestConnectingAnewGivesNothingBack(t *testing.T) {
	for name, closes := range map[string]bool{"one after the other": true, "side by side": false} {
		t.Run(name, func(t *testing.T) {
			s := start(t, newEcho(), func(o *Options) { o.Rate, o.Burst = 1, 10 })
			begun := time.Now()
			passed := 0
			var last *peer
			for range 6 {
				p := dial(t, s)
				p.hello("ann")
				if last != nil && !closes {
					_ = last.Close()
					await(t, "the older one's end", func() bool { return s.Count() == 1 })
				}
				for ref := range uint64(10) {
					p.send(call(ref+1, "x"))
					if r, ok := protocol.ParseReply(p.frame()); ok && r.Status == protocol.CodeOK {
						passed++
					}
				}
				last = p
				if closes {
					_ = p.Close()
					await(t, "its end", func() bool { return s.Count() == 0 })
				}
			}
			if most := 11 + int(time.Since(begun)/time.Second); passed < 10 || passed > most {
				t.Errorf("%d of 60 frames passed, %d may", passed, most)
			}
			other := dial(t, s)
			other.hello("bob")
			other.send(call(1, "x"))
			other.expectReply(1, "x")
		})
	}
}

// TestTabsAreForgotten: players who owe nothing any more leave nothing behind.
func TestTabsAreForgotten(t *testing.T) {
	s := start(t, newEcho(), func(o *Options) { o.Rate, o.Burst = 100, 100 })
	for _, name := range []string{"a", "b", "c"} {
		p := dial(t, s)
		p.hello(name)
		p.send(call(1, "x"))
		p.expectReply(1, "x")
		_ = p.Close()
	}
	await(t, "nothing is left", func() bool {
		s.tabs.mu.Lock()
		defer s.tabs.mu.Unlock()
		s.tabs.sweep(s.clock.now())
		return len(s.tabs.owed) == 0 && len(s.tabs.conns) == 0
	})
}

// TestShedding: short of memory, those who have no session yet are turned away first, then all; who is in stays in.
func TestShedding(t *testing.T) {
	var level atomic.Uint32
	s := start(t, newEcho(), func(o *Options) { o.Pressure = func() Pressure { return Pressure(level.Load()) } })
	in := dial(t, s)
	in.hello("ann")
	enter := func(session string) (welcome bool) {
		p := dial(t, s)
		p.send(protocol.AppendHello(nil, protocol.Hello{V: protocol.Version, Name: "bob", HasName: true, Session: session}))
		b := p.frame()
		if g, ok := protocol.ParseGoaway(b); ok {
			if g.Code != protocol.CodeUnavailable || g.RetryMS < 2000 {
				t.Errorf("%+v", g)
			}
			return false
		}
		return true
	}
	for _, tc := range []struct {
		level         Pressure
		fresh, resume bool
	}{{PressureNone, true, true}, {PressureHigh, false, true}, {PressureFull, false, false}, {PressureNone, true, true}} {
		level.Store(uint32(tc.level))
		if got := enter(""); got != tc.fresh {
			t.Errorf("level %d, a new session: %v", tc.level, got)
		}
		if got := enter("some"); got != tc.resume {
			t.Errorf("level %d, a session that goes on: %v", tc.level, got)
		}
		in.send(call(1, "x"))
		in.expectReply(1, "x")
	}
	await(t, "all three are counted", func() bool { return value(t, s.m.closed[ReasonShed]) == 3 })
}
