package loadtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"gamed/client"
	"gamed/protocol"
)

// BankOptions say what is played. Zero values mean the defaults named.
type BankOptions struct {
	Nodes    *Nodes        // the cluster, or
	Addrs    []string      // players' addresses of one that runs already
	At       []string      // nodes that players begin at; default all
	Players  int           // default 200
	Duration time.Duration // how long they deposit, default 15 s; longer if the kills take longer
	Pause    time.Duration // mean time between an acknowledged deposit and the player's next, default 40 ms
	Break    time.Duration // mean time between breaks of one player's connection, default 2 s; below 0: none is broken, no session left
	Kills    int           // nodes killed one after the other, each started again; needs Nodes
	Settle   time.Duration // how long the last deposit of each is waited for, default 1 min

	// Trouble is done to the nodes meanwhile, in the place of Kills; deposits go on until it returns. An error of it ends the scenario.
	Trouble func(context.Context) error
	// Forks says that both sides of a split may have served: the answers may name the balance of either side, the sum must be exact.
	Forks  bool
	Seed   uint64       // of what the players do; 0: random
	Logger *slog.Logger // nil: silent
}

// Times of a bank scenario.
const (
	wholeLimit   = 60 * time.Second // after a kill, until the cluster is whole again
	settleLimit  = 60 * time.Second
	depositPause = 40 * time.Millisecond
)

// Deposits sums up a bank scenario.
type Deposits struct {
	Acknowledged int64 `json:"acknowledged"`
	Repeated     int64 `json:"repeated"` // sent again under the same id, because the outcome was unknown
	Broken       int64 `json:"broken"`   // connections cut by the harness
	Left         int64 `json:"left"`     // sessions left without BYE by the harness
	Connects     int64 `json:"connects"` // WELCOMEs, first ones included
	Sessions     int64 `json:"sessions"` // begun
}

func (o BankOptions) withDefaults() (BankOptions, error) {
	if o.Players == 0 {
		o.Players = 200
	}
	if o.Duration == 0 {
		o.Duration = 15 * time.Second
	}
	if o.Pause == 0 {
		o.Pause = depositPause
	}
	if o.Break == 0 {
		o.Break = 2 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = settleLimit
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Players < 1 || o.Duration < 0 || o.Pause < 0 || o.Kills < 0 || o.Settle < 0:
		return o, errors.New("players, duration, pause, kills and settle: want no negative ones")
	case o.Nodes == nil && len(o.Addrs) == 0:
		return o, errors.New("want nodes or addresses to play against")
	case o.Kills > 0 && (o.Nodes == nil || len(o.Nodes.Alive()) < 2):
		return o, errors.New("kills: want at least two nodes that the harness started")
	}
	if o.Nodes != nil {
		o.Addrs = o.Nodes.Names()
	}
	return o, nil
}

// Bank has players deposit into their accounts while their connections break, their sessions are left and nodes die. Each deposit
// is sent, with the same id, until it is acknowledged. An error says that it could not be played; broken promises are in the
// report.
func Bank(ctx context.Context, o BankOptions) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	began := time.Now()
	b := &vault{o: o, calls: newLatencies(), login: newLatencies()}
	run := strconv.FormatUint(rand.Uint64(), 36)
	for i := range o.Players {
		b.savers = append(b.savers, &saver{vault: b, number: uint64(i), random: rand.New(rand.NewPCG(o.Seed, uint64(i))),
			rec: SaverRecord{Name: "saver-" + run + "-" + strconv.Itoa(i), Codes: map[string]int64{}}})
	}
	if err := b.play(ctx); err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	r := b.report()
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// vault is one bank scenario under way.
type vault struct {
	o      BankOptions
	savers []*saver
	calls  *latencies
	login  *latencies
	killed []Killed
	hit    [][]*saver // by kill: whose socket or account was there
	stuck  string     // the cluster did not become whole
}

func (v *vault) play(ctx context.Context) error {
	seen, giveUp := context.WithCancel(ctx) // how long deposits are seen through
	defer giveUp()
	working, stop := context.WithCancel(seen)
	defer stop()
	var all sync.WaitGroup
	for _, s := range v.savers {
		all.Go(func() { s.save(seen, working.Done()) })
	}
	end := time.Now().Add(v.o.Duration)
	trouble := v.o.Trouble
	if trouble == nil {
		trouble = v.kill
	}
	err := trouble(ctx)
	if err == nil {
		waitUntil(ctx, end)
	} else {
		giveUp()
	}
	stop()
	defer time.AfterFunc(v.o.Settle, giveUp).Stop()
	all.Wait()
	if err != nil {
		return err
	}
	ctx, stop = context.WithTimeout(ctx, v.o.Settle)
	defer stop()
	slots := make(chan struct{}, loginsAtOnce)
	for _, s := range v.savers {
		all.Go(func() {
			slots <- struct{}{} // each holder ends by ctx
			s.check(ctx)
			<-slots
		})
	}
	all.Wait()
	return nil
}

