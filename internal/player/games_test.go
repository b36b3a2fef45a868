package player

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// testGames are a game with both parts, one with rooms only, and one with players only.
func testGames() []game.Game {
	return []game.Game{
		{Name: "probe", Player: func(string) game.Player { return &probe{} }, Room: func(string) game.Room { return nil }},
		{Name: "rooms", Room: func(string) game.Room { return nil }},
		{Name: "sums", Player: func(string) game.Player { return &sums{} }, Room: func(string) game.Room { return nil }},
		{Name: "solo", HasTopic: func(id string) bool { return id == "" }, Player: func(string) game.Player { return &probe{} }},
	}
}

// probe does what it is told.
type probe struct {
	n       int64 // how often something was done
	waiting []game.ReplyTo
}

func (p *probe) done(c *game.Context) *game.Map {
	p.n++
	c.Changed()
	return game.NewMap().Int("n", p.n)
}

func (p *probe) Call(c *game.Context, m *game.Message) {
	f := m.Payload.Fields()
	switch m.Event {
	case "add":
		c.Reply(p.done(c))
	case "get":
		c.Reply(game.NewMap().Int("n", p.n))
	case "same":
		c.ReplyPayload(m.Payload)
	case "push":
		c.Push("pushed", m.Payload.Clone())
		c.Reply(game.NewMap().Int("n", p.n))
	case "boom":
		p.done(c)
		c.Push("pushed", nil)
		c.Tally("r", 1, 1)
		panic("boom")
	case "busy":
		c.FailRetry(protocol.CodeBusy, time.Second, "later")
	case "defer":
		p.waiting = append(p.waiting, c.Defer())
		p.done(c)
	case "wait":
		p.waiting = append(p.waiting, c.Defer())
	case "release":
		for _, to := range p.waiting {
			c.ReplyTo(to, p.done(c))
		}
		p.waiting = nil
		c.Changed()
	case "pass":
		c.Forward()
	case "ask":
		for range f.IntOr("times", 1) {
			c.Call(game.Address{Topic: "rooms:far"}, "question", nil, "tag")
		}
	case "join":
		c.Call(game.Address{Topic: c.Self().Topic}, "join", nil, "join")
	case "after":
		c.After("alarm", time.Duration(f.Int("ms"))*time.Millisecond)
	case "tally":
		c.Reply(game.NewMap().Bool("ok", c.Tally(f.Text("round"), int(f.Int("slot")), 1) && c.TallyName(f.Text("round"), 0)))
		c.Changed()
	case "role":
		c.Reply(game.NewMap().Text("role", m.Role).Bool("client", m.Client))
	case "long":
		p.done(c)
		c.Reply(game.NewMap().Text("b", strings.Repeat("x", protocol.MaxFrameOut)))
	default:
		c.Fail(protocol.CodeNotFound, "no such event")
	}
}

func (p *probe) Answered(c *game.Context, tag string, status protocol.Code, _ game.Payload) {
	p.done(c)
	c.Push("answered", game.NewMap().Text("tag", tag).Text("status", string(status)))
}

func (p *probe) Timer(c *game.Context, name string) {
	p.done(c)
	if p.n < 3 {
		panic("not yet") // the count is lost with it
	}
	c.Push("rang", nil)
}

func (p *probe) Notice(c *game.Context, event string, _ game.Payload) {
	p.done(c)
	c.Push(event, nil)
}

func (p *probe) Left(c *game.Context, player string) {
	c.Push("left", game.NewMap().Text("player", player))
}

func (p *probe) Snapshot(dst []byte) []byte {
	dst = protocol.AppendInt(dst, p.n)
	dst = protocol.AppendArray(dst, len(p.waiting))
	for _, to := range p.waiting {
		dst = protocol.AppendStr(protocol.AppendStr(dst, to.Key), to.Session)
		dst = protocol.AppendBool(protocol.AppendUint(dst, to.Ref), to.Client)
	}
	return dst
}

func (p *probe) Restore(b []byte) error {
	s := game.ReadState(b)
	p.n, p.waiting = s.Int(), nil
	for range s.Len(100) {
		p.waiting = append(p.waiting, game.ReplyTo{Key: s.Text(), Session: s.Text(), Ref: uint64(s.Int()), Client: s.Bool()})
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// sums is a probe whose count adds up when it is merged.
type sums struct{ probe }

func (p *sums) Merge(base, mine, theirs []byte) ([]byte, error) {
	var b, m, t probe
	if base != nil {
		_ = b.Restore(base)
	}
	if err := errors.Join(m.Restore(mine), t.Restore(theirs)); err != nil {
		return nil, err
	}
	m.n += t.n - b.n
	if m.n > 1000 {
		return m.Snapshot(nil), errors.New("more than 1000")
	}
	return m.Snapshot(nil), nil
}
