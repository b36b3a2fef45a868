package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gamed/internal/admin"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
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
	unknown := old.Term == 0 && len(t.Nodes) > 1 // who had what before this node came
	var gather, take, handOff []uint16
	var stray []heldMessage
	for p := range uint16(shard.Partitions) {
		owner, owned := t.OwnerOf(p)
		before, had := old.OwnerOf(p)
		if had && owned && alive[before] && (before != owner || !sameBackup(old, t, p)) {
			n.moving.note(p, now) // the backup may not have everything yet
		}
		n.copies.Fence(p, t.PartTerm[p])
		from, awaited := n.moving.awaited(p)
		switch {
		case !owned || owner != self:
			if b, ok := t.BackupOf(p); (!ok || b != self) && !awaited {
				n.copies.Retire(p, now)
			}
			held, waits := n.moving.passOn(p, now)
			stray = append(stray, held...)
			if had && before == self && owned && !waits {
				handOff = append(handOff, p)
				n.moving.leave(p, owner, t.Term)
			}
		case awaited && alive[from], !awaited && had && before == self:
		case !awaited && had && alive[before]:
			if n.moving.expect(p, before, t.PartTerm[p], t.Term, now) {
				take = append(take, p)
			}
		case awaited || unknown || n.moving.movedLately(p, now) && len(t.Nodes) > 1:
			n.moving.expect(p, shard.NodeID{}, t.PartTerm[p], t.Term, now)
			gather = append(gather, p)
		default:
			n.moving.expect(p, shard.NodeID{}, t.PartTerm[p], t.Term, now)
			take = append(take, p)
		}
	}
	n.copies.Purge(now.Add(-recently))
	early := n.moving.catchUp(t)
	move, passed := n.begin(t, handOff), make(chan struct{})
	n.installing.Lock() // so that a sum is by one table
	n.router.Install(t)
	n.workers.Each(func(w *shard.Worker) {
		w.Rebase(func(p uint16) bool { o, ok := t.OwnerOf(p); return ok && o == self }, func(id shard.NodeID) bool { return alive[id] }, move.add)
	}, func() { close(passed) })
	n.installing.Unlock()
	for i := range stray {
		n.reroute(&stray[i].Envelope)
	}
	for i := range early {
		n.router.Receive(early[i].from, &early[i].Envelope)
	}
	n.gateway.changed()
	n.wg.Go(func() { // not before all workers have let go of what an earlier table took from this node
		<-passed
		for _, p := range take {
			n.takePlanned(p, t.Term)
		}
		n.mark(t)
		move.run()
	})
	if len(gather) > 0 {
		n.wg.Go(func() {
			<-passed
			n.gather(t, gather)
		})
	}
	if on, changed := n.health.installed(old, t); changed {
		n.tellDegraded(on)
	}
}

// sameBackup says whether a partition's backup is the one it was.
func sameBackup(a, b *shard.Table, p uint16) bool {
	x, _ := a.BackupOf(p)
	y, _ := b.BackupOf(p)
	return x == y
}

func (n *Node) reroute(e *envelope.Envelope) {
	if err := n.router.Route(e); err != nil {
		local{n}.Refused(n.router.Self(), e, err)
	}
}

// handedOff ends the wait for a partition: all its entities have come.
func (n *Node) handedOff(part uint16, term uint64) {
	if int(part) >= shard.Partitions {
		return
	}
	switch ends, pass := n.moving.came(part, term); {
	case ends && pass, n.passes(part, term):
		n.passOn(part)
	case ends:
		n.take(part)
	}
}

// passes says whether what comes of a partition for its owner of this term was for this node by a table that is not in force here
// any more: another node is to have it.
func (n *Node) passes(part uint16, term uint64) bool {
	return term < n.router.Table().PartTerm[part] && !n.router.Owns(part)
}

// runs says whether this node runs the entities of a partition: it owns it, and they are here.
func (n *Node) runs(part uint16) bool {
	_, awaited := n.moving.awaited(part)
	return n.router.Owns(part) && !awaited
}

// passOn sends a partition, which came here when another node owned it already, to that node.
func (n *Node) passOn(part uint16) {
	t := n.router.Table()
	move := n.begin(t, []uint16{part})
	for key, sections := range n.copies.Take(part) {
		move.add(key, part, sections.Change())
	}
	n.wg.Go(move.run)
}

// stray routes anew what a worker found for an entity that is not here any more, or not yet.
func (n *Node) stray(e *envelope.Envelope) {
	if !n.gateway.stray(e) {
		n.router.Stray(e)
	}
}

