package listener

import (
	"bytes"
	"encoding/binary"

	"gamed/protocol"
)

// intake is the work on one read.
type intake struct {
	now    int64
	frames int     // whole frames seen
	own    *buffer // answers the listener gives by itself
	stop   bool    // no more input: bye or end say why
	bye    bool
	end    ending
}

// refuse stops the input with a GOAWAY, after what came before it was handed over.
func (in *intake) refuse(code protocol.Code, text string) {
	in.stop = true
	in.end = ending{reason: reasonOf(code), code: code, text: text, retryMS: retryFor(code)}
}

// answers is where the listener's own answers go.
func (in *intake) answers() *buffer {
	if in.own == nil {
		in.own = lend()
	}
	return in.own
}

func frameLen(b []byte) int { return int(binary.BigEndian.Uint32(b)) }

// input takes what one read gave and says whether to go on reading. Only the reader calls it.
func (c *Conn) input(b []byte) bool {
	c.srv.m.bytesIn.Add(float64(len(b)))
	if c.talk == dialectNone {
		if len(c.begun) > 0 {
			b = append(c.begun, b...)
			c.begun = nil
		}
		if c.proxy == proxyAwaited {
			var ok bool
			if b, ok = c.unwrap(b); !ok || len(b) == 0 {
				return ok
			}
		}
		if !c.sniff(b) {
			return false
		}
		if c.talk != dialectNone && !c.mayBePlain() {
			c.finishWith(ending{reason: ReasonPlain, code: protocol.CodeForbidden, text: "TLS only: this port speaks TLS 1.3", retryMS: retryNever})
			return false
		}
	}
	now := c.srv.clock.now()
	if c.talk == dialectBinary {
		in := intake{now: now} // stays on the stack
		c.binary(&in, b)
		return c.settle(&in)
	}
	in := &intake{now: now}
	if c.talk != dialectNone {
		c.lines(in, b)
	}
	return c.settle(in)
}

// settle does what the read came to: answers, accounts, ends.
func (c *Conn) settle(in *intake) bool {
	if in.frames > 0 {
		c.srv.m.framesIn.Add(float64(in.frames))
		if phase(c.phase.Load()) == phaseLive {
			c.heard.Store(in.now)
		}
	}
	if in.own != nil {
		c.Send(in.own.b)
		giveBack(in.own)
	}
	if in.stop {
		if in.bye {
			c.leaving = true
			return false
		}
		c.finishWith(in.end)
	}
	return phase(c.phase.Load()) < phaseEnding
}

// sniff finds the dialect by the first bytes. False: reading ends, to begin TLS or for good.
func (c *Conn) sniff(b []byte) bool {
	const reserved = "GET "
	switch {
	case b[0] == 0x00:
		c.talk = dialectBinary
	case b[0] == 0x16 && c.tls == nil && c.srv.o.TLS != nil:
		c.begun = bytes.Clone(b)
		c.upgrade = true
		return false
	case b[0] == '[':
		c.talk = dialectJSON
	case bytes.HasPrefix(b, []byte(reserved)):
		c.finishWith(ending{reason: ReasonReserved})
		return false
	case bytes.HasPrefix([]byte(reserved), b): // not known yet
		c.begun = bytes.Clone(b)
	case b[0] >= ' ' && b[0] <= '~':
		c.talk = dialectWords
		c.mu.Lock()
		c.words = newWordState()
		c.mu.Unlock()
	default:
		c.finishWith(ending{reason: ReasonGarbage})
		return false
	}
	return true
}

// limit is the longest frame the client may send now.
func (c *Conn) limit() int {
	if phase(c.phase.Load()) == phaseLive {
		return protocol.MaxFrameIn
	}
	return protocol.MaxFrameHello
}

// keep remembers the beginning of a frame; the clock watches that the rest comes.
func (c *Conn) keep(in *intake, rest []byte) {
	if in.stop || len(rest) == 0 {
		return
	}
	c.begun = append(c.begun, rest...)
	if c.partSince.Load() == 0 {
		c.partSince.Store(in.now)
		if phase(c.phase.Load()) == phaseLive {
			c.srv.clock.put(c, in.now+int64(c.srv.o.FrameTimeout))
		}
	}
}

