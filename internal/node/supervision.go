package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gamed/internal/admin"
	"gamed/internal/cluster"
)

// supervision answers the question "supervision". It asks no worker: one that is blocked is what it is to show.
func (n *Node) supervision() admin.SupervisedNode {
	now := time.Now()
	out := admin.SupervisedNode{Node: n.router.Self().Name, Dispatch: n.opt.Config.Dispatch, DeadLetters: n.dead.Total(),
		Workers: []admin.SupervisedWorker{}, Quarantined: []admin.QuarantinedEntity{}}
	out.Entities, _ = n.workers.Entities()
	for _, w := range n.workers.Status() {
		state := w.Level.String()
		if w.Refusing && w.For == 0 {
			state = "resting"
		}
		out.Workers = append(out.Workers, admin.SupervisedWorker{Worker: w.Name, State: state, Entities: w.Entities, Mailbox: w.Waiting, Restarts: w.Restarts,
			Key: w.Key, What: w.What, RunningMS: w.For.Milliseconds()})
	}
	banned, total := n.dead.Quarantined(now)
	out.Quarantines = total
	for _, q := range banned {
		out.Quarantined = append(out.Quarantined, admin.QuarantinedEntity{Key: q.Key, LeftMS: q.Left.Milliseconds()})
	}
	return out
}

// maxLetterBytes bounds the answer of one node: without the stacks of older letters first, then without those letters.
const maxLetterBytes = 256 << 10

// deadLetters answers the question "deadletters": at most so many, the newest first.
func (n *Node) deadLetters(arg string) (admin.DeadLettersPage, error) {
	limit, err := strconv.Atoi(arg)
	if err != nil || limit < 1 {
		return admin.DeadLettersPage{}, fmt.Errorf("%w: limit", admin.ErrInvalid)
	}
	kept, total := n.dead.List()
	page := admin.DeadLettersPage{DeadLetters: []admin.DeadLetter{}, Total: total}
	bytes := 0
	for _, l := range slices.Backward(kept) {
		row := admin.DeadLetter{Time: l.At, Node: n.router.Self().Name, Key: l.Key, What: l.What, Bytes: l.Size, Cause: l.Cause}
		if !l.Banned.IsZero() {
			row.Quarantined = &l.Banned
		}
		if bytes += len(l.Key) + len(l.What) + len(l.Cause) + 200; bytes > maxLetterBytes || len(page.DeadLetters) == limit {
			break
		}
		if bytes+len(l.Stack) <= maxLetterBytes/2 {
			bytes += len(l.Stack)
			row.Stack = l.Stack
		}
		page.DeadLetters = append(page.DeadLetters, row)
	}
	return page, nil
}

// living are the members that can be asked.
func (s source) living() []cluster.Member {
	return slices.DeleteFunc(slices.Clone(s.n.cluster.Members()), func(m cluster.Member) bool { return m.State == "dead" })
}

// Supervision implements admin.Source.
func (s source) Supervision(ctx context.Context) admin.Supervision {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	members := s.living()
	out := admin.Supervision{Nodes: make([]admin.SupervisedNode, len(members))}
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			if err := s.n.peers.ask(ctx, m.Node, "supervision", "", &out.Nodes[i]); err != nil {
				out.Nodes[i] = admin.SupervisedNode{Node: m.Node.Name, Workers: []admin.SupervisedWorker{}, Quarantined: []admin.QuarantinedEntity{}, Error: err.Error()}
			}
		})
	}
	wg.Wait()
	slices.SortFunc(out.Nodes, func(a, b admin.SupervisedNode) int { return strings.Compare(a.Node, b.Node) })
	return out
}

// DeadLetters implements admin.Source.
func (s source) DeadLetters(ctx context.Context, node string, limit int) (admin.DeadLettersPage, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	members := s.living()
	if node != "" {
		members = slices.DeleteFunc(members, func(m cluster.Member) bool { return m.Node.Name != node })
		if len(members) == 0 {
			return admin.DeadLettersPage{}, fmt.Errorf("%w: no live node is called %q", admin.ErrNotFound, node)
		}
	}
	pages := make([]admin.DeadLettersPage, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			if err := s.n.peers.ask(ctx, m.Node, "deadletters", strconv.Itoa(limit), &pages[i]); err != nil {
				pages[i].Errors = []string{m.Node.Name + ": " + err.Error()}
			}
		})
	}
	wg.Wait()
	var out admin.DeadLettersPage
	for _, p := range pages {
		out.DeadLetters = append(out.DeadLetters, p.DeadLetters...)
		out.Total += p.Total
		out.Errors = append(out.Errors, p.Errors...)
	}
	slices.SortStableFunc(out.DeadLetters, func(a, b admin.DeadLetter) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(a.Node, b.Node))
	})
	out.DeadLetters = out.DeadLetters[:min(len(out.DeadLetters), limit)]
	return out, nil
}
