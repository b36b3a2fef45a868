package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gamed/client"
	"gamed/game"
	"gamed/games/trivia"
)

// host runs one show.
type host struct {
	addrs []string
	opt   client.Options // Name or Token
	topic string
	show  trivia.Show
	tell  func(event string, p game.Payload) // what happens in the show
	note  func(format string, args ...any)   // what happens beside it
	wait  int                                // players to wait for before the start
	// waitLimit is how long to wait for them; 0: as long as ctx lives.
	waitLimit time.Duration

	asked int64 // the last question told of
}

// news is what the client's callbacks have to tell the host's goroutine.
type news struct {
	event string // "": a new session took the place of a lost one
	p     game.Payload
}

// run opens and starts the show and follows it to its end. The host only watches: it enters the room after the first question
// has opened. Every wait has a deadline.
func (h *host) run(ctx context.Context) error {
	if err := h.lobby(ctx); err != nil {
		return err
	}
	pushes := make(chan news, 256)
	c, err := h.dial(ctx, pushes)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Call(ctx, h.topic, "start", nil); err != nil {
		return fmt.Errorf("start %s: %w", h.topic, err)
	}
	over, err := h.join(ctx, c)
	if err != nil || over {
		return errors.Join(err, missed(over))
	}
	patience, silent := time.NewTimer(longest(h.show)), false
	defer patience.Stop()
	for {
		select {
		case n := <-pushes:
			patience.Reset(longest(h.show))
			silent = false
			if n.event == "" {
				if over, err := h.join(ctx, c); err != nil || over {
					return errors.Join(err, missed(over))
				}
				continue
			}
			h.happened(n)
			if n.event == "winners" {
				return nil
			}
		case <-patience.C:
			if silent {
				return fmt.Errorf("nothing came from %s for %v: the show is stuck or its node is gone", h.topic, 2*longest(h.show))
			}
			silent = true
			patience.Reset(longest(h.show))
			if over, err := h.join(ctx, c); err != nil || over {
				return errors.Join(err, missed(over))
			}
		case <-c.Done():
			return fmt.Errorf("the server ended the host's session: %w", c.Err())
		case <-ctx.Done():
			return fmt.Errorf("host %s: %w", h.topic, context.Cause(ctx))
		}
	}
}

// happened tells of a push; of a question once, though a look into the room shows it again.
func (h *host) happened(n news) {
	if n.event == "question" {
		f := n.p.Fields()
		q := f.IntOr("q", 0)
		if q <= h.asked {
			return
		}
		h.asked = q
	}
	h.tell(n.event, n.p)
}

func missed(over bool) error {
	if over {
		return errors.New("the show went on to its end while the host was away; see the bank for the prizes")
	}
	return nil
}

// dial logs in. pushes gets those of the topic, and word of each session after the first.
func (h *host) dial(ctx context.Context, pushes chan news) (*client.Client, error) {
	opt, first := h.opt, true
	send := func(n news) {
		select {
		case pushes <- n:
		case <-ctx.Done():
		}
	}
	if pushes != nil {
		opt.OnPush = func(p client.Push) {
			if p.Topic == h.topic && p.Offset > 0 {
				send(news{p.Event, p.Payload})
			}
		}
		opt.OnConnect = func(w client.Connected) {
			if !first {
				h.note("connected again, to %s", w.Node)
				if !w.Resumed || w.Missed[h.topic] {
					send(news{})
				}
			}
			first = false
		}
	}
	opt.OnDisconnect = func(err error) { h.note("connection lost: %v", err) }
	c, err := client.Dial(ctx, h.addrs, opt)
	if err != nil {
		return nil, unreachable(err)
	}
	return c, nil
}

// lobby opens the show and waits for players. Being counted needs being in the room, so the host enters it, and leaves by BYE:
// that takes effect before what the same player sends afterwards.
func (h *host) lobby(ctx context.Context) error {
	c, err := h.dial(ctx, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Call(ctx, h.topic, "open", h.show.Payload()); err != nil {
		return fmt.Errorf("open %s: %w", h.topic, err)
	}
	if h.waitLimit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, h.waitLimit, fmt.Errorf("fewer than %s came within %v", plural(int64(h.wait), "player"), h.waitLimit))
		defer cancel()
	}
	told := int64(-1)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for h.wait > 0 {
		p, err := c.Join(ctx, h.topic)
		if err != nil {
			return fmt.Errorf("look into the lobby of %s: %w", h.topic, err)
		}
		f := p.Fields()
		players := f.Int("players") - 1 // the host
		if f.Err() != nil {
			return fmt.Errorf("look into the lobby of %s: %w", h.topic, f.Err())
		}
		if players != told {
			h.note("%d of %s", players, plural(int64(h.wait), "player"))
			told = players
		}
		if players >= int64(h.wait) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for players: %w", context.Cause(ctx))
		}
	}
	return nil
}

// join enters the room and tells of the question that is open, if one is.
func (h *host) join(ctx context.Context, c *client.Client) (over bool, err error) {
	p, err := c.Join(ctx, h.topic)
	if err != nil {
		return false, fmt.Errorf("join %s: %w", h.topic, err)
	}
	f := p.Fields()
	if f.Has("question") {
		h.happened(news{"question", f.Raw("question")})
	}
	return f.Text("phase") == "over", f.Err()
}
