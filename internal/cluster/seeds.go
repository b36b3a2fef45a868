package cluster

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// seeds is the loop that looks for other nodes, for ever: memberlist contacts a node that it took for dead never again, so that
// a split of more than half a minute would not heal by itself.
type seeds struct {
	join    []string                // as configured
	contact func(addr string) error // exchanges all that both sides know
	lookup  func(context.Context, string) ([]string, error)
	self    string // own gossip address
	wanted  atomic.Pointer[seedView]
	metrics *metrics
	log     *slog.Logger

	mu     sync.Mutex // guards what follows
	warned map[string]bool
}

// seedView is what the loop needs to know of the members.
type seedView struct {
	alive map[string]bool // gossip addresses of members that are there and linked: not to be contacted
	lost  []string        // gossip addresses of members that are not
	alone bool            // no other member is known
}

const (
	dnsPrefix   = "dns+"
	eagerFor    = 5 * time.Second // after the start, while alone
	eagerEvery  = 250 * time.Millisecond
	rejoinEvery = time.Second // up to twice that, at random
	lookupLimit = 2 * time.Second
	contacts    = 8 // at one time
	maxTargets  = 128
)

// run ends with ctx, or with the contacts then under way.
func (s *seeds) run(ctx context.Context) {
	begun := time.Now()
	for {
		s.round(ctx)
		wait := rejoinEvery + rand.N(rejoinEvery)
		if s.wanted.Load().alone && time.Since(begun) < eagerFor {
			wait = eagerEvery/2 + rand.N(eagerEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// round contacts every address that may be a member's and is none of those who are there.
func (s *seeds) round(ctx context.Context) {
	view := s.wanted.Load()
	targets := slices.Concat(s.resolve(ctx), view.lost)
	slices.Sort(targets)
	targets = slices.DeleteFunc(slices.Compact(targets), func(a string) bool { return a == s.self || view.alive[a] })
	if len(targets) > maxTargets {
		rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
		targets = targets[:maxTargets]
	}
	var wg sync.WaitGroup
	places := make(chan struct{}, contacts)
	for _, a := range targets {
		if ctx.Err() != nil {
			break
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if err := s.contact(a); err != nil {
				s.metrics.contactsFailed.Inc()
				s.failed(a, err)
				return
			}
			s.metrics.contactsMade.Inc()
		})
	}
	wg.Wait()
}

// failed logs a contact that failed; once for each address that took the connection and hung up, for that is how a node of
// another cluster answers.
func (s *seeds) failed(addr string, err error) {
	s.mu.Lock()
	hung := strings.Contains(err.Error(), io.EOF.Error()) && !s.warned[addr]
	if hung && len(s.warned) < maxTargets {
		if s.warned == nil {
			s.warned = map[string]bool{}
		}
		s.warned[addr] = true
	}
	s.mu.Unlock()
	if hung {
		s.log.Warn("a node hung up when contacted: if this goes on, compare --cluster and the gossip key there and here", "addr", addr, "err", err)
		return
	}
	s.log.Debug("contact a node", "addr", addr, "err", err)
}

// resolve gives the configured addresses as ip:port. What cannot be resolved now may be later.
func (s *seeds) resolve(ctx context.Context) []string {
	var out []string
	for _, j := range s.join {
		name, all := strings.CutPrefix(j, dnsPrefix)
		host, port, err := net.SplitHostPort(name)
		if err != nil {
			continue // refused by Options
		}
		if net.ParseIP(host) != nil {
			out = append(out, net.JoinHostPort(host, port))
			continue
		}
		limited, cancel := context.WithTimeout(ctx, lookupLimit)
		ips, err := s.lookup(limited, host)
		cancel()
		if err != nil {
			s.log.Debug("resolve a join address", "addr", j, "err", err)
			continue
		}
		slices.Sort(ips)
		if !all && len(ips) > 1 {
			ips = slices.DeleteFunc(ips, func(ip string) bool { return strings.Contains(ip, ":") && hasIPv4(ips) })
		}
		for _, ip := range ips {
			out = append(out, net.JoinHostPort(ip, port))
		}
	}
	return out
}

func hasIPv4(ips []string) bool {
	return slices.ContainsFunc(ips, func(ip string) bool { return !strings.Contains(ip, ":") })
}
