package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// The pause before a retry when the server names none: it doubles from the first to the second.
const (
	retryMin = 50 * time.Millisecond
	retryMax = time.Second
)

// call is one call from its beginning to its end. The client's mutex guards it; while open holds it, it waits for an answer.
type call struct {
	ref       uint64
	topic     string
	event     string
	payload   []byte
	life      uint64 // the session it belongs to
	before    uint64 // what had been seen of the topic when it was sent
	sent      bool   // given to a connection of that session
	abandoned bool   // nobody waits, but the server has it open
	answer    chan answer
}

type answer struct {
	status  protocol.Code
	payload []byte
	err     error
}

// Call sends an event to a topic and waits for the answer. payload is a game.Payload, a *game.Map, nil (an empty map), or
// anything msgpack can encode. At most as many calls as the server allows (64) are open; further ones wait here.
//
// The error is an [*Error] when the server answered with a code; with others the outcome is unknown, unless the text says
// that the call was never sent.
func (c *Client) Call(ctx context.Context, topic, event string, payload any) (game.Payload, error) {
	body, err := encode(topic, event, payload)
	if err != nil {
		return nil, fmt.Errorf("call %s %s: %w", topic, event, err)
	}
	ctx, stop := context.WithTimeout(ctx, c.opts.CallTimeout)
	defer stop()
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("call %s %s: %w (never sent)", topic, event, ctx.Err())
	case <-c.done:
	}
	p, err := c.do(ctx, &call{topic: topic, event: event, payload: body, answer: make(chan answer, 1)})
	if err != nil {
		return nil, fmt.Errorf("call %s %s: %w", topic, event, err)
	}
	return p, nil
}

// Join calls join: the client then gets the topic's pushes from the answer's offset on.
func (c *Client) Join(ctx context.Context, topic string) (game.Payload, error) {
	return c.Call(ctx, topic, "join", nil)
}

// Cast sends an event without waiting and without an answer, at most once.
func (c *Client) Cast(topic, event string, payload any) error {
	body, err := encode(topic, event, payload)
	if err != nil {
		return fmt.Errorf("cast %s %s: %w", topic, event, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		err = c.closedError()
	case c.link == nil || c.closing:
		err = ErrNotConnected
	case len(c.link.out) > maxOut:
		err = ErrOverflow
	default:
		c.send(c.link, func(dst []byte) []byte { return protocol.AppendCall(dst, 0, topic, event, body) })
		return nil
	}
	return fmt.Errorf("cast %s %s: %w", topic, event, err)
}

// do sees a call through its retries. It gives the slot back, unless the call is left with the server.
func (c *Client) do(ctx context.Context, k *call) (game.Payload, error) {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		a, left := c.ask(ctx, k)
		if a.err != nil {
			if !left {
				c.release()
			}
			return nil, a.err
		}
		if a.status == protocol.CodeOK {
			c.release()
			return a.payload, nil
		}
		e := failure(a)
		wait := pause/2 + rand.N(pause)
		if e.HasRetry {
			wait = e.Retry + rand.N(e.Retry/4+time.Millisecond)
		}
		deadline, _ := ctx.Deadline()
		if c.opts.NoRetry || !retryable(e.Code) || time.Until(deadline) <= wait {
			c.release()
			return nil, e
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			c.release()
			return nil, fmt.Errorf("%w (last answer: %w)", ctx.Err(), e)
		case <-c.done:
		}
		c.stats.retries.Add(1)
	}
}

// retryable: internal is left to the caller, because the same message would very likely fail the handler again.
func retryable(code protocol.Code) bool {
	return code.Class() == protocol.ClassRetry && code != protocol.CodeInternal
}

func failure(a answer) *Error {
	e := &Error{Code: a.status}
	if f, ok := protocol.ParseFailure(a.payload); ok {
		e.Message, e.HasRetry = f.Message, f.HasRetry
		e.Retry = time.Duration(min(max(f.RetryMS, 0), maxRetry.Milliseconds())) * time.Millisecond
	}
	return e
}

// ask submits the call once and waits. left says that the server still has it open and will give the slot back.
func (c *Client) ask(ctx context.Context, k *call) (a answer, left bool) {
	if err := c.submit(k); err != nil {
		return answer{err: err}, false
	}
	select {
	case a = <-k.answer:
		return a, false
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[k.ref] != k { // answered at this very moment
		return <-k.answer, false
	}
	if !k.sent {
		delete(c.open, k.ref)
		return answer{err: fmt.Errorf("%w (never sent)", ctx.Err())}, false
	}
	if c.link == nil {
		delete(c.open, k.ref)
	} else {
		k.abandoned, left = true, true
	}
	return answer{err: fmt.Errorf("%w (sent, outcome unknown)", ctx.Err())}, left
}

// submit makes the call open, and sends it if there is a connection; else the next WELCOME does.
func (c *Client) submit(k *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.closedError()
	case c.closing:
		return ErrClosed
	case k.ref == 0:
		c.ref++
		k.ref, k.life, k.before = c.ref, c.life, c.seen.position(k.topic)
	case k.life != c.life:
		return ErrSessionLost // it waited for a retry; a durable change may have been in doubt
	}
	c.open[k.ref] = k
	if c.link != nil {
		c.sendCall(k)
	}
	return nil
}

func (c *Client) sendCall(k *call) {
	k.sent = true
	c.send(c.link, func(dst []byte) []byte { return protocol.AppendCall(dst, k.ref, k.topic, k.event, k.payload) })
}

// replied hands an answer to its call. payload aliases the reader's buffer.
func (c *Client) replied(ref uint64, status protocol.Code, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.open[ref]
	if k == nil {
		return
	}
	if status == protocol.CodeOK {
		switch k.event {
		case "join":
			f := game.Payload(payload).Fields()
			if offset := f.Int("offset"); f.Err() == nil && offset >= 0 {
				c.seen.joined(k.topic, uint64(offset), k.before)
			}
		case "leave":
			delete(c.seen, k.topic)
		}
	}
	c.finish(k, answer{status: status, payload: append([]byte(nil), payload...)})
}

// finish ends the wait of an open call. The mutex is held.
func (c *Client) finish(k *call, a answer) {
	delete(c.open, k.ref)
	if k.abandoned {
		c.release()
		return
	}
	k.answer <- a
}

func (c *Client) release() {
	select {
	case <-c.slots:
	default: // the client had ended when the call began
	}
}

// encode makes the payload's bytes and checks that the server will take the frame: one it does not take ends the session.
func encode(topic, event string, payload any) (body []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("encode payload: %v", r)
		}
	}()
	var p game.Payload
	switch v := payload.(type) {
	case nil:
		p = game.EmptyMap
	case game.Payload:
		p = v
	case *game.Map:
		p = v.Payload()
	default:
		p = game.Encode(v)
	}
	if body, err = protocol.Normalize(p); err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	frame := protocol.AppendCall(nil, 1<<63, topic, event, body)[4:]
	if len(frame) > protocol.MaxFrameIn {
		return nil, fmt.Errorf("frame of %d bytes, the limit is %d", len(frame), protocol.MaxFrameIn)
	}
	if err := protocol.CheckFrame(frame); err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	return body, nil
}
