package gametest

import (
	"bytes"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// message is one call or cast on its way to a part.
type message struct {
	to, from game.Address
	event    string
	payload  game.Payload
	client   bool
	role     string
	ref      uint64 // 0: nobody waits
}

// call is somebody who waits for an answer.
type call struct {
	owner    game.Address // the part that waits; zero: the test
	deadline uint64       // its event
	loseIt   bool         // the answer gets lost on its way
	done     func(game.Answer)
}

// Pending is a call begun with Start.
type Pending struct {
	w      *World
	ok     bool
	answer game.Answer
}

// Done says whether the answer is there.
func (p *Pending) Done() bool { return p.ok }

// Wait lets the world go on, with its clock if need be, until the answer is there, and returns it: CodeOK and the payload, or a
// code and its failure (protocol.ParseFailure). It never waits longer than a client (10 s) or a part (game.CallTimeout) would.
func (p *Pending) Wait() (protocol.Code, game.Payload) {
	p.w.t.Helper()
	p.w.settle()
	for !p.ok {
		if !p.w.fire(p.w.now.Add(time.Hour)) {
			p.w.t.Fatal("gametest: a call without a deadline")
		}
		p.w.settle()
	}
	return wire(p.answer)
}

// wire is what an answer looks like to who gets it.
func wire(a game.Answer) (protocol.Code, game.Payload) {
	if a.Code == protocol.CodeOK {
		if len(a.Payload) == 0 {
			return protocol.CodeOK, game.EmptyMap.Clone()
		}
		return protocol.CodeOK, a.Payload.Clone()
	}
	retry := int64(-1)
	if a.Retry >= 0 {
		retry = a.Retry.Milliseconds()
	}
	return a.Code, protocol.AppendFailure(nil, a.Text, retry)
}

func failure(code protocol.Code, text string) game.Answer {
	return game.Answer{Set: true, Code: code, Text: text, Retry: -1}
}

// begin sends a call whose answer the test waits for.
func (w *World) begin(m message, timeout time.Duration) *Pending {
	w.t.Helper()
	p := &Pending{w: w}
	m.ref = w.open(game.Address{}, timeout, func(a game.Answer) { p.ok, p.answer = true, a })
	w.queue = append(w.queue, func() { w.deliver(m) })
	w.settle()
	return p
}

// open notes who waits for an answer.
func (w *World) open(owner game.Address, timeout time.Duration, done func(game.Answer)) uint64 {
	var ref uint64
	deadline := w.after(timeout, func() { w.finish(ref, failure(protocol.CodeUnavailable, "no answer in time")) })
	ref = deadline
	w.calls[ref] = &call{owner: owner, deadline: deadline, done: done}
	return ref
}

// finish gives an answer to who waits; the second one for a ref comes too late.
func (w *World) finish(ref uint64, a game.Answer) {
	c := w.calls[ref]
	if c == nil {
		return
	}
	delete(w.calls, ref)
	delete(w.events, c.deadline)
	c.done(a)
}

// reply sends an answer on its way back.
func (w *World) reply(ref uint64, a game.Answer) {
	c := w.calls[ref]
	if c == nil || c.loseIt {
		return
	}
	a.Payload = a.Payload.Clone()
	w.queue = append(w.queue, func() { w.finish(ref, a) })
}

// deliver hands a message to the part it is for.
func (w *World) deliver(m message) {
	p := w.find(m.to)
	if p == nil {
		w.reply(m.ref, failure(protocol.CodeNotFound, "no such topic"))
		return
	}
	msg := &game.Message{Event: m.event, Payload: m.payload.Clone(), From: m.from, Client: m.client, Role: m.role}
	f := game.Frame{Message: msg, Wants: m.ref != 0, To: game.ReplyTo{Key: m.from.Player + " " + m.from.Topic, Ref: m.ref, Client: m.client, Session: "one"}}
	w.handle(p, f, msg.Payload, func(c *game.Context, impl any) {
		impl.(interface {
			Call(*game.Context, *game.Message)
		}).Call(c, msg)
	}, func(out game.Outcome) {
		switch {
		case out.Forward && m.to.Player == "":
			w.t.Errorf("gametest: %v forwards, but only a player part can", m.to)
		case out.Forward:
			m.to = game.Address{Topic: m.to.Topic}
			w.queue = append(w.queue, func() { w.deliver(m) })
		case out.Deferred:
		case out.Answer.Set:
			w.reply(m.ref, out.Answer)
		default:
			w.reply(m.ref, game.Answer{Set: true, Code: protocol.CodeOK})
		}
	})
}

// timer tells a part that its timer fired.
func (w *World) timer(id timerID) {
	w.handle(w.find(id.part), game.Frame{}, nil, func(c *game.Context, impl any) { impl.(game.Timed).Timer(c, id.name) }, nil)
}

// answered tells a part how a call of its own ended.
func (w *World) answered(who game.Address, tag string, a game.Answer) {
	code, payload := wire(a)
	w.handle(w.find(who), game.Frame{}, payload, func(c *game.Context, impl any) {
		impl.(game.Answered).Answered(c, tag, code, payload)
	}, nil)
}

// notice tells a player part what its room told everybody.
func (w *World) notice(who game.Address, event string, p game.Payload) {
	p = p.Clone()
	w.handle(w.find(who), game.Frame{}, p, func(c *game.Context, impl any) { impl.(game.Noticed).Notice(c, event, p) }, nil)
}

// left tells a part that a membership ended; parts that do not care are not asked.
func (w *World) left(who game.Address, player string) {
	w.handle(w.find(who), game.Frame{}, nil, func(c *game.Context, impl any) {
		if l, ok := impl.(game.Leaver); ok {
			l.Left(c, player)
		}
	}, nil)
}

// spoil overwrites bytes that nobody may use any more.
func spoil(b []byte) { copy(b, bytes.Repeat([]byte{0xc1}, len(b))) }
