package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gamed/game"
	"gamed/internal/admin"
	"gamed/internal/shard"
	"gamed/protocol"
)

// must calls and fails the test unless the answer has this status.
func (p *peer) must(t testing.TB, ref uint64, event string, payload []byte, status protocol.Code) protocol.Reply {
	t.Helper()
	r, err := p.call(ref, "faulty:", event, payload)
	if err != nil || r.Status != status {
		t.Fatalf("%s: %v %s (%v), want %s", event, r.Status, r.Payload, err, status)
	}
	return r
}

// count calls "count" and gives the part's number.
func (p *peer) count(t testing.TB, ref uint64) int64 {
	t.Helper()
	f := game.Payload(p.must(t, ref, "count", nil, protocol.CodeOK).Payload).Fields()
	return f.Int("n")
}

// page reads a page of the admin API, whatever its status.
func page[T any](t testing.TB, n *node, path string) (v T) {
	t.Helper()
	b, err := n.get(path)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// TestAPanicCostsOneMessage: the message fails with internal, its entity goes on from what was committed, a dead letter is kept
// without the payload's bytes, and whoever has his messages handled behind the panic waits less than a millisecond longer.
func TestAPanicCostsOneMessage(t *testing.T) {
	n := startFaulty(t, "--workers", "1")
	bad, _ := mustLogin(t, n.Players, "bad", "")
	if got := bad.count(t, 1); got != 1 {
		t.Fatalf("count %d", got)
	}
	began := time.Now()
	bad.must(t, 2, "panic", game.NewMap().Text("secret", "hunter2").Payload(), protocol.CodeInternal)
	if got := bad.count(t, 3); got != 2 {
		t.Errorf("count %d after a panic that had counted, too", got)
	}
	b, err := n.get("/api/v1/deadletters?node=target")
	if err != nil || bytes.Contains(b, []byte("hunter2")) {
		t.Fatalf("dead letters: %v %s", err, b)
	}
	letters := page[admin.DeadLettersPage](t, n, "/api/v1/deadletters")
	if l := letters.DeadLetters; letters.Total != 1 || len(l) != 1 || l[0].Key != "player/bad" || l[0].What != "faulty: panic" || l[0].Bytes == 0 ||
		l[0].Cause != "meant" || !strings.Contains(l[0].Stack, "faulty") || l[0].Time.Before(began) || l[0].Node != "target" {
		t.Errorf("dead letters: %+v", letters)
	}

	honest, _ := mustLogin(t, n.Players, "honest", "")
	ref, crowd := uint64(0), 0
	// behind is the median time of an honest call sent right behind one of another player, on the same worker.
	behind := func(event string) time.Duration {
		var took []time.Duration
		for range 20 { // players, four panics each: none gets into quarantine
			crowd++
			p, _ := mustLogin(t, n.Players, "crowd-"+strconv.Itoa(crowd), "")
			for i := range uint64(4) {
				if _, err := p.Write(protocol.AppendCall(nil, i+1, "faulty:", event, nil)); err != nil {
					t.Fatal(err)
				}
				ref++
				at := time.Now()
				if r, err := honest.call(ref, "echo:", "e", game.EmptyMap); err != nil || r.Status != protocol.CodeOK {
					t.Fatalf("honest: %v %v", r.Status, err)
				}
				took = append(took, time.Since(at))
			}
			_ = p.Close()
		}
		return percentile(took, 50)
	}
	var story []string
	for range 5 {
		quiet, beside := behind("count"), behind("panic")
		story = append(story, fmt.Sprintf("behind a call %v, behind a panic %v", quiet, beside))
		if beside-quiet < time.Millisecond {
			t.Log(strings.Join(story, "; "))
			return
		}
	}
	t.Errorf("a panic costs others more than a millisecond: %s", strings.Join(story, "; "))
}

// TestPanicLoop: who panics at every message is in quarantine for a time that doubles and is told for how long; a timer that fails
// for ever costs next to nothing; others play on.
func TestPanicLoop(t *testing.T) {
	t.Parallel()
	n := startFaulty(t)
	bad, _ := mustLogin(t, n.Players, "bad", "")
	ref := uint64(0)
	var banned []int64 // the first retry_ms of each quarantine
	for quarantine := range 2 {
		for range 5 {
			ref++
			bad.must(t, ref, "panic", nil, protocol.CodeInternal)
		}
		ref++
		r := bad.must(t, ref, "panic", nil, protocol.CodeUnavailable)
		f, ok := protocol.ParseFailure(r.Payload)
		if !ok || !f.HasRetry {
			t.Fatalf("in quarantine: %s", r.Payload)
		}
		banned = append(banned, f.RetryMS)
		s := page[admin.Supervision](t, n, "/api/v1/supervision")
		if len(s.Nodes) != 1 || len(s.Nodes[0].Quarantined) != 1 || s.Nodes[0].Quarantined[0].Key != "player/bad" || s.Nodes[0].Quarantines != uint64(quarantine+1) {
			t.Fatalf("supervision: %+v", s)
		}
		time.Sleep(time.Duration(f.RetryMS) * time.Millisecond) // what the answer says
	}
	if banned[0] < 500 || banned[0] > 1000 || banned[1] < 1500 || banned[1] > 2000 {
		t.Errorf("quarantined for %v ms, want nearly 1000 and 2000", banned)
	}
	if got := bad.count(t, ref+1); got != 1 {
		t.Errorf("after its quarantine it counts %d", got)
	}

	alarmed, _ := mustLogin(t, n.Players, "alarmed", "")
	alarmed.must(t, 1, "alarm", nil, protocol.CodeOK)
	await(t, "the alarm is in quarantine", func() bool { return n.metric("gamed_actor_quarantines_total") >= 3 })
	before, letters := n.cpu(t), n.metric("gamed_actor_dead_letters_total")
	const look = 3 * time.Second
	time.Sleep(look) // what is measured is this time
	if used := n.cpu(t) - before; used > look/5 {
		t.Errorf("a timer that always fails takes %v of the processor in %v", used, look)
	}
	if more := n.metric("gamed_actor_dead_letters_total") - letters; more > 10 {
		t.Errorf("%v dead letters of one timer in %v", more, look)
	}
	honest, _ := mustLogin(t, n.Players, "honest", "")
	if got := honest.count(t, 1); got != 1 {
		t.Errorf("honest counts %d", got)
	}
}

// cpu is the processor time that the process has used.
func (n *node) cpu(t testing.TB) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
	if err != nil {
		t.Skipf("the processor time of another process cannot be read here: %v", err)
	}
	_, after, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(after)
	ticks := 0
	for _, s := range f[11:13] { // utime, stime: in hundredths of a second on all of Linux
		v, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		ticks += v
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// onWorker finds a player's name that lives on a worker of two.
func onWorker(worker uint16, name string) string {
	for i := 0; ; i++ {
		if s := name + strconv.Itoa(i); shard.PartitionOf("player/"+s)%2 == worker {
			return s
		}
	}
}

// TestBlockedHandler: a handler that does not return is in the log with its stack; callers of its worker are told busy, and its own
// unavailable; after ten seconds the node is not ready until the handler returns; the other worker's players notice nothing.
func TestBlockedHandler(t *testing.T) {
	if testing.Short() {
		t.Skip("blocks a handler for 13 seconds")
	}
	n := startFaulty(t, "--workers", "2")
	blocks, _ := mustLogin(t, n.Players, onWorker(0, "blocks-"), "")
	same, _ := mustLogin(t, n.Players, onWorker(0, "same-"), "")
	other, _ := mustLogin(t, n.Players, onWorker(1, "other-"), "")
	ref := uint64(0)
	window := func() time.Duration {
		var took []time.Duration
		for range 100 {
			ref++
			at := time.Now()
			if r, err := other.call(ref, "echo:", "e", game.EmptyMap); err != nil || r.Status != protocol.CodeOK {
				t.Fatalf("the other worker: %v %v", r.Status, err)
			}
			took = append(took, time.Since(at))
		}
		return percentile(took, 99)
	}
	quiet := window()
	began := time.Now()
	if _, err := blocks.Write(protocol.AppendCall(nil, 1, "faulty:", "block", game.NewMap().Int("ms", 13_000).Payload())); err != nil {
		t.Fatal(err)
	}
	await(t, "the log tells of it", func() bool {
		l := n.log.String()
		return strings.Contains(l, "a handler is slow") && strings.Contains(l, "blockHere")
	})
	same.must(t, 1, "count", nil, protocol.CodeBusy)
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("its worker's callers were told busy after %v", d)
	}
	at := time.Now()
	same.must(t, 2, "count", nil, protocol.CodeBusy)
	t.Logf("busy at first after %v, then within %v", at.Sub(began), time.Since(at))
	beside := window()
	if beside > 2*quiet+moved {
		t.Errorf("the other worker's p99 went from %v to %v", quiet, beside)
	}
	s := page[admin.Supervision](t, n, "/api/v1/supervision")
	if w := s.Nodes[0].Workers; len(w) != 2 || w[0].State != "stuck" || !strings.HasPrefix(w[0].Key, "player/blocks-") || w[0].RunningMS < 1000 || w[1].State != "fine" {
		t.Errorf("supervision: %+v", w)
	}
	if _, err := n.get("/readyz"); err != nil {
		t.Errorf("not ready after %v: %v", time.Since(began), err)
	}
	await(t, "the node is not ready", func() bool {
		_, err := n.get("/readyz")
		return err != nil && strings.Contains(err.Error(), "worker 0 has been blocked by player/blocks-")
	})
	if d := time.Since(began); d < 10*time.Second || d > 12*time.Second {
		t.Errorf("not ready after %v", d)
	}
	if b, err := blocks.next(protocol.KindReply); err != nil {
		t.Error(err)
	} else if r, _ := protocol.ParseReply(b); r.Ref != 1 || r.Status != protocol.CodeUnavailable {
		t.Errorf("its own caller is told %+v", r)
	}
	await(t, "the node is ready again", func() bool { _, err := n.get("/readyz"); return err == nil })
	if d := time.Since(began); d < 13*time.Second {
		t.Errorf("ready again after %v", d)
	}
	if got := same.count(t, 3); got != 1 {
		t.Errorf("what was refused counts: %d", got)
	}
	// The same call again gets the answer of the first time.
	f := game.Payload(blocks.must(t, 1, "block", game.NewMap().Int("ms", 13_000).Payload(), protocol.CodeOK).Payload).Fields()
	if got := f.Int("n"); got != 1 {
		t.Errorf("the blocked call was done %d times", got)
	}
}
