package node

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"gamed/internal/actor"
	"gamed/internal/shard"
)

// TestAWorkerThatDiesTooOftenDrainsTheNode: what it had is at the others, nothing acknowledged is lost, and only a restart helps it.
func TestAWorkerThatDiesTooOftenDrainsTheNode(t *testing.T) {
	nodes := startCluster(t, 2, nil)
	name := named(t, playerKey, nodes[0], nodes[1])
	d := depositor(t, name, nodes[1])
	d.more(3)
	s := source{nodes[0].Node}
	for range actor.MaxPanics {
		if !s.Live() {
			t.Fatal("not live before it was drained")
		}
		_ = nodes[0].workers.Tell(playerKey(name), func(*shard.Worker, shard.Entity) { runtime.Goexit() })
	}
	eventually(t, 20*time.Second, "the node drains itself", func() bool { return nodes[0].owned() == 0 && nodes[1].owned() == shard.Partitions && !s.Live() })
	if ok, why := nodes[0].Ready(); ok {
		t.Errorf("ready: %v", why)
	}
	if got := balance(t, name, nodes[1]); got != 3 {
		t.Errorf("balance %d at the other node", got)
	}
	all := source{nodes[1].Node}.Supervision(t.Context())
	if len(all.Nodes) != 2 || all.Nodes[0].Node != nodes[0].name || all.Nodes[0].DeadLetters != actor.MaxPanics {
		t.Errorf("seen from the other node: %+v", all)
	}
	restarts := uint64(0)
	for _, w := range all.Nodes[0].Workers {
		restarts += w.Restarts
	}
	if restarts != actor.MaxPanics {
		t.Errorf("%d restarts", restarts)
	}
	letters, err := source{nodes[1].Node}.DeadLetters(t.Context(), nodes[0].name, 3)
	if err != nil || letters.Total != actor.MaxPanics || len(letters.DeadLetters) != 3 || !strings.Contains(letters.DeadLetters[0].Stack, "Goexit") {
		t.Errorf("dead letters, asked of the other node: %v %+v", err, letters)
	}
}

// TestBlockedWorkersTakeTheNodeOutOfReadiness, and give it back.
func TestBlockedWorkersTakeTheNodeOutOfReadiness(t *testing.T) {
	n := start(t, "a", nil)
	eventually(t, 20*time.Second, "ready", func() bool { ok, _ := n.Ready(); return ok })
	d := shard.Delay{Worker: "1", Level: actor.Blocked, Was: actor.Stuck, Key: "player/ann", For: 10 * time.Second}
	n.delayed(d)
	if ok, why := n.Ready(); ok || len(why) != 1 || why[0] != "worker 1 has been blocked by player/ann for 10s" {
		t.Errorf("%v %q", ok, why)
	}
	d.Level, d.Was = actor.Fine, actor.Blocked
	n.delayed(d)
	if ok, why := n.Ready(); !ok {
		t.Errorf("not ready again: %q", why)
	}
}

// A node that does not answer is a row that says so.
func TestASilentNodeIsInTheTreeOfSupervision(t *testing.T) {
	nodes := startCluster(t, 2, nil)
	cut(true, nodes[:1], nodes[1:])
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	all := source{nodes[0].Node}.Supervision(ctx)
	if len(all.Nodes) != 2 || all.Nodes[0].Error != "" || all.Nodes[1].Error == "" {
		t.Errorf("%+v", all)
	}
}

func TestDeadLettersAnswerIsBounded(t *testing.T) {
	n := start(t, "a", nil)
	for range 2000 {
		n.dead.Add(actor.DeadLetter{At: time.Now(), Key: "player/ann", Cause: strings.Repeat("c", 2<<10), Stack: strings.Repeat("s", 20<<10)})
	}
	page, err := n.deadLetters("1000")
	if err != nil || page.Total != 2000 || len(page.DeadLetters) < 50 || page.DeadLetters[0].Stack == "" {
		t.Fatalf("%v: %d of %d", err, len(page.DeadLetters), page.Total)
	}
	bytes := 0
	for _, l := range page.DeadLetters {
		bytes += len(l.Cause) + len(l.Stack)
	}
	if bytes > maxLetterBytes {
		t.Errorf("%d bytes", bytes)
	}
}

func TestTenLinesASecond(t *testing.T) {
	var l logLimit
	now := time.Unix(1000, 0)
	written := 0
	for range 100 {
		if _, ok := l.take(now); ok {
			written++
		}
	}
	if untold, ok := l.take(now.Add(time.Second)); written != 10 || !ok || untold != 90 {
		t.Errorf("%d written, then %v with %d untold", written, ok, untold)
	}
}
