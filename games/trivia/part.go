package trivia

import (
	"gamed/game"
	"gamed/protocol"
)

// part is the player part.
type part struct {
	contestant
	prize prize
}

// Call implements game.Player.
func (p *part) Call(c *game.Context, m *game.Message) {
	if !m.Client {
		c.Fail(protocol.CodeNotFound, "only clients play")
		return
	}
	f := m.Payload.Fields()
	switch m.Event {
	case "open", "start":
		c.Forward()
		return
	case "answer":
		p.answer(c, &f)
		return
	case "join", "leave":
	default:
		c.Fail(protocol.CodeNotFound, "trivia has no event %q", m.Event)
		return
	}
	if err := f.Err(); err != nil {
		c.Fail(protocol.CodeInvalid, "%v", err)
		return
	}
	if m.Event == "join" && !p.member && !p.joining {
		p.joining = true
		c.Changed()
	}
	c.Call(game.Address{Topic: c.Self().Topic}, m.Event, m.Payload.Clone(), waiting{Event: m.Event, To: c.Defer()}.tag())
}

// waiting is a client's call that waits for the room's word. It travels as the tag of the call to the room.
type waiting struct {
	Event     string
	Q, Choice int64
	To        game.ReplyTo
}

func (w waiting) tag() string { return string(game.Encode(w)) }

// answer rules on a client's answer, or first asks the room when it may have gone on unheard.
func (p *part) answer(c *game.Context, f *game.Fields) {
	if !p.member {
		c.Fail(protocol.CodeForbidden, "%s", refusals[forbidden].text)
		return
	}
	q, choice := f.Int("q"), f.Int("choice")
	if err := f.Err(); err != nil {
		c.Fail(protocol.CodeInvalid, "%v", err)
		return
	}
	if p.behind(q, c.Now()) {
		p.asked = c.Now().UnixMilli()
		c.Changed()
		c.Call(game.Address{Topic: c.Self().Topic}, "standing", nil, waiting{"answer", q, choice, c.Defer()}.tag())
		return
	}
	if r, choice := p.rule(c, q, choice); r <= repeated {
		c.Reply(reply(q, choice))
	} else {
		c.Fail(refusals[r].code, "%s", refusals[r].text)
	}
}

// rule judges an answer and has it counted if it is accepted. It gives the choice that counts.
func (p *part) rule(c *game.Context, q, choice int64) (ruling, int64) {
	switch r := p.judge(q, choice, c.Now()); r {
	case accepted:
		if !c.Tally(questionRound(p.run, p.q), int(choice), 1) {
			p.closes = c.Now().UnixMilli() // who was too late stays it, also where the round is open again
			c.Changed()
			return late, 0
		}
		p.choose(choice)
		c.Changed()
		return accepted, choice
	case repeated:
		first, _ := p.choice(q)
		return repeated, first
	default:
		return r, 0
	}
}

func reply(q, choice int64) *game.Map { return game.NewMap().Int("q", q).Int("choice", choice) }

var refusals = map[ruling]struct {
	code protocol.Code
	text string
}{
	forbidden: {protocol.CodeForbidden, "join first"},
	noChoice:  {protocol.CodeInvalid, "choice: the open question has no such choice"},
	isOut:     {protocol.CodeOut, "you are watching"},
	late:      {protocol.CodeTooLate, "this question is not open"},
}

// Notice implements game.Noticed: the room's word to all.
func (p *part) Notice(c *game.Context, event string, payload game.Payload) {
	if !p.member && !p.joining {
		return // it was on its way when he left
	}
	f := payload.Fields()
	switch event {
	case "standing":
		p.heard(c, &f, false)
	case "final":
		p.heard(c, &f, false)
		if f.Int("run") == p.run && !p.out {
			p.win(c)
		}
	case "payout":
		p.payout(c, &f)
	}
}

// heard takes in a standing and tells the client its verdicts.
func (p *part) heard(c *game.Context, f *game.Fields, fresh bool) {
	s := readStanding(f)
	if f.Err() != nil {
		return
	}
	p.member = true
	c.Changed()
	for _, v := range p.hear(s, fresh, c.Now()) {
		c.Push("verdict", game.NewMap().Text("topic", c.Self().Topic).Int("q", int64(v.q)).Bool("correct", v.correct).
			Bool("alive", v.correct))
	}
}

// Answered implements game.Answered.
func (p *part) Answered(c *game.Context, tag string, status protocol.Code, payload game.Payload) {
	f := payload.Fields()
	switch tag {
	case "credit":
		p.credited(c, status)
		return
	case "payout":
		if status == protocol.CodeOK {
			p.payout(c, &f)
		}
		return
	}
	var w waiting
	err := game.Payload(tag).Decode(&w)
	switch {
	case err != nil:
	case w.Event == "leave" && (status == protocol.CodeOK || status == protocol.CodeForbidden && p.member):
		p.gone(c)
		c.ReplyTo(w.To, game.EmptyMap)
	case status != protocol.CodeOK:
		c.PassTo(w.To, status, payload)
	case w.Event == "join":
		p.joined(c, w.To, &f)
	case w.Event == "answer":
		p.heard(c, &f, false)
		if r, choice := p.rule(c, w.Q, w.Choice); r <= repeated {
			c.ReplyTo(w.To, reply(w.Q, choice))
		} else {
			c.FailTo(w.To, refusals[r].code, refusals[r].text)
		}
	}
}

// joined merges what the room and the part know into the answer to join.
func (p *part) joined(c *game.Context, to game.ReplyTo, f *game.Fields) {
	p.joining = false
	p.heard(c, f, f.Bool("fresh"))
	a := game.NewMap().Text("phase", f.Text("phase")).Int("players", f.Int("players")).Bool("alive", !p.out).
		Int("offset", f.Int("offset"))
	if f.Has("question") {
		a.Raw("question", f.Raw("question"))
		if choice, given := p.choice(int64(p.q)); given {
			a.Int("answer", choice)
		}
	}
	c.ReplyTo(to, a)
}

// Left implements game.Leaver: the session ended.
func (p *part) Left(c *game.Context, _ string) { p.gone(c) }

// gone ends the membership here.
func (p *part) gone(c *game.Context) {
	if slot := p.leave(); slot >= 0 {
		c.Tally(questionRound(p.run, p.q), slot, 1)
	}
	c.Changed() // a prize that is still owed is settled by its timer: no notices come any more
}
