package actor

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestOneReceiverMayHave1024Waiting(t *testing.T) {
	m := NewMailbox[int]()
	for i := range PerReceiver {
		if err := m.Put(i, 7); err != nil {
			t.Fatalf("item %d: %v", i, err)
		}
	}
	if err := m.Put(0, 7); !errors.Is(err, ErrFull) {
		t.Fatalf("item 1,025 of one receiver: %v, want ErrFull", err)
	}
	if err := m.Put(0, 8); err != nil {
		t.Fatalf("another receiver must not suffer: %v", err)
	}
	batch, _ := m.Take(nil, nil)
	if err := m.Put(0, 7); !errors.Is(err, ErrFull) {
		t.Fatalf("a batch that is being handled counts as waiting: %v", err)
	}
	if err := m.Put(0, 8); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Take(batch, nil); !ok {
		t.Fatal("closed?")
	}
	if err := m.Put(0, 7); err != nil {
		t.Fatalf("the batch was given back: %v", err)
	}
}

func TestAMailboxIsBoundedOverAllReceivers(t *testing.T) {
	m := NewMailbox[struct{}]()
	taken := 0
	for h := uint64(0); ; h++ {
		if err := m.Put(struct{}{}, h); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
		taken++
	}
	if taken != PerMailbox || m.Len() != PerMailbox {
		t.Fatalf("took %d and holds %d, want %d", taken, m.Len(), PerMailbox)
	}
	if err := m.PutAlways(struct{}{}); err != nil {
		t.Fatalf("the node's own items are always taken: %v", err)
	}
}

