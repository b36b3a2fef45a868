package listener

import (
	"sync"

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
	waiting := c.waiting()
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
	if c.blocked.Load() {
		c.out.b = append(c.out.b, b...)
		return
	}
	n, err := c.t.write(b)
	if err != nil {
		c.endLocked(ending{reason: ReasonReset})
		return
	}
	if n < len(b) {
		c.block(b[n:])
	}
}

// outbox is what waits for the client. Most connections have none most of the time.
type outbox struct {
	held []byte // binary frames that wait for WELCOME
	b    []byte // what the kernel did not take yet
	sent int    // how much of b it has taken since
	mark int    // how much of b must be gone at by
	by   int64  // on the clock
}

// waiting is how many bytes the kernel did not take yet. c.mu is held.
func (c *Conn) waiting() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.b) - c.out.sent
}

// block begins to wait for the kernel to take b. c.mu is held.
func (c *Conn) block(b []byte) {
	if c.out == nil {
		c.out = &outbox{}
	}
	c.out.b, c.out.sent = append([]byte(nil), b...), 0
	c.blocked.Store(true)
	c.srv.m.blocked.Inc()
	c.await()
	c.t.awaitWritable()
}

// await gives what waits now WriteTimeout to leave. c.mu is held.
func (c *Conn) await() {
	c.out.mark, c.out.by = c.waiting(), c.srv.clock.now()+int64(c.srv.o.WriteTimeout)
	c.srv.clock.put(c, c.out.by)
}

// unblock ends the wait for the kernel and gives up what is left. c.mu is held.
func (c *Conn) unblock() {
	if !c.blocked.Load() {
		return
	}
	c.blocked.Store(false)
	c.srv.m.blocked.Dec()
	if c.out.b, c.out.sent = nil, 0; c.out.held == nil {
		c.out = nil
	}
}

// drain writes what the kernel takes and says whether the outbox is empty, or not worth the trouble any more.
func (c *Conn) drain() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.blocked.Load() || phase(c.phase.Load()) == phaseClosed {
		return true
	}
	o := c.out
	n, err := c.t.write(o.b[o.sent:])
	if err != nil {
		c.abandonLocked(ReasonReset)
	}
	o.sent += n
	if o.sent == len(o.b) || c.ending() && c.end.abandon {
		c.unblock()
		if c.ending() {
			c.t.poke() // the owner waits for this
		}
		return true
	}
	if o.mark -= n; o.mark <= 0 && !c.ending() {
		c.await()
	}
	if o.sent > 64<<10 && o.sent > len(o.b)/2 {
		o.b, o.sent = o.b[:copy(o.b, o.b[o.sent:])], 0
	}
	return false
}

// writeBy is the clock's look at the outbox: it closes the connection when what was in it has not left in time, and else says
// when that would be; 0 when nothing waits.
func (c *Conn) writeBy(now int64) int64 {
	if !c.blocked.Load() {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.blocked.Load() || c.ending():
		return 0
	case now < c.out.by:
		return c.out.by
	}
	c.abandonLocked(ReasonSlowConsumer)
	return 0
}
