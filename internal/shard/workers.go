package shard

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/state"
)

// Dispatch is how entities are spread over workers.
type Dispatch string

// The three ways to dispatch players.
const (
	Sharded   Dispatch = "sharded"    // n workers, the partition chooses
	Single    Dispatch = "single"     // one worker for all
	PerPlayer Dispatch = "per-player" // a goroutine each
)

// Entity is an actor: a player or a room. Its methods are called by one worker at a time.
type Entity interface {
	// Handle processes one envelope. e, its Key and its Payload are valid only during the call.
	Handle(w *Worker, e *envelope.Envelope)
	// Wake is called at the time asked for with Worker.WakeAt, or a little later.
	Wake(w *Worker)
	// Idle says that nothing would be lost if the entity left memory now.
	Idle(w *Worker) bool
	// Left is called when the entity leaves memory because it has been idle. It is not called when the node ends.
	Left(w *Worker)

	// Whole puts the entity's whole state into c; false when there is none.
	Whole(c *state.Change) bool
	// Restore makes a new entity go on from a state.
	Restore(w *Worker, s state.Sections)
	// Rebase tells that another table is in force: the backup may be another, and nodes that are not alive are gone.
	Rebase(w *Worker, alive func(NodeID) bool)
	// Moved tells that another entity goes on from its state, on the node that owns the key now (or here, after a panic); this
	// one is dropped afterwards, without Left.
	Moved(w *Worker)
}

// Options of Workers.
type Options struct {
	Dispatch Dispatch
	Workers  int // for Sharded
	// New makes the entity of a key when its first message comes. key may be kept.
	New func(w *Worker, key string) Entity
	// Local makes what entities of one worker share (Worker.Local).
	Local func() any
	// Panicked is told of a panic that escaped an entity, the function of a Tell or Each, or killed a worker.
	Panicked func(l actor.DeadLetter)
	// Delayed is told what the watchdog sees: messages that keep their worker for long. It is called on the watchdog's goroutine.
	Delayed func(d Delay)
	// Exhausted is told that a worker of many entities dies again and again, and rests until then. It must not block.
	Exhausted   func(worker string, until time.Time)
	IdleTimeout time.Duration // an idle entity leaves memory after this; default 10 minutes
	// Mine says whether this node owns a partition. No entity is made for a message of others: it goes to Stray, which must copy
	// what it keeps. nil: all are mine.
	Mine  func(part uint16) bool
	Stray func(e *envelope.Envelope)
	// Lease says whether entities may act now: handle messages and timers, and let effects leave. While they may not, messages are
	// parked in order, as many as in a mailbox, and after some seconds given to Refuse, which must copy what it keeps. nil: always.
	Lease  func(now time.Time) bool
	Refuse func(e *envelope.Envelope, why error)
}

// Workers run this node's entities. Methods may be called from any goroutine; none blocks but Do and Close. What one goroutine
// gives to one key is handled in that order.
//
// A panic of an entity costs the message: the entity is made anew from its whole state, in the same worker. One that has none, or
// cannot take it, is dropped. One that panics actor.MaxPanics times within actor.PanicWindow is in quarantine for a time that
// doubles: its messages are refused, and it is not woken. A worker that dies goes on with its entities and the rest of its batch.
type Workers struct {
	opt     Options
	workers []*Worker // Sharded, Single; PerPlayer: workers[0] only takes what is for all

	wg   sync.WaitGroup // the workers' goroutines, and the watchdog's
	dog  watchdog
	stop chan struct{} // closed by Close

	mu     sync.RWMutex // guards own and closed
	own    map[string]*Worker
	closed bool
}

// defaultIdle is Options.IdleTimeout when it is not set.
const defaultIdle = 10 * time.Minute

// NewWorkers starts the workers; Close ends them.
func NewWorkers(opt Options) *Workers {
	n := max(opt.Workers, 1)
	if opt.Dispatch != Sharded {
		n = 1
	}
	if opt.IdleTimeout == 0 {
		opt.IdleTimeout = defaultIdle
	}
	ws := &Workers{opt: opt, own: map[string]*Worker{}, stop: make(chan struct{})}
	for range n {
		ws.workers = append(ws.workers, ws.newWorker(actor.NewMailbox[item]()))
	}
	for _, w := range ws.workers {
		ws.wg.Go(func() { ws.supervise(w) })
	}
	ws.wg.Go(func() { ws.dog.watch(ws) })
	return ws
}

// workerIDs counts the workers of the process.
var workerIDs atomic.Uint64

