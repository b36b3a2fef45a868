package shard

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/state"
)

// leased are workers whose lease a test ends and renews.
type leased struct {
	*Workers
	t     *testing.T
	until atomic.Int64 // in ms since start
	start time.Time

	mu      sync.Mutex // guards what follows
	handled []uint64
	refused map[uint64]error
	woken   int
}

func startLeased(t *testing.T) *leased {
	l := &leased{t: t, start: time.Now(), refused: map[uint64]error{}}
	tr := newTrace()
	tr.handle = func(w *Worker, _ *probe, e *envelope.Envelope) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.handled = append(l.handled, e.Ref)
		if e.Ref == 1 {
			w.WakeAt(w.Now().Add(10 * time.Millisecond))
		}
	}
	tr.wake = func(*Worker, *probe) { l.mu.Lock(); defer l.mu.Unlock(); l.woken++ }
	opt := tr.options(Single)
	opt.Lease = func(now time.Time) bool { return now.Sub(l.start).Milliseconds() < l.until.Load() }
	opt.Refuse = func(e *envelope.Envelope, why error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.refused[e.Ref] = why
	}
	l.Workers = NewWorkers(opt)
	return l
}

func (l *leased) grant(d time.Duration) { l.until.Store((time.Since(l.start) + d).Milliseconds()) }

func (l *leased) post(key string, ref uint64) {
	l.t.Helper()
	if err := l.Post(&envelope.Envelope{Kind: envelope.Cast, Key: key, Part: PartitionOf(key), Ref: ref, Payload: []byte(strconv.FormatUint(ref, 10))}); err != nil {
		l.t.Fatal(err)
	}
}

// rung is how often an entity was woken.
func (l *leased) rung() int {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.woken
}

// refusals are all so far.
func (l *leased) refusals() map[uint64]error {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.refused)
}

func (l *leased) want(what string, refs ...uint64) {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.handled, refs) {
		l.t.Fatalf("%s: handled %v, want %v", what, l.handled, refs)
	}
}

func TestWithoutALeaseMessagesWaitInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLeased(t)
		defer l.Close()
		l.grant(time.Second)
		l.post("chat/a", 1)
		l.want("with a lease", 1)
		l.until.Store(0)
		for ref := range uint64(20) {
			l.post("chat/a", 2+ref)
		}
		l.want("without", 1)
		ran := false
		if err := l.Tell("chat/a", func(*Worker, Entity) { ran = true }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !ran {
			t.Fatal("a task waits for the lease")
		}
		if l.rung() != 0 {
			t.Fatal("woken without a lease")
		}
		l.grant(time.Hour)
		time.Sleep(2 * parkEvery)
		l.post("chat/a", 22)
		var all []uint64
		for ref := range uint64(22) {
			all = append(all, ref+1)
		}
		l.want("with a lease again", all...)
		if n, got := l.rung(), l.refusals(); n != 1 || len(got) != 0 {
			t.Fatalf("woken %d times, refused %v", n, got)
		}
	})
}

func TestALeaseThatEndsAmidABatchStopsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLeased(t)
		defer l.Close()
		block := make(chan struct{})
		if err := l.Tell("chat/a", func(*Worker, Entity) { <-block }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		looked := 0
		l.opt.Lease = func(time.Time) bool { looked++; return looked == 1 } // ends after the first look
		for ref := range uint64(3 * leaseEvery) {
			l.post("chat/a", ref)
		}
		close(block)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.handled); n != leaseEvery-1 {
			t.Fatalf("%d of a batch handled without a lease", n)
		}
	})
}

// TestParkedMessagesFollowTheirEntities: what is parked for a partition that goes to another node goes there, and is not let in
// ahead of an entity that comes back.
func TestParkedMessagesFollowTheirEntities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLeased(t)
		defer l.Close()
		var strayed []uint64
		l.opt.Stray = func(e *envelope.Envelope) { strayed = append(strayed, e.Ref) }
		for ref := range uint64(6) {
			l.post([]string{"chat/a", "chat/b"}[ref%2], ref)
		}
		synctest.Wait()
		gone := PartitionOf("chat/a")
		l.Each(func(w *Worker) {
			w.Rebase(func(p uint16) bool { return p != gone }, func(NodeID) bool { return true }, func(string, uint16, *state.Change) {})
		}, nil)
		synctest.Wait()
		if !slices.Equal(strayed, []uint64{0, 2, 4}) {
			t.Fatalf("strayed %v", strayed)
		}
		l.grant(time.Hour)
		time.Sleep(2 * parkEvery)
		l.want("with a lease again", 1, 3, 5)
	})
}

func TestParkedMessagesAreBoundedAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLeased(t)
		defer l.Close()
		for ref := range uint64(actor.PerReceiver + 1) {
			l.post("chat/a", ref)
			synctest.Wait() // out of the mailbox, which has bounds of its own
		}
		l.post("chat/b", 5000)
		synctest.Wait()
		if got := l.refusals(); len(got) != 1 || !errors.Is(got[actor.PerReceiver], actor.ErrFull) {
			t.Fatalf("refused %v", got)
		}
		time.Sleep(parkedFor + 2*parkEvery)
		synctest.Wait()
		if got := l.refusals(); len(got) != actor.PerReceiver+2 || !errors.Is(got[0], ErrNoOwner) {
			t.Fatalf("%d refused", len(got))
		}
		l.grant(time.Hour)
		l.post("chat/a", 9999)
		l.want("with a lease again", 9999)
	})
}
