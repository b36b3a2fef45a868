package gametest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// probe is a game whose handlers are functions of the test.
type probe struct {
	call   func(p *probe, c *game.Context, m *game.Message)
	n      int64
	secret int64 // not in the snapshot
}

func (p *probe) Call(c *game.Context, m *game.Message) { p.call(p, c, m) }

func (p *probe) Snapshot(dst []byte) []byte { return protocol.AppendInt(dst, p.n) }

func (p *probe) Restore(b []byte) error {
	r := game.ReadState(b)
	p.n = r.Int()
	return r.Err()
}

// hearing is a probe with all abilities of a player part.
type hearing struct {
	*probe
	heard func(c *game.Context, what string)
}

func (h hearing) Answered(c *game.Context, tag string, code protocol.Code, p game.Payload) {
	h.heard(c, fmt.Sprintf("answered %s %s %s", tag, code, Value{nil, p}))
}
func (h hearing) Timer(c *game.Context, name string) { h.heard(c, "timer "+name) }
func (h hearing) Notice(c *game.Context, event string, p game.Payload) {
	h.heard(c, "notice "+event)
}
func (h hearing) Left(c *game.Context, player string) { h.heard(c, "left "+player) }

func players(call func(p *probe, c *game.Context, m *game.Message)) game.Game {
	return game.Game{Name: "probe", Player: func(string) game.Player { return &probe{call: call} }}
}

// tb is a testing.TB that notes failures instead of failing.
type tb struct {
	testing.TB
	errors []string
}

func (t *tb) Helper()                      {}
func (t *tb) Logf(string, ...any)          {}
func (t *tb) Errorf(f string, args ...any) { t.errors = append(t.errors, fmt.Sprintf(f, args...)) }

func (t *tb) has(real *testing.T, text string) {
	real.Helper()
	if len(t.errors) != 1 || !strings.Contains(t.errors[0], text) {
		real.Errorf("errors %q, want one with %q", t.errors, text)
	}
}

func TestAForgottenChangedFails(t *testing.T) {
	f := &tb{TB: t}
	ann := New(f, players(func(p *probe, c *game.Context, m *game.Message) {
		p.n++
		if m.Event == "say so" {
			c.Changed()
		}
		c.Reply(game.NewMap().Int("n", p.n))
	})).Player("ann")
	if ann.OK("probe:x", "say so", nil); len(f.errors) != 0 {
		t.Errorf("errors %q", f.errors)
	}
	if got := ann.OK("probe:x", "forget", nil).Int("n"); got != 2 {
		t.Errorf("n = %d in the handler, want 2", got)
	}
	f.has(t, "without Context.Changed")
	if got := ann.OK("probe:x", "say so", nil).Int("n"); got != 2 {
		t.Errorf("n = %d: a change that was not committed is kept", got)
	}
}

func TestWhatIsNotInTheSnapshotIsLost(t *testing.T) {
	ann := New(t, players(func(p *probe, c *game.Context, m *game.Message) {
		p.secret++
		if p.secret > 1 {
			t.Error("a field that Snapshot forgets was kept")
		}
		p.n++
		c.Changed()
		c.Reply(game.NewMap().Int("n", p.n))
	})).Player("ann")
	ann.OK("probe:x", "a", nil)
	if got := ann.OK("probe:x", "b", nil).Int("n"); got != 2 {
		t.Errorf("n = %d, want 2", got)
	}
}

func TestPayloadsAreSpoiltAfterTheHandler(t *testing.T) {
	var kept game.Payload
	ann := New(t, players(func(_ *probe, c *game.Context, m *game.Message) {
		kept = m.Payload
		c.ReplyPayload(m.Payload)
	})).Player("ann")
	sent := game.NewMap().Int("a", 1).Payload()
	code, got := ann.Call("probe:x", "a", sent)
	if code != protocol.CodeOK || string(got) != string(game.NewMap().Int("a", 1).Payload()) {
		t.Errorf("answered %s % x", code, got)
	}
	if !slices.Equal(kept, game.Payload{0xc1, 0xc1, 0xc1, 0xc1}) {
		t.Errorf("kept % x, want it spoilt", kept)
	}
}

