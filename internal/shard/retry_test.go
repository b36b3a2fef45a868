package shard

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gamed/internal/envelope"
)

func TestTheWrongNodeSendsBackAndTheOriginRoutesAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, d := newNet("a", "b", "c")
		d[0].router.Install(tableOf(1, d[0].id, d[1].id))
		newer := tableOf(2, d[0].id, d[2].id)
		d[1].router.Install(newer)
		d[2].router.Install(newer)
		key := keyIn(1, "x") // of b in the old table, of c in the new one
		for i := range 20 {
			if err := d[0].router.Route(cast(key, i+1)); err != nil {
				t.Fatal(err)
			}
		}
		n.run(20 * time.Millisecond)
		d[0].router.Install(newer)
		n.run(200 * time.Millisecond)
		if got := refs(d[2].posts()); len(got) != 20 || !slices.IsSorted(got) {
			t.Fatalf("c got %v", got)
		}
		if e := d[2].posts()[0]; e.Hops != 1 || e.Term != 2 || e.Node != d[0].id {
			t.Fatalf("arrived: %+v", e)
		}
		if len(d[0].refusals())+len(d[1].refusals())+len(d[1].posts()) != 0 {
			t.Fatal("refused, or delivered twice")
		}
		d[0].router.Close()
	})
}

func TestNothingGoesInCirclesForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, d := newNet("a", "b")
		onlyB, onlyA := tableOf(1, d[1].id), tableOf(1, d[0].id)
		d[0].router.Install(onlyB)
		d[1].router.Install(onlyA)
		start := time.Now()
		_ = d[0].router.Route(cast("player/ann", 1))
		for len(d[1].refusals()) == 0 && time.Since(start) < time.Minute {
			n.run(10 * time.Millisecond)
		}
		took := time.Since(start)
		if len(d[1].refusals()) != 1 || !errors.Is(d[1].refusals()[0], ErrNoOwner) {
			t.Fatalf("refused: %v and %v", d[0].refusals(), d[1].refusals())
		}
		if n.sent() != 1+2*maxHops { // the first, and for each hop one back and one again
			t.Fatalf("%d sends", n.sent())
		}
		if least := (1 + 2 + 3) * retryDelay; took < least || took > least+maxHops*retryJitter+50*time.Millisecond {
			t.Fatalf("took %v", took)
		}
		n.run(time.Minute)
		if n.sent() != 1+2*maxHops {
			t.Fatalf("it goes on: %d sends", n.sent())
		}
	})
}

func TestWhatWaitsToBeSentAgainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := newNet("a", "b")
		e := cast("player/ann", 1)
		e.Hops = 1
		moved := envelope.Envelope{Kind: envelope.Moved, Payload: e.Append(nil)}
		for range maxRetries {
			d[0].router.Receive(d[1].id, &moved)
		}
		if len(d[0].refusals()) != 0 {
			t.Fatalf("refused %d within the bound", len(d[0].refusals()))
		}
		d[0].router.Receive(d[1].id, &moved)
		if len(d[0].refusals()) != 1 || !errors.Is(d[0].refusals()[0], ErrBusy) {
			t.Fatalf("one over the bound: %v", d[0].refusals())
		}
		d[0].router.Close()
		if len(d[0].refusals()) != maxRetries+1 {
			t.Fatalf("%d of %d refused after Close", len(d[0].refusals()), maxRetries+1)
		}
		d[0].router.Receive(d[1].id, &moved)
		if len(d[0].refusals()) != maxRetries+2 {
			t.Fatal("a closed router kept a message")
		}
		time.Sleep(time.Minute)
		if d[0].net.sent() != 0 || len(d[0].posts()) != 0 {
			t.Fatal("a closed router sent")
		}
	})
}

func TestBigMessagesWaitBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := newNet("a", "b")
		e := cast("player/ann", 1)
		e.Payload = make([]byte, 3<<20)
		moved := envelope.Envelope{Kind: envelope.Moved, Payload: e.Append(nil)}
		for range 6 {
			d[0].router.Receive(d[1].id, &moved)
		}
		if len(d[0].refusals()) != 1 {
			t.Fatalf("refused %d of 18 MiB", len(d[0].refusals()))
		}
		time.Sleep(time.Second) // nobody owns it: refused when it is due
		synctest.Wait()
		d[0].router.Receive(d[1].id, &moved)
		if len(d[0].refusals()) != 6 {
			t.Fatalf("%d refused: the bytes were not given back", len(d[0].refusals()))
		}
		d[0].router.Close()
	})
}

func TestBackOffGrowsWithHopsWhateverTheWireSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for hops, want := range map[uint8]time.Duration{0: retryDelay, 1: retryDelay, 2: 2 * retryDelay, 3: 3 * retryDelay, 255: 3 * retryDelay} {
			_, d := newNet("a", "b")
			d[0].router.Install(tableOf(1, d[0].id))
			e := cast("player/ann", 1)
			e.Hops = hops
			d[0].router.Receive(d[1].id, &envelope.Envelope{Kind: envelope.Moved, Payload: e.Append(nil)})
			time.Sleep(want - 1)
			synctest.Wait()
			if len(d[0].posts()) != 0 {
				t.Errorf("hops %d: sent before %v", hops, want)
			}
			time.Sleep(retryJitter + 1)
			synctest.Wait()
			if len(d[0].posts()) != 1 {
				t.Errorf("hops %d: not sent after %v", hops, want+retryJitter)
			}
		}
	})
}

func TestWhatCameBackLeavesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := newNet("a", "b")
		d[0].router.Install(tableOf(1, d[0].id))
		for i, hops := range []uint8{2, 1, 3, 1, 1} {
			e := cast("player/ann", i+1)
			e.Hops = hops
			d[0].router.Receive(d[1].id, &envelope.Envelope{Kind: envelope.Moved, Payload: e.Append(nil)})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := refs(d[0].posts()); !slices.Equal(got, []uint64{1, 2, 3, 4, 5}) {
			t.Fatalf("order %v", got)
		}
	})
}
