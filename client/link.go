package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"gamed/protocol"
)

const (
	maxOut   = 1 << 20  // casts find the link full when so many bytes wait
	keepBuf  = 32 << 10 // larger buffers are given back when empty
	firstBuf = 2 << 10
)

var errSilent = errors.New("server was silent for two heartbeats")

// link is one connection. The reading side belongs to the client's run goroutine; out and writing to the client's mutex.
type link struct {
	conn      net.Conn
	addr      string
	since     time.Time
	heartbeat time.Duration

	buf  []byte // buf[r:w] is read and not yet handled
	r, w int

	out     []byte // to be written
	writing bool
}

// send appends to what is to be written and sees that somebody writes it. The mutex is held.
func (c *Client) send(l *link, appendTo func([]byte) []byte) {
	l.out = appendTo(l.out)
	if !l.writing {
		l.writing = true
		c.writer.Add(1)
		go c.write(l)
	}
}

// write writes until nothing is left; what is sent meanwhile goes out in one piece. A failed write closes the connection,
// which the reader notices.
func (c *Client) write(l *link) {
	defer c.writer.Done()
	var spare []byte
	for {
		c.mu.Lock()
		if len(l.out) == 0 {
			l.writing = false
			if l.out == nil && cap(spare) <= keepBuf {
				l.out = spare
			}
			c.mu.Unlock()
			return
		}
		batch := l.out
		l.out = spare[:0]
		c.mu.Unlock()
		_ = l.conn.SetWriteDeadline(time.Now().Add(c.opts.WriteTimeout))
		if _, err := l.conn.Write(batch); err != nil {
			c.opts.Logger.Debug("write failed", "addr", l.addr, "err", err)
			l.conn.Close()
			return // writing stays true: nobody writes to a dead link again
		}
		if spare = batch[:0]; cap(spare) > keepBuf {
			spare = nil
		}
	}
}

// next is the body of the next frame; it aliases the buffer and is valid until the next call. A timeout leaves the buffer
// whole, so next may be called again.
func (l *link) next() ([]byte, error) {
	for {
		need := 4
		if have := l.buf[l.r:l.w]; len(have) >= 4 {
			n := binary.BigEndian.Uint32(have)
			if n == 0 || n > protocol.MaxFrameOut {
				return nil, fmt.Errorf("read frame: length %d", n)
			}
			need = 4 + int(n)
			if len(have) >= need {
				l.r += need
				return have[4:need], nil
			}
		}
		if err := l.fill(need); err != nil {
			return nil, err
		}
	}
}

// fill reads once, with room for a frame of need bytes.
func (l *link) fill(need int) error {
	if l.r == l.w {
		l.r, l.w = 0, 0
		if cap(l.buf) > keepBuf && need <= firstBuf {
			l.buf = nil
		}
	}
	if l.r+need > len(l.buf) {
		to := l.buf
		if need > len(l.buf) {
			to = make([]byte, max(need, firstBuf))
		}
		l.w = copy(to, l.buf[l.r:l.w])
		l.r, l.buf = 0, to
	}
	n, err := l.conn.Read(l.buf[l.w:])
	l.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return fmt.Errorf("read frame: %w", err)
}

// serve handles what the server sends until the connection ends; the error says why.
func (c *Client) serve(l *link) error {
	stop := closeOn(c.ctx, l.conn)
	defer stop()
	pinged := false
	for {
		c.mu.Lock()
		if !c.closing { // Close has set its own, last deadline
			_ = l.conn.SetReadDeadline(time.Now().Add(l.heartbeat))
		}
		c.mu.Unlock()
		body, err := l.next()
		switch {
		case err == nil:
			pinged = false
			if err := c.handle(l, body); err != nil {
				return err
			}
		case errors.Is(err, os.ErrDeadlineExceeded) && !c.isClosing():
			if pinged {
				return errSilent
			}
			pinged = true
			c.mu.Lock()
			c.send(l, func(dst []byte) []byte { return protocol.AppendPing(dst, []byte{1}) })
			c.mu.Unlock()
		default:
			return err
		}
	}
}

func (c *Client) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// handle does what one frame asks for. Kinds it does not know are ignored, so that the protocol can grow.
func (c *Client) handle(l *link, body []byte) error {
	if err := protocol.CheckFrame(body); err != nil {
		return fmt.Errorf("frame from server: %w", err)
	}
	kind, _ := protocol.FrameKind(body)
	ok := true
	switch kind {
	case protocol.KindReply:
		var f protocol.Reply
		if f, ok = protocol.ParseReply(body); ok {
			c.replied(f.Ref, f.Status, f.Payload)
		}
	case protocol.KindPush:
		var f protocol.Push
		if f, ok = protocol.ParsePush(body); ok {
			c.pushed(&f)
		}
	case protocol.KindPing:
		var t []byte
		if t, ok = protocol.ParsePing(body); ok {
			c.mu.Lock()
			c.send(l, func(dst []byte) []byte { return protocol.AppendPong(dst, t) })
			c.mu.Unlock()
		}
	case protocol.KindGoaway:
		var f protocol.Goaway
		if f, ok = protocol.ParseGoaway(body); ok {
			return c.goaway(f)
		}
	}
	if !ok {
		return fmt.Errorf("frame from server: malformed, kind %d", kind)
	}
	return nil
}

func (c *Client) pushed(f *protocol.Push) {
	c.mu.Lock()
	topic, fresh, missing := c.seen.accept(f.Topic, f.Offset)
	c.mu.Unlock()
	if !fresh {
		c.stats.duplicates.Add(1)
		return
	}
	if missing > 0 {
		c.stats.gaps.Add(1)
		c.notes.tell(note{gap: &Gap{Topic: topic, From: missing, To: f.Offset - 1}})
	}
	if c.opts.OnPush != nil {
		payload := append([]byte(nil), f.Payload...)
		c.notes.push(c.ctx, &Push{Topic: topic, Offset: f.Offset, Event: string(f.Event), Payload: payload})
	}
}
