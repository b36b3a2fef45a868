package node

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"gamed/internal/admin"
	"gamed/internal/cluster/ownership"
	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/shard"
)

// askingCopies is the question for copies of partitions, copiesWait how long nothing may come before it is given up, and copiesMax how
// long its answer may take.
const (
	askingCopies = "copies"
	copiesWait   = 10 * time.Second
	copiesMax    = 10 * time.Minute
)

// gather asks the others for copies of partitions. Who is asked answers when he has given away what he had.
func (n *Node) gather(a ownership.Gather) {
	t, self := n.router.Table(), n.router.Self()
	words := make([]string, len(a.Parts))
	for i, p := range a.Parts {
		words[i] = strconv.Itoa(int(p))
	}
	arg := fmt.Sprintf("%s %d %d %d %d %s", self.Name, self.Boot, a.Term, a.Table, a.Aside, strings.Join(words, ","))
	var wg sync.WaitGroup
	var mu sync.Mutex // guards silent
	var silent []shard.NodeID
	for _, m := range t.Nodes {
		if m == self {
			continue
		}
		wg.Go(func() {
			if err := n.askCopies(m, arg); err != nil && n.ctx.Err() == nil {
				n.log.Warn("copies of a node that was asked did not come", "from", m.Name, "err", err)
				mu.Lock()
				defer mu.Unlock()
				silent = append(silent, m)
			}
		})
	}
	wg.Wait()
	n.step(ownership.Gathered{Round: a.Round, Silent: silent})
}

// askEvery is how often a node that cannot be asked for copies is tried again.
const askEvery = 50 * time.Millisecond

// askCopies asks one node, again while it is in the table: after a split links come one by one.
func (n *Node) askCopies(m shard.NodeID, arg string) error {
	ctx, cancel := context.WithTimeout(n.ctx, copiesMax)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() { n.watch(ctx, cancel, m) })
	for {
		ref, sent := n.own.arrivals.begin(), 0
		err := n.peers.ask(ctx, m, askingCopies, ref+" "+arg, &sent)
		if came := n.own.arrivals.end(ref); err == nil && came != sent {
			err = fmt.Errorf("%w: %d of %d pieces came", admin.ErrUnavailable, came, sent) // the others were lost with a link
		}
		if err == nil || !n.router.Table().Has(m) {
			return err
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// arrivals counts what comes in answer to each question for copies. Safe for use by many goroutines.
type arrivals struct {
	mu   sync.Mutex // guards what follows
	next uint64
	came map[string]int
}

// begin gives the next question its number.
func (a *arrivals) begin() (ref string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.came == nil {
		a.came = map[string]int{}
	}
	a.next++
	ref = strconv.FormatUint(a.next, 10)
	a.came[ref] = 0
	return ref
}

// count counts a piece; what answers no open question is left out.
func (a *arrivals) count(ref string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n, ok := a.came[ref]; ok {
		a.came[ref] = n + 1
	}
}

// end says how many pieces came.
func (a *arrivals) end(ref string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.came[ref]
	delete(a.came, ref)
	return n
}

// watch cancels what a node was asked when it is gone, or has sent nothing for long.
func (n *Node) watch(ctx context.Context, cancel func(), id shard.NodeID) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for begun := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.own.mu.Lock()
		heard := n.own.started.Add(n.own.m.Heard(id))
		n.own.mu.Unlock()
		if !n.router.Table().Has(id) || time.Since(begun) > copiesWait && time.Since(heard) > copiesWait {
			cancel()
			return
		}
	}
}

// sendCopies answers gather, when this node has given away what the asker's table took from it: the copies go first, on the same
// link. It gives the number of their pieces.
func (n *Node) sendCopies(ctx context.Context, arg string) (int, error) {
	ref, rest, _ := strings.Cut(arg, " ")
	words := strings.SplitN(rest, " ", 6)
	if len(words) != 6 {
		return 0, fmt.Errorf("%w: copies", admin.ErrInvalid)
	}
	boot, err1 := strconv.ParseUint(words[1], 10, 64)
	term, err2 := strconv.ParseUint(words[2], 10, 64)
	table, err3 := strconv.ParseUint(words[3], 10, 64)
	side, err4 := strconv.ParseUint(words[4], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return 0, fmt.Errorf("%w: copies: %w", admin.ErrInvalid, err)
	}
	if err := n.given(ctx, term, table); err != nil {
		return 0, err
	}
	to, sent, store := shard.NodeID{Name: words[0], Boot: boot}, 0, n.copies
	var flags uint16 = envelope.FlagFill
	if side != 0 {
		store = n.own.asides.of(side)
		flags |= envelope.FlagFork
	}
	for _, word := range strings.Split(words[5], ",") {
		p, err := strconv.ParseUint(word, 10, 16)
		if err != nil || p >= shard.Partitions {
			return sent, fmt.Errorf("%w: partition %q", admin.ErrInvalid, word)
		}
		for _, key := range store.Keys(uint16(p)) {
			c, whole, ok := store.Peek(uint16(p), key)
			if !ok {
				continue
			}
			e := envelope.Envelope{Kind: envelope.Replicate, Part: uint16(p), Term: c.Term, Conn: c.Life, Key: key, Ref: c.Seq, Flags: flags, Event: ref}
			if side != 0 {
				e.Session = strconv.FormatUint(side, 16)
			}
			if err := replica.Pieces(e, whole, func(piece *envelope.Envelope) error { sent++; return n.inBulk(ctx, to, piece) }); err != nil {
				return sent, fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
			}
		}
	}
	return sent, nil
}

// copied takes a piece of an entity's state that another node gave, or was asked for.
func (n *Node) copied(from shard.NodeID, e *envelope.Envelope) {
	defer n.credit(from, len(e.Payload))
	if e.Flags&envelope.FlagFill != 0 {
		n.own.arrivals.count(e.Event)
	}
	if int(e.Part) >= shard.Partitions || shard.PartitionOf(e.Key) != e.Part {
		n.moves.stale.WithLabelValues("copy").Inc()
		return
	}
	ev := ownership.Copy{From: from, Origin: toOrigin(e), Asked: e.Flags&envelope.FlagFill != 0}
	if ev.Asked { // its numbers are those of the copy
		ev.Term, ev.Token = 0, 0
		if ev.Rival {
			ev.Term = ev.Follows // the table that healed
		}
	}
	term := ev.Term
	n.own.mu.Lock()
	defer n.own.mu.Unlock()
	for _, a := range n.own.m.Step(time.Since(n.own.started), ev) {
		k, ok := a.(ownership.Keep)
		switch {
		case !ok:
			n.do(a)
		case ev.Asked && k.Rival:
			n.own.asides.of(term).Fill(from, e)
		case ev.Asked:
			n.copies.Fill(from, e)
		case k.Rival:
			n.own.asides.of(term).Pass(e, time.Now())
		case k.Pass:
			n.copies.Pass(e, time.Now())
		default:
			n.copies.Apply(e)
		}
	}
}