// The counters are 16 bits wide: what the node sends to itself must not run through them, nor use up a receiver's allowance.
func TestWhatTheNodeSendsItselfTakesNobodysAllowance(t *testing.T) {
	m := NewMailbox[int]()
	for range 1<<16 + 5 {
		if err := m.PutAlways(1); err != nil {
			t.Fatal(err)
		}
	}
	for range PerReceiver {
		if err := m.Put(2, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Put(2, 0); !errors.Is(err, ErrFull) {
		t.Fatalf("%v, want ErrFull", err)
	}
	batch, _ := m.Take(nil, nil)
	if len(batch) != 1<<16+5+PerReceiver {
		t.Fatalf("batch of %d", len(batch))
	}
}

func TestAPrivateMailboxHasOneAllowance(t *testing.T) {
	m := NewPrivateMailbox[int]()
	for i := range PerReceiver {
		if err := m.Put(i, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Put(0, 99); !errors.Is(err, ErrFull) {
		t.Fatalf("%v, want ErrFull", err)
	}
}

func TestTakeWaitsForItemAlarmOrClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMailbox[int]()
		type took struct {
			n  int
			ok bool
		}
		got := make(chan took)
		alarm := make(chan time.Time)
		go func() {
			for {
				b, ok := m.Take(nil, alarm)
				got <- took{len(b), ok}
				if !ok {
					return
				}
			}
		}()
		synctest.Wait()
		select {
		case r := <-got:
			t.Fatalf("an empty mailbox gave %v", r)
		default:
		}
		alarm <- time.Now()
		if r := <-got; r != (took{0, true}) {
			t.Fatalf("alarm: %v", r)
		}
		if err := m.Put(1, 1); err != nil {
			t.Fatal(err)
		}
		if r := <-got; r != (took{1, true}) {
			t.Fatalf("item: %v", r)
		}
		m.Close()
		for r := range got {
			if r.n != 0 {
				t.Fatalf("close: %v", r)
			}
			if !r.ok {
				return
			}
		}
	})
}

func TestCloseHandsOutWhatWaits(t *testing.T) {
	m := NewMailbox[int]()
	_ = m.Put(1, 1)
	if m.CloseEmpty() {
		t.Fatal("CloseEmpty closed a mailbox with an item")
	}
	_ = m.Put(2, 1)
	m.Close()
	if err := m.Put(3, 1); !errors.Is(err, ErrClosed) {
		t.Fatalf("put after close: %v", err)
	}
	if err := m.PutAlways(3); !errors.Is(err, ErrClosed) {
		t.Fatalf("putAlways after close: %v", err)
	}
	b, ok := m.Take(nil, nil)
	if !ok || len(b) != 2 {
		t.Fatalf("took %v, %v", b, ok)
	}
	if b, ok = m.Take(b, nil); ok || len(b) != 0 {
		t.Fatalf("after the last: %v, %v", b, ok)
	}
	empty := NewMailbox[int]()
	if !empty.CloseEmpty() {
		t.Fatal("CloseEmpty refused an empty mailbox")
	}
	if err := empty.Put(1, 1); !errors.Is(err, ErrClosed) {
		t.Fatalf("put after CloseEmpty: %v", err)
	}
}

// A worker that ends for idleness must not take an item with it.
func TestCloseEmptyLosesNothing(t *testing.T) {
	for range 3000 {
		m := NewPrivateMailbox[int]()
		put := make(chan int)
		go func() {
			n := 0
			for m.Put(1, 0) == nil {
				n++
			}
			put <- n
		}()
		taken := 0
		var b []int
		for !m.CloseEmpty() {
			b, _ = m.Take(b, nil)
			taken += len(b)
		}
		if n := <-put; n != taken || m.Len() != 0 {
			t.Fatalf("%d put, %d taken", n, taken)
		}
	}
}

func TestOrderPerSenderAndNothingLost(t *testing.T) {
	type item struct{ sender, n int }
	const senders, each = 8, 20000
	m := NewMailbox[item]()
	var wg sync.WaitGroup
	var refused [senders]int
	for s := range senders {
		wg.Go(func() {
			for n := range each {
				if m.Put(item{s, n}, uint64(s)) != nil {
					refused[s]++
				}
			}
		})
	}
	go func() { wg.Wait(); m.Close() }()
	var last, seen [senders]int
	for s := range last {
		last[s] = -1
	}
	var batch []item
	for ok := true; ok; {
		batch, ok = m.Take(batch, nil)
		for _, it := range batch {
			if it.n <= last[it.sender] {
				t.Fatalf("sender %d: %d after %d", it.sender, it.n, last[it.sender])
			}
			last[it.sender] = it.n
			seen[it.sender]++
		}
	}
	for s := range senders {
		if seen[s]+refused[s] != each {
			t.Errorf("sender %d: %d handed out and %d refused of %d", s, seen[s], refused[s], each)
		}
	}
}

// The mailbox against a plain list.
func TestMailboxModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMailbox[int]()
		var want, out []int
		var next int
		closed := false
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				next++
				err := m.Put(next, rapid.Uint64Range(0, 3).Draw(t, "hash"))
				if (err != nil) != closed {
					t.Fatalf("put: %v, closed %v", err, closed)
				}
				if err == nil {
					want = append(want, next)
				}
			},
			"take": func(t *rapid.T) {
				fired := make(chan time.Time, 1)
				fired <- time.Time{}
				b, ok := m.Take(out, fired)
				if ok != (!closed || len(want) > 0) || len(b) != len(want) {
					t.Fatalf("took %v, %v; want %v, closed %v", b, ok, want, closed)
				}
				for i := range b {
					if b[i] != want[i] {
						t.Fatalf("took %v, want %v", b, want)
					}
				}
				out, want = b, want[:0]
			},
			"close": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
					m.Close()
					closed = true
				}
			},
			"": func(t *rapid.T) {
				if m.Len() != len(want) {
					t.Fatalf("len %d, want %d", m.Len(), len(want))
				}
			},
		})
	})
}

func BenchmarkMailboxPutTake(b *testing.B) {
	b.ReportAllocs()
	m := NewMailbox[[32]uint64]()
	var it [32]uint64
	var batch [][32]uint64
	for i := 0; i < b.N; {
		for range 64 {
			if err := m.Put(it, uint64(i)); err != nil {
				b.Fatal(err)
			}
			i++
		}
		batch, _ = m.Take(batch, nil)
	}
}

func TestMailboxDoesNotAllocate(t *testing.T) {
	m := NewMailbox[[32]uint64]()
	var it [32]uint64
	var batch [][32]uint64
	round := func() {
		for i := range 64 {
			_ = m.Put(it, uint64(i))
		}
		batch, _ = m.Take(batch, nil)
	}
	round()
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Fatalf("%v allocations in 64 puts and a take", n)
	}
}
