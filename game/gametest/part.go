package gametest

import (
	"bytes"
	"runtime/debug"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// part is a game's part between two messages: nothing but its committed state.
type part struct {
	me        game.Address
	id        string // of the topic
	game      *game.Game
	room      *room // nil: a player part
	committed []byte
	kept      bool
}

// find gives the part of an address; nil when no game has such a part.
func (w *World) find(a game.Address) *part {
	if p := w.parts[a]; p != nil {
		return p
	}
	name, id, ok := protocol.SplitTopic(a.Topic)
	g := w.games[name]
	if !ok || g == nil || (g.HasTopic != nil && !g.HasTopic(id)) || (a.Player == "" && g.Room == nil) || (a.Player != "" && g.Player == nil) {
		return nil
	}
	p := &part{me: a, id: id, game: g}
	if a.Player == "" {
		p.room = newRoom()
		w.rooms[a.Topic] = p.room
	}
	w.parts[a] = p
	return p
}

// fresh makes the part anew from its committed state.
func (w *World) fresh(p *part) game.Stater {
	var impl game.Stater
	if p.room != nil {
		impl = p.game.Room(p.id)
	} else {
		impl = p.game.Player(p.id)
	}
	if p.kept {
		b := append([]byte{}, p.committed...)
		if err := impl.Restore(b); err != nil {
			w.t.Fatalf("gametest: %v cannot restore its own snapshot: %v", p.me, err)
		}
		spoil(b)
	}
	return impl
}

// snapshot asks for the state, and checks that it is appended.
func (w *World) snapshot(p *part, impl game.Stater) []byte {
	dst := append(make([]byte, 0, 256), 0xee)
	b := impl.Snapshot(dst)
	if len(b) == 0 || b[0] != 0xee {
		w.t.Fatalf("gametest: Snapshot of %v does not append to what it was given", p.me)
	}
	state := append([]byte{}, b[1:]...)
	spoil(b)
	return state
}

// handle runs one handler: all that it did happens, or nothing. payload is spoilt after it. settle, if not nil, gets the outcome
// before its effects are carried out.
func (w *World) handle(p *part, f game.Frame, payload []byte, handler func(*game.Context, any), settle func(game.Outcome)) {
	w.t.Helper()
	impl := w.fresh(p)
	before := w.snapshot(p, impl)
	f.At, f.Me, f.Tallies = w.now, p.me, &w.tallies
	f.Tallies.(*tallies).begin(p.me.Player)
	if p.room != nil {
		p.room.begin(f.Message)
		f.Roster, f.Offset = p.room, p.room.offset
	}
	c := &w.ctx
	c.Begin(f)
	answer, undone := game.Answer{}, false
	if w.panicked(p, func() { handler(c, impl) }) {
		answer, undone = failure(protocol.CodeInternal, "the handler failed"), true
	} else if c.Outcome().Durable && w.storeDown {
		answer, undone = game.Answer{Set: true, Code: protocol.CodeUnavailable, Text: "the store is down", Retry: time.Second}, true
	}
	if undone {
		w.tallies.rollback()
		if p.room != nil {
			p.room.rollback()
		}
		if f.Message != nil {
			w.reply(f.To.Ref, answer)
		}
		spoil(payload)
		return
	}
	out := c.Outcome()
	after := w.snapshot(p, impl)
	switch {
	case out.Changed:
		p.committed, p.kept = after, true
	case !bytes.Equal(before, after):
		w.t.Errorf("gametest: %v changed its state without Context.Changed", p.me)
	}
	if settle != nil {
		settle(out)
	}
	w.apply(p, impl, out.Effects)
	spoil(payload)
}

func (w *World) panicked(p *part, f func()) (yes bool) {
	defer func() {
		if v := recover(); v != nil {
			w.panics++
			w.t.Logf("gametest: handler of %v panicked: %v\n%s", p.me, v, debug.Stack())
			yes = true
		}
	}()
	f()
	return false
}
