package trivia

import (
	"strconv"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// When a winner's part looks after its prize again by itself.
const (
	settleWait = game.CallTimeout + time.Second // a call is under way
	settleSoon = 500 * time.Millisecond
)

// bankTopic is where prizes are credited.
const bankTopic = "bank:"

// win declares the player a winner, once. If the round takes no more, it is asked for again or he was counted before.
func (p *part) win(c *game.Context) {
	if p.won == p.run || !c.TallyName(round(p.run, "win"), 0) {
		return
	}
	p.won, p.prize = p.run, prize{run: p.run}
	c.Changed()
	c.After("settle", settleWait)
}

// payout takes in the room's word on the prize and does what is to be done next.
func (p *part) payout(c *game.Context, f *game.Fields) {
	run, share, poll, over := f.Int("run"), f.Int("share"), f.Int("poll"), f.Bool("over")
	if f.Err() != nil || p.prize.run == 0 || run < p.prize.run {
		return
	}
	first := p.prize.share == 0 && share > 0
	if run > p.prize.run {
		p.prize.owed(0, 0, true)
	} else {
		p.prize.owed(share, poll, over)
	}
	c.Changed()
	if first && run == p.prize.run {
		p.credit(c)
	}
	p.settle(c)
	p.wait(c)
}

// wait tells the room, by tally, that the prize is still to come. In the first round all are waiting.
func (p *part) wait(c *game.Context) {
	if z := &p.prize; z.run != 0 && !z.paid && z.poll > z.told && c.Tally(paidRound(z.run, z.poll), owedSlot, 1) {
		z.told = z.poll
	}
}

// credit has the share added to the player's account, once however often it is asked for.
func (p *part) credit(c *game.Context) {
	id := c.Self().Topic + ":" + strconv.FormatInt(p.prize.run, 36)
	c.Call(game.Address{Player: c.Self().Player, Topic: bankTopic}, "credit", game.NewMap().Int("amount", p.prize.share).Text("id", id), "credit")
	c.After("settle", settleWait)
}

// credited hears from the bank. A refusal for good (the account is full) settles the prize as well.
func (p *part) credited(c *game.Context, status protocol.Code) {
	if p.prize.run == 0 || p.prize.paid {
		return
	}
	if status.Class() == protocol.ClassRetry {
		c.After("settle", settleSoon)
		return
	}
	p.prize.paid = true
	c.Changed()
	p.settle(c)
}

// settle tells the room, by tally, that the prize was credited. A round that takes no more is followed by the next.
func (p *part) settle(c *game.Context) {
	z := &p.prize
	if z.run == 0 || !z.done() && !(z.paid && z.poll >= 0 && c.Tally(paidRound(z.run, z.poll), paidSlot, 1)) {
		return
	}
	*z = prize{}
	c.Changed()
	c.Cancel("settle")
}

// Timer implements game.Timed: whatever got lost on the way to a prize is done again.
func (p *part) Timer(c *game.Context, _ string) {
	if p.prize.run == 0 {
		return
	}
	if !p.prize.paid && p.prize.share > 0 {
		p.credit(c)
	}
	c.Call(game.Address{Topic: c.Self().Topic}, "payout", nil, "payout")
	c.After("settle", settleWait)
}
