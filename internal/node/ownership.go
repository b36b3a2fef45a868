package node

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"gamed/internal/admin"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// installed puts a table in force. What this node owns newly is made from its copies when the old owner is gone (with what others
// still have, when it had not owned it for long), else it is awaited from the old owner. What it owns no longer goes to the new
// owner. It is called in order from one goroutine and must not block.
func (n *Node) installed(t *shard.Table) {
	self, old, now := n.router.Self(), n.router.Table(), time.Now()
	alive := map[shard.NodeID]bool{}
	for _, m := range t.Nodes {
		alive[m] = true
	}
	var gather, handOff []uint16
	var stray []envelope.Envelope
	for p := range uint16(shard.Partitions) {
		owner, owned := t.OwnerOf(p)
		before, had := old.OwnerOf(p)
		if had && owned && before != owner && alive[before] {
			n.moving.note(p, now)
		}
		n.copies.Fence(p, t.PartTerm[p])
		from, awaited := n.moving.awaited(p)
		switch {
		case !owned || owner != self:
			if b, ok := t.BackupOf(p); (!ok || b != self) && !awaited {
				n.copies.Retire(p, now)
			}
			held, waits := n.moving.passOn(p)
			stray = append(stray, held...)
			if had && before == self && owned && !waits {
				handOff = append(handOff, p)
			}
		case awaited && alive[from], !awaited && had && before == self:
		case !awaited && had && alive[before]:
			if !n.moving.expect(p, before, t.PartTerm[p]) {
				n.take(p)
			}
		case awaited || n.moving.movedLately(p, now) && len(t.Nodes) > 1:
			n.moving.expect(p, shard.NodeID{}, t.PartTerm[p])
			gather = append(gather, p)
		default:
			n.take(p)
		}
	}
	n.copies.Purge(now.Add(-recently))
	n.router.Install(t)
	for i := range stray {
		if err := n.router.Route(&stray[i]); err != nil {
			local{n}.Refused(self, &stray[i], err)
		}
	}
	n.gateway.changed()
	if on, changed := n.health.installed(old, t); changed {
		n.tellDegraded(on)
	}
	n.workers.Each(func(w *shard.Worker) {
		w.Rebase(n.router.Owns, func(id shard.NodeID) bool { return alive[id] }, func(key string, part uint16, whole *state.Change) {
			e := envelope.Envelope{Kind: envelope.Replicate, Part: part, Term: t.PartTerm[part], Key: key, Ref: 1, Flags: envelope.FlagWhole, Payload: whole.Append(nil)}
			n.copies.Keep(&e, now) // should the new owner die before its backup has it
			n.give(t, &e)
		})
	}, func() {
		for _, p := range handOff {
			n.handOff(t, p)
		}
	})
	if len(gather) > 0 {
		n.wg.Go(func() { n.gather(t, gather) })
	}
}

// give sends an entity's whole state to the owner that a table names.
func (n *Node) give(t *shard.Table, e *envelope.Envelope) {
	o, ok := t.OwnerOf(e.Part)
	if !ok {
		return
	}
	for range giveTries { // the link's queue may be full of others
		if err := n.router.ToNode(o, e); err == nil || n.ctx.Err() != nil {
			return
		}
		time.Sleep(giveEvery)
	}
	n.log.Error("an entity could not be given to its new owner; the copies go on", "key", e.Key, "to", o.Name)
}

const (
	giveTries = 100
	giveEvery = 10 * time.Millisecond
)

// handOff says to the new owner that it has everything of a partition. When it is gone, the next table says what happens.
func (n *Node) handOff(t *shard.Table, part uint16) {
	if o, ok := t.OwnerOf(part); ok {
		_ = n.router.ToNode(o, &envelope.Envelope{Kind: envelope.Handoff, Part: part, Term: t.PartTerm[part]})
	}
}

// handedOff ends the wait for a partition: all its entities have come.
func (n *Node) handedOff(part uint16, term uint64) {
	if int(part) >= shard.Partitions {
		return
	}
	switch ends, pass := n.moving.came(part, term); {
	case !ends:
	case pass:
		n.passOn(part)
	default:
		n.take(part)
	}
}

// passOn sends a partition, which came here when another node owned it already, to that node.
func (n *Node) passOn(part uint16) {
	t := n.router.Table()
	for key, sections := range n.copies.Take(part) {
		whole := sections.Change()
		e := envelope.Envelope{Kind: envelope.Replicate, Part: part, Term: t.PartTerm[part], Key: key, Ref: 1, Flags: envelope.FlagWhole, Payload: whole.Append(nil)}
		n.copies.Keep(&e, time.Now())
		n.give(t, &e)
	}
	n.handOff(t, part)
}

// take makes this node run a partition's entities from the copies it has, and then lets in what was held.
func (n *Node) take(part uint16) {
	for key, sections := range n.copies.Take(part) {
		if err := n.workers.Restore(key, sections); err != nil {
			n.log.Error("entity not restored", "key", key, "err", err)
		}
	}
	n.moving.end(part, func(e *envelope.Envelope) {
		if err := n.workers.Post(e); err != nil {
			local{n}.Refused(n.router.Self(), e, err)
		}
	})
}

// gather asks the others for copies of partitions whose owner died before its backup can be trusted to have all of it, and then
// takes them.
func (n *Node) gather(t *shard.Table, parts []uint16) {
	ctx, cancel := context.WithTimeout(n.ctx, queryTimeout)
	defer cancel()
	words := make([]string, len(parts))
	for i, p := range parts {
		words[i] = strconv.Itoa(int(p))
	}
	self := n.router.Self()
	arg := fmt.Sprintf("%s %d %s", self.Name, self.Boot, strings.Join(words, ","))
	var wg sync.WaitGroup
	for _, m := range t.Nodes {
		if m != self {
			wg.Go(func() {
				if err := n.peers.ask(ctx, m, "copies", arg, nil); err != nil {
					n.log.Warn("copies of a node that was asked did not come", "from", m.Name, "err", err)
				}
			})
		}
	}
	wg.Wait()
	for _, p := range parts {
		if from, awaited := n.moving.awaited(p); awaited && from.IsZero() {
			n.take(p)
		}
	}
}

// sendCopies answers gather: the copies go first, on the same link.
func (n *Node) sendCopies(arg string) (int, error) {
	words := strings.SplitN(arg, " ", 3)
	if len(words) != 3 {
		return 0, fmt.Errorf("%w: copies", admin.ErrInvalid)
	}
	boot, err := strconv.ParseUint(words[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: boot: %w", admin.ErrInvalid, err)
	}
	to, sent := shard.NodeID{Name: words[0], Boot: boot}, 0
	for _, word := range strings.Split(words[2], ",") {
		p, err := strconv.ParseUint(word, 10, 16)
		if err != nil || p >= shard.Partitions {
			return sent, fmt.Errorf("%w: partition %q", admin.ErrInvalid, word)
		}
		for key, payload := range n.copies.Peek(uint16(p)) {
			e := envelope.Envelope{Kind: envelope.Replicate, Part: uint16(p), Key: key, Flags: envelope.FlagWhole | envelope.FlagFill, Payload: payload}
			if err := n.router.ToNode(to, &e); err != nil {
				return sent, fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
			}
			sent++
		}
	}
	return sent, nil
}
