package shard

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gamed/internal/actor"
	"gamed/internal/envelope"
	"gamed/internal/state"
)

const waitFor = 20 * time.Second

func TestOrderPerSenderAndKey(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		const senders, keys, each = 4, 10, 1000
		tr := newTrace()
		last := [senders][keys]uint64{}
		var wrong atomic.Int64
		tr.handle = func(_ *Worker, p *probe, e *envelope.Envelope) {
			if k := e.Offset; last[e.Conn][k]+1 != e.Ref { // only its worker touches a key's place
				wrong.Add(1)
			} else {
				last[e.Conn][k] = e.Ref
			}
		}
		ws := NewWorkers(tr.options(d))
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range each * keys {
					e := message(fmt.Sprintf("player/%d", i%keys))
					e.Conn, e.Offset, e.Ref = uint64(s), uint64(i%keys), uint64(i/keys+1)
					for errors.Is(ws.Post(e), actor.ErrFull) {
						runtime.Gosched()
					}
				}
			})
		}
		wg.Wait()
		ws.Close()
		if wrong.Load() != 0 || tr.all(tr.handled) != senders*keys*each {
			t.Fatalf("%d out of order, %d of %d handled", wrong.Load(), tr.all(tr.handled), senders*keys*each)
		}
	})
}

// One receiver that is stuck has 1,024 waiting; who sends more is told at once, and others' receivers go on.
func TestAFullReceiverNeverBlocksTheSender(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		entered, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		tr.handle = func(*Worker, *probe, *envelope.Envelope) {
			once.Do(func() { close(entered); <-release })
		}
		ws := NewWorkers(tr.options(d))
		if err := ws.Post(message("player/stuck")); err != nil {
			t.Fatal(err)
		}
		<-entered
		taken := 1 // the batch in hand counts as waiting
		var err error
		for err == nil {
			if err = ws.Post(message("player/stuck")); err == nil {
				taken++
			}
		}
		if !errors.Is(err, actor.ErrFull) || taken != actor.PerReceiver {
			t.Fatalf("%d taken, then %v", taken, err)
		}
		if err := ws.Post(message("player/other")); err != nil {
			t.Fatalf("another receiver: %v", err)
		}
		if err := ws.Tell("player/stuck", func(*Worker, Entity) {}); err != nil {
			t.Fatalf("the node's own: %v", err)
		}
		if err := ws.Do("player/stuck", time.Millisecond, func(*Worker, Entity) {}); err == nil {
			t.Fatal("Do came back from a stuck worker")
		}
		close(release)
		ws.Close()
		if n := tr.get(tr.handled, "player/stuck"); n != taken {
			t.Fatalf("%d handled of %d taken", n, taken)
		}
	})
}

func TestPostCopies(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		var got []string
		tr.handle = func(_ *Worker, p *probe, e *envelope.Envelope) {
			got = append(got, p.key+"="+string(e.Payload))
			if p.key != e.Key {
				t.Errorf("the entity is %s, the message is for %s", p.key, e.Key)
			}
		}
		ws := NewWorkers(tr.options(d))
		b := []byte("1")
		for i := range 5 {
			b[0] = byte('0' + i)
			e := message("player/ann")
			e.Payload = b
			if err := ws.Post(e); err != nil {
				t.Fatal(err)
			}
			b[0] = 'x'
		}
		ws.Close()
		if want := []string{"player/ann=0", "player/ann=1", "player/ann=2", "player/ann=3", "player/ann=4"}; !slices.Equal(got, want) {
			t.Fatalf("got %v", got)
		}
	})
}

