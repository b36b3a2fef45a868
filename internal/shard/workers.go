package shard

import (
	"errors"
	"fmt"
	"sync"
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
	// Wake is called at the time asked for with Worker.WakeAt, or somewhat later.
	Wake(w *Worker)
	// Idle says that nothing would be lost if the entity left memory now.
	Idle(w *Worker) bool
	// Left is called when the entity leaves memory.
	Left(w *Worker)

	// Whole puts the entity's whole state into c; false when there is none.
	Whole(c *state.Change) bool
	// Restore makes a new entity go on from a state.
	Restore(w *Worker, s state.Sections)
	// Rebase tells that another table is in force: the backup may be another, and nodes that are not alive are gone.
	Rebase(w *Worker, alive func(NodeID) bool)
	// Moved tells that another node owns the entity now; it is dropped afterwards, without Left.
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
	// Panicked is told of a panic that escaped an entity; the entity is dropped.
	Panicked    func(l actor.DeadLetter)
	IdleTimeout time.Duration // an idle entity leaves memory after this
}

// Workers run this node's entities.
type Workers struct {
	opt     Options
	workers []*Worker // Sharded, Single; PerPlayer: workers[0] only takes what is for all

	wg sync.WaitGroup

	mu     sync.RWMutex // guards own and closed
	own    map[string]*Worker
	closed bool
}

// NewWorkers starts the workers; Close ends them.
func NewWorkers(opt Options) *Workers {
	n := max(opt.Workers, 1)
	if opt.Dispatch != Sharded {
		n = 1
	}
	if opt.IdleTimeout == 0 {
		opt.IdleTimeout = 10 * time.Minute
	}
	ws := &Workers{opt: opt, own: map[string]*Worker{}}
	for range n {
		w := ws.newWorker()
		ws.workers = append(ws.workers, w)
		ws.wg.Go(w.run)
	}
	return ws
}

func (ws *Workers) newWorker() *Worker {
	w := &Worker{all: ws, box: actor.NewMailbox[item](), slots: map[string]*slot{}}
	if ws.opt.Local != nil {
		w.Local = ws.opt.Local()
	}
	return w
}

// Close lets the workers finish what waits and ends them.
func (ws *Workers) Close() {
	ws.mu.Lock()
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

// Post copies e into the mailbox of its entity's worker. The error is actor.ErrFull or actor.ErrClosed.
func (ws *Workers) Post(e *envelope.Envelope) error {
	hash := xxhash.Sum64String(e.Key)
	w := ws.workers[int(e.Part)%len(ws.workers)]
	if ws.opt.Dispatch == PerPlayer {
		var err error
		if w, err = ws.ownWorker(e.Key); err != nil {
			return err
		}
	}
	b := getBuf(len(e.Payload) + len(e.Key))
	b.b = append(append(b.b[:0], e.Payload...), e.Key...)
	it := item{env: *e, buf: b}
	it.env.Payload = b.b[:len(e.Payload):len(e.Payload)]
	it.env.Key = unsafe.String(unsafe.SliceData(b.b[len(e.Payload):]), len(e.Key))
	err := w.box.Put(it, hash)
	if err != nil {
		putBuf(b)
		if errors.Is(err, actor.ErrClosed) && ws.opt.Dispatch == PerPlayer && !ws.isClosed() {
			return ws.Post(e) // its worker had just ended for idleness
		}
	}
	return err
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
		w = ws.newWorker()
		w.ownKey = string(append([]byte(nil), key...))
		ws.own[w.ownKey] = w
		ws.wg.Go(w.run)
	}
	return w, nil
}

// retire ends a PerPlayer worker whose entity has left memory, unless something came meanwhile.
func (ws *Workers) retire(w *Worker) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.box.Len() > 0 {
		return false
	}
	delete(ws.own, w.ownKey)
	w.box.Close()
	return true
}

// Each runs f once on every worker, in the worker's order: after everything posted before it from this goroutine. done, when
// not nil, is called once after the last f.
func (ws *Workers) Each(f func(w *Worker), done func()) {
	ws.mu.RLock()
	targets := ws.workers
	if len(ws.own) > 0 {
		targets = append([]*Worker(nil), targets...)
		for _, w := range ws.own {
			targets = append(targets, w)
		}
	}
	ws.mu.RUnlock()
	var left sync.WaitGroup
	left.Add(len(targets))
	for _, w := range targets {
		err := w.box.PutAlways(item{fn: func(w *Worker) {
			defer left.Done()
			f(w)
		}})
		if err != nil {
			left.Done()
		}
	}
	if done != nil {
		ws.wg.Go(func() {
			left.Wait()
			done()
		})
	}
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

// Tell runs f on the worker of a key, after what was posted before, with its entity, which is nil when it is not in memory.
func (ws *Workers) Tell(key string, f func(w *Worker, e Entity)) error {
	w := ws.workers[int(PartitionOf(key))%len(ws.workers)]
	if ws.opt.Dispatch == PerPlayer {
		var err error
		if w, err = ws.ownWorker(key); err != nil {
			return err
		}
	}
	return w.box.PutAlways(item{fn: func(w *Worker) {
		var e Entity
		if s := w.slots[key]; s != nil {
			e = s.entity
		}
		f(w, e)
	}})
}

// Do is Tell that waits for f.
func (ws *Workers) Do(key string, timeout time.Duration, f func(w *Worker, e Entity)) error {
	done := make(chan struct{})
	err := ws.Tell(key, func(w *Worker, e Entity) {
		defer close(done)
		f(w, e)
	})
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("worker of %s did not answer within %v", key, timeout)
	}
}

// Restore makes the entity of a key from a state, unless it is in memory already.
func (ws *Workers) Restore(key string, s state.Sections) error {
	return ws.Tell(key, func(w *Worker, e Entity) {
		if e == nil {
			w.restore(key, s)
		}
	})
}

type item struct {
	env envelope.Envelope
	buf *buf
	fn  func(w *Worker)
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
