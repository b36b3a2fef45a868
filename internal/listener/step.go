package listener

import (
	"io"

	"gamed/protocol"
)

// step does what there is to do for a connection now and never blocks. The owner calls it when the kernel has something to
// read, and when it was poked. Unless all is set, one read that does not fill buf is taken for all there is: the owner is called
// again when more comes, the end included.
func (c *Conn) step(buf []byte, all bool) turn {
	for c.stage == stageOpen {
		if c.ending() {
			return c.conclude(nil, buf)
		}
		n, err := c.t.read(buf)
		if err == nil {
			err = c.feed(buf[:n])
		}
		switch {
		case err == nil && n == len(buf):
			return turnAgain
		case err == nil && !all, err == errAgain:
			return turnWait
		case err == nil:
		case err == errStopped && c.upgrade:
			return turnUpgrade
		case (err == io.EOF || c.leaving) && c.awaitAnswers():
		default:
			return c.conclude(err, buf)
		}
	}
	if c.stage == stageAnswering && !c.answered() {
		return turnWait
	}
	if c.stage == stageAnswering {
		return c.conclude(io.EOF, buf)
	}
	return c.depart(buf)
}

func (c *Conn) ending() bool { return phase(c.phase.Load()) >= phaseEnding }

// feed takes what was read, through TLS if there is. The error is why nothing more is to be read.
func (c *Conn) feed(b []byte) error {
	if c.tls != nil {
		return c.open(b)
	}
	if !c.input(b) {
		return errStopped
	}
	return nil
}

// patience has the clock poke the owner after d, a number of nanoseconds.
func (c *Conn) patience(d int64) {
	by := c.srv.clock.now() + d
	c.endBy.Store(by)
	c.srv.clock.put(c, by)
}

func (c *Conn) impatient() bool { return c.srv.clock.now() >= c.endBy.Load() }

// awaitAnswers says, when the client sends no more or said bye, whether it still has to get answers: to the commands of a script,
// and to the calls before BYE, after which the handler closes. Bounded by WriteTimeout.
func (c *Conn) awaitAnswers() bool {
	if c.leaving && !c.asking() && !c.ending() {
		c.saidBye = true
		c.srv.h.Bye(c)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ending():
		return false
	case c.saidBye:
	case c.words != nil && len(c.words.asked) > 0:
		c.words.quiet = c.t.poke
	default:
		return false
	}
	c.stage = stageAnswering
	c.patience(int64(c.srv.o.WriteTimeout))
	return true
}

func (c *Conn) answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending() || c.impatient() || !c.saidBye && len(c.words.asked) == 0
}

// conclude begins the end: it tells the handler and says GOAWAY. err is why reading ended when nobody asked for it.
func (c *Conn) conclude(err error, buf []byte) turn {
	if c.leaving {
		if !c.saidBye {
			c.srv.h.Bye(c)
		}
		c.finishWith(ending{reason: ReasonBye})
	}
	c.mu.Lock()
	if !c.ending() {
		e := ending{reason: ReasonReset}
		if err == io.EOF {
			e.reason = ReasonPeer
		}
		c.noteEnd(e)
	}
	if c.leaving && c.end.reason == ReasonClosed {
		c.end.reason = ReasonBye
	}
	e := *c.end
	c.mu.Unlock()

	c.srv.leaveEarly(c)
	if c.handed {
		if c.srv.rate.interval > 0 {
			c.srv.tabs.close(c, c.srv.clock.now())
		}
		c.srv.h.Closed(c, e.reason)
	}
	c.begun = nil
	var last []byte
	if e.code != "" && c.talk != dialectNone {
		last = protocol.AppendGoaway(nil, c.srv.goaway(e))
	}
	c.mu.Lock()
	if len(last) > 0 && !c.end.abandon {
		c.farewell(last)
	}
	if c.tls != nil && !c.end.abandon {
		if b := c.tls.bye(); len(b) > 0 {
			c.writeRaw(b)
		}
	}
	c.mu.Unlock()
	c.stage = stageFlushing
	limit := c.srv.o.WriteTimeout
	if e.reason == ReasonSlowConsumer {
		limit = min(limit, lingerTime)
	}
	c.patience(int64(limit))
	return c.depart(buf)
}

// depart goes on with the end. Closing a socket with unread input would reset it, and the client would lose what it has not read:
// so the client is told that nothing more comes, and what it sends is thrown away until it closes, for a moment.
func (c *Conn) depart(buf []byte) turn {
	for c.stage == stageFlushing {
		c.mu.Lock()
		blocked, e := c.blocked.Load(), *c.end
		c.mu.Unlock()
		switch {
		case e.abandon:
			return c.shut()
		case blocked && !c.impatient():
			return turnWait
		case blocked, !e.reason.lingers():
			return c.shut()
		}
		c.t.halfClose()
		c.stage, c.left = stageLingering, lingerBytes
		c.patience(int64(lingerTime))
	}
	for c.left > 0 && !c.impatient() && !c.abandoned() {
		n, err := c.t.read(buf)
		if err == errAgain {
			return turnWait
		}
		if err != nil {
			break
		}
		c.left -= int32(n)
	}
	return c.shut()
}

func (c *Conn) abandoned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end.abandon
}

// shut closes the socket. Nobody writes to it afterwards.
func (c *Conn) shut() turn {
	c.mu.Lock()
	c.phase.Store(uint32(phaseClosed))
	e := *c.end
	c.unblock()
	c.out, c.words = nil, nil
	c.mu.Unlock()
	c.stage = stageClosed
	c.srv.clock.drop(c)
	c.t.close()
	c.srv.m.closed[e.reason].Inc()
	c.srv.log.Debug("connection closed", "conn", c.id, "player", c.player, "reason", e.reason.String(), "text", e.text)
	return turnOver
}
