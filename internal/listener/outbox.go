package listener

import (
	"errors"
	"os"
	"sync"
	"time"

	"gamed/protocol"
)

// scratch lends buffers for the bytes of one Send or one read.
var scratch = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 4096)} }}

type buffer struct{ b []byte }

func lend() *buffer {
	s := scratch.Get().(*buffer)
	s.b = s.b[:0]
	return s
}

func giveBack(s *buffer) {
	if cap(s.b) <= 256<<10 {
		scratch.Put(s)
	}
}

// put writes binary frames in the client's dialect. c.mu is held.
func (c *Conn) put(frames []byte) {
	if c.talk == dialectBinary {
		c.write(frames, false)
		return
	}
	s := lend()
	s.b = c.translate(s.b, frames)
	if len(s.b) > 0 {
		c.write(s.b, false)
	}
	giveBack(s)
}

// translate appends binary frames in the client's dialect. What cannot be said in it is dropped and counted. c.mu is held.
func (c *Conn) translate(dst, frames []byte) []byte {
	for len(frames) >= 4 {
		n := frameLen(frames)
		if n > len(frames)-4 {
			break
		}
		body := frames[4 : 4+n]
		frames = frames[4+n:]
		var (
			next []byte
			err  error
		)
		switch c.talk {
		case dialectJSON:
			next, err = protocol.FrameToJSON(dst, body)
		case dialectWords:
			next, err = c.words.show(dst, body)
		default:
			continue
		}
		if err != nil {
			c.srv.m.dropped[dropForeign].Inc()
			c.srv.log.Warn("a frame does not fit the client's dialect", "conn", c.id, "player", c.player, "err", err)
			continue
		}
		dst = next
	}
	return dst
}

// write gives bytes of the client's dialect to the kernel, and what it does not take to the outbox. The outbox may exceed
// its bound by one write into an empty one (a long replay), and by the last one. c.mu is held.
func (c *Conn) write(b []byte, last bool) {
	waiting := len(c.out) - c.sent
	if waiting > 0 && waiting+len(b) > c.srv.o.OutboxBytes && !last {
		c.endLocked(ending{reason: ReasonSlowConsumer, code: protocol.CodeSlowConsumer, retryMS: retryFor(protocol.CodeSlowConsumer),
			text: "you do not read what is sent"})
		return
	}
	if c.tls != nil {
		var err error
		if b, err = c.tls.seal(b); err != nil {
			c.endLocked(ending{reason: ReasonTLS})
			return
		}
	}
	c.writeRaw(b)
}

// writeRaw is write behind TLS. c.mu is held.
func (c *Conn) writeRaw(b []byte) {
	c.srv.m.bytesOut.Add(float64(len(b)))
	if c.blocked != nil {
		c.out = append(c.out, b...)
		return
	}
	n, err := c.t.write(b)
	if err != nil {
		c.endLocked(ending{reason: ReasonReset})
		return
	}
	if n == len(b) {
		return
	}
	c.out, c.sent = append([]byte(nil), b[n:]...), 0
	c.mark = len(c.out)
	c.blocked = make(chan struct{})
	if !c.end.abandon {
		c.t.setWriteDeadline(time.Now().Add(c.srv.o.WriteTimeout))
	}
	c.srv.m.blocked.Inc()
	go c.drain(c.blocked)
}

// drain writes the outbox as the kernel takes it and ends when it is empty, or with the connection when what was in it has not
// left within WriteTimeout.
func (c *Conn) drain(done chan struct{}) {
	err := c.t.onWritable(c.drainSome)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		e := ending{reason: ReasonReset}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			e = ending{reason: ReasonSlowConsumer, abandon: true}
		}
		c.endLocked(e)
		c.end.abandon = true
		c.out, c.sent = nil, 0
	}
	if c.blocked == done {
		c.blocked = nil
	}
	c.srv.m.blocked.Dec()
	close(done)
}

// drainSome writes what the kernel takes and says whether the outbox is empty, or not worth the trouble any more.
func (c *Conn) drainSome() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.t.write(c.out[c.sent:])
	if err != nil {
		c.endLocked(ending{reason: ReasonReset})
		c.end.abandon = true
	}
	c.sent += n
	if c.sent == len(c.out) || c.end.abandon {
		c.out, c.sent, c.blocked = nil, 0, nil
		return true
	}
	if c.mark -= n; c.mark <= 0 && phase(c.phase.Load()) < phaseEnding {
		c.mark = len(c.out) - c.sent
		c.t.setWriteDeadline(time.Now().Add(c.srv.o.WriteTimeout))
	}
	if c.sent > 64<<10 && c.sent > len(c.out)/2 {
		c.out, c.sent = c.out[:copy(c.out, c.out[c.sent:])], 0
	}
	return false
}
