package room

import (
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
	have    Coverage
	sum     game.Tally
	again   time.Time // ask all again if it is not complete by then
}

// collectEvery is how long a home waits for the partitions before it asks again.
const collectEvery = time.Second

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

// ask sends a fresh attempt to every owner. Rounds are closed on the first; their sums do not change any more, so an attempt
// that is not complete is thrown away whole.
func (h *Home) ask(w *shard.Worker, round string) {
	h.attempt++
	c := h.rounds[round]
	*c = collect{attempt: h.attempt, again: w.Now().Add(collectEvery)}
	w.WakeAt(c.again)
	for _, n := range h.d.Replica.Router.Table().Nodes {
		h.o.ToNode(n, &envelope.Envelope{Kind: envelope.Collect, Key: h.key, Topic: h.topic, Event: round, Ref: c.attempt})
	}
}

func (h *Home) recollect(w *shard.Worker) {
	for round, c := range h.rounds {
		if !c.again.After(w.Now()) {
			h.ask(w, round)
		}
	}
}

func (h *Home) tallied(w *shard.Worker, e *envelope.Envelope) {
	c := h.rounds[e.Event]
	if c == nil || c.attempt != e.Ref {
		return
	}
	var have Coverage
	var sum game.Tally
	if !parseTallied(e.Payload, &have, &sum) || c.have.Overlaps(&have) {
		return
	}
	for i := range have {
		c.have[i] |= have[i]
	}
	tally.Merge(&c.sum, sum)
	if !c.have.full() {
		return
	}
	round := e.Event
	delete(h.rounds, round)
	h.dirty |= dirtyRounds
	h.invoke(w, nil, func(ctx *game.Context) {
		if r, ok := h.impl.(game.Collected); ok {
			r.Collected(ctx, round, c.sum)
		}
	})
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
