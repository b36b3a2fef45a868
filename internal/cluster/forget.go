package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gamed/internal/cluster/agreement"
	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/protocol"
)

// Errors of Forget.
var (
	ErrLive    = errors.New("the node is there")
	ErrUnknown = errors.New("no such node is missing or dead")
)

const forgetWait = 5 * time.Second

// Forget gives up a node that is missing or dead, on all nodes: partitions that only it had are placed anew, empty; the cluster is
// no longer degraded for its sake; it is not listed any more. Any node may be asked. It waits, 5 s at most, until the coordinator
// has done it. ErrLive: a node that is there is not forgotten, drain it. ErrUnknown: there is nothing to be forgotten.
func (c *Cluster) Forget(ctx context.Context, name string) error {
	if !protocol.ValidPlayer(name) {
		return fmt.Errorf("node %q: %w", name, ErrUnknown)
	}
	dead := false
	for _, m := range c.Members() {
		if m.Node.Name != name {
			continue
		}
		if m.State != stateDead.String() {
			return fmt.Errorf("forget %s: %w, as %s sees it %s; drain it, or wait until it is dead", name, ErrLive, c.self.Name, m.State)
		}
		dead = true
	}
	if !dead && !c.missing(name) {
		return fmt.Errorf("forget %s: %w", name, ErrUnknown)
	}
	c.inbox.put(func(in *letters) { keep(in, &in.forgets, name, true) })
	ctx, cancel := context.WithTimeout(ctx, forgetWait)
	defer cancel()
	for c.missing(name) || c.listed(name) {
		if pause(ctx, pollEvery); ctx.Err() != nil {
			return fmt.Errorf("forget %s: the coordinator has not done it yet; if it still has a link to the node it never will: %w", name, ctx.Err())
		}
	}
	return nil
}

// missing says whether the table waits for a node of a name.
func (c *Cluster) missing(name string) bool {
	return slices.ContainsFunc(c.Table().Missing, func(m shard.Missing) bool { return m.ID.Name == name })
}

func (c *Cluster) listed(name string) bool {
	return slices.ContainsFunc(c.shown.Load().members, func(m Member) bool { return m.Node.Name == name })
}

// forget takes an operator's word on a node. The node asked tells the others; who sees the node alive does nothing.
func (l *loop) forget(name string, tell bool) {
	l.step(agreement.Forget{Name: name})
	for id, m := range l.members {
		if id.Name == name && m.state == stateDead {
			delete(l.members, id)
		}
		if tell && m.linked {
			l.tell(id, &envelope.Envelope{Kind: envelope.Table, Event: tellForget, Payload: []byte(name)})
		}
	}
}
