package cluster

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"

	"gamed/internal/cluster/agreement"
	"gamed/internal/envelope"
	"gamed/internal/shard"
)

// view is what Members and Ready show. It is immutable.
type view struct {
	members []Member
	waiting string // why this node does not serve, "" when it does
}

// view makes the list of members, this node among them, by name.
func (l *loop) view() []Member {
	own := Member{Node: l.self, State: l.ownState().String(), Addr: l.meta.Players, Mesh: l.meta.Mesh, Gossip: l.c.seeds.self,
		Admin: l.meta.Admin, Version: l.meta.Version, Since: l.started}
	out := []Member{own}
	for _, m := range l.members {
		if m.unfit != "" || m.state == states {
			continue
		}
		out = append(out, Member{Node: m.id, State: m.state.String(), Addr: m.meta.Players, Mesh: m.meta.Mesh, Gossip: m.addr,
			Admin: m.meta.Admin, Version: m.meta.Version, Since: m.since})
	}
	slices.SortFunc(out, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Node.Name, b.Node.Name), b.Since.Compare(a.Since), cmp.Compare(a.Node.Boot, b.Node.Boot))
	})
	return out
}

// show publishes a view.
func (c *Cluster) show(members []Member, waiting string) {
	c.shown.Store(&view{members, waiting})
	if c.metrics != nil {
		c.metrics.ready.Set(0)
		if waiting == "" {
			c.metrics.ready.Set(1)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cuts) > 0 && members != nil {
		c.recut(members)
	}
}

// Self is this node.
func (c *Cluster) Self() shard.NodeID { return c.self }

// Table is the table installed; the empty one before the first. It must not be changed.
func (c *Cluster) Table() *shard.Table { return c.table.Load() }

// Members are all nodes known, by name: this one, those who are there, and for a day those who are dead.
func (c *Cluster) Members() []Member {
	members := slices.Clone(c.shown.Load().members)
	for _, p := range c.mesh.Peers() {
		for i := range members {
			if p.Up && members[i].Node == p.ID {
				members[i].RTT = p.RTT
			}
		}
	}
	return members
}

// Ready says whether this node may serve players as far as the cluster goes, or why not.
func (c *Cluster) Ready() (ok bool, reasons []string) {
	if w := c.shown.Load().waiting; w != "" {
		return false, []string{w}
	}
	return true, nil
}

// Send queues a copy of e for a node, behind what was sent to it before. It does not block: mesh.ErrBusy or mesh.ErrNoLink.
func (c *Cluster) Send(to shard.NodeID, e *envelope.Envelope) error { return c.mesh.Send(to, e) }

// SendControl is Send on the lane that is never behind data. The lanes overtake each other.
func (c *Cluster) SendControl(to shard.NodeID, e *envelope.Envelope) error {
	return c.mesh.SendControl(to, e)
}

// Queue is Send for many envelopes at once: a Flush must follow.
func (c *Cluster) Queue(to shard.NodeID, e *envelope.Envelope) error { return c.mesh.Queue(to, e) }

// Flush sends what Queue queued, to all nodes.
func (c *Cluster) Flush() { c.mesh.Flush() }

// Backlog is how many bytes that were sent to a node wait in this process; false: there is no link.
func (c *Cluster) Backlog(to shard.NodeID) (bytes int, up bool) { return c.mesh.Backlog(to) }

// MeshAddr and GossipAddr are where this node listens, ports picked.
func (c *Cluster) MeshAddr() net.Addr { return c.listen.Addr() }

// GossipAddr is where this node's gossip listens (TCP and UDP).
func (c *Cluster) GossipAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(c.gossip.conf.BindAddr), Port: c.gossip.conf.BindPort}
}

// SetDraining says whether this node wants to own nothing. The others hear of it within a heartbeat, and the next table gives
// what it owns to them.
func (c *Cluster) SetDraining(on bool) {
	c.inbox.put(func(in *letters) { in.draining = &on })
}

// SetFilled says that the backups of these partitions, which this node owns by the table with this hash, have everything. The others
// hear of it within a heartbeat.
func (c *Cluster) SetFilled(table uint64, parts shard.PartSet) {
	c.inbox.put(func(in *letters) {
		if f := in.filled; f != nil && f.Table == table {
			parts.AddAll(&f.Parts)
		}
		in.filled = &agreement.Filled{Table: table, Parts: parts}
	})
}

// Filled says whether all backups that a table names are known to have everything: as far as this node has heard.
func (c *Cluster) Filled(t *shard.Table) bool {
	known := c.filled.Load()
	for p := range uint16(shard.Partitions) {
		if _, ok := t.BackupOf(p); ok && (known.Table != t.Hash || !known.Parts.Has(p)) {
			return false
		}
	}
	return true
}

// Leave hands over what this node owns, waiting up to 3 s for it, and says goodbye, so that nobody has to find out that it is
// gone. Then it takes no further part; the caller ends Run. The error is ctx's, when it ended before the goodbye was said.
func (c *Cluster) Leave(ctx context.Context) error {
	c.mu.Lock()
	running := c.running && !c.ended
	c.mu.Unlock()
	if !running {
		return nil
	}
	c.SetDraining(true)
	handed, cancel := context.WithTimeout(ctx, handOverWait)
	defer cancel()
	for handed.Err() == nil && !c.handedOver() {
		pause(handed, pollEvery)
	}
	c.inbox.put(func(in *letters) { in.leave = true })
	said, cancel := context.WithTimeout(ctx, 2*leaveWait)
	defer cancel()
	select {
	case <-c.left:
		return nil
	case <-said.Done():
		return errors.Join(errors.New("leave: the others may not have heard it"), ctx.Err())
	}
}

// handedOver says whether this node owns nothing, or there is nobody to own it.
func (c *Cluster) handedOver() bool {
	others := false
	for _, m := range c.shown.Load().members {
		others = others || m.Node != c.self && m.State == stateAlive.String()
	}
	if !others {
		return true
	}
	t := c.Table()
	for p := range uint16(shard.Partitions) {
		if o, ok := t.OwnerOf(p); ok && o == c.self {
			return false
		}
	}
	return true
}

// Cut with on drops the link and the gossip to all nodes of a name until it is called with off. Call it on both sides: what
// the other side's gossip sends by TCP still gets through otherwise.
func (c *Cluster) Cut(name string, on bool) {
	c.mu.Lock()
	if on {
		c.cuts[name] = true
	} else {
		delete(c.cuts, name)
	}
	c.recut(c.shown.Load().members)
	c.mu.Unlock()
	c.mesh.Cut(name, on)
}

// recut tells the gossip transport whom to cut off. Cluster.mu must be held.
func (c *Cluster) recut(members []Member) {
	set := &cutSet{names: map[string]bool{}, addrs: map[string]bool{}}
	for name := range c.cuts {
		set.names[name] = true
	}
	for _, m := range members {
		if c.cuts[m.Node.Name] && m.Gossip != "" {
			set.addrs[m.Gossip] = true
		}
	}
	c.gossip.wire.cut.Store(set)
}

// Kill ends this node as a crash would: all sockets are closed, nobody is told. Run returns nil soon after.
func (c *Cluster) Kill() {
	c.mu.Lock()
	running := c.running
	c.ended = true
	if c.cancel != nil {
		c.cancel(errKilled)
	}
	c.mu.Unlock()
	if !running {
		_ = c.listen.Close()
		c.gossip.stop()
	}
}
