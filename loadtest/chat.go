package loadtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"gamed/client"
)

// ChatOptions say what is played. Zero values mean the defaults named.
type ChatOptions struct {
	Nodes    *Nodes        // the cluster, or
	Addrs    []string      // players' addresses of one that runs already
	Rooms    int           // default 8
	Members  int           // of each room, default 6
	Duration time.Duration // how long they talk, default 15 s
	Pause    time.Duration // mean time between a player's words, default 1.5 s: what a resume may miss must fit the room's history
	Settle   time.Duration // how long the last words are waited for, default 1 min

	// Trouble is done to the nodes meanwhile; the talk goes on until it returns. An error of it ends the scenario.
	Trouble func(context.Context) error
	// Forks gives the times in which both sides of a split may have served, so that a merge may have dropped the words of one; asked
	// when the talk is over. nil: there were none.
	Forks func() []Span

	Seed   uint64       // of what the players do; 0: random
	Logger *slog.Logger // nil: silent
}

// Words sums up a chat scenario.
type Words struct {
	Said  int64 `json:"said"`  // acknowledged
	Heard int64 `json:"heard"` // pushes to all members
}

func (o ChatOptions) withDefaults() (ChatOptions, error) {
	if o.Rooms == 0 {
		o.Rooms = 8
	}
	if o.Members == 0 {
		o.Members = 6
	}
	if o.Duration == 0 {
		o.Duration = 15 * time.Second
	}
	if o.Pause == 0 {
		o.Pause = 1500 * time.Millisecond
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
	case o.Rooms < 1 || o.Members < 1 || o.Duration < 0 || o.Pause < 0 || o.Settle < 0:
		return o, errors.New("rooms, members, duration, pause and settle: want no negative ones")
	case o.Nodes == nil && len(o.Addrs) == 0:
		return o, errors.New("want nodes or addresses to play against")
	}
	if o.Nodes != nil {
		o.Addrs = o.Nodes.Names()
	}
	return o, nil
}

// Chat has players talk in rooms while things happen to the nodes. What each says is numbered. An error says that it could not be
// played; broken promises are in the report.
func Chat(ctx context.Context, o ChatOptions) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	began := time.Now()
	c := &party{o: o, calls: newLatencies(), login: newLatencies()}
	run := strconv.FormatUint(rand.Uint64(), 36)
	for i := range o.Rooms * o.Members {
		t := &talker{party: c, random: rand.New(rand.NewPCG(o.Seed, uint64(i))), fresh: make(chan struct{}, 1)}
		t.rec = TalkerRecord{Name: "talker-" + run + "-" + strconv.Itoa(i), Room: "chat:party-" + run + "-" + strconv.Itoa(i%o.Rooms), Codes: map[string]int64{}}
		c.talkers = append(c.talkers, t)
	}
	if err := c.play(ctx); err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	r := c.report()
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// party is one chat scenario under way.
type party struct {
	o       ChatOptions
	talkers []*talker
	calls   *latencies
	login   *latencies
}

func (c *party) play(ctx context.Context) error {
	enter, stop := context.WithTimeout(ctx, settleLimit)
	defer stop()
	c.each(func(t *talker) { t.enter(enter) })
	defer c.each(func(t *talker) { t.leave() })
	seen, giveUp := context.WithCancel(ctx) // how long words are seen through
	defer giveUp()
	working, finish := context.WithCancel(seen)
	defer finish()
	var all sync.WaitGroup
	for _, t := range c.talkers {
		all.Go(func() { t.talk(seen, working.Done()) })
	}
	end := time.Now().Add(c.o.Duration)
	var err error
	if c.o.Trouble != nil {
		err = c.o.Trouble(ctx)
	}
	if err == nil {
		waitUntil(ctx, end)
	} else {
		giveUp()
	}
	finish()
	defer time.AfterFunc(c.o.Settle, giveUp).Stop()
	all.Wait()
	if err != nil {
		return err
	}
	c.settle(seen)
	return nil
}

// each does something for all talkers, a bounded number at the same time.
func (c *party) each(do func(*talker)) {
	slots := make(chan struct{}, loginsAtOnce)
	var all sync.WaitGroup
	for _, t := range c.talkers {
		all.Go(func() {
			slots <- struct{}{} // each holder ends by its context
			defer func() { <-slots }()
			do(t)
		})
	}
	all.Wait()
}

// settle waits, not for ever, until every member has heard the last word of everybody in his room.
func (c *party) settle(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if !slices.ContainsFunc(c.talkers, func(t *talker) bool { return !t.heardAll() }) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (c *party) report() *Report {
	rec, sum := &ChatRecord{}, &Words{}
	r := &Report{Scenario: "chat", Seed: c.o.Seed, Nodes: len(c.o.Addrs), Players: len(c.talkers), Codes: map[string]int64{}, Words: sum}
	for _, t := range c.talkers {
		t.mu.Lock()
		one := t.rec
		t.mu.Unlock()
		rec.Talkers = append(rec.Talkers, &one)
		for _, s := range one.Said {
			if s.Acknowledged {
				sum.Said++
			}
		}
		sum.Heard += int64(len(one.Heard))
		for code, n := range one.Codes {
			r.Codes[code] += n
		}
	}
	if c.o.Nodes != nil {
		rec.Died = c.o.Nodes.Died()
		_, r.LogErrors = c.o.Nodes.Logs(0)
	}
	if c.o.Forks != nil {
		rec.Forks = c.o.Forks()
	}
	r.judged(JudgeChat(rec))
	r.Answer, r.Login.Latency = c.calls.sum(), c.login.sum()
	return r
}

// dialer lets clients use the nodes' names as addresses.
func (c *party) dialer(o client.Options) client.Options {
	if c.o.Nodes != nil {
		o.Dialer = c.o.Nodes.Dial
	}
	return o
}
