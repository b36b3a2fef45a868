// Package bank is a player's account, topic "bank:": whole numbers, 0 to 2⁵³, changed exactly once. It has a player part only,
// so a million accounts work in parallel.
//
// For clients: deposit {amount, id?}, withdraw {amount, id?}, transfer {to, amount, id?}, balance; each answers {balance}. An id
// makes an operation happen once, whatever happens to session or answer: a repeat gets the first answer. A refused operation
// uses up no id.
//
// For other parts (never clients): credit {amount, id} adds once per id, for payouts of games. It answers {balance}, or invalid
// when the account would pass its limit.
//
// # Transfers
//
// The sender's part takes the amount off and notes a transfer in the same commit: that is what is answered. The rest follows from
// the note, by calls that a timer repeats for as long as it takes:
//
//	receive {seq, amount, low}   the receiver adds the amount and remembers sender and seq; or refuses and remembers that
//	settled {low}                the sender is done with all transfers to this receiver below low: forget them
//
// A refusal (the account would pass its limit) is paid back to the sender, for whom that room was kept. The receiver remembers
// what is not settled, and for a while the mark below which all is, so that a call that was delayed on its way cannot count
// again. It remembers a bounded number of senders; beyond that it says busy, and the sender comes back.
//
// # Splits
//
// An account that went on on both sides of a split of the network is merged: what both added and took counts, see [part.Merge].
package bank

import (
	"errors"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// Topic is the only topic of the game.
const Topic = "bank:"

// Limits.
const (
	Max         = 1 << 53                // the most an account holds
	MaxID       = 64                     // bytes of a client's id
	kept        = 128                    // operations, credits and receipts remembered
	keptCalls   = 64                     // calls without an id remembered: as many as a session can have open
	maxCreditID = 192                    // bytes of a credit's id
	maxOut      = 64                     // transfers of one sender under way
	maxSenders  = 512                    // senders a receiver remembers
	guard       = 3 * game.CallTimeout   // how long a delayed call is reckoned with
	resend      = game.CallTimeout + 1e9 // a transfer whose call was not answered is sent again
	soon        = 2 * time.Second        // one whose call failed
)

// Game describes bank to the server.
func Game() game.Game {
	return game.Game{
		Name:     "bank",
		HasTopic: func(id string) bool { return id == "" },
		Player:   func(string) game.Player { return &part{} },
		Words: []game.Word{
			{Name: "deposit", Usage: "<amount>", Help: "add to your account", Topic: Topic, Event: "deposit", Parse: parseAmount},
			{Name: "withdraw", Usage: "<amount>", Help: "take from your account", Topic: Topic, Event: "withdraw", Parse: parseAmount},
			{Name: "transfer", Usage: "<player> <amount>", Help: "give to another player", Topic: Topic, Event: "transfer", Parse: parseTransfer},
			{Name: "balance", Help: "what your account holds", Topic: Topic, Event: "balance"},
		},
	}
}

func parseAmount(args string, _ game.Memory) (game.Payload, error) {
	n, err := amount(strings.TrimSpace(args))
	if err != nil {
		return nil, err
	}
	return game.NewMap().Int("amount", n).Payload(), nil
}

func parseTransfer(args string, _ game.Memory) (game.Payload, error) {
	to, rest, _ := strings.Cut(strings.TrimSpace(args), " ")
	n, err := amount(strings.TrimSpace(rest))
	if err != nil {
		return nil, err
	}
	return game.NewMap().Text("to", to).Int("amount", n).Payload(), nil
}

func amount(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errors.New("amount: want a whole number")
	}
	return n, nil
}

// part is the account of one player. What it may do with money is in account; here is who may ask for it.
type part struct{ account }

// Call implements game.Player.
func (p *part) Call(c *game.Context, m *game.Message) {
	f := m.Payload.Fields()
	switch {
	case m.From.Player == c.Self().Player: // his client, or another of his own parts
		switch m.Event {
		case "deposit", "withdraw", "transfer":
			p.operate(c, m.Event, &f)
			return
		case "balance":
			p.answer(c, f.Err(), p.balance)
			return
		case "credit":
			if !m.Client {
				p.credit(c, &f)
				return
			}
		}
	case !m.Client:
		switch m.Event {
		case "credit":
			p.credit(c, &f)
			return
		case "receive", "settled":
			if m.From.Topic == Topic {
				p.incoming(c, m.Event, m.From.Player, &f)
				return
			}
		}
	}
	c.Fail(protocol.CodeNotFound, "bank has no event %q", m.Event)
}

// operate does what the owner of the account asks for, once per id.
func (p *part) operate(c *game.Context, event string, f *game.Fields) {
	op := operation{kind: event, amount: f.Int("amount"), id: f.TextOr("id", "")}
	if event == "transfer" {
		op.to = f.Text("to")
		if f.Err() == nil && (!protocol.ValidPlayer(op.to) || op.to == c.Self().Player) {
			c.Fail(protocol.CodeInvalid, "to: want another player's name")
			return
		}
	}
	if err := f.Err(); err != nil {
		p.answer(c, err, 0)
		return
	}
	t, balance, repeated, err := p.apply(op, c.Now())
	if err == nil && !repeated {
		c.Durable()
		if t != nil {
			p.send(c, *t)
		} else if session, ref := c.CallID(); op.id == "" && ref != 0 {
			p.calls.note(hash(session), ref, op.delta())
		}
	}
	p.answer(c, err, balance)
}

// delta is what the operation adds to the balance.
func (op *operation) delta() int64 {
	if op.kind == "deposit" {
		return op.amount
	}
	return -op.amount
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // never fails
	return h.Sum64()
}

// credit adds what a game pays out.
func (p *part) credit(c *game.Context, f *game.Fields) {
	amount, id := f.Int("amount"), f.Text("id")
	if err := f.Err(); err != nil {
		p.answer(c, err, 0)
		return
	}
	fresh, err := p.grant(amount, id)
	if fresh {
		c.Durable()
	}
	p.answer(c, err, p.balance)
}

func (p *part) answer(c *game.Context, err error, balance int64) {
	switch {
	case err == nil:
		c.Reply(game.NewMap().Int("balance", balance))
	case errors.Is(err, errConflict):
		c.Fail(protocol.CodeConflict, "%v", err)
	case errors.Is(err, errBusy):
		c.FailRetry(protocol.CodeBusy, time.Second, err.Error())
	default:
		c.Fail(protocol.CodeInvalid, "%v", err)
	}
}
