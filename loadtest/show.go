package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gamed/client"
	"gamed/games/trivia"
)

// ShowOptions say what is played. Zero values mean the defaults named.
type ShowOptions struct {
	Nodes   *Nodes   // the cluster, or
	Addrs   []string // players' addresses of one that runs already
	Players int      // default 1,000

	Set       string  // questions in the box, default "general"
	Questions int     // how many of them; default all
	Seconds   float64 // how long each is open, default 1.5
	Pause     float64 // after a result, default 0.1 s; below 0: none
	Prize     int64   // default 1,000,000

	KillAt      int     // the question in which a node is killed; 0: nobody is. Needs Nodes
	Kill        string  // whom: "home" of the room (default), its "backup", an "other" node, or a node's name
	KillSeconds float64 // how long that question is open, default 6
	KillMoment  float64 // when, as a part of that time, default 0.4; above 1: while its answers are counted or after
	KillResult  bool    // instead: at the moment when the first player hears the result

	Seed   uint64       // of what the players do; 0: random
	Logger *slog.Logger // nil: silent

	History io.Writer // gets ShowRecord.WriteHistory; nil: nobody does
}

// loginsAtOnce is how many players log in at the same time.
const loginsAtOnce = 64

func (o ShowOptions) withDefaults() (ShowOptions, trivia.Show, error) {
	if o.Players == 0 {
		o.Players = 1000
	}
	if o.Set == "" {
		o.Set = "general"
	}
	if o.Seconds == 0 {
		o.Seconds = 1.5
	}
	if o.Pause == 0 {
		o.Pause = 0.1
	}
	if o.Prize == 0 {
		o.Prize = 1_000_000
	}
	if o.Kill == "" {
		o.Kill = "home"
	}
	if o.KillSeconds == 0 {
		o.KillSeconds = 6
	}
	if o.KillMoment == 0 {
		o.KillMoment = 0.4
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	show, err := trivia.Set(o.Set)
	if err != nil {
		return o, show, fmt.Errorf("questions: %w", err)
	}
	if o.Questions == 0 {
		o.Questions = len(show.Questions)
	}
	switch {
	case o.Players < 1:
		return o, show, errors.New("players: want at least 1")
	case o.Questions < 1 || o.Questions > len(show.Questions):
		return o, show, fmt.Errorf("questions: the set has 1 to %d", len(show.Questions))
	case o.KillAt < 0 || o.KillAt > o.Questions:
		return o, show, fmt.Errorf("kill at: want one of %d questions", o.Questions)
	case o.KillMoment < 0 || o.KillMoment > 2:
		return o, show, errors.New("kill moment: want 0 to 2")
	case o.Nodes == nil && len(o.Addrs) == 0:
		return o, show, errors.New("want nodes or addresses to play against")
	case o.KillAt > 0 && (o.Nodes == nil || len(o.Nodes.Alive()) < 2):
		return o, show, errors.New("kill at: want at least two nodes that the harness started")
	}
	if o.Nodes != nil {
		o.Addrs = o.Nodes.Names()
	}
	show.Questions = show.Questions[:o.Questions]
	show.Prize, show.Pause = o.Prize, max(o.Pause, 0)
	for i := range show.Questions {
		show.Questions[i].Seconds = o.Seconds
		if i+1 == o.KillAt {
			show.Questions[i].Seconds = o.KillSeconds
		}
	}
	return o, show, nil
}

// Show plays a quiz show and judges it. An error says that it could not be played; broken promises are in the report.
func Show(ctx context.Context, o ShowOptions) (*Report, error) {
	o, show, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("show: %w", err)
	}
	began := time.Now()
	p := &play{o: o, show: show, run: strconv.FormatUint(rand.Uint64(), 36), heard: map[moment]chan struct{}{}}
	p.topic = "trivia:load-" + p.run
	for q := range show.Questions {
		p.heard[moment{"question", q + 1}], p.heard[moment{"result", q + 1}] = make(chan struct{}), make(chan struct{})
	}
	length := 90 * time.Second // for logging in, a fail-over and leaving
	for _, q := range show.Questions {
		length += time.Duration((q.Seconds + show.Pause + 1) * float64(time.Second))
	}
	ctx, stop := context.WithTimeout(ctx, length)
	defer stop()
	if err := p.play(ctx); err != nil {
		return nil, fmt.Errorf("show: %w", err)
	}
	rec := p.record()
	r := p.report(rec)
	r.Seconds = time.Since(began).Seconds()
	if o.History != nil {
		err = rec.WriteHistory(o.History)
	}
	return r, err
}

