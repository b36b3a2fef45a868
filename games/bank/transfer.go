package bank

import (
	"slices"
	"strconv"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// send makes the next step of a transfer: the call that moves the money, or the one that says it is settled.
func (p *part) send(c *game.Context, t transfer) {
	to := game.Address{Player: t.to, Topic: Topic}
	tag := strconv.FormatInt(t.seq, 10)
	if t.settled {
		c.Call(to, "settled", game.NewMap().Int("low", p.low(t.to)), "s"+tag)
	} else {
		c.Call(to, "receive", game.NewMap().Int("seq", t.seq).Int("amount", t.amount).Int("low", p.low(t.to)), "r"+tag)
	}
	c.After("resend", resend)
}

// low is the number below which every transfer to this receiver is settled.
func (a *account) low(to string) int64 {
	for _, t := range a.out {
		if t.to == to && !t.settled {
			return t.seq
		}
	}
	return a.seq + 1
}

// Answered implements game.Answered: the other side has done its step, or it is not known whether it has.
func (p *part) Answered(c *game.Context, tag string, status protocol.Code, _ game.Payload) {
	step, number := tag[:1], tag[1:]
	seq, err := strconv.ParseInt(number, 10, 64)
	i := slices.IndexFunc(p.out, func(t transfer) bool { return t.seq == seq })
	if err != nil || i < 0 {
		return // settled by an earlier answer
	}
	t := &p.out[i]
	switch {
	case step == "r" && !t.settled && (status == protocol.CodeOK || status == protocol.CodeInvalid):
		t.settled = true
		if status == protocol.CodeInvalid {
			p.balance += t.amount
		}
		c.Durable()
		p.send(c, *t)
	case step == "s" && t.settled && status == protocol.CodeOK:
		p.out = slices.Delete(p.out, i, i+1)
		c.Durable()
		if len(p.out) == 0 {
			c.Cancel("resend")
		}
	case status != protocol.CodeOK:
		c.After("resend", soon)
	}
}

// Timer implements game.Timed. It changes nothing, so that no failing store can end the repeating.
func (p *part) Timer(c *game.Context, _ string) {
	for _, t := range p.out {
		p.send(c, t)
	}
}

// sender is what a receiver knows of one who sent to it.
type sender struct {
	name string
	low  int64     // every transfer below is settled
	open []outcome // those from low on that have been judged here, at most maxOut
	seen int64     // when it was last heard of, Unix milliseconds
}

type outcome struct {
	seq     int64
	refused bool
	doubt   int64 // not 0: not judged yet; when it first came although its sender had said that it was settled, Unix milliseconds
}

// receipt is a transfer that was added to the balance.
type receipt struct {
	from        string
	seq, amount int64
}

// incoming handles the calls of another player's account.
func (p *part) incoming(c *game.Context, event, from string, f *game.Fields) {
	low := f.Int("low")
	var seq, amount int64
	if event == "receive" {
		seq, amount = f.Int("seq"), f.Int("amount")
	}
	if err := f.Err(); err != nil {
		c.Fail(protocol.CodeNotFound, "%v", err) // invalid would mean that the amount was refused
		return
	}
	if event == "settled" {
		if p.forget(from, low, c.Now()) {
			c.Durable()
		}
		return
	}
	refused, fresh, err := p.receive(from, seq, amount, low, c.Now())
	if fresh {
		c.Durable()
	}
	switch {
	case err != nil:
		c.FailRetry(protocol.CodeBusy, soon, err.Error())
	case refused:
		c.Fail(protocol.CodeInvalid, "%v", errLimit)
	}
}

// receive adds a transfer's amount, or refuses it, once. fresh: it was judged now. An error says that nothing was done.
func (a *account) receive(from string, seq, amount, low int64, now time.Time) (refused, fresh bool, err error) {
	s := a.sender(from, now)
	if s == nil {
		return false, false, errBusy
	}
	for _, g := range a.got {
		if g.from == from && g.seq == seq {
			return false, false, nil
		}
	}
	s.trust(now)
	waiting, doubted := 0, -1
	for i, o := range s.open {
		switch {
		case o.seq == seq && o.doubt == 0:
			return o.refused, false, nil
		case o.seq == seq:
			doubted = i
		case o.seq >= max(low, s.low):
			waiting++
		}
	}
	if seq < max(low, s.low) {
		// The sender has long had its answer, and this call was delayed on its way; or the sender was merged after a split, and has
		// transfers again of which its other half knew nothing. Only that one comes again.
		switch {
		case doubted < 0 && len(s.open) >= merged*maxOut:
			return false, false, errBusy
		case doubted < 0:
			s.open = append(s.open, outcome{seq: seq, doubt: now.UnixMilli()})
			return false, true, errSettled
		case now.UnixMilli()-s.open[doubted].doubt < guard.Milliseconds():
			return false, false, errSettled
		}
	} else if waiting >= maxOut {
		return false, false, errBusy
	}
	if doubted >= 0 {
		s.open = slices.Delete(s.open, doubted, doubted+1)
	}
	s.raise(low)
	refused = amount <= 0 || !a.fits(amount)
	if !refused {
		a.balance += amount
		a.got = remember(a.got, receipt{from, seq, amount})
	}
	s.open = append(s.open, outcome{seq: seq, refused: refused})
	s.seen = now.UnixMilli()
	return refused, true, nil
}

// forget notes that all of a sender's transfers below low are settled. False: that changed nothing.
func (a *account) forget(from string, low int64, now time.Time) bool {
	for i := range a.in {
		if s := &a.in[i]; s.name == from && low > s.low {
			s.raise(low)
			s.seen = now.UnixMilli()
			return true
		}
	}
	return false
}

// trust forgets doubts about transfers that did not come again.
func (s *sender) trust(now time.Time) {
	s.open = slices.DeleteFunc(s.open, func(o outcome) bool { return o.doubt != 0 && now.UnixMilli()-o.doubt > 4*guard.Milliseconds() })
}

func (s *sender) raise(low int64) {
	s.low = max(s.low, low)
	s.open = slices.DeleteFunc(s.open, func(o outcome) bool { return o.seq < s.low && o.doubt == 0 })
}

// sender finds what is known of a sender, or makes room for a new one in the place of one that has nothing open and was not heard
// of for so long that none of its calls can still be on its way. nil: there is no such place, and nothing was changed.
func (a *account) sender(name string, now time.Time) *sender {
	for i := range a.in {
		if a.in[i].name == name {
			return &a.in[i]
		}
	}
	a.in = slices.DeleteFunc(a.in, func(s sender) bool {
		s.trust(now)
		return len(s.open) == 0 && now.UnixMilli()-s.seen >= guard.Milliseconds()
	})
	if len(a.in) >= maxSenders {
		return nil
	}
	a.in = append(a.in, sender{name: name})
	return &a.in[len(a.in)-1]
}
