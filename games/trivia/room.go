package trivia

import (
	"bytes"
	"errors"

	"gamed/game"
	"gamed/protocol"
)

// room is the room part: it moves the stage on, by the host's word, by timers and by tallies.
type room struct{ stage }

// Call implements game.Room. The host speaks as a client; player parts speak for their players.
func (r *room) Call(c *game.Context, m *game.Message) {
	switch {
	case m.Client && (m.Event == "open" || m.Event == "start"):
		if !m.HasRole("host") {
			c.Fail(protocol.CodeForbidden, "only a host may %s a show", m.Event)
			return
		}
		r.host(c, m)
	case !m.Client && m.From.Player != "" && m.From.Topic == c.Self().Topic:
		r.part(c, m.Event, m.From.Player)
	default:
		c.Fail(protocol.CodeNotFound, "trivia has no event %q", m.Event)
	}
}

func (r *room) host(c *game.Context, m *game.Message) {
	if m.Event == "open" {
		show, err := readShow(m.Payload)
		switch {
		case err != nil:
			c.Fail(protocol.CodeInvalid, "%v", err)
			return
		case r.running():
			c.Fail(protocol.CodeConflict, "a show is under way")
			return
		}
		r.open(show, c.Now())
		c.Changed()
		r.tell(c)
		c.Reply(game.NewMap().Int("questions", int64(len(show.Questions))))
		return
	}
	f := m.Payload.Fields()
	switch {
	case f.Err() != nil:
		c.Fail(protocol.CodeInvalid, "%v", f.Err())
	case !r.start(c.Now()):
		c.Fail(protocol.CodeConflict, "there is no show in the lobby: open one")
	default:
		r.asked(c)
		c.Reply(game.EmptyMap)
	}
}

// part answers a player's part.
func (r *room) part(c *game.Context, event, player string) {
	switch event {
	case "join":
		fresh := c.Join()
		a := game.NewMap().Bool("fresh", fresh).Text("phase", r.phase.String()).Int("players", int64(c.Roster.Len())).
			Int("offset", int64(c.StreamOffset()))
		if r.phase == asking {
			a.Raw("question", r.pushed(c.Now()).Payload())
		}
		c.Reply(r.standing(c.Now()).fields(a))
	case "leave":
		if !c.Leave(player) {
			c.Fail(protocol.CodeForbidden, "not in the room")
		}
	case "standing":
		c.Reply(r.standing(c.Now()).fields(game.NewMap()))
	case "payout":
		c.Reply(r.payout())
	default:
		c.Fail(protocol.CodeNotFound, "trivia has no event %q", event)
	}
}

// payout is what winners' parts are told. share 0: not known yet.
func (r *room) payout() *game.Map {
	return game.NewMap().Int("run", r.run).Int("share", r.share).Int("poll", r.poll).Bool("over", r.phase == over)
}

// tell gives all player parts the standing.
func (r *room) tell(c *game.Context) {
	c.Notify("standing", r.standing(c.Now()).fields(game.NewMap()))
}

// asked tells everybody the question that was just asked.
func (r *room) asked(c *game.Context) {
	c.Changed()
	r.tell(c)
	c.Broadcast("question", r.pushed(c.Now()))
	c.After("close", r.question().open()+grace)
}

// collect asks for the round that is due, and again if it brings nothing.
func (r *room) collect(c *game.Context) {
	c.Collect(r.collecting())
	c.After("again", recount)
}

// Timer implements game.Timed. A timer of a phase that is past does nothing.
func (r *room) Timer(c *game.Context, name string) {
	switch {
	case name == "close" && r.phase == asking:
		r.phase = counting
		c.Changed()
		r.collect(c)
	case name == "next" && r.phase == showing:
		r.next(c)
	case name == "poll" && r.phase == paying, name == "again" && r.collecting() != "":
		r.collect(c)
	}
}

// Collected implements game.Collected. The sum of a round that was taken in already does nothing.
func (r *room) Collected(c *game.Context, name string, t game.Tally) {
	if name != r.collecting() {
		return
	}
	c.Changed()
	c.Cancel("again")
	switch r.phase {
	case counting:
		counts := r.count(t)
		c.Broadcast("result", game.NewMap().Int("q", int64(r.q)).Int("answer", int64(r.question().Answer)).
			Ints("counts", counts).Int("alive", r.alive))
		r.tell(c)
		c.After("next", seconds(r.show.Pause))
	case judging:
		if !r.won(t) {
			r.finish(c)
			return
		}
		r.pay(c)
	case paying:
		if r.credited(t) {
			r.finish(c)
			return
		}
		r.pay(c)
	}
}