// kill kills nodes one after the other and starts each again. The next one waits until every partition has its backup.
func (v *vault) kill(ctx context.Context) error {
	r := rand.New(rand.NewPCG(v.o.Seed, 1<<40))
	for i := range v.o.Kills {
		if !waitUntil(ctx, time.Now().Add(time.Second+rand64(r, 2*time.Second))) {
			return fmt.Errorf("kill %d: %w", i+1, ctx.Err())
		}
		names := v.o.Nodes.Alive()
		name := names[r.IntN(len(names))]
		affected := v.affected(ctx, name)
		at, err := v.o.Nodes.Kill(name)
		if err != nil {
			return err
		}
		v.killed = append(v.killed, Killed{Node: name, At: at})
		v.hit = append(v.hit, affected)
		if !waitUntil(ctx, time.Now().Add(time.Second+rand64(r, 4*time.Second))) {
			return fmt.Errorf("kill %d: %w", i+1, ctx.Err())
		}
		if err := v.o.Nodes.Start(ctx, name, Extra{}); err != nil {
			return err
		}
		if err := v.o.Nodes.Whole(ctx, wholeLimit); err != nil {
			v.stuck = err.Error()
			return nil
		}
	}
	return nil
}

// affected are the players whose socket is on the node or whose account it owns.
func (v *vault) affected(ctx context.Context, name string) []*saver {
	owned := make([]bool, len(v.savers))
	slots := make(chan struct{}, loginsAtOnce)
	var all sync.WaitGroup
	for i, s := range v.savers {
		all.Go(func() {
			slots <- struct{}{} // each holder ends by ctx
			owner, _, err := v.o.Nodes.Locate(ctx, "player/"+s.rec.Name)
			owned[i] = err == nil && owner == name
			<-slots
		})
	}
	all.Wait()
	var out []*saver
	for i, s := range v.savers {
		if at, _ := s.node.Load().(string); owned[i] || at == name {
			out = append(out, s)
		}
	}
	return out
}

// recoveries are the times from each kill until a deposit that a player it affected began after it was acknowledged.
func (v *vault) recoveries() (took []time.Duration) {
	for i, k := range v.killed {
		for _, s := range v.hit[i] {
			took = append(took, s.rec.Served(k.At))
		}
	}
	return took
}

func (v *vault) report() *Report {
	rec := &BankRecord{Stuck: v.stuck, Forks: v.o.Forks, Calm: v.o.Break < 0, Recovered: v.recoveries()}
	sum := &Deposits{}
	r := &Report{Scenario: "bank", Seed: v.o.Seed, Nodes: len(v.o.Addrs), Players: len(v.savers), Codes: map[string]int64{}, Deposits: sum, Killed: v.killed}
	for _, s := range v.savers {
		rec.Savers = append(rec.Savers, &s.rec)
		sum.Acknowledged += int64(len(s.rec.Deposits))
		sum.Repeated += s.repeated
		sum.Broken += s.broken.Load()
		sum.Left += s.left
		sum.Connects += s.rec.Connects
		sum.Sessions += s.rec.Sessions
		for code, n := range s.rec.Codes {
			r.Codes[code] += n
		}
	}
	if v.o.Nodes != nil {
		rec.Died = v.o.Nodes.Died()
		_, r.LogErrors = v.o.Nodes.Logs(0)
	}
	r.judged(JudgeBank(rec))
	r.Savers = rec.Savers
	if len(v.killed) > 0 {
		recovery := newLatencies()
		for _, d := range rec.Recovered {
			recovery.add(d)
		}
		all := recovery.sum()
		r.Recovery = &all
	}
	r.Answer, r.Login.Latency = v.calls.sum(), v.login.sum()
	return r
}

// outcome is the code of a call for the record.
func outcome(err error) string {
	if err == nil {
		return string(protocol.CodeOK)
	}
	if code, known := client.CodeOf(err); known {
		return string(code)
	}
	return unknown
}
