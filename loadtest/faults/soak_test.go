package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gamed/loadtest"
	"gamed/loadtest/netlab"
)

var (
	minutes = flag.Float64("minutes", 0, "how long TestSoak runs; 0: not at all, but with -faults.all for one minute")
	policy  = flag.String("policy", "available", "of TestSoak's nodes: available or quorum")
)

// TestSoak: five nodes under deposits and talk while one thing after the other is done to them, chosen at random: kills, stops, drains,
// splits, cut links, joins. Nothing is lost, doubled or reordered, and after each the cluster is whole again in time. The timeline is
// told as it happens.
func TestSoak(t *testing.T) {
	if *minutes == 0 && *full {
		*minutes = 1
	}
	if *minutes == 0 {
		t.Skip("only with -minutes N or -faults.all")
	}
	w := build(t, 5, 1, loadtest.NodesOptions{Args: []string{"--policy", *policy, "--expect", "5"}})
	w.note("seed: -faults.seed=%d -policy=%s", *seed, *policy)
	s := &soak{world: w, random: random(t, 0), forks: *policy == "available"}
	lasting := time.Duration(*minutes * float64(time.Minute))
	w.under(load{savers: 60, pause: slow, rooms: 8, forks: s.forks}, func(ctx context.Context) error {
		for end := time.Now().Add(lasting); time.Now().Before(end); {
			if err := s.step(ctx); err != nil {
				return err
			}
			if !until(ctx, s.some(time.Second, 4*time.Second)) {
				return ctx.Err()
			}
		}
		return nil
	})
	w.note("done: %v", s.done)
}

// soak is one long run.
type soak struct {
	*world
	random *rand.Rand
	forks  bool // both sides of a split serve
	done   map[string]int
}

// some is a time between two.
func (s *soak) some(from, to time.Duration) time.Duration {
	return from + time.Duration(s.random.Int64N(int64(to-from)))
}

// pick is one of the nodes that run.
func (s *soak) pick() string {
	names := s.nodes.Alive()
	return names[s.random.IntN(len(names))]
}

// step does one thing and waits until the cluster is whole again.
func (s *soak) step(ctx context.Context) error {
	things := []struct {
		name string
		do   func(context.Context) error
	}{
		{"kill", s.kill}, {"kill", s.kill}, {"stop", s.stop}, {"drain", s.drain}, {"split", s.splits}, {"split", s.splits}, {"cut", s.cuts}, {"grow", s.grow},
	}
	thing := things[s.random.IntN(len(things))]
	if s.done == nil {
		s.done = map[string]int{}
	}
	s.done[thing.name]++
	if err := thing.do(ctx); err != nil {
		return fmt.Errorf("%s: %w", thing.name, err)
	}
	if died := s.nodes.Died(); len(died) > 0 {
		return fmt.Errorf("%s: %v", thing.name, died)
	}
	return nil
}

func (s *soak) kill(ctx context.Context) error {
	name := s.pick()
	s.note("kill %s", name)
	if _, err := s.nodes.Kill(name); err != nil {
		return err
	}
	until(ctx, s.some(0, 6*time.Second))
	return s.back(ctx, name)
}

// back starts a node again that has ended.
func (s *soak) back(ctx context.Context, name string) error {
	at := time.Now()
	s.note("start %s", name)
	return errors.Join(s.nodes.Start(ctx, name, loadtest.Extra{}), s.whole(ctx, at))
}

func (s *soak) stop(ctx context.Context) error {
	name, d := s.pick(), s.some(200*time.Millisecond, 12*time.Second)
	s.note("stop %s for %v", name, d)
	if err := s.nodes.Freeze(name); err != nil {
		return err
	}
	until(ctx, d)
	at := time.Now()
	return errors.Join(s.nodes.Thaw(name), s.whole(ctx, at))
}

func (s *soak) drain(ctx context.Context) error {
	name := s.pick()
	s.note("drain %s", name)
	code, took, err := s.nodes.Terminate(name, time.Minute)
	if err != nil || code != 0 {
		return errors.Join(err, fmt.Errorf("exit code %d after %v", code, took))
	}
	until(ctx, s.some(0, 3*time.Second))
	return s.back(ctx, name)
}

// splits cuts the cluster in two or three. Some of the time nobody notices before it is over.
func (s *soak) splits(ctx context.Context) error {
	names := s.nodes.Alive()
	s.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	at := 1 + s.random.IntN(len(names)-1)
	groups := [][]string{names[:at], names[at:]}
	if at > 1 && s.random.IntN(4) == 0 {
		groups = [][]string{names[:1], names[1:at], names[at:]}
	}
	if err := s.split(s.forks, groups...); err != nil {
		return err
	}
	until(ctx, s.some(time.Second, 15*time.Second))
	return s.heal(ctx)
}

// cuts breaks links in part.
func (s *soak) cuts(ctx context.Context) error {
	names := s.nodes.Alive()
	s.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	a, b := names[0], names[1]
	var cuts []netlab.Cut
	switch what := s.random.IntN(5); what {
	case 0:
		s.note("cut the link %s-%s", a, b)
		cuts = netlab.Link(a, b, netlab.All)
	case 1:
		s.note("cut the link %s-%s one way", a, b)
		cuts = []netlab.Cut{{From: a, To: b}}
	case 2, 3:
		kind := []netlab.Kind{netlab.UDP, netlab.TCP}[what-2]
		s.note("cut all %s of %s", kind, a)
		cuts = netlab.Between(kind, []string{a}, names[1:])
	case 4:
		s.note("cut off what %s says", a)
		for _, other := range names[1:] {
			cuts = append(cuts, netlab.Cut{From: a, To: other})
		}
	}
	s.mu.Lock()
	if s.forks {
		s.open = time.Now()
	}
	s.mu.Unlock()
	if err := s.lab.Cut(cuts...); err != nil {
		return err
	}
	until(ctx, s.some(time.Second, 12*time.Second))
	return s.heal(ctx)
}

// grow has the sixth node come, or go.
func (s *soak) grow(ctx context.Context) error {
	if slices.Contains(s.nodes.Alive(), "f") {
		s.note("drain f")
		at := time.Now()
		code, took, err := s.nodes.Terminate("f", time.Minute)
		if err != nil || code != 0 {
			return errors.Join(err, fmt.Errorf("exit code %d after %v", code, took))
		}
		return s.whole(ctx, at)
	}
	return s.back(ctx, "f")
}
