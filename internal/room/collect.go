package room

import (
	"maps"
	"slices"
	"time"

	"gamed/game"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/tally"
	"gamed/protocol"
)

// collect is the sum of one round on its way: complete when every partition is in it exactly once.
type collect struct {
	attempt uint64
	term    uint64 // of the table by which all were asked
	have    Coverage
	sum     game.Tally
	answers int
	again   time.Time // ask all again if it is not complete by then
}

// How long a home waits for the partitions before it asks again.
const (
	collectEvery = time.Second
	collectSoon  = 100 * time.Millisecond // when a node has another table, or a partition is on its way
)

// attemptsApart keeps the attempts of a home and of its successor apart.
const attemptsApart = 1 << 32

// Coverage is a set of partitions.
type Coverage [(shard.Partitions + 7) / 8]byte

// Add puts a partition in.
func (c *Coverage) Add(part uint16) { c[part/8] |= 1 << (part % 8) }

// Overlaps says whether a partition is in both.
func (c *Coverage) Overlaps(o *Coverage) bool {
	for i := range c {
		if c[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

func (c *Coverage) full() bool {
	for p := range shard.Partitions {
		if c[p/8]&(1<<(p%8)) == 0 {
			return false
		}
	}
	return true
}

func (h *Home) collect(w *shard.Worker, round string) {
	if h.rounds == nil {
		h.rounds = map[string]*collect{}
	}
	if h.rounds[round] == nil {
		h.rounds[round] = &collect{}
		h.dirty |= dirtyRounds
		h.ask(w, round)
	}
}

// ask sends a fresh attempt to every owner. A round is closed on the first, and what was counted is counted in all; an attempt that
// is not complete is thrown away whole.
func (h *Home) ask(w *shard.Worker, round string) {
	h.attempt++
	c, t := h.rounds[round], h.d.Replica.Router.Table()
	*c = collect{attempt: h.attempt, term: t.Term, again: w.Now().Add(collectEvery)}
	hear := h.owners(t)
	for _, n := range t.Nodes {
		e := envelope.Envelope{Kind: envelope.Collect, Key: h.key, Topic: h.topic, Event: round, Ref: c.attempt}
		if hear[n] {
			e.Offset = h.notices.last
		}
		h.o.ToNode(n, &e)
	}
}

// askAgain is ask for rounds that were asked for in vain, those that are due or all. First all members are told again what they may
// not have heard: a player whose owner died or moved with it may do then what he had not done, or what was lost with his owner.
func (h *Home) askAgain(w *shard.Worker, all bool) {
	told := false
	for _, round := range slices.Sorted(maps.Keys(h.rounds)) {
		c := h.rounds[round]
		if c == nil || !all && c.again.After(w.Now()) {
			continue
		}
		if !told {
			h.retell(w.Now())
			told = true
		}
		for _, n := range h.d.Replica.Router.Table().Nodes {
			h.o.ToNode(n, &envelope.Envelope{Kind: envelope.Collect, Flags: envelope.FlagResume, Key: h.key, Topic: h.topic, Event: round, Ref: h.attempt + 1})
		}
		h.invoke(w, func(ctx *game.Context) {
			if r, ok := h.impl.(game.Reteller); ok {
				r.Retell(ctx, round)
			}
		})
		h.ask(w, round)
	}
}

// tallied takes a node's sum. Offset is the term of the table by which the node knew what it owns: only sums by one and the same
// table, which is the home's own, count each player once, and after it has heard all that was said before.
func (h *Home) tallied(w *shard.Worker, e *envelope.Envelope) {
	c := h.rounds[e.Event]
	if c == nil || c.attempt != e.Ref || h.q.Left(w.Now()) > 0 {
		return
	}
	var have Coverage
	var sum game.Tally
	if e.Offset != c.term || h.d.Replica.Router.Table().Term != c.term {
		c.again = earlier(c.again, w.Now().Add(collectSoon))
		return
	}
	if !parseTallied(e.Payload, &have, &sum) || c.have.Overlaps(&have) {
		return
	}
	for i := range have {
		c.have[i] |= have[i]
	}
	tally.Merge(&c.sum, sum)
	if c.answers++; !c.have.full() {
		if c.answers >= len(h.d.Replica.Router.Table().Nodes) { // what is missing is on its way
			c.again = earlier(c.again, w.Now().Add(collectSoon))
		}
		return
	}
	round := e.Event
	delete(h.rounds, round)
	h.dirty |= dirtyRounds
	h.invoke(w, func(ctx *game.Context) {
		if r, ok := h.impl.(game.Collected); ok {
			r.Collected(ctx, round, c.sum)
		}
	})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// AppendTallied encodes a node's answer to Collect: its partitions, the slots' sums, the names.
func AppendTallied(dst []byte, have *Coverage, sum *game.Tally) []byte {
	dst = protocol.AppendArray(dst, 2+game.TallySlots)
	dst = protocol.AppendBin(dst, have[:])
	dst = protocol.AppendArray(dst, len(sum.Names))
	for _, n := range sum.Names {
		dst = protocol.AppendStr(dst, n)
	}
	for _, n := range sum.Slots {
		dst = protocol.AppendInt(dst, n)
	}
	return dst
}

func parseTallied(b []byte, have *Coverage, sum *game.Tally) bool {
	c := protocol.NewCursor(b)
	n, ok := c.Array()
	if !ok || n != 2+game.TallySlots {
		return false
	}
	parts, ok := c.Text()
	if !ok || len(parts) != len(have) {
		return false
	}
	copy(have[:], parts)
	names, ok := c.Array()
	if !ok || names > game.TallyNames {
		return false
	}
	for range names {
		name, ok := c.Text()
		if !ok {
			return false
		}
		sum.Names = append(sum.Names, string(name))
	}
	for i := range sum.Slots {
		if sum.Slots[i], ok = c.Int(); !ok {
			return false
		}
	}
	return true
}