// unkeep gives up the kept beginning, which is whole now.
func (c *Conn) unkeep() []byte {
	f := c.begun
	c.begun = nil
	c.partSince.Store(0)
	return f
}

// binary walks length-prefixed frames.
func (c *Conn) binary(in *intake, b []byte) {
	for len(c.begun) > 0 && len(b) > 0 {
		want := protocol.LengthSize
		if len(c.begun) >= want {
			if want += frameLen(c.begun); !c.fits(in, want-protocol.LengthSize) {
				return
			}
		}
		n := min(want-len(c.begun), len(b))
		c.begun = append(c.begun, b[:n]...)
		b = b[n:]
		if len(c.begun) == want && want > protocol.LengthSize {
			c.walk(in, c.unkeep())
		}
	}
	if len(c.begun) == protocol.LengthSize && !c.fits(in, frameLen(c.begun)) {
		return
	}
	if !in.stop {
		c.keep(in, c.walk(in, b))
	}
}

// fits judges a frame's length.
func (c *Conn) fits(in *intake, n int) bool {
	switch {
	case n == 0:
		in.refuse(protocol.CodeBadFrame, "a frame of length 0")
	case n > c.limit():
		in.refuse(protocol.CodeFrameTooLarge, "a frame over the limit")
	default:
		return true
	}
	return false
}

// walk handles the whole frames in b, hands the calls among them over as one batch (moved together inside b), and returns the
// incomplete rest.
func (c *Conn) walk(in *intake, b []byte) []byte {
	calls, at := 0, 0
	for !in.stop && len(b)-at >= protocol.LengthSize {
		n := frameLen(b[at:])
		if !c.fits(in, n) {
			break
		}
		end := at + protocol.LengthSize + n
		if end > len(b) {
			break
		}
		in.frames++
		if body := b[at+protocol.LengthSize : end]; protocol.CheckFrame(body) != nil {
			in.refuse(protocol.CodeBadFrame, "not one well-formed array")
		} else if c.judge(in, body) {
			if calls != at {
				copy(b[calls:], b[at:end])
			}
			calls += end - at
		}
		at = end
	}
	if calls > 0 {
		c.srv.h.Frames(c, b[:calls])
	}
	return b[at:]
}

// lines walks text: frames of JSON or commands, one a line. The calls among them are handed over as one batch.
func (c *Conn) lines(in *intake, b []byte) {
	batch := lend()
	for !in.stop {
		i := bytes.IndexByte(b, '\n')
		n := i
		if i < 0 {
			n = len(b)
		}
		if len(c.begun)+n > c.limit()+1 { // 1: the \r of a line at the limit
			in.refuse(protocol.CodeFrameTooLarge, "a line over the limit")
			break
		}
		if i < 0 {
			c.keep(in, b)
			break
		}
		line := b[:i]
		if len(c.begun) > 0 {
			c.begun = append(c.begun, line...)
			line = c.unkeep()
		}
		b = b[i+1:]
		line = bytes.TrimSuffix(line, []byte{'\r'})
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case len(line) > c.limit():
			in.refuse(protocol.CodeFrameTooLarge, "a line over the limit")
		case c.talk == dialectJSON:
			in.frames++
			batch.b = c.jsonLine(in, batch.b, line)
		default:
			in.frames++
			batch.b = c.wordLine(in, batch.b, line)
		}
	}
	if len(batch.b) > 0 {
		c.srv.h.Frames(c, batch.b)
	}
	giveBack(batch)
}

// jsonLine appends the line's frame to dst if it is a call.
func (c *Conn) jsonLine(in *intake, dst, line []byte) []byte {
	next, err := protocol.FrameFromJSON(dst, line)
	if err != nil {
		in.refuse(protocol.CodeBadFrame, "not one well-formed JSON array")
		return dst
	}
	if !c.judge(in, next[len(dst)+protocol.LengthSize:]) {
		return next[:len(dst)]
	}
	return next
}
