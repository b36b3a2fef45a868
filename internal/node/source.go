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
	"gamed/internal/envelope"
	"gamed/internal/player"
	"gamed/internal/room"
	"gamed/internal/shard"
	"gamed/protocol"
)

// source is what the admin port shows and does. It implements admin.Source.
type source struct{ n *Node }

// queryTimeout is how long a node may take for a question.
const queryTimeout = 2 * time.Second

// Live implements admin.Source.
func (s source) Live() bool { return !s.n.watched.exhausted.Load() || !s.n.watched.emptied.Load() }

// Ready implements admin.Source.
func (s source) Ready() (ok bool, reasons, degraded []string) {
	ok, reasons = s.n.Ready()
	return ok, reasons, s.n.degradedWhy()
}

// nodeStats is what a node says of itself.
type nodeStats struct {
	Connections, Sessions, Entities int
	Calls, Failed                   uint64
}

// asked is what a node said of itself, or why it did not.
type asked struct {
	nodeStats
	err error
}

// askAll asks every node that is not dead for its numbers, at the same time.
func (s source) askAll(ctx context.Context, members []cluster.Member) []asked {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	out := make([]asked, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		if m.State != "dead" {
			wg.Go(func() { out[i].err = s.n.peers.ask(ctx, m.Node, "stats", "", &out[i].nodeStats) })
		}
	}
	wg.Wait()
	return out
}

func partitions(t *shard.Table) map[shard.NodeID]int {
	count := map[shard.NodeID]int{}
	for p := range uint16(shard.Partitions) {
		if o, ok := t.OwnerOf(p); ok {
			count[o]++
		}
	}
	return count
}

// Members implements admin.Source.
func (s source) Members(ctx context.Context) []admin.Member {
	members, owns := s.n.cluster.Members(), partitions(s.n.router.Table())
	out := make([]admin.Member, len(members))
	for i, st := range s.askAll(ctx, members) {
		m := members[i]
		out[i] = admin.Member{Node: m.Node.Name, Boot: strconv.FormatUint(m.Node.Boot, 16), State: m.State, Addr: m.Addr,
			RTT: float64(m.RTT.Microseconds()) / 1000, Version: m.Version, Partitions: owns[m.Node], Players: st.Sessions}
		if st.err != nil {
			out[i].Error = st.err.Error()
		}
	}
	slices.SortFunc(out, func(a, b admin.Member) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Boot, b.Boot))
	})
	return out
}

// Table implements admin.Source.
func (s source) Table() admin.Table {
	t := s.n.router.Table()
	out := admin.Table{Term: t.Term, Hash: fmt.Sprintf("%016x", t.Hash), Partitions: make([]admin.Partition, shard.Partitions)}
	for p := range out.Partitions {
		owner, _ := t.OwnerOf(uint16(p))
		backup, _ := t.BackupOf(uint16(p))
		out.Partitions[p] = admin.Partition{Owner: owner.Name, Backup: backup.Name, Term: t.PartTerm[p]}
	}
	return out
}

// Locate implements admin.Source.
func (s source) Locate(key string) (admin.Location, error) {
	kind, id, ok := strings.Cut(key, "/")
	if !ok || (kind == "player" && !protocol.ValidPlayer(id)) || (kind != "player" && !protocol.ValidTopic(kind+":"+id)) {
		return admin.Location{}, fmt.Errorf("%w: key %q: want player/NAME or GAME/ID", admin.ErrInvalid, key)
	}
	t := s.n.router.Table()
	p := shard.PartitionOf(key)
	owner, _ := t.OwnerOf(p)
	backup, _ := t.BackupOf(p)
	return admin.Location{Partition: int(p), Owner: owner.Name, Backup: backup.Name, Term: t.PartTerm[p]}, nil
}

