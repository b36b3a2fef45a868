package loadtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gamed/client"
	"gamed/game"
	"gamed/games/trivia"
	"gamed/protocol"
)

// bot is one player of a show. Its plan decides what it does, its record remembers what came of it.
type bot struct {
	show  trivia.Show
	topic string
	plan  plan
	heard func(moment)  // told of each question and result
	over  chan struct{} // closed when winners came, or the bot cannot go on

	client *client.Client
	calls  sync.WaitGroup // attempts under way

	mu       sync.Mutex // guards what follows
	rec      BotRecord
	out      bool
	finished bool
	killed   time.Time // when the node was killed
}

// join logs in and enters the room. A failure is noted in the record. ctx bounds the bot's attempts as well.
func (b *bot) join(ctx context.Context, addrs []string, dial client.Options) {
	dial.Name = b.rec.Name
	dial.OnPush = func(p client.Push) { b.pushed(ctx, p) }
	dial.OnConnect = b.connected
	c, err := client.Dial(ctx, addrs, dial)
	if err != nil {
		b.fail("log in: %v", err)
		return
	}
	b.client = c
	p, err := c.Join(ctx, b.topic)
	f := p.Fields()
	if err == nil && (!f.Bool("alive") || f.Text("phase") != "lobby") {
		err = fmt.Errorf("phase %q, alive %v", f.Text("phase"), f.Bool("alive"))
	}
	offset := f.Int("offset")
	if err == nil {
		err = f.Err()
	}
	if err != nil {
		b.fail("join: %v", err)
		return
	}
	b.mu.Lock()
	b.rec.Joined = uint64(offset)
	b.mu.Unlock()
}

func (b *bot) fail(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rec.Problem = fmt.Sprintf(format, args...)
	b.finish()
}

// finish closes over. The mutex is held.
func (b *bot) finish() {
	if !b.finished {
		b.finished = true
		close(b.over)
	}
}

func (b *bot) connected(w client.Connected) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rec.Connections = append(b.rec.Connections, Connection{time.Now(), w.Node, w.Resumed, w.Missed})
	if !b.killed.IsZero() && b.rec.OnKilled && b.rec.Reconnected == 0 && w.Resumed {
		b.rec.Reconnected = time.Since(b.killed)
	}
}

// pushed is the client's callback: one at a time.
func (b *bot) pushed(ctx context.Context, p client.Push) {
	at := time.Now()
	b.mu.Lock()
	b.rec.Pushes = append(b.rec.Pushes, Received{p, at})
	b.mu.Unlock()
	f := p.Payload.Fields()
	switch {
	case p.Topic == "" && p.Event == "verdict":
		if !f.Bool("alive") {
			b.mu.Lock()
			b.out = true
			b.mu.Unlock()
		}
	case p.Topic != b.topic:
	case p.Event == "question":
		q, open := int(f.Int("q")), time.Duration(f.Int("closes_in_ms"))*time.Millisecond
		if q < 1 || q > len(b.show.Questions) {
			return // the judge will tell
		}
		b.heard(moment{"question", q})
		b.mu.Lock()
		if !b.finished {
			b.calls.Go(func() { b.answer(ctx, q, at, open) })
		}
		b.mu.Unlock()
	case p.Event == "result":
		b.heard(moment{"result", int(f.Int("q"))})
	case p.Event == "winners":
		b.mu.Lock()
		b.finish()
		b.mu.Unlock()
	}
}

// answer does what the plan says about a question.
func (b *bot) answer(ctx context.Context, q int, asked time.Time, open time.Duration) {
	if open <= 0 {
		return // a replay of a question that is closed
	}
	b.mu.Lock()
	out := b.out
	b.mu.Unlock()
	question := b.show.Questions[q-1]
	attempts := b.plan.attempts(q, int64(question.Answer), len(question.Choices), open, out)
	for i, a := range attempts {
		if !waitUntil(ctx, asked.Add(a.after)) {
			return
		}
		if i+1 < len(attempts) && attempts[i+1].together {
			b.calls.Go(func() { b.try(ctx, q, a.choice) })
			continue
		}
		b.try(ctx, q, a.choice)
	}
}

// waitUntil says false when ctx ended first.
func waitUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try answers once and notes what came of it.
func (b *bot) try(ctx context.Context, q int, choice int64) {
	a := Answer{Q: q, Choice: choice, Sent: time.Now()}
	p, err := b.client.Call(ctx, b.topic, "answer", game.NewMap().Int("q", int64(q)).Int("choice", choice))
	a.Done = time.Now()
	f := p.Fields()
	switch code, known := client.CodeOf(err); {
	case err == nil:
		a.Code, a.GotQ, a.Got = string(protocol.CodeOK), int(f.Int("q")), f.Int("choice")
		if f.Err() != nil {
			a.GotQ, a.Err = 0, f.Err().Error()
		}
	case known:
		a.Code, a.Err = string(code), err.Error()
	default:
		a.Code, a.Err = unknown, err.Error()
	}
	b.mu.Lock()
	b.rec.Answers = append(b.rec.Answers, a)
	b.mu.Unlock()
}

// probe measures how long after the kill a call is answered that was begun after it.
func (b *bot) probe(ctx context.Context, killed time.Time) {
	if _, err := b.client.Call(ctx, "echo:", "probe", nil); err == nil {
		b.mu.Lock()
		b.rec.Recovered = time.Since(killed)
		b.mu.Unlock()
	}
}

// balance asks what the bot's account holds. Verdicts pushed before the answer have come when it returns: they take the same way.
func (b *bot) balance(ctx context.Context) {
	p, err := b.client.Call(ctx, "bank:", "balance", nil)
	f := p.Fields()
	n := f.Int("balance")
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && f.Err() == nil {
		b.rec.Balance, b.rec.HasBalance = n, true
	}
}

// leave ends the session and completes the record.
func (b *bot) leave() {
	if b.client == nil {
		return
	}
	s, err := b.client.Stats(), b.client.Err()
	_ = b.client.Close() // always nil
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rec.Sessions, b.rec.Duplicates = s.Sessions, s.Duplicates
	if err != nil {
		b.rec.Ended = err.Error()
	}
}

// told says whether the bot has all verdicts that it can expect: it is out, or has one for each question it heard of.
func (b *bot) told() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	questions, verdicts := 0, 0
	for _, p := range b.rec.Pushes {
		switch p.Event {
		case "question":
			questions++
		case "verdict":
			verdicts++
		}
	}
	return b.out || verdicts >= questions
}