func (ws *Workers) newWorker(box *actor.Mailbox[item]) *Worker {
	w := &Worker{all: ws, id: workerIDs.Add(1), box: box, slots: map[string]*slot{}}
	w.claims.rest()
	if ws.opt.Local != nil {
		w.Local = ws.opt.Local()
	}
	return w
}

// Close lets the workers finish what waits and ends them. Entities are not told: what they must not lose is elsewhere by then.
func (ws *Workers) Close() {
	ws.mu.Lock()
	if !ws.closed {
		close(ws.stop)
	}
	ws.closed = true
	for _, w := range ws.own {
		w.box.Close()
	}
	ws.mu.Unlock()
	for _, w := range ws.workers {
		w.box.Close()
	}
	ws.wg.Wait()
}

// Post copies e into the mailbox of its entity's worker, which e.Part chooses. The error is actor.ErrFull or actor.ErrClosed.
func (ws *Workers) Post(e *envelope.Envelope) error {
	b := getBuf(len(e.Payload) + len(e.Key))
	b.b = append(append(b.b[:0], e.Payload...), e.Key...)
	it := item{env: *e, buf: b}
	it.env.Payload = b.b[:len(e.Payload):len(e.Payload)]
	it.env.Key = unsafe.String(unsafe.SliceData(b.b[len(e.Payload):]), len(e.Key))
	err := ws.put(e.Key, e.Part, func(w *Worker) error {
		if w.refusing.Load() && awaited(e.Kind) {
			return actor.ErrFull
		}
		return w.box.Put(it, xxhash.Sum64String(e.Key))
	})
	if err != nil {
		putBuf(b)
	}
	return err
}

// put gives something to the worker of a key. A PerPlayer worker that has just ended for idleness gets a successor.
func (ws *Workers) put(key string, part uint16, give func(w *Worker) error) error {
	if ws.opt.Dispatch != PerPlayer {
		return give(ws.workers[int(part)%len(ws.workers)])
	}
	for {
		w, err := ws.ownWorker(key)
		if err != nil {
			return err
		}
		if err = give(w); !errors.Is(err, actor.ErrClosed) || ws.isClosed() {
			return err
		}
	}
}

func (ws *Workers) isClosed() bool {
	ws.mu.RLock()
	defer ws.mu.RUnlock()
	return ws.closed
}

func (ws *Workers) ownWorker(key string) (*Worker, error) {
	ws.mu.RLock()
	w, closed := ws.own[key], ws.closed
	ws.mu.RUnlock()
	if w != nil {
		return w, nil
	}
	if closed {
		return nil, actor.ErrClosed
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w = ws.own[key]; w == nil {
		if ws.closed {
			return nil, actor.ErrClosed
		}
		w = ws.newWorker(actor.NewPrivateMailbox[item]())
		w.ownKey = strings.Clone(key)
		ws.own[w.ownKey] = w
		ws.wg.Go(func() { ws.supervise(w) })
	}
	return w, nil
}

// retire ends a PerPlayer worker whose entity has left memory, unless something came meanwhile.
func (ws *Workers) retire(w *Worker) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed || !w.box.CloseEmpty() {
		return false
	}
	delete(ws.own, w.ownKey)
	return true
}

// Entities is how many are in memory; Waiting how many messages wait.
func (ws *Workers) Entities() (entities, waiting int) {
	ws.mu.RLock()
	defer ws.mu.RUnlock()
	for _, w := range ws.workers {
		entities += int(w.count.Load())
		waiting += w.box.Len()
	}
	for _, w := range ws.own {
		entities += int(w.count.Load())
		waiting += w.box.Len()
	}
	return entities, waiting
}

// item is a message, or a function; neither: nothing.
type item struct {
	env envelope.Envelope
	buf *buf // memory of the message; nil: it was freed
	fn  func(w *Worker)
}

func (it *item) free() {
	if it.buf != nil {
		putBuf(it.buf)
		it.buf = nil
	}
}

// buf is pooled memory of one mailbox item.
type buf struct{ b []byte }

var bufs = sync.Pool{New: func() any { return &buf{b: make([]byte, 0, 512)} }}

func getBuf(n int) *buf {
	b := bufs.Get().(*buf)
	if cap(b.b) < n {
		b.b = make([]byte, 0, n+n/4)
	}
	return b
}

// maxPooled keeps single large messages from staying in the pool.
const maxPooled = 64 << 10

func putBuf(b *buf) {
	if cap(b.b) <= maxPooled {
		bufs.Put(b)
	}
}
