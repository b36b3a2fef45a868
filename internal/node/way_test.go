package node

import (
	"fmt"
	"testing"
	"time"

	"gamed/internal/shard"
)

// No more is under way to a node than the window, credits make room, and what is never confirmed does not block for ever.
func TestWhatIsUnderWayIsBounded(t *testing.T) {
	var b bulk
	to, now := shard.NodeID{Name: "b", Boot: 1}, time.Now()
	sent := 0
	for ; sent <= bulkWindow; sent += 16 << 10 {
		if _, wait := b.take(to, 16<<10, now); wait != nil {
			break
		}
	}
	if sent != bulkWindow {
		t.Fatalf("%d bytes under way", sent)
	}
	if _, wait := b.take(shard.NodeID{Name: "c", Boot: 1}, 16<<10, now); wait != nil {
		t.Fatal("one node holds up another")
	}
	_, wait := b.take(to, 16<<10, now)
	b.credited(shard.NodeID{Name: "nobody"}, 1<<20)
	select {
	case <-wait:
		t.Fatal("somebody else's credit made room")
	default:
	}
	b.credited(to, 16<<10)
	<-wait
	if _, wait = b.take(to, 16<<10, now); wait != nil {
		t.Fatal("no room after a credit")
	}
	if _, wait = b.take(to, 16<<10, now.Add(creditWait/2)); wait == nil {
		t.Fatal("room without a credit")
	}
	if _, wait = b.take(to, 16<<10, now.Add(2*creditWait)); wait != nil {
		t.Fatal("what was lost blocks for ever")
	}
	b.credited(to, maxCredit) // more than there was
	if _, wait = b.take(to, 4<<20, now); wait != nil {
		t.Fatal("one that is longer than the window never goes")
	}
	for i := range 1000 { // nodes that came and went
		b.take(shard.NodeID{Name: "n", Boot: uint64(i + 1)}, 1, now.Add(time.Duration(i)*time.Second))
	}
	if len(b.peers) > 70 {
		t.Fatalf("%d nodes that are gone are remembered", len(b.peers))
	}
}

// Together what is sent keeps to the rate.
func TestBulkKeepsARate(t *testing.T) {
	var b bulk
	now, slept := time.Now(), time.Duration(0)
	for i := range 512 { // 8 MiB
		pause, wait := b.take(shard.NodeID{Name: fmt.Sprint(i % 3), Boot: 1}, 16<<10, now)
		if wait != nil {
			t.Fatal("waits")
		}
		if pause > 0 {
			now, slept = now.Add(pause), slept+pause
		}
		b.credited(shard.NodeID{Name: fmt.Sprint(i % 3), Boot: 1}, 16<<10)
	}
	if want := 8 * time.Second / 32; slept < want-2*bulkBurst || slept > want {
		t.Fatalf("8 MiB took %v, want about %v", slept, want)
	}
}
