package loadtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Sight is what one node says of the cluster at one moment.
type Sight struct {
	Node  string
	Ready string // "", or why it takes no players
	// Degraded says that it warns its players.
	Degraded bool
	Linked   []string // members whose links work, itself included
	Term     uint64
	Hash     string   // of its table
	Owner    []string // by partition; "" for nobody
	Backup   []string
	Err      error // it did not answer
}

// Look asks these nodes, all at the same time.
func (n *Nodes) Look(ctx context.Context, names ...string) []Sight {
	sights := make([]Sight, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { sights[i] = n.look(ctx, name) })
	}
	all.Wait()
	return sights
}

func (n *Nodes) look(ctx context.Context, name string) Sight {
	s := Sight{Node: name}
	var stats struct{ Degraded bool }
	var members []struct{ Node, State string }
	var table struct {
		Term       uint64
		Hash       string
		Partitions []struct{ Owner, Backup string }
	}
	if err := n.Get(ctx, name, "/readyz", nil); err != nil {
		s.Ready = err.Error()
	}
	if s.Err = n.Get(ctx, name, "/api/v1/stats", &stats); s.Err != nil {
		return s
	}
	if s.Err = n.Get(ctx, name, "/api/v1/members", &members); s.Err != nil {
		return s
	}
	if s.Err = n.Get(ctx, name, "/api/v1/table", &table); s.Err != nil {
		return s
	}
	for _, m := range members {
		if m.State == "alive" || m.State == "draining" {
			s.Linked = append(s.Linked, m.Node)
		}
	}
	s.Degraded = stats.Degraded
	s.Term, s.Hash = table.Term, table.Hash
	for _, p := range table.Partitions {
		s.Owner, s.Backup = append(s.Owner, p.Owner), append(s.Backup, p.Backup)
	}
	return s
}

// Meshed says whether these nodes are linked to each other and to nobody else; if not, an error tells why.
func Meshed(sights []Sight) error {
	for _, s := range sights {
		if s.Err != nil {
			return s.Err
		}
		for _, other := range sights {
			if !slices.Contains(s.Linked, other.Node) {
				return fmt.Errorf("node %s is not linked to %s, only to %v", s.Node, other.Node, s.Linked)
			}
		}
		if len(s.Linked) != len(sights) {
			return fmt.Errorf("node %s is linked to %v", s.Node, s.Linked)
		}
	}
	return nil
}

// Single says whether these nodes hold one table in which each partition is owned by one of them; if not, an error tells why.
func Single(sights []Sight) error {
	for _, s := range sights {
		if s.Err != nil {
			return s.Err
		}
		if s.Hash != sights[0].Hash {
			return fmt.Errorf("node %s has the table of term %d, node %s that of %d", sights[0].Node, sights[0].Term, s.Node, s.Term)
		}
	}
	return owned(sights, false)
}

// Full says whether each partition has, besides, a backup among these nodes when there is more than one, and all take players.
func Full(sights []Sight) error {
	if err := Meshed(sights); err != nil {
		return err
	}
	if err := Single(sights); err != nil {
		return err
	}
	for _, s := range sights {
		if s.Ready != "" {
			return fmt.Errorf("node %s is not ready: %s", s.Node, s.Ready)
		}
	}
	return owned(sights, len(sights) > 1)
}

// owned judges the first one's table.
func owned(sights []Sight, backups bool) error {
	here := func(name string) bool {
		return slices.ContainsFunc(sights, func(s Sight) bool { return s.Node == name })
	}
	t := sights[0]
	if len(t.Owner) == 0 {
		return fmt.Errorf("node %s has an empty table", t.Node)
	}
	for i := range t.Owner {
		if !here(t.Owner[i]) || backups && (!here(t.Backup[i]) || t.Backup[i] == t.Owner[i]) {
			return fmt.Errorf("partition %d: owner %q, backup %q", i, t.Owner[i], t.Backup[i])
		}
	}
	return nil
}

// Await polls these nodes until cond is content; took is the time that this needed.
func (n *Nodes) Await(ctx context.Context, limit time.Duration, cond func([]Sight) error, names ...string) (took time.Duration, err error) {
	began := time.Now()
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		now := cond(n.Look(ctx, names...))
		if now == nil {
			return time.Since(began), nil
		}
		if err == nil || ctx.Err() == nil { // else it tells only that the time is over
			err = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Since(began), fmt.Errorf("nodes %s, still after %v: %w", strings.Join(names, " "), limit, err)
		}
	}
}

// Whole waits until all running nodes take players, know each other, hold one table, and every partition in it has an owner and a
// backup among them.
func (n *Nodes) Whole(ctx context.Context, limit time.Duration) error {
	if _, err := n.Await(ctx, limit, Full, n.Alive()...); err != nil {
		return fmt.Errorf("wait for one whole cluster: %w", err)
	}
	return nil
}