func (r *room) next(c *game.Context) {
	if r.stage.next(c.Now()) {
		r.asked(c)
		return
	}
	c.Changed()
	r.final(c)
	r.collect(c)
}

// final asks those still in to declare themselves. It has the whole standing, so that it can be ruled on by itself.
func (r *room) final(c *game.Context) {
	c.Notify("final", r.standing(c.Now()).fields(game.NewMap()))
}

// Retell implements game.Reteller.
func (r *room) Retell(c *game.Context, name string) {
	switch {
	case name != r.collecting():
	case r.phase == counting:
		r.tell(c)
	case r.phase == judging:
		r.final(c)
	case r.phase == paying:
		c.Notify("payout", r.payout())
	}
}

// pay tells the winners their share, and looks later who has it.
func (r *room) pay(c *game.Context) {
	c.Notify("payout", r.payout())
	wait := payPollMax
	if r.poll < 4 {
		wait = min(wait, payPoll<<r.poll)
	}
	c.After("poll", wait)
}

func (r *room) finish(c *game.Context) {
	r.phase = over
	c.Broadcast("winners", game.NewMap().Int("count", r.winners).Int("share", r.share).Texts("names", r.names))
	r.tell(c)
}

// Replay implements game.Replayer: how long a question is still open is reckoned anew. The open one is always the newest push.
func (r *room) Replay(c *game.Context, offset uint64, event string, p game.Payload) game.Payload {
	if event != "question" {
		return p
	}
	f, rest := p.Fields(), int64(0)
	if offset == c.StreamOffset() {
		rest = r.rest(c.Now())
	}
	return game.NewMap().Raw("q", f.Raw("q")).Raw("of", f.Raw("of")).Raw("text", f.Raw("text")).Raw("choices", f.Raw("choices")).
		Int("closes_in_ms", rest).Payload()
}

// Snapshot implements game.Stater.
func (r *room) Snapshot(dst []byte) []byte {
	dst = protocol.AppendInt(dst, version)
	for _, n := range []int64{int64(r.phase), r.run, int64(r.q), r.closes, r.alive, r.winners, r.share, r.paid, r.poll, r.missing} {
		dst = protocol.AppendInt(dst, n)
	}
	dst = protocol.AppendArray(dst, len(r.names))
	for _, name := range r.names {
		dst = protocol.AppendStr(dst, name)
	}
	if r.run == 0 {
		return protocol.AppendBin(dst, nil)
	}
	return protocol.AppendBin(dst, r.show.Payload())
}

// Restore implements game.Stater.
func (r *room) Restore(b []byte) error {
	s := game.ReadState(b)
	if s.Int() != version {
		return game.ErrState
	}
	n := stage{phase: phase(s.Int()), run: s.Int(), q: int(s.Int()), closes: s.Int(), alive: s.Int(), winners: s.Int(), share: s.Int(),
		paid: s.Int(), poll: s.Int(), missing: s.Int()}
	for range s.Len(game.TallyNames) {
		n.names = append(n.names, s.Text())
	}
	show := s.Bytes()
	if err := s.Err(); err != nil {
		return err
	}
	if n.run != 0 {
		var err error
		if n.show, err = readShow(show); err != nil {
			return err
		}
	}
	started := n.phase != lobby
	if n.phase < 0 || n.phase >= phases || n.q < 0 || n.q > len(n.show.Questions) || started != (n.q > 0) {
		return game.ErrState
	}
	r.stage = n
	return nil
}

// Merge implements game.Merger: the newest show goes on, and of one show the side that has come further. A prize that both sides pay
// is one credit to the bank.
func (r *room) Merge(_, mine, theirs []byte) ([]byte, error) {
	var m, t room
	if err := errors.Join(m.Restore(mine), t.Restore(theirs)); err != nil {
		return nil, err
	}
	if t.ahead(&m.stage) {
		return bytes.Clone(theirs), nil
	}
	return bytes.Clone(mine), nil
}

// version of both parts' state encodings, their first value.
const version = 1