func TestCloseDrainsAndRefuses(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		gate := make(chan struct{})
		tr.handle = func(*Worker, *probe, *envelope.Envelope) { <-gate }
		ws := NewWorkers(tr.options(d))
		for i := range 200 {
			if err := ws.Post(message(fmt.Sprintf("player/%d", i%7))); err != nil {
				t.Fatal(err)
			}
		}
		if n, waiting := ws.Entities(); n > 7 || waiting > 200 {
			t.Fatalf("%d entities, %d waiting", n, waiting)
		}
		closed := make(chan struct{})
		go func() { ws.Close(); close(closed) }()
		eventually(t, "Close refuses", func() bool { return errors.Is(ws.Post(message("player/new")), actor.ErrClosed) })
		select {
		case <-closed:
			t.Fatal("Close did not wait for what waited")
		default:
		}
		close(gate)
		<-closed
		if n := tr.all(tr.handled) - tr.get(tr.handled, "player/new"); n != 200 {
			t.Fatalf("%d of 200 handled", n)
		}
		if tr.all(tr.left) != 0 {
			t.Fatal("the end of the node is no idleness: Left would drop the copies on the backups")
		}
		if err := ws.Tell("player/x", func(*Worker, Entity) {}); !errors.Is(err, actor.ErrClosed) {
			t.Fatalf("Tell: %v", err)
		}
		if err := ws.Do("player/x", waitFor, func(*Worker, Entity) {}); !errors.Is(err, actor.ErrClosed) {
			t.Fatalf("Do: %v", err)
		}
		if err := ws.Restore("player/x", state.Sections{}); !errors.Is(err, actor.ErrClosed) {
			t.Fatalf("Restore: %v", err)
		}
		done := 0
		ws.Each(func(*Worker) { t.Error("Each ran after Close") }, func() { done++ })
		if done != 1 {
			t.Fatalf("done was called %d times", done)
		}
	})
}

func TestEachIsABarrier(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		ws := NewWorkers(tr.options(d))
		defer ws.Close()
		for round := 1; round <= 50; round++ {
			for i := range 20 {
				if err := ws.Post(message(fmt.Sprintf("player/%d", i))); err != nil {
					t.Fatal(err)
				}
			}
			seen := make(chan int, 100)
			done := make(chan int, 2)
			ws.Each(func(w *Worker) {
				n := 0
				w.EachEntity(func(_ string, e Entity) bool { n += e.(*probe).count; return true })
				seen <- n
			}, func() { done <- len(seen) })
			select {
			case <-done:
			case <-time.After(waitFor):
				t.Fatal("done was not called")
			}
			close(seen)
			sum := 0
			for n := range seen {
				sum += n
			}
			if sum != 20*round {
				t.Fatalf("round %d: Each saw %d messages handled, want %d", round, sum, 20*round)
			}
			if len(done) != 0 {
				t.Fatal("done was called twice")
			}
		}
	})
}

func TestTellDoRestore(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		ws := NewWorkers(tr.options(d))
		defer ws.Close()
		if n := count(t, ws, "player/ann"); n != -1 || tr.all(tr.made) != 0 {
			t.Fatalf("to look made an entity: %d", n)
		}
		if err := ws.Restore("player/ann", state.Sections{"count": []byte("41")}); err != nil {
			t.Fatal(err)
		}
		if err := ws.Post(message("player/ann")); err != nil {
			t.Fatal(err)
		}
		if err := ws.Restore("player/ann", state.Sections{"count": []byte("7")}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, ws, "player/ann"); n != 42 {
			t.Fatalf("count %d, want 42", n)
		}
		if err := ws.Do("player/ann", waitFor, func(*Worker, Entity) { panic("look") }); !errors.Is(err, ErrPanic) {
			t.Fatalf("Do with a panic: %v", err)
		}
		if n := count(t, ws, "player/ann"); n != 42 {
			t.Fatalf("after the panic: count %d, want 42", n)
		}
	})
}

