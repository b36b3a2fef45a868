package replica

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"gamed/internal/envelope"
)

// crowd is many entities of one node that all need another backup.
type crowd struct {
	list    []*entity
	pace    *Pacer
	backlog int
	down    bool
	now     time.Time
}

func newCrowd(t *testing.T, n, size int, o PacerOptions) *crowd {
	c := &crowd{now: time.Unix(1000, 0)}
	o.Backlog = func(envelope.NodeID) (int, bool) { return c.backlog, !c.down }
	c.pace = NewPacer(o)
	for range n {
		e := newEntity(t, table(1, nodeA, nodeB))
		e.long = size
		e.message("x")
		e.deliver(NewStore())
		e.p.Pace = c.pace
		e.o.live(&e.p, 1)
		e.o.life = uint64(len(c.list) + 1)
		e.w.table = table(1, nodeA, nodeC)
		c.list = append(c.list, e)
	}
	return c
}

// pass lets a millisecond pass, takes what was sent, and answers it.
func (c *crowd) pass() (bytes, wakes int) {
	c.now = c.now.Add(time.Millisecond)
	for _, e := range c.list {
		e.now = c.now
		if at, ok := e.o.Deadline(); ok && !at.After(c.now) {
			wakes++
			e.o.Again(&e.p, c.now, key, e.whole)
		}
		for _, r := range e.replicated() {
			bytes += len(r.Payload)
			e.ack(r)
		}
	}
	return bytes, wakes
}

func (c *crowd) again() {
	for _, e := range c.list {
		e.o.Again(&e.p, c.now, key, e.whole)
	}
}

func (c *crowd) waiting() (n int) {
	for _, e := range c.list {
		if e.o.Waits() {
			n++
		}
	}
	return n
}

// A change of the table may not send thousands of whole states at once: they share a rate, and each asks seldom.
func TestWholeStatesShareARate(t *testing.T) {
	for _, size := range []int{100, 10 << 10, 300 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			const rate = 10 << 20
			c := newCrowd(t, 300, size, PacerOptions{Rate: rate})
			c.again()
			bytes, wakes, began := 0, 0, c.now
			for ms := 1; c.waiting() > 0; ms++ {
				b, w := c.pass()
				bytes, wakes = bytes+b, wakes+w
				if limit := rate*ms/1000 + 16*size + 64<<10; bytes > limit {
					t.Fatalf("%d bytes in %d ms", bytes, ms)
				}
				if ms > 20_000 {
					t.Fatalf("%d of 300 wait after 20 s", c.waiting())
				}
			}
			if took, ideal := c.now.Sub(began), time.Duration(300*size)*time.Second/rate; took > 2*ideal+300*time.Millisecond {
				t.Fatalf("it took %v, the rate allows %v", took, ideal)
			}
			if wakes > 30*300 {
				t.Fatalf("asked %d times", wakes)
			}
			if len(c.pace.open) != 0 {
				t.Fatal("turns were not given back")
			}
		})
	}
}

// Who has something that the backup does not have comes first.
func TestWhoWaitsComesFirst(t *testing.T) {
	c := newCrowd(t, 300, 100<<10, PacerOptions{Rate: 1 << 20})
	c.again()
	for range 20 {
		c.pass()
	}
	last := c.list[len(c.list)-1]
	last.message("urgent", 7)
	for range 20 {
		c.pass()
	}
	if last.o.Waits() || !slices.Contains(last.left(), 7) {
		t.Fatal("it waits behind those who need not hurry")
	}
	if n := c.waiting(); n < 250 {
		t.Fatalf("only %d wait: the rate is not kept", n)
	}
}

// Nobody is without a backup for long because of a rate, and a queue that is full, or no link, gets nothing.
func TestPatienceEnds(t *testing.T) {
	c := newCrowd(t, 20, 1<<20, PacerOptions{Rate: 1 << 10})
	c.backlog = 1 << 20
	c.again()
	for range 5000 {
		if b, _ := c.pass(); b > 0 {
			t.Fatal("into a full queue")
		}
	}
	c.backlog, c.down = 0, true
	for range 4000 {
		if b, _ := c.pass(); b > 0 {
			t.Fatal("without a link")
		}
	}
	c.down = false
	for ms := 0; c.waiting() > 0; ms++ {
		if c.pass(); ms > 3000 {
			t.Fatalf("%d wait after 12 s", c.waiting())
		}
	}
}

// Many who wait for a link do not spin.
func TestUrgentOnesWithoutALinkTakeTurns(t *testing.T) {
	c := newCrowd(t, 2000, 10, PacerOptions{})
	c.down = true
	for _, e := range c.list {
		e.message("y", 1)
	}
	wakes := 0
	for range 1000 {
		_, w := c.pass()
		wakes += w
	}
	if wakes > 12_000 {
		t.Fatalf("%d wakes in a second", wakes)
	}
	c.down = false
	for range 400 {
		c.pass()
	}
	if n := c.waiting(); n > 0 {
		t.Fatalf("%d still wait", n)
	}
}

// Entities that were dropped in the middle do not keep their turns for ever.
func TestTurnsEnd(t *testing.T) {
	p := NewPacer(PacerOptions{AtOnce: 4})
	now := time.Unix(1000, 0)
	for life := range uint64(4) {
		if ok, _ := p.begin(now, nodeB, life, true); !ok {
			t.Fatal("no turn")
		}
	}
	if ok, again := p.begin(now, nodeB, 9, true); ok || cmp.Compare(again.Sub(now), 0) <= 0 {
		t.Fatal("a fifth turn")
	}
	p.end(2)
	if ok, _ := p.begin(now, nodeB, 9, true); !ok {
		t.Fatal("no turn after one ended")
	}
	if ok, _ := p.begin(now.Add(stale), nodeB, 10, true); !ok {
		t.Fatal("turns of the dead are kept")
	}
}