// Players implements admin.Source. The cursor is the name of the last player shown.
func (s source) Players(ctx context.Context, cursor string, limit int) (admin.PlayersPage, error) {
	if cursor != "" && !protocol.ValidPlayer(cursor) {
		return admin.PlayersPage{}, fmt.Errorf("%w: cursor", admin.ErrInvalid)
	}
	nodes := s.n.router.Table().Nodes
	pages := make([]admin.PlayersPage, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, queryTimeout)
			defer cancel()
			if err := s.n.peers.ask(ctx, n, "players", strconv.Itoa(limit)+" "+cursor, &pages[i]); err != nil {
				pages[i].Errors = []string{n.Name + ": " + err.Error()}
			}
		})
	}
	wg.Wait()
	out := admin.PlayersPage{Players: []admin.PlayerRow{}}
	for _, p := range pages {
		out.Players = append(out.Players, p.Players...)
		out.Errors = append(out.Errors, p.Errors...)
	}
	slices.SortFunc(out.Players, func(a, b admin.PlayerRow) int { return strings.Compare(a.Player, b.Player) })
	if len(out.Players) > limit {
		out.Players = out.Players[:limit]
		out.Cursor = out.Players[limit-1].Player
	}
	return out, nil
}

// Player implements admin.Source.
func (s source) Player(ctx context.Context, id string) (admin.Player, error) {
	var out admin.Player
	if err := s.onOwner(ctx, envelope.PlayerPrefix+id, "player", id, &out); err != nil {
		return admin.Player{}, err
	}
	return out, nil
}

// Kick implements admin.Source.
func (s source) Kick(ctx context.Context, id string) error {
	return s.onOwner(ctx, envelope.PlayerPrefix+id, "kick", id, nil)
}

// CloseRoom implements admin.Source.
func (s source) CloseRoom(ctx context.Context, topic string) error {
	if !protocol.ValidTopic(topic) {
		return fmt.Errorf("%w: topic %q", admin.ErrInvalid, topic)
	}
	return s.onOwner(ctx, envelope.RoomKey(topic), "close", topic, nil)
}

// Drain implements admin.Source.
func (s source) Drain(ctx context.Context, node string) error {
	for _, m := range s.n.cluster.Members() {
		if m.Node.Name == node && m.State != "dead" {
			return s.n.peers.ask(ctx, m.Node, "drain", "", nil)
		}
	}
	return fmt.Errorf("%w: no live node is called %q", admin.ErrNotFound, node)
}

func (s source) onOwner(ctx context.Context, key, what, arg string, out any) error {
	if _, err := s.Locate(key); err != nil {
		return err
	}
	owner, ok := s.n.router.Table().OwnerOf(shard.PartitionOf(key))
	if !ok {
		return fmt.Errorf("%w: nobody owns the partition", admin.ErrUnavailable)
	}
	return s.n.peers.ask(ctx, owner, what, arg, out)
}

// Events implements admin.Source.
func (s source) Events(after uint64) []admin.Event { return s.n.events.since(after) }

// Stats implements admin.Source.
func (s source) Stats() admin.Stats {
	n := s.n
	st, t, members := n.stats(), n.router.Table(), n.cluster.Members()
	out := admin.Stats{Time: time.Now(), Node: n.router.Self().Name, Term: t.Term, Degraded: n.degraded.Load(), Connections: st.Connections,
		Sessions: st.Sessions, Entities: st.Entities, Calls: st.Calls, Failed: st.Failed, Forwarded: n.sent.Load(), Pushes: n.relays.Pushes()}
	owns := partitions(t)
	for i, o := range s.askAll(n.ctx, members) {
		m := members[i]
		out.Nodes = append(out.Nodes, admin.NodeStats{Node: m.Node.Name, State: m.State, RTT: float64(m.RTT.Microseconds()) / 1000,
			Partitions: owns[m.Node], Connections: o.Connections, Sessions: o.Sessions})
	}
	return out
}