// takePlanned is take for a partition that the table of this term has given to this node, unless a later one says otherwise.
func (n *Node) takePlanned(part uint16, round uint64) {
	if n.moving.begin(part, round) {
		n.take(part)
	}
}

// take makes this node run a partition's entities from the copies it has, and then lets in what was held.
func (n *Node) take(part uint16) {
	t := n.router.Table()
	alive := func(id shard.NodeID) bool { return slices.Contains(t.Nodes, id) }
	for key, sections := range n.copies.Take(part) {
		err := n.workers.Restore(key, sections)
		if err == nil { // sockets on nodes that went while it was on its way are gone
			err = n.workers.Tell(key, func(w *shard.Worker, e shard.Entity) {
				if e != nil {
					e.Rebase(w, alive)
				}
			})
		}
		if err != nil {
			n.log.Error("entity not restored", "key", key, "err", err)
		}
	}
	refused, notices := n.moving.end(part, n.workers.Post)
	for _, r := range refused {
		local{n}.Refused(n.router.Self(), r.e, r.why)
	}
	for i := range notices {
		local{n}.tell(&notices[i])
	}
}

// lookForLost gives up what was awaited for too long. It is called now and then.
func (n *Node) lookForLost(now time.Time) {
	t := n.router.Table()
	late, lost := n.moving.overdue(now, t.Term)
	for i := range late {
		local{n}.Refused(n.router.Self(), &late[i].Envelope, shard.ErrNoOwner)
	}
	for _, x := range n.moving.tooEarly(now) {
		n.router.Receive(x.from, &x.Envelope)
	}
	if len(lost) > 0 {
		n.log.Warn("partitions did not come from their owners: asking everybody for copies", "partitions", len(lost))
		n.wg.Go(func() { n.gather(t, lost) })
	}
}

// gather asks the others for copies of partitions whose owner died before its backup can be trusted to have all of it, or who this
// node does not know, and then takes them. Who is asked answers when he has given away what he had.
func (n *Node) gather(t *shard.Table, parts []uint16) {
	ctx, cancel := context.WithTimeout(n.ctx, queryTimeout)
	defer cancel()
	words := make([]string, len(parts))
	for i, p := range parts {
		words[i] = strconv.Itoa(int(p))
	}
	self := n.router.Self()
	arg := fmt.Sprintf("%s %d %d %s", self.Name, self.Boot, t.Term, strings.Join(words, ","))
	var wg sync.WaitGroup
	for _, m := range t.Nodes {
		if m != self {
			wg.Go(func() {
				if err := n.peers.ask(ctx, m, "copies", arg, nil); err != nil && n.ctx.Err() == nil {
					n.log.Warn("copies of a node that was asked did not come", "from", m.Name, "err", err)
				}
			})
		}
	}
	wg.Wait()
	for _, p := range parts {
		n.takePlanned(p, t.Term)
	}
}

// sendCopies answers gather, when this node has given away what the asker's table took from it: the copies go first, on the same
// link.
func (n *Node) sendCopies(ctx context.Context, arg string) (int, error) {
	words := strings.SplitN(arg, " ", 4)
	if len(words) != 4 {
		return 0, fmt.Errorf("%w: copies", admin.ErrInvalid)
	}
	boot, err1 := strconv.ParseUint(words[1], 10, 64)
	term, err2 := strconv.ParseUint(words[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("%w: copies: %w", admin.ErrInvalid, err)
	}
	if err := n.given(ctx, term); err != nil {
		return 0, err
	}
	to, sent := shard.NodeID{Name: words[0], Boot: boot}, 0
	for _, word := range strings.Split(words[3], ",") {
		p, err := strconv.ParseUint(word, 10, 16)
		if err != nil || p >= shard.Partitions {
			return sent, fmt.Errorf("%w: partition %q", admin.ErrInvalid, word)
		}
		for _, key := range n.copies.Keys(uint16(p)) {
			c, whole, ok := n.copies.Peek(uint16(p), key)
			if !ok {
				continue
			}
			e := envelope.Envelope{Kind: envelope.Replicate, Part: uint16(p), Term: c.Term, Conn: c.Life, Key: key, Ref: c.Seq, Flags: envelope.FlagFill}
			if err := replica.Pieces(e, whole, func(piece *envelope.Envelope) error { return n.inBulk(ctx, to, piece) }); err != nil {
				return sent, fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
			}
			sent++
		}
	}
	return sent, nil
}