// owners is how many PerPlayer workers there are.
// Workers of single players end at the very moment at which messages, functions and states come for them.
// The same with real time and a crowd: workers are told to sweep as often as they can.
func TestRebaseGivesAwayWhatMoved(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		tr.handle = func(_ *Worker, p *probe, e *envelope.Envelope) { p.quiet = e.Flags != 0 }
		ws := NewWorkers(tr.options(d))
		defer ws.Close()
		stays, goes, empty := keyIn(1, "s"), keyIn(2, "g"), keyIn(2, "e")
		nothing := message(empty)
		nothing.Flags = 1
		for _, e := range []*envelope.Envelope{message(stays), message(goes), message(goes), nothing} {
			if err := ws.Post(e); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex // guards given
		given := map[string]string{}
		done := make(chan struct{})
		ws.Each(func(w *Worker) {
			w.Rebase(func(part uint16) bool { return part == 1 }, func(NodeID) bool { return true }, func(key string, part uint16, whole *state.Change) {
				s := state.Sections{}
				if err := s.Apply(whole.Append(nil)); err != nil || part != 2 {
					t.Errorf("given %s of %d: %v", key, part, err)
				}
				mu.Lock()
				defer mu.Unlock()
				given[key] = string(s["count"])
			})
		}, func() { close(done) })
		<-done
		if len(given) != 1 || given[goes] != "2" {
			t.Fatalf("given: %v", given)
		}
		if n, _ := ws.Entities(); n != 1 || count(t, ws, stays) != 1 {
			t.Fatalf("%d entities left", n)
		}
		if tr.get(tr.rebased, stays) != 1 || tr.get(tr.moved, goes) != 1 || tr.get(tr.moved, empty) != 1 || tr.all(tr.left) != 0 {
			t.Fatalf("rebased %v moved %v left %v", tr.rebased, tr.moved, tr.left)
		}
	})
}

// A message that was on its way into the mailbox while its partition moved must not begin a second life of the entity.
func TestNoEntityIsMadeForWhatIsNotMine(t *testing.T) {
	everyDispatch(t, func(t *testing.T, d Dispatch) {
		tr := newTrace()
		o := tr.options(d)
		var strays atomic.Int64
		o.Mine = func(part uint16) bool { return part == 1 }
		o.Stray = func(e *envelope.Envelope) {
			if e.Part != 2 || e.Ref != 9 {
				t.Errorf("stray: %+v", e)
			}
			strays.Add(1)
		}
		ws := NewWorkers(o)
		e := message(keyIn(2, "x"))
		e.Ref = 9
		acked := message(keyIn(1, "gone"))
		acked.Kind = envelope.Acked
		for _, m := range []*envelope.Envelope{e, message(keyIn(1, "x")), acked} {
			if err := ws.Post(m); err != nil {
				t.Fatal(err)
			}
		}
		ws.Close()
		if strays.Load() != 1 || tr.all(tr.made) != 1 {
			t.Fatalf("%d strays, made %v", strays.Load(), tr.made)
		}
	})
}

func TestPostDoesNotAllocate(t *testing.T) {
	tr := newTrace()
	gate := make(chan struct{})
	tr.handle = func(*Worker, *probe, *envelope.Envelope) { gate <- struct{}{} }
	ws := NewWorkers(tr.options(Sharded))
	defer ws.Close()
	e := message("player/ann")
	e.Payload = make([]byte, 100)
	n := testing.AllocsPerRun(200, func() {
		if err := ws.Post(e); err != nil {
			t.Fatal(err)
		}
		<-gate
	})
	if n >= 1 { // the pool may be emptied by a collection
		t.Fatalf("%v allocations", n)
	}
}

type sink struct {
	probe
	n *atomic.Int64
}

func (s *sink) Handle(*Worker, *envelope.Envelope) { s.n.Add(1) }

func BenchmarkPost(b *testing.B) {
	for _, d := range []Dispatch{Sharded, Single, PerPlayer} {
		b.Run(string(d), func(b *testing.B) {
			b.ReportAllocs()
			var n atomic.Int64
			ws := NewWorkers(Options{Dispatch: d, Workers: 2, New: func(*Worker, string) Entity { return &sink{n: &n} }})
			e := message("player/ann")
			e.Payload = make([]byte, 64)
			for b.Loop() {
				for ws.Post(e) != nil {
					runtime.Gosched()
				}
			}
			ws.Close()
		})
	}
}