// query answers a question about this node: its own, or another's.
func (n *Node) query(ctx context.Context, what, arg string) (any, error) {
	switch what {
	case "stats":
		return n.stats(), nil
	case "players":
		return n.playersPage(arg)
	case "player":
		return n.playerDetails(arg)
	case "supervision":
		return n.supervision(), nil
	case "deadletters":
		return n.deadLetters(arg)
	case "conflicts":
		return n.conflictsPage(arg)
	case "conflict":
		return n.conflicts.find(arg)
	case "copies":
		return n.sendCopies(ctx, arg)
	case "drain":
		n.wg.Go(func() {
			ctx, cancel := context.WithTimeout(n.ctx, n.opt.Config.DrainTimeout)
			defer cancel()
			if err := n.drain(ctx); err != nil {
				n.log.Warn("drain", "err", err)
			}
		})
		return nil, nil
	case "kick":
		found := false
		err := n.workers.Do(envelope.PlayerPrefix+arg, queryTimeout, func(w *shard.Worker, e shard.Entity) {
			if p, ok := e.(*player.Entity); ok {
				found = p.Kick(w, "kicked by an operator")
			}
		})
		if err == nil && !found {
			err = fmt.Errorf("%w: %s has no session", admin.ErrNotFound, arg)
		}
		return nil, err
	case "close":
		found := false
		err := n.workers.Do(envelope.RoomKey(arg), queryTimeout, func(w *shard.Worker, e shard.Entity) {
			if h, ok := e.(*room.Home); ok {
				found = true
				h.CloseRoom(w)
			}
		})
		if err == nil && !found {
			err = fmt.Errorf("%w: room %s is not open", admin.ErrNotFound, arg)
		}
		return nil, err
	}
	return nil, fmt.Errorf("%w: this node does not know the question %q", admin.ErrInvalid, what)
}

func (n *Node) stats() nodeStats {
	entities, _ := n.workers.Entities()
	return nodeStats{Connections: n.listener.Count(), Sessions: int(n.players.Metrics.Live()), Entities: entities,
		Calls: n.players.Metrics.Count(), Failed: n.players.Metrics.Failures()}
}

func (n *Node) playersPage(arg string) (admin.PlayersPage, error) {
	first, cursor, _ := strings.Cut(arg, " ")
	limit, err := strconv.Atoi(first)
	if err != nil || limit < 1 {
		return admin.PlayersPage{}, fmt.Errorf("%w: limit", admin.ErrInvalid)
	}
	var mu sync.Mutex // guards rows
	rows := []admin.PlayerRow{}
	done := make(chan struct{})
	n.workers.Each(func(w *shard.Worker) {
		var mine []admin.PlayerRow
		w.EachEntity(func(_ string, e shard.Entity) bool {
			p, ok := e.(*player.Entity)
			if !ok || p.Name() <= cursor {
				return true
			}
			if st := p.Status(); st.Live {
				mine = append(mine, admin.PlayerRow{Player: p.Name(), Owner: n.router.Self().Name, Gateway: st.Gateway, Topics: len(st.Topics)})
			}
			return true
		})
		mu.Lock()
		rows = append(rows, mine...)
		mu.Unlock()
	}, func() { close(done) })
	select {
	case <-done:
	case <-time.After(queryTimeout):
		return admin.PlayersPage{}, fmt.Errorf("%w: a worker does not answer", admin.ErrUnavailable)
	}
	slices.SortFunc(rows, func(a, b admin.PlayerRow) int { return strings.Compare(a.Player, b.Player) })
	return admin.PlayersPage{Players: rows[:min(len(rows), limit+1)]}, nil
}

func (n *Node) playerDetails(name string) (admin.Player, error) {
	out := admin.Player{Player: name, Owner: n.router.Self().Name, Topics: []string{}, Refs: []uint64{}}
	if b, ok := n.router.Table().BackupOf(shard.PartitionOf(envelope.PlayerPrefix + name)); ok {
		out.Backup = b.Name
	}
	found := false
	err := n.workers.Do(envelope.PlayerPrefix+name, queryTimeout, func(w *shard.Worker, e shard.Entity) {
		p, ok := e.(*player.Entity)
		if !ok {
			return
		}
		found = true
		st := p.Status()
		out.Gateway, out.Session, out.Mailbox = st.Gateway, st.Session, w.Waiting()
		out.Topics = append(out.Topics, st.Topics...)
		out.Refs = append(out.Refs, st.Refs...)
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: player %s is not in memory", admin.ErrNotFound, name)
	}
	return out, err
}
