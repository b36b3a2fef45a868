package shard

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/state"
)

// probe is the entity of the tests: a counter with hooks.
type probe struct {
	t     *trace
	key   string
	count int
	quiet bool // Idle
}

// trace is what happened to all probes of a test, and what they shall do.
type trace struct {
	handle  func(w *Worker, p *probe, e *envelope.Envelope) // after counting
	wake    func(w *Worker, p *probe)
	restore func(p *probe, s state.Sections)
	whole   func(p *probe)
	make    func(key string)

	mu      sync.Mutex // guards what follows
	handled map[string]int
	made    map[string]int
	left    map[string]int
	moved   map[string]int
	rebased map[string]int
	letters []actor.DeadLetter
	refused []refusal
	delays  []Delay
	ends    []string // workers that are exhausted
}

// refusal is a message that was refused.
type refusal struct {
	key string
	ref uint64
	why error
	at  time.Time
}

func newTrace() *trace {
	return &trace{handled: map[string]int{}, made: map[string]int{}, left: map[string]int{}, moved: map[string]int{}, rebased: map[string]int{}}
}

func (t *trace) add(m map[string]int, key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m[key]++
}

func (t *trace) get(m map[string]int, key string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return m[key]
}

// all is the sum over all keys.
func (t *trace) all(m map[string]int) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range m {
		n += v
	}
	return n
}

func (t *trace) dead() []actor.DeadLetter {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]actor.DeadLetter(nil), t.letters...)
}

func (t *trace) options(d Dispatch) Options {
	return Options{Dispatch: d, Workers: 3, New: func(_ *Worker, key string) Entity {
		if t.make != nil {
			t.make(key)
		}
		t.add(t.made, key)
		return &probe{t: t, key: key}
	}, Panicked: func(l actor.DeadLetter) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.letters = append(t.letters, l)
	}, Refuse: func(e *envelope.Envelope, why error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.refused = append(t.refused, refusal{strings.Clone(e.Key), e.Ref, why, time.Now()})
	}, Delayed: func(d Delay) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.delays = append(t.delays, d)
	}, Exhausted: func(w string, _ time.Time) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.ends = append(t.ends, w)
	}}
}

func (t *trace) refusals() []refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.refused)
}

func (t *trace) exhausted() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.ends)
}

func (t *trace) late() []Delay {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.delays)
}

func (p *probe) Handle(w *Worker, e *envelope.Envelope) {
	p.count++
	p.t.add(p.t.handled, p.key)
	if p.t.handle != nil {
		p.t.handle(w, p, e)
	}
}

func (p *probe) Wake(w *Worker) {
	if p.t.wake != nil {
		p.t.wake(w, p)
	}
}

func (p *probe) Idle(*Worker) bool { return p.quiet }
func (p *probe) Left(*Worker)      { p.t.add(p.t.left, p.key) }
func (p *probe) Moved(*Worker)     { p.t.add(p.t.moved, p.key) }
func (p *probe) Rebase(_ *Worker, _ func(NodeID) bool) {
	p.t.add(p.t.rebased, p.key)
}

func (p *probe) Whole(c *state.Change) bool {
	if p.t.whole != nil {
		p.t.whole(p)
	}
	if p.quiet {
		return false
	}
	c.Put("count", []byte(strconv.Itoa(p.count)))
	return true
}

func (p *probe) Restore(_ *Worker, s state.Sections) {
	if p.t.restore != nil {
		p.t.restore(p, s)
	}
	p.count, _ = strconv.Atoi(string(s["count"]))
}

// everyDispatch runs a test for each of the three.
func everyDispatch(t *testing.T, f func(t *testing.T, d Dispatch)) {
	for _, d := range []Dispatch{Sharded, Single, PerPlayer} {
		t.Run(string(d), func(t *testing.T) { f(t, d) })
	}
}

// message is a cast to a key.
func message(key string) *envelope.Envelope {
	return &envelope.Envelope{Kind: envelope.Cast, Key: key, Part: PartitionOf(key)}
}

// count is how many messages the entity of a key remembers; -1: it is not in memory.
func count(t *testing.T, ws *Workers, key string) (n int) {
	t.Helper()
	err := ws.Do(key, waitFor, func(_ *Worker, e Entity) {
		if n = -1; e != nil {
			n = e.(*probe).count
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
