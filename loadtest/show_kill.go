package loadtest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gamed/protocol"
)

// killNode kills the node chosen in the middle of the question chosen, and has every player try how soon he can go on.
func (p *play) killNode(ctx context.Context) error {
	q := p.o.KillAt
	if err := p.await(ctx, moment{"question", q}); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	owner, backup, err := p.o.Nodes.Locate(ctx, "trivia/"+p.topic[len("trivia:"):])
	if err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	name := p.o.Kill
	switch name {
	case "home":
		name = owner
	case "backup":
		name = backup
	case "other":
		alive := p.o.Nodes.Alive()
		i := slices.IndexFunc(alive, func(n string) bool { return n != owner && n != backup })
		if i < 0 {
			return fmt.Errorf("kill: %v are the home and its backup only", alive)
		}
		name = alive[i]
	}
	after := time.Duration(p.show.Questions[q-1].Seconds * p.o.KillMoment * float64(time.Second))
	if p.o.KillResult {
		err = p.await(ctx, moment{"result", q})
	} else if !waitUntil(ctx, time.Now().Add(after)) {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	now := time.Now()
	p.each(func(b *bot) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.killed, b.rec.OnKilled = now, b.client.Node() == name
	})
	at, err := p.o.Nodes.Kill(name)
	if err != nil {
		return err
	}
	p.kill = &Killed{Node: name, Question: q, At: at, Home: name == owner}
	p.each(func(b *bot) { b.probe(ctx, at) })
	return nil
}

func (p *play) await(ctx context.Context, m moment) error {
	select {
	case <-p.heard[m]:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s %d never came", m.event, m.q)
	}
}

// record is what the judge sees.
func (p *play) record() *ShowRecord {
	r := &ShowRecord{Topic: p.topic, Show: p.show, Ended: p.ended, Kill: p.kill}
	for _, b := range p.bots {
		b.mu.Lock()
		rec := b.rec
		b.mu.Unlock()
		r.Bots = append(r.Bots, &rec)
	}
	if p.o.Nodes != nil {
		r.Died = p.o.Nodes.Died()
	}
	return r
}

// report judges the record and sums it up.
func (p *play) report(rec *ShowRecord) *Report {
	r := &Report{Scenario: "show", Seed: p.o.Seed, Nodes: len(p.o.Addrs), Players: len(p.bots), Codes: map[string]int64{},
		Login: Login{p.login.sum(), rate(len(p.bots), p.loggedIn)}}
	r.judged(JudgeShow(rec))
	answers, reconnect, recovery := newLatencies(), newLatencies(), newLatencies()
	type span struct{ first, last time.Time }
	spans := map[uint64]*span{}
	for _, b := range rec.Bots {
		for _, a := range b.Answers {
			r.Codes[a.Code]++
			if a.Code == string(protocol.CodeOK) {
				answers.add(a.Done.Sub(a.Sent))
			}
		}
		if b.Reconnected > 0 {
			reconnect.add(b.Reconnected)
		}
		if b.Recovered > 0 {
			recovery.add(b.Recovered)
		}
		for _, v := range b.Pushes {
			if v.Topic != p.topic {
				continue
			}
			s := spans[v.Offset]
			if s == nil {
				s = &span{v.At, v.At}
				spans[v.Offset] = s
			}
			if v.At.Before(s.first) {
				s.first = v.At
			}
			if v.At.After(s.last) {
				s.last = v.At
			}
			switch v.Event {
			case "result":
				r.Questions = max(r.Questions, int(decode(v.Event, v.Payload).q))
			case "winners":
				t := decode(v.Event, v.Payload)
				r.Winners, r.Share = t.count, t.share
			}
		}
	}
	spread := newLatencies()
	for _, s := range spans {
		spread.add(s.last.Sub(s.first))
	}
	sums := [...]Latency{answers.sum(), spread.sum(), reconnect.sum(), recovery.sum()}
	r.Answer, r.Spread = sums[0], &sums[1]
	if p.kill != nil {
		r.Killed, r.Reconnect, r.Recovery = []Killed{*p.kill}, &sums[2], &sums[3]
	}
	if p.o.Nodes != nil {
		_, r.LogErrors = p.o.Nodes.Logs(0)
	}
	return r
}