// moment is a push of the room that the harness waits for.
type moment struct {
	event string
	q     int
}

// play is one show under way.
type play struct {
	o     ShowOptions
	show  trivia.Show
	run   string
	topic string
	bots  []*bot
	heard map[moment]chan struct{} // closed when the first player hears of it; the map does not change
	once  sync.Mutex               // guards closing them

	login    *latencies
	loggedIn time.Duration
	kill     *Killed
	ended    bool
}

func (p *play) play(ctx context.Context) error {
	host, err := client.Dial(ctx, p.o.Addrs, p.dial(client.Options{Name: "host-" + p.run}))
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	defer host.Close()
	if _, err := host.Call(ctx, p.topic, "open", p.show.Payload()); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	p.enter(ctx)
	defer p.each(func(b *bot) { b.leave() })
	p.o.Logger.Info("players are in", "players", len(p.bots), "per_second", int(rate(len(p.bots), p.loggedIn)), "topic", p.topic)
	if _, err := host.Call(ctx, p.topic, "start", nil); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	var kill sync.WaitGroup
	if p.o.KillAt > 0 {
		kill.Go(func() { err = p.killNode(ctx) })
	}
	p.ended = p.over(ctx)
	kill.Wait()
	p.each(func(b *bot) { b.calls.Wait() })
	p.settle(ctx)
	p.each(func(b *bot) { b.balance(ctx) })
	return err
}

// dial lets clients use the nodes' names as addresses.
func (p *play) dial(o client.Options) client.Options {
	if p.o.Nodes != nil {
		o.Dialer = p.o.Nodes.Dial
	}
	o.DialTimeout = 30 * time.Second
	o.Logger = p.o.Logger // clients log at level debug only
	return o
}

// enter has all players log in and join.
func (p *play) enter(ctx context.Context) {
	p.login = newLatencies()
	for i := range p.o.Players {
		b := &bot{show: p.show, topic: p.topic, plan: plan{p.o.Seed, uint64(i)}, heard: p.hear, over: make(chan struct{})}
		b.rec.Name = "bot-" + p.run + "-" + strconv.Itoa(i)
		p.bots = append(p.bots, b)
	}
	began := time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	for range loginsAtOnce {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(p.bots) {
					return
				}
				from := i % len(p.o.Addrs)
				addrs := slices.Concat(p.o.Addrs[from:], p.o.Addrs[:from])
				at := time.Now()
				p.bots[i].join(ctx, addrs, p.dial(client.Options{}))
				p.login.add(time.Since(at))
			}
		})
	}
	all.Wait()
	p.loggedIn = time.Since(began)
}

// hear is told by every player of every question and result.
func (p *play) hear(m moment) {
	p.once.Lock()
	defer p.once.Unlock()
	c, known := p.heard[m]
	if !known || closed(c) {
		return // a wrong number: the judge will tell
	}
	close(c)
	p.o.Logger.Info("heard", "event", m.event, "q", m.q)
}

// each does something for all players who take part, at the same time.
func (p *play) each(do func(*bot)) {
	var all sync.WaitGroup
	for _, b := range p.bots {
		if b.client != nil && b.rec.Problem == "" {
			all.Go(func() { do(b) })
		}
	}
	all.Wait()
}

// over waits until winners came to everybody; false: to some they did not.
func (p *play) over(ctx context.Context) bool {
	limit, stop := context.WithDeadline(ctx, time.Now().Add(p.patience()))
	defer stop()
	ended := true
	for _, b := range p.bots {
		select {
		case <-b.over:
		case <-limit.Done():
			ended = false
		}
		b.mu.Lock()
		b.finish() // no more attempts
		b.mu.Unlock()
	}
	return ended
}

// patience is how long a show may take, with a fail-over.
func (p *play) patience() time.Duration {
	d := 30 * time.Second
	for _, q := range p.show.Questions {
		d += time.Duration((q.Seconds+p.show.Pause+0.5)*1000) * time.Millisecond
	}
	return d
}

// settle waits, not for ever, until every player was told that he is out or has a verdict on each question.
func (p *play) settle(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		settled := true
		p.each(func(b *bot) {
			if !b.told() {
				p.once.Lock()
				settled = false
				p.once.Unlock()
			}
		})
		if settled {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
