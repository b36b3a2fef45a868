package room

import (
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// asked is a call of the room that waits for its answer.
type asked struct {
	ref uint64
	tag string
	to  envelope.NodeID // who owned the receiver
}

// later is a call whose answer could not be given to the room: it is told then that the call failed.
type later struct {
	at   time.Time
	call *asked
}

// retryEvery is how soon a timer rings again whose handler failed.
const retryEvery = time.Second

// failed is an answer that is not ok; retry below 0: no hint.
func failed(code protocol.Code, retry time.Duration, text string) game.Answer {
	return game.Answer{Set: true, Code: code, Text: text, Retry: retry}
}

// called handles a call or cast of a player, or of another room.
func (h *Home) called(w *shard.Worker, e *envelope.Envelope) {
	if h.impl == nil {
		h.reply(e, failed(protocol.CodeNotFound, -1, "no such topic"), 0)
		return
	}
	if left := h.q.Left(w.Now()); left > 0 {
		h.reply(e, failed(protocol.CodeUnavailable, left, "quarantined after repeated failures"), 0)
		return
	}
	m := &game.Message{Event: e.Event, Payload: e.Payload, Role: e.Role, Client: e.Flags&envelope.FlagClient != 0, From: game.Address{Topic: e.FromTopic}}
	if name, ok := envelope.PlayerOf(e.From); ok {
		m.From.Player = name
		if a, again := h.members.answered(name, e); again {
			h.reply(e, a, 0)
			return
		}
	}
	if h.o.Full() {
		h.busy(e)
		return
	}
	c := h.begin(w, m, e)
	if !h.run(w, func() { h.impl.Call(c, m) }) {
		h.reply(e, failed(protocol.CodeInternal, 100*time.Millisecond, "the handler failed; nothing was changed"), 0)
		return
	}
	out := c.Outcome()
	h.commit(out)
	done := h.effects(w, out.Effects)
	answer := out.Answer
	switch {
	case out.Deferred:
		return
	case !answer.Set:
		answer = game.Answer{Set: true, Code: protocol.CodeOK, Payload: game.EmptyMap}
	}
	me, flags := m.From.Player, uint16(0)
	if me != "" && (done.joined == me || done.left == me) {
		if flags = envelope.FlagLeft; h.members.Has(me) {
			flags = envelope.FlagJoined
		}
	}
	// A join that comes again finds the member there and changes nothing, so its long answer need not be kept.
	if m.Client && e.Ref != 0 && answer.Code.Class() != protocol.ClassRetry && flags != envelope.FlagJoined && (out.Changed || len(out.Effects) > 0) {
		h.keep(me, e, answer)
	}
	h.reply(e, answer, flags)
}

// reply answers a call; it goes to the player's entity, which knows the client, and hears on this occasion whether it is a member.
// A cast is answered only when it changed that.
func (h *Home) reply(e *envelope.Envelope, a game.Answer, flags uint16) {
	if e.Kind != envelope.Call && flags == 0 || e.From == "" {
		return
	}
	if h.isMember(e.From, e.Session) {
		flags = envelope.FlagJoined
	}
	h.o.Route(&envelope.Envelope{Kind: envelope.Reply, Key: e.From, Ref: e.Ref, Event: string(a.Code), Payload: envelope.AnswerPayload(a),
		Flags: e.Flags&envelope.FlagClient | flags, Session: e.Session, FromTopic: h.topic, Offset: h.notices.last})
}

// busy refuses a call because the backup is far behind. The answer does not wait for it, and says nothing of the membership.
func (h *Home) busy(e *envelope.Envelope) {
	if e.Kind != envelope.Call || e.From == "" {
		h.d.Metrics.Lost.Inc()
		return
	}
	a := failed(protocol.CodeBusy, 200*time.Millisecond, "the backup is behind")
	_ = h.d.Replica.Router.Route(&envelope.Envelope{Kind: envelope.Reply, Key: e.From, Ref: e.Ref, Event: string(a.Code), Payload: envelope.AnswerPayload(a),
		Flags: e.Flags & envelope.FlagClient, Session: e.Session, FromTopic: h.topic}) // the caller's deadline tells it
}

// isMember says whether a player is a member in this session.
func (h *Home) isMember(key, session string) bool {
	name, ok := envelope.PlayerOf(key)
	m := h.members.byName[name]
	return ok && m != nil && session != "" && m.session == session
}

// answerLater answers a call that was deferred.
func (h *Home) answerLater(to game.ReplyTo, a game.Answer) {
	if to.Ref == 0 {
		return
	}
	e := envelope.Envelope{Kind: envelope.Reply, Key: to.Key, Ref: to.Ref, Event: string(a.Code), Payload: envelope.AnswerPayload(a),
		Session: to.Session, FromTopic: h.topic, Offset: h.notices.last}
	if to.Client {
		e.Flags |= envelope.FlagClient
	}
	if h.isMember(to.Key, to.Session) {
		e.Flags |= envelope.FlagJoined
	}
	h.o.Route(&e)
}

// send calls another part, or casts to it.
func (h *Home) send(w *shard.Worker, f *game.Effect) {
	e := envelope.Envelope{Kind: envelope.Cast, Key: envelope.KeyOf(f.Address), Topic: f.Address.Topic, Event: f.Event, From: h.key,
		FromTopic: h.topic, TTL: game.CallTimeout, Payload: plain(f.Payload)}
	if f.Kind == game.EffectCall {
		call := &asked{tag: f.Name}
		call.to, _ = h.d.Replica.Router.Table().OwnerOf(shard.PartitionOf(e.Key))
		h.dirty |= dirtyCalls
		ok := false
		if call.ref, ok = h.calls.Add(call, w.Now().Add(game.CallTimeout)); !ok {
			h.d.Log.Warn("too many open calls of one room", "topic", h.topic)
			h.again = append(h.again, later{w.Now(), call})
			return
		}
		e.Kind, e.Ref = envelope.Call, call.ref
	}
	h.o.Route(&e)
}

// replied brings the outcome of a call to the room.
func (h *Home) replied(w *shard.Worker, ref uint64, a game.Answer) {
	if call, ok := h.calls.Take(ref); ok { // else its deadline had passed
		h.dirty |= dirtyCalls
		h.deliver(w, call, a)
	}
}

// deliver gives an answer to the room. One in quarantine hears of it later, and then that it failed.
func (h *Home) deliver(w *shard.Worker, call *asked, a game.Answer) {
	if left := h.q.Left(w.Now()); left > 0 {
		h.again = append(h.again, later{w.Now().Add(left), call})
		return
	}
	h.invoke(w, func(c *game.Context) {
		if r, ok := h.impl.(game.Answered); ok {
			r.Answered(c, call.tag, a.Code, envelope.AnswerPayload(a))
		}
	})
}

func (h *Home) doAgain(w *shard.Worker) {
	list := h.again
	h.again = nil
	for _, l := range list {
		if l.at.After(w.Now()) {
			h.again = append(h.again, l)
			continue
		}
		h.dirty |= dirtyCalls
		h.deliver(w, l.call, failed(protocol.CodeUnavailable, -1, "no answer within its deadline"))
	}
}

// abandonCalls fails calls to nodes that are gone.
func (h *Home) abandonCalls(w *shard.Worker, alive func(envelope.NodeID) bool) {
	var refs []uint64
	h.calls.Each(func(c *asked) {
		if !c.to.IsZero() && !alive(c.to) {
			refs = append(refs, c.ref)
		}
	})
	for _, ref := range refs {
		h.replied(w, ref, failed(protocol.CodeUnavailable, 100*time.Millisecond, "the node that had to answer is gone"))
	}
}
