package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gamed/internal/admin"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// handover is what a table takes from this node: the whole state of each entity, then the word for each partition that this was
// all. It is sent by a goroutine of its own, so that no worker waits for a link.
type handover struct {
	n     *Node
	table *shard.Table
	parts []uint16

	mu    sync.Mutex // guards gives
	gives []given
}

// given is an entity that leaves.
type given struct {
	key   string
	part  uint16
	whole *state.Change
}

// giving is the Event of a Replicate that hands an entity over.
const giving = "give"

// add takes an entity that leaves this node. A copy stays, should the new owner die before its backup has it.
func (h *handover) add(key string, part uint16, whole *state.Change) {
	h.n.copies.Keep(part, key, h.table.PartTerm[part], whole.Sections(), time.Now())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gives = append(h.gives, given{key, part, whole})
}

// begin registers a handover, so that given waits for it; it must be run.
func (n *Node) begin(t *shard.Table, parts []uint16) *handover {
	h := &handover{n: n, table: t, parts: parts}
	n.handing.mu.Lock()
	defer n.handing.mu.Unlock()
	if n.handing.open == nil {
		n.handing.open = map[*handover]bool{}
	}
	n.handing.open[h] = true
	return h
}

// run sends everything. It gives up on a node that is in the table no more: the next table says who puts the partition together.
func (h *handover) run() {
	defer h.done()
	h.mu.Lock()
	gives := h.gives
	h.mu.Unlock()
	for _, g := range gives {
		h.give(g)
	}
	if len(h.parts) > 0 {
		h.n.awaitMarks(h.table)
	}
	for _, p := range h.parts {
		h.n.moving.left(p, h.table.Term)
		h.send(&envelope.Envelope{Kind: envelope.Handoff, Part: p, Term: h.table.PartTerm[p]})
	}
}

func (h *handover) done() {
	n := &h.n.handing
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, h)
	n.term = max(n.term, h.table.Term)
}

// give sends one entity, in pieces.
func (h *handover) give(g given) {
	to, ok := h.table.OwnerOf(g.part)
	if !ok {
		return
	}
	e := envelope.Envelope{Kind: envelope.Replicate, Part: g.part, Term: h.table.PartTerm[g.part], Key: g.key, Event: giving}
	h.note(&e, to, replica.Pieces(e, g.whole, func(piece *envelope.Envelope) error { return h.n.inBulk(h.n.ctx, to, piece) }))
}

func (h *handover) send(e *envelope.Envelope) {
	if to, ok := h.table.OwnerOf(e.Part); ok {
		h.note(e, to, h.n.patiently(h.n.ctx, to, e))
	}
}

func (h *handover) note(e *envelope.Envelope, to shard.NodeID, err error) {
	if err != nil && h.n.ctx.Err() == nil {
		h.n.log.Warn("the new owner of an entity was gone before it had it; the copies go on", "key", e.Key, "partition", e.Part, "to", to.Name, "err", err)
	}
}

// giveEvery is how often a queue that is full is tried again.
const giveEvery = 5 * time.Millisecond

// patiently sends to a node, again until its queue takes it, as long as it is in the table.
func (n *Node) patiently(ctx context.Context, to shard.NodeID, e *envelope.Envelope) error {
	for {
		err := n.router.ToNode(to, e)
		if err == nil || !slices.Contains(n.router.Table().Nodes, to) || !errors.Is(err, shard.ErrBusy) && !errors.Is(err, shard.ErrNoLink) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(giveEvery):
		}
	}
}

// handing is what this node is giving away.
type handing struct {
	mu   sync.Mutex // guards what follows
	open map[*handover]bool
	term uint64 // of the newest table whose handover is done
}

// given waits until everything is sent that the table of this term and those before it took from this node. Tables that were
// skipped count as well.
func (n *Node) given(ctx context.Context, term uint64) error {
	tick := time.NewTicker(giveEvery)
	defer tick.Stop()
	for !n.handing.upTo(term) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: what the table of term %d took from this node is not given away yet", admin.ErrUnavailable, term)
		}
	}
	return nil
}

func (h *handing) upTo(term uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for o := range h.open {
		if o.table.Term <= term {
			return false
		}
	}
	return h.term >= term
}