func TestAPanicCostsOneMessage(t *testing.T) {
	w := New(t, players(func(p *probe, c *game.Context, m *game.Message) {
		p.n++
		c.Changed()
		c.Tally("r", 0, 1)
		c.Push("counted", nil)
		c.Reply(game.NewMap().Int("n", p.n))
		if m.Event == "break" {
			panic("on purpose")
		}
	}))
	ann := w.Player("ann")
	ann.OK("probe:x", "a", nil)
	ann.Refused(protocol.CodeInternal, "probe:x", "break", nil)
	if got := ann.OK("probe:x", "a", nil).Int("n"); got != 2 || w.Panics() != 1 {
		t.Errorf("n = %d, %d panics; want 2, 1", got, w.Panics())
	}
	if got := len(ann.Pushes()); got != 2 {
		t.Errorf("%d pushes, want 2", got)
	}
	if got := w.tallies.close("probe:x", "r").Slots[0]; got != 2 {
		t.Errorf("tally %d, want 2", got)
	}
}

func TestAPanicUndoesMembership(t *testing.T) {
	g := game.Game{Name: "probe", Room: func(string) game.Room {
		return &probe{call: func(_ *probe, c *game.Context, m *game.Message) {
			c.Roster.Each(func(name string) bool { return c.Leave(name) })
			c.Join()
			if m.Event == "break" {
				panic("on purpose")
			}
		}}
	}}
	w := New(t, g)
	w.Player("ann").OK("probe:x", "a", nil)
	w.Player("bob").Refused(protocol.CodeInternal, "probe:x", "break", nil)
	if got := w.Members("probe:x"); !slices.Equal(got, []string{"ann"}) {
		t.Errorf("members %v", got)
	}
	w.Player("bob").OK("probe:x", "a", nil)
	if got := w.Members("probe:x"); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("members %v", got)
	}
}

func TestAbilitiesAreAskedFor(t *testing.T) {
	for what, use := range map[string]func(c *game.Context){
		"After":  func(c *game.Context) { c.After("x", time.Second) },
		"Call":   func(c *game.Context) { c.Call(game.Address{Topic: "probe:x"}, "e", nil, "") },
		"Notify": func(c *game.Context) { c.Notify("x", nil) },
	} {
		f := &tb{TB: t}
		New(f, players(func(_ *probe, c *game.Context, _ *game.Message) { use(c) })).Player("ann").OK("probe:x", "a", nil)
		if len(f.errors) != 1 {
			t.Errorf("%s without the ability: errors %q", what, f.errors)
		}
	}
}

func TestCallsEndByTheirDeadline(t *testing.T) {
	var heard []string
	g := players(nil)
	g.Player = func(string) game.Player {
		return hearing{&probe{call: func(_ *probe, c *game.Context, m *game.Message) {
			switch m.Event {
			case "never":
				c.Defer()
			case "twice":
				c.ReplyTo(c.Defer(), game.NewMap().Int("a", 1))
				c.ReplyTo(c.To, game.NewMap().Int("a", 2))
			default:
				c.Call(game.Address{Player: "bob", Topic: "probe:x"}, m.Event[5:], nil, "tag")
			}
		}}, func(_ *game.Context, what string) { heard = append(heard, what) }}
	}
	w := New(t, g)
	ann := w.Player("ann")
	begin := w.Now()
	ann.Refused(protocol.CodeUnavailable, "probe:x", "never", nil)
	if d := w.Now().Sub(begin); d != 10*time.Second {
		t.Errorf("a client's call ended after %v", d)
	}
	ann.OK("probe:x", "call never", nil)
	w.Advance(game.CallTimeout - 1)
	if len(heard) != 0 {
		t.Errorf("heard %q too early", heard)
	}
	w.Advance(1)
	ann.OK("probe:x", "call twice", nil)
	want := []string{`answered tag unavailable {"message":"no answer in time"}`, `answered tag ok {"a":1}`}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

func TestTimersFireInOrder(t *testing.T) {
	var heard []string
	g := players(nil)
	g.Player = func(string) game.Player {
		return hearing{&probe{call: func(_ *probe, c *game.Context, _ *game.Message) {
			c.After("b", 2*time.Second)
			c.After("a", time.Second)
			c.After("never", time.Second)
			c.Cancel("never")
			c.After("b", 3*time.Second)
			c.After("now", 0)
		}}, func(c *game.Context, what string) {
			heard = append(heard, what+" "+c.Now().Format("05"))
			if what == "timer a" {
				c.After("a2", time.Second)
			}
		}}
	}
	w := New(t, g)
	w.Player("ann").OK("probe:x", "a", nil)
	w.Advance(time.Minute)
	if want := []string{"timer now 00", "timer a 01", "timer a2 02", "timer b 03"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

func TestUnknownTopics(t *testing.T) {
	ann := New(t, players(nil)).Player("ann")
	for _, topic := range []string{"", "probe", "other:x", "probe:a b", ":x"} {
		ann.Refused(protocol.CodeNotFound, topic, "x", nil)
	}
}
