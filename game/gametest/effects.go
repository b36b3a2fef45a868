package gametest

import (
	"gamed/game"
)

// apply carries out what a handler asked for, in order.
func (w *World) apply(p *part, impl any, effects []game.Effect) {
	w.t.Helper()
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case game.EffectAnswer:
			w.reply(e.To.Ref, e.Answer)
		case game.EffectPush:
			if w.only(p, p.room == nil, "Push", "a player part") {
				pl := w.Player(p.me.Player)
				pl.own++
				pl.receive("", pl.own, e.Event, e.Payload)
			}
		case game.EffectCall:
			_, ok := impl.(game.Answered)
			if w.only(p, ok, "Call", "a part with Answered") {
				w.call(p, e)
			}
		case game.EffectCast:
			w.pass(message{to: e.Address, from: p.me, event: e.Event, payload: e.Payload.Clone()})
		case game.EffectTimer:
			_, ok := impl.(game.Timed)
			if w.only(p, ok, "After", "a part with Timer") {
				w.setTimer(timerID{p.me, e.Name}, e.After)
			}
		case game.EffectCancel:
			w.cancelTimer(timerID{p.me, e.Name})
		default:
			if w.only(p, p.room != nil, "this", "a room") {
				w.applyRoom(p, impl, e)
			}
		}
	}
}

// applyRoom carries out what only rooms can ask for.
func (w *World) applyRoom(p *part, impl any, e *game.Effect) {
	w.t.Helper()
	r := p.room
	switch e.Kind {
	case game.EffectJoined:
		r.joined(e.Name)
	case game.EffectLeft:
		r.departed(e.Name)
	case game.EffectBroadcast:
		r.offset++
		for _, name := range r.hearers {
			w.Player(name).receive(p.me.Topic, r.offset, e.Event, e.Payload)
		}
	case game.EffectAnnounce:
		for _, name := range r.hearers {
			if name != e.Name {
				w.Player(name).receive(p.me.Topic, 0, e.Event, e.Payload)
			}
		}
	case game.EffectNotify:
		if p.game.Player == nil {
			w.t.Errorf("gametest: %v notifies, but its game has no player part", p.me)
			return
		}
		event, payload := e.Event, e.Payload.Clone()
		for _, name := range r.hearers {
			if w.loseNotice != nil && w.loseNotice(name, event) {
				continue
			}
			who := game.Address{Player: name, Topic: p.me.Topic}
			w.queue = append(w.queue, func() { w.notice(who, event, payload) })
		}
	case game.EffectCollect:
		_, ok := impl.(game.Collected)
		if w.only(p, ok, "Collect", "a room with Collected") {
			name := e.Name
			w.queue = append(w.queue, func() { w.collect(p, name) })
		}
	}
}

// only fails the test when a part asks for what it has no ability for.
func (w *World) only(p *part, ok bool, what, who string) bool {
	w.t.Helper()
	if !ok {
		w.t.Errorf("gametest: %v uses %s, which only %s can", p.me, what, who)
	}
	return ok
}

// collect closes a round and tells the room its sum.
func (w *World) collect(p *part, name string) {
	sum := w.tallies.close(p.me.Topic, name)
	if w.inVain != nil {
		if moved, yes := w.inVain(name); yes {
			w.tallies.reopen(p.me.Topic, name, moved)
			w.handle(p, game.Frame{}, nil, func(c *game.Context, impl any) {
				if r, ok := impl.(game.Reteller); ok {
					r.Retell(c, name)
				}
			}, nil)
			w.queue = append(w.queue, func() { w.collect(p, name) })
			return
		}
	}
	w.queue = append(w.queue, func() {
		w.handle(p, game.Frame{}, nil, func(c *game.Context, impl any) { impl.(game.Collected).Collected(c, name, sum) }, nil)
	})
}

// call sends a call of a part.
func (w *World) call(p *part, e *game.Effect) {
	who, tag := p.me, e.Name
	ref := w.open(who, game.CallTimeout, func(a game.Answer) {
		w.queue = append(w.queue, func() { w.answered(who, tag, a) })
	})
	w.pass(message{to: e.Address, from: who, event: e.Event, payload: e.Payload.Clone(), ref: ref})
}
