package command

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"gamed/client"
	"gamed/game"
	"gamed/games/trivia"
)

// bot is a player that thinks for a while and is sometimes wrong.
type bot struct {
	name  string
	addrs []string
	dial  func(ctx context.Context, addr string) (net.Conn, error)
	skill float64        // how often it knows the answer
	right map[string]int // the answer to each question's text

	up       atomic.Bool   // connected
	node     atomic.Value  // string: where
	answers  atomic.Uint64 // accepted
	refused  atomic.Uint64 // too late, out
	failed   atomic.Uint64 // no answer of the server
	returned atomic.Uint64 // connections after the first
	lost     atomic.Uint64 // sessions lost
}

func (d *demo) newBot(i int) *bot {
	name := fmt.Sprintf("bot-%02d", i+1)
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	b := &bot{name: name, addrs: d.addresses(i), dial: d.dial, right: d.right, skill: 0.75 + float64(h.Sum32()%25)/100}
	b.node.Store("")
	return b
}

// where is the node the bot is connected to, "" when it is not.
func (b *bot) where() string {
	if !b.up.Load() {
		return ""
	}
	return b.node.Load().(string)
}

// run plays until ctx ends.
func (b *bot) run(ctx context.Context) {
	questions := make(chan game.Payload, 8) // more wait only when the bot is far behind; they are then too late anyway
	fresh := make(chan struct{}, 1)         // a new session: join again
	offer := func(p game.Payload) {
		select {
		case questions <- p:
		default:
		}
	}
	opt := client.Options{Name: b.name, BackoffMax: time.Second, CallTimeout: 15 * time.Second, Dialer: b.dial}
	opt.OnPush = func(p client.Push) {
		if p.Topic == demoTopic && p.Event == "question" {
			offer(p.Payload)
		}
	}
	first := true
	opt.OnConnect = func(w client.Connected) {
		b.node.Store(w.Node)
		b.up.Store(true)
		if !first {
			b.returned.Add(1)
		}
		if !w.Resumed {
			if !first {
				b.lost.Add(1)
			}
			select {
			case fresh <- struct{}{}:
			default:
			}
		}
		first = false
	}
	opt.OnDisconnect = func(error) { b.up.Store(false) }
	c := b.login(ctx, opt)
	if c == nil {
		return
	}
	defer c.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.Done():
			b.up.Store(false)
			return
		case <-fresh:
			p, err := c.Join(ctx, demoTopic)
			if err != nil {
				b.failed.Add(1)
				again(ctx, fresh)
				continue
			}
			f := p.Fields()
			if f.Has("question") {
				offer(f.Raw("question").Clone())
			}
		case q := <-questions:
			b.answer(ctx, c, q)
		}
	}
}

// again asks for another try a little later.
func again(ctx context.Context, fresh chan<- struct{}) {
	pause(ctx, 500*time.Millisecond)
	select {
	case fresh <- struct{}{}:
	default:
	}
}

func (b *bot) login(ctx context.Context, opt client.Options) *client.Client {
	for ctx.Err() == nil {
		if c, err := client.Dial(ctx, b.addrs, opt); err == nil {
			return c
		}
		b.failed.Add(1)
		pause(ctx, time.Second)
	}
	return nil
}

// answer thinks and answers.
func (b *bot) answer(ctx context.Context, c *client.Client, q game.Payload) {
	f := q.Fields()
	number, closes, choices := f.Int("q"), f.IntOr("closes_in_ms", 0), int64(len(f.List("choices")))
	if f.Err() != nil || choices == 0 {
		return
	}
	choice := rand.Int64N(choices)
	if right, ok := b.right[f.Text("text")]; ok && rand.Float64() < b.skill {
		choice = int64(right)
	}
	// Most think for a third of the time; a few are so slow that they may be too late.
	think := time.Duration(float64(closes)*min(0.1+0.25*rand.ExpFloat64(), 0.97)) * time.Millisecond
	if !pause(ctx, think) {
		return
	}
	_, err := c.Call(ctx, demoTopic, "answer", game.NewMap().Int("q", number).Int("choice", choice))
	switch _, refused := client.CodeOf(err); {
	case err == nil:
		b.answers.Add(1)
	case refused:
		b.refused.Add(1)
	case ctx.Err() == nil:
		b.failed.Add(1)
	}
}

// dial connects to a node of the demo. A node that has ended is replaced by one that runs, so that a bot finds its way back also
// when all nodes it has heard of are gone.
func (d *demo) dial(ctx context.Context, addr string) (net.Conn, error) {
	alive := d.addresses(rand.IntN(100))
	if !slices.Contains(alive, addr) && len(alive) > 0 {
		addr = alive[0]
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", addr)
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pick is the next show: questions at random.
func (d *demo) pick() trivia.Show {
	all := demoQuestions()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	show := trivia.Show{Questions: all[:min(d.opt.questions, len(all))], Prize: 1000, Pause: d.opt.pause.Seconds()}
	for i := range show.Questions {
		show.Questions[i].Seconds = d.opt.answering.Seconds()
	}
	return show
}

// demoQuestions is a copy of the questions that come with trivia.
func demoQuestions() []trivia.Question { return slices.Clone(trivia.Questions()) }
