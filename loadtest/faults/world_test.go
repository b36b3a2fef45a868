package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gamed/loadtest"
	"gamed/loadtest/netlab"
)

// Promises of the whole cluster, from the moment named.
const (
	meshLimit   = 5 * time.Second  // after a heal, until all are linked to all
	singleLimit = 15 * time.Second // … until one table names one owner for each partition
	fullLimit   = 45 * time.Second // … until every partition has its backup and all take players
)

// world is a cluster in a network of its own.
type world struct {
	t     *testing.T
	lab   *netlab.Lab
	nodes *loadtest.Nodes
	began time.Time
	logs  string // folder, or ""

	mu       sync.Mutex // guards what follows
	forks    []loadtest.Span
	open     time.Time // when the split that is there now began
	timeline []string
}

// build starts a cluster until the test ends, whatever becomes of it, with hosts for more nodes than it begins with.
func build(t *testing.T, count, spare int, o loadtest.NodesOptions) *world {
	t.Helper()
	if missing != nil {
		t.Skip(missing)
	}
	t.Parallel()
	lab, err := netlab.New(t.Context(), loadtest.HostNames(count+spare)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Lab = lab
	return run(t, count, o)
}

// run is build for a cluster on loopback, unless o names a lab. There no limit for one source address holds.
func run(t *testing.T, count int, o loadtest.NodesOptions) *world {
	t.Helper()
	w := &world{t: t, began: time.Now(), lab: o.Lab}
	file, err := gamed()
	if err != nil {
		t.Fatal(err)
	}
	o.Binary, o.Count = file, count
	if *logs != "" {
		o.LogDir = filepath.Join(*logs, strings.ReplaceAll(t.Name(), "/", "-"))
		if err := os.MkdirAll(o.LogDir, 0o755); err != nil {
			t.Fatal(err)
		}
		w.logs = o.LogDir
	}
	if w.nodes, err = loadtest.StartNodes(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := w.nodes.Logs(40)
			t.Logf("seed: -faults.seed=%d\n%s\n%s", *seed, strings.Join(w.timeline, "\n"), text)
		}
		if err := w.nodes.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// note enters something into the timeline.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := fmt.Sprintf("%s %7.2f s  ", time.Now().Format(clock), time.Since(w.began).Seconds()) + fmt.Sprintf(format, args...)
	w.timeline = append(w.timeline, line)
	w.t.Log(line)
}

// split cuts the groups apart; forks says that more than one side goes on serving.
func (w *world) split(forks bool, groups ...[]string) error {
	w.note("split %v", groups)
	w.mu.Lock()
	if forks {
		w.open = time.Now()
	}
	w.mu.Unlock()
	return w.lab.Cut(netlab.Split(groups...)...)
}

// heal undoes all cuts and waits for what is promised after it, among all nodes that run.
func (w *world) heal(ctx context.Context) error {
	if err := w.lab.Heal(); err != nil {
		return err
	}
	at := time.Now()
	w.note("healed")
	names := w.nodes.Alive()
	if _, err := w.nodes.Await(ctx, meshLimit, loadtest.Meshed, names...); err != nil {
		return fmt.Errorf("full mesh: %w", err)
	}
	w.note("full mesh %v after the heal", time.Since(at))
	if _, err := w.nodes.Await(ctx, singleLimit-time.Since(at), loadtest.Single, names...); err != nil {
		return fmt.Errorf("one owner each: %w", err)
	}
	w.note("one owner each %v after the heal", time.Since(at))
	if err := w.whole(ctx, at); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open.IsZero() {
		w.forks = append(w.forks, loadtest.Span{From: w.open, To: time.Now()})
		w.open = time.Time{}
	}
	return nil
}

// whole waits until the cluster is full again.
func (w *world) whole(ctx context.Context, since time.Time) error {
	if err := w.nodes.Whole(ctx, fullLimit); err != nil {
		return err
	}
	w.note("whole again %v later", time.Since(since))
	return nil
}

func (w *world) spans() []loadtest.Span {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.forks
}

// load is what the players do meanwhile.
type load struct {
	savers int
	pause  time.Duration // of savers; 0: short
	calm   bool          // no connection is broken by the harness
	rooms  int           // of six talkers each; below 0: nobody talks
	forks  bool          // the trouble may split the cluster and leave more than one side serving
}

// under plays while trouble is made, then judges. It fails the test for everything that is not exact.
func (w *world) under(l load, trouble func(context.Context) error) (bank, chat *loadtest.Report) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), 30*time.Minute)
	defer stop()
	over := make(chan struct{})
	var chatErr error
	var talking sync.WaitGroup
	if l.rooms >= 0 {
		talking.Go(func() {
			o := loadtest.ChatOptions{Nodes: w.nodes, Rooms: l.rooms, Duration: time.Second, Seed: *seed, Trouble: func(ctx context.Context) error {
				select {
				case <-over:
				case <-ctx.Done():
				}
				return ctx.Err()
			}}
			if l.forks {
				o.Forks = w.spans
			}
			chat, chatErr = loadtest.Chat(ctx, o)
		})
	}
	o := loadtest.BankOptions{Nodes: w.nodes, Players: l.savers, Pause: l.pause, Duration: time.Second, Seed: *seed, Forks: l.forks}
	if l.calm {
		o.Break = -1
	}
	o.Trouble = func(ctx context.Context) error {
		defer close(over)
		if !until(ctx, time.Second) {
			return ctx.Err()
		}
		err := trouble(ctx)
		if err == nil && !until(ctx, time.Second) {
			err = ctx.Err()
		}
		return err
	}
	bank, err := loadtest.Bank(ctx, o)
	if bank == nil { // it may have failed before the trouble began
		stop()
	}
	talking.Wait()
	if err = errors.Join(err, chatErr); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range []*loadtest.Report{bank, chat} {
		if r == nil {
			continue
		}
		var b strings.Builder
		if err := r.WriteText(&b); err != nil {
			w.t.Fatal(err)
		}
		w.t.Log("\n" + b.String())
		if !r.OK {
			w.t.Errorf("%s: promises were broken, see above", r.Scenario)
			w.record(r.Savers)
		}
	}
	return bank, chat
}

// record writes what the players did whose accounts are wrong.
func (w *world) record(savers []*loadtest.SaverRecord) {
	var b strings.Builder
	for _, s := range savers {
		var due int64
		for _, d := range s.Deposits {
			due += d.Amount
		}
		if due == s.Balance {
			continue
		}
		fmt.Fprintf(&b, "%s has %d, acknowledged are %d\n", s.Name, s.Balance, due)
		due = 0
		for _, d := range s.Deposits {
			due += d.Amount
			fmt.Fprintf(&b, "  %s sent %s done %s amount %d told %d, all so far %d, at %s\n", d.ID, d.Sent.Format(clock), d.Done.Format(clock), d.Amount, d.Balance, due, d.Node)
		}
	}
	if w.logs != "" && b.Len() > 0 {
		if err := os.WriteFile(filepath.Join(w.logs, "accounts.txt"), []byte(b.String()), 0o644); err != nil {
			w.t.Error(err)
		}
	}
}

// until waits; false: ctx ended first.
func until(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
