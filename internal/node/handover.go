package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"gamed/internal/admin"
	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// handover is what a table takes from this node. It is sent by a goroutine of its own, so that no worker waits for a link.
type handover struct {
	old   *shard.Table
	gifts map[uint16]*gift
	order []*gift
}

// gift is a partition that goes to another node: the whole state of each entity, in pieces.
type gift struct {
	ownership.Give

	mu       sync.Mutex // guards entities
	entities []given
}

// given is an entity that leaves.
type given struct {
	key   string
	whole *state.Change
}

// The Events of a Handoff and of a Replicate that have to do with moves. A Handoff without is the word that everything was given.
const (
	giving  = "give" // the state of an entity that goes to another node
	marking = "mark" // the sender follows the table of this term
)

// gift notes what is to be given. owning.mu is held.
func (n *Node) gift(a ownership.Give) *gift {
	g := &gift{Give: a}
	if a.Copies {
		return g
	}
	h := n.own.gifts[a.Round]
	if h == nil {
		h = &handover{gifts: map[uint16]*gift{}}
		n.own.gifts[a.Round] = h
	}
	h.gifts[a.Part] = g
	h.order = append(h.order, g)
	return g
}

// leaves takes an entity that a worker let go of. A copy stays, should the new owner die before its backup has it.
func (n *Node) leaves(h *handover, key string, part uint16, whole *state.Change) {
	g, token := h.gifts[part], h.old.PartTerm[part]
	if g != nil && g.Rival {
		n.own.asides.of(g.Term).Keep(part, key, token, whole.Sections(), time.Now())
	} else {
		n.copies.Keep(part, key, token, whole.Sections(), time.Now())
	}
	if g == nil {
		if _, owned := n.router.Table().OwnerOf(part); !owned {
			n.copies.Hold(part)
		}
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.entities = append(g.entities, given{key, whole})
}

// give sends a partition. It gives up on a node that is in the table no more: the next table says who puts the partition together.
func (n *Node) give(g *gift) {
	e := originOf(&g.Origin)
	e.Kind, e.Event, e.Conn = envelope.Replicate, giving, replica.OwnState|g.Token
	pieces := 0
	send := func(key string, whole *state.Change) bool {
		e.Key = key
		err := replica.Pieces(e, whole, func(piece *envelope.Envelope) error {
			pieces++
			return n.inBulk(n.ctx, g.To, piece)
		})
		if err != nil && n.ctx.Err() == nil {
			n.log.Warn("the new owner of an entity was gone before it had it; the copies go on", "key", key, "partition", g.Part, "to", g.To.Name, "err", err)
		}
		faultPoint("give")
		return err == nil
	}
	if g.Copies {
		store := n.copies
		if g.Aside != 0 {
			store = n.own.asides.of(g.Aside)
		}
		for _, key := range store.Keys(g.Part) {
			if _, whole, ok := store.Peek(g.Part, key); ok && !send(key, whole) {
				break
			}
		}
	}
	g.mu.Lock()
	list := g.entities
	g.entities = nil
	g.mu.Unlock()
	for _, x := range list {
		if !send(x.key, x.whole) {
			break
		}
	}
	faultPoint("given")
	n.step(ownership.Sent{Part: g.Part, Term: g.Term, Pieces: pieces})
}

// originOf begins an envelope that tells where something comes from, toOrigin reads it.
func originOf(o *ownership.Origin) envelope.Envelope {
	e := envelope.Envelope{Kind: envelope.Handoff, Part: o.Part, Term: o.Term, Conn: o.Token, Session: strconv.FormatUint(o.Follows, 16)}
	if o.Rival {
		e.Flags = envelope.FlagFork
	}
	return e
}

func toOrigin(e *envelope.Envelope) ownership.Origin {
	follows, _ := strconv.ParseUint(e.Session, 16, 64) // of nothing, if it is damaged
	return ownership.Origin{Part: e.Part, Term: e.Term, Token: e.Conn &^ replica.OwnState, Follows: follows, Rival: e.Flags&envelope.FlagFork != 0}
}

// say gives the word, behind all that was passed on. owning.mu is held.
func (n *Node) say(a ownership.Say) {
	e := originOf(&a.Origin)
	e.Ref = uint64(a.Pieces)
	if n.router.ToNode(a.To, &e) != nil {
		n.wg.Go(func() { _ = n.patiently(n.ctx, a.To, &e) }) // gone: the next table says what becomes of it
	}
	n.moves.given.Inc()
	faultPoint("handed")
}

// mark tells nodes that this one follows a table.
func (n *Node) mark(a ownership.Mark) {
	for _, id := range a.To {
		n.wg.Go(func() {
			ctx, cancel := context.WithTimeout(n.ctx, ownership.PassedFor)
			defer cancel()
			_ = n.patiently(ctx, id, &envelope.Envelope{Kind: envelope.Handoff, Event: marking, Term: a.Term}) // waited for in vain
		})
	}
}

// handoff takes a node's word on a move.
func (n *Node) handoff(from shard.NodeID, e *envelope.Envelope) {
	switch e.Event {
	case marking:
		n.step(ownership.Marked{From: from, Term: e.Term})
	case crediting:
		n.bulk.credited(from, int(min(e.Ref, maxCredit)))
	case "":
		n.step(ownership.Word{From: from, Origin: toOrigin(e), Pieces: int(min(e.Ref, 1<<32))})
	}
}

// giveEvery is how often a queue that is full is tried again.
const giveEvery = 5 * time.Millisecond

// patiently sends to a node, again until its queue takes it, as long as it is in the table.
func (n *Node) patiently(ctx context.Context, to shard.NodeID, e *envelope.Envelope) error {
	for {
		err := n.router.ToNode(to, e)
		if err == nil || !n.router.Table().Has(to) || !errors.Is(err, shard.ErrBusy) && !errors.Is(err, shard.ErrNoLink) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(giveEvery):
		}
	}
}

// given waits until everything is sent that the table of this term and those before it took from this node. Tables that were
// skipped count as well. It waits on while this node's table neither is nor follows that one.
func (n *Node) given(ctx context.Context, term, table uint64) error {
	done := make(chan struct{})
	n.own.mu.Lock()
	n.own.refs++
	ref := n.own.refs
	n.own.asked[ref] = done
	n.own.mu.Unlock()
	n.step(ownership.Asked{Ref: ref, Term: term, Table: table})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		n.own.mu.Lock()
		delete(n.own.asked, ref)
		n.own.mu.Unlock()
		return fmt.Errorf("%w: what the table of term %d took from this node is not given away yet", admin.ErrUnavailable, term)
	}
}
