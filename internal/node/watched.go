package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/internal/actor"
	"gamed/internal/shard"
)

// watched is what the watchdog and the supervisor of the workers told.
type watched struct {
	slow      prometheus.Counter
	exhausted atomic.Bool // a worker dies again and again: the node drains itself
	emptied   atomic.Bool // and is done with it
	lines     logLimit

	mu   sync.Mutex // guards what follows
	long map[string]long
}

// long is a worker that is blocked.
type long struct {
	key   string
	since time.Time
}

func (s *watched) init(reg prometheus.Registerer, n *Node) {
	s.long = map[string]long{}
	s.slow = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "actor", Name: "slow_handlers_total",
		Help: "Messages, timers and tasks that were seen to take a worker for 100 ms or more."})
	count := func(name, help string, value func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "actor", Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "gamed", Subsystem: "actor", Name: name, Help: help}, value)
	}
	reg.MustRegister(s.slow,
		count("quarantines_total", "How often an entity was put into quarantine because it kept panicking.", func() uint64 {
			_, total := n.dead.Quarantined(time.Now())
			return total
		}),
		count("worker_restarts_total", "Workers that died outside of a handler and went on with their entities.", func() (sum uint64) {
			for _, w := range n.workers.Status() {
				sum += w.Restarts
			}
			return sum
		}),
		gauge("quarantined", "Entities in quarantine.", func() float64 {
			list, _ := n.dead.Quarantined(time.Now())
			return float64(len(list))
		}),
		gauge("longest_handler_seconds", "For how long the slowest of what workers are with has been seen to run; 0 below 100 ms.", func() float64 {
			longest := time.Duration(0)
			for _, w := range n.workers.Status() {
				longest = max(longest, w.For)
			}
			return longest.Seconds()
		}))
}

// died keeps a dead letter and tells it.
func (n *Node) died(l actor.DeadLetter) {
	n.dead.Add(l)
	args := []any{"key", l.Key, "what", l.What, "bytes", l.Size, "cause", l.Cause, "stack", l.Stack}
	if !l.Banned.IsZero() {
		args = append(args, "quarantined", l.Banned.Sub(l.At).Round(time.Second))
	}
	n.log.Error("a handler panicked", args...)
}

// delayed tells of a message that keeps its worker, and takes the node out of readiness while one blocks it.
func (n *Node) delayed(d shard.Delay) {
	s := &n.watched
	if d.Level == actor.Slow || d.Was == actor.Fine {
		s.slow.Inc()
	}
	s.mu.Lock()
	if d.Level == actor.Blocked {
		s.long[d.Worker] = long{d.Key, time.Now().Add(-d.For)}
	} else {
		delete(s.long, d.Worker)
	}
	s.mu.Unlock()
	args := []any{"worker", d.Worker, "key", d.Key, "what", d.What, "for", d.For.Round(time.Millisecond)}
	switch d.Level {
	case actor.Fine:
		if d.Was >= actor.Stuck {
			n.log.Info("a worker goes on", args...)
		}
	case actor.Slow:
		if left, ok := s.lines.take(time.Now()); ok {
			n.log.Warn("a handler is slow", append(args, "untold", left, "stack", d.Stack)...)
		}
	case actor.Stuck:
		n.log.Warn("a worker is stuck: its callers are told that it is busy", args...)
	case actor.Blocked:
		n.log.Error("a worker is blocked: the node is not ready", args...)
		n.events.add("worker_blocked", n.router.Self().Name, fmt.Sprintf("worker %s is blocked by %s (%s)", d.Worker, d.Key, d.What))
	}
}

// blocked are the reasons not to be ready.
func (s *watched) blocked() (why []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w, l := range s.long {
		why = append(why, fmt.Sprintf("worker %s has been blocked by %s for %v", w, l.key, time.Since(l.since).Round(time.Second)))
	}
	slices.Sort(why)
	if s.exhausted.Load() {
		why = append(why, "a worker died too often: the node drains itself")
	}
	return why
}

// exhausted drains the node, once: one of its workers dies again and again.
func (n *Node) exhausted(worker string, until time.Time) {
	n.log.Error("a worker died too often and rests: the node drains itself", "worker", worker, "until", until)
	if n.watched.exhausted.Swap(true) || n.ctx.Err() != nil {
		return
	}
	n.events.add("worker_exhausted", n.router.Self().Name, "worker "+worker+" died too often: the node drains itself")
	n.wg.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, n.opt.Config.DrainTimeout)
		defer cancel()
		if err := n.drain(ctx); err != nil {
			n.log.Warn("drain", "err", err)
		}
		n.watched.emptied.Store(true)
	})
}

// logLimit lets ten lines a second pass. It is for one goroutine.
type logLimit struct {
	since  time.Time
	passed int
	untold int
}

// take says whether a line may be written, and how many were not before it.
func (l *logLimit) take(now time.Time) (untold int, ok bool) {
	if now.Sub(l.since) >= time.Second {
		l.since, l.passed = now, 0
	}
	if l.passed == 10 {
		l.untold++
		return 0, false
	}
	l.passed++
	untold, l.untold = l.untold, 0
	return untold, true
}
