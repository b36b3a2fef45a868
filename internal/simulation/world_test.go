package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// epoch is the wall clock at the beginning of every run.
var epoch = time.Unix(1_800_000_000, 0)

// world is one run: everything that happens is an event of its heap, and every choice comes from its random numbers. One
// goroutine uses it.
type world struct {
	seed   uint64
	rnd    *rand.Rand
	now    time.Duration
	queue  queue
	events uint64

	set     settings
	slots   []*node // the process of each slot; nil: none runs
	lives   []*node // every process there ever was
	boots   uint64
	net     network
	gossip  gossip
	clients []*client
	check   checker

	healed bool // no fault is begun any more

	tracing bool
	trace   []string
	failed  string
}

func newWorld(seed uint64, set settings) *world {
	w := &world{seed: seed, rnd: rand.New(rand.NewPCG(seed, 0x67616d6564)), set: set, slots: make([]*node, set.slots)}
	w.net.init(w)
	w.gossip.init(w)
	w.check.init(w)
	return w
}

// wall is the time of day as nodes see it: it is monotonic here, as it is there.
func (w *world) wall() time.Time { return epoch.Add(w.now) }

// logf adds to the trace. Callers on hot paths look at tracing first.
func (w *world) logf(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%9.4f ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// fail ends the run; the first failure counts.
func (w *world) fail(format string, args ...any) {
	if w.failed == "" {
		w.failed = fmt.Sprintf(format, args...)
		w.logf("FAILED: %s", w.failed)
	}
}

// story is the trace, the end of it when it is long.
func (w *world) story() string {
	const most = 4000
	lines := w.trace
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return strings.Join(lines, "\n")
}

func (w *world) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(w.rnd.Uint64N(uint64(hi-lo)+1))
}

// chance is true in p of all cases. It takes no random number when p is 0.
func (w *world) chance(p float64) bool { return p > 0 && w.rnd.Float64() < p }

func (w *world) after(d time.Duration, do func()) { w.queue.push(w.now+d, do) }

// run goes on until the time, or until a failure.
func (w *world) run(until time.Duration) {
	for w.failed == "" && len(w.queue.heap) > 0 && w.queue.heap[0].at <= until {
		at, do := w.queue.pop()
		w.now = at
		w.events++
		do()
	}
	w.now = max(w.now, until)
}

// alive are the processes that run, by slot.
func (w *world) alive() (list []*node) {
	for _, n := range w.slots {
		if n != nil {
			list = append(list, n)
		}
	}
	return list
}

// queue is a heap of events; equal times in the order they were pushed.
type queue struct {
	heap []happening
	seq  uint64
}

type happening struct {
	at  time.Duration
	seq uint64
	do  func()
}

func (h *happening) before(o *happening) bool {
	return h.at < o.at || h.at == o.at && h.seq < o.seq
}

func (q *queue) push(at time.Duration, do func()) {
	q.seq++
	q.heap = append(q.heap, happening{at, q.seq, do})
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q.heap[i].before(&q.heap[up]) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

func (q *queue) pop() (time.Duration, func()) {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = happening{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		low := 2*i + 1
		if low >= last {
			break
		}
		if low+1 < last && q.heap[low+1].before(&q.heap[low]) {
			low++
		}
		if !q.heap[low].before(&q.heap[i]) {
			break
		}
		q.heap[i], q.heap[low] = q.heap[low], q.heap[i]
		i = low
	}
	return top.at, top.do
}
