package listener

import (
	"math/rand/v2"
	"time"

	"gamed/game"
	"gamed/protocol"
)

// judge handles one checked frame, whatever its dialect was, and says whether it is a call for the handler.
func (c *Conn) judge(in *intake, body []byte) bool {
	kind, ok := protocol.FrameKind(body)
	switch {
	case !ok:
		in.refuse(protocol.CodeBadFrame, "the first element is no kind")
	case !c.handed && kind != protocol.KindHello:
		in.refuse(protocol.CodeHelloRequired, "the first frame must be HELLO")
	case !c.handed:
		c.hello(in, body)
	case kind == protocol.KindCall:
		call, ok := protocol.ParseCall(body)
		if !ok {
			in.refuse(protocol.CodeBadFrame, "CALL: a wrongly typed element")
			return false
		}
		return c.charge(in, kind, call.Ref)
	case kind == protocol.KindPing:
		t, ok := protocol.ParsePing(body)
		if !ok {
			in.refuse(protocol.CodeBadFrame, "PING: a broken element")
		} else if c.charge(in, kind, 0) {
			own := in.answers()
			own.b = protocol.AppendPong(own.b, t)
		}
	case kind == protocol.KindPong:
	case kind == protocol.KindBye:
		in.stop, in.bye, in.end = true, true, ending{reason: ReasonBye}
	case kind == protocol.KindHello:
		in.refuse(protocol.CodeBadFrame, "a second HELLO")
	default:
		in.refuse(protocol.CodeBadFrame, "a kind that a client may not send")
	}
	return false
}

// charge counts a frame against the rate and says whether it may pass. A call that may not is answered; anything else over
// the rate is dropped and counted.
func (c *Conn) charge(in *intake, kind protocol.Kind, ref uint64) bool {
	c.settleDebt(in.now)
	ok, wait, sustained := c.bucket.take(in.now, c.srv.rate)
	switch {
	case ok:
		return true
	case sustained:
		in.refuse(protocol.CodeRateLimited, "over the rate for ten seconds")
	case kind != protocol.KindCall:
		c.srv.m.dropped[dropPing].Inc()
	case ref == 0:
		c.srv.m.dropped[dropCast].Inc()
	default:
		c.srv.m.limited.Inc()
		own := in.answers()
		ms := (wait + int64(time.Millisecond) - 1) / int64(time.Millisecond)
		own.b = protocol.AppendReplyError(own.b, ref, protocol.CodeRateLimited, "too many frames a second", ms)
	}
	return false
}

// hello judges HELLO and hands it over.
func (c *Conn) hello(in *intake, body []byte) {
	h, ok := protocol.ParseHello(body)
	switch {
	case !ok:
		in.refuse(protocol.CodeBadFrame, "HELLO: a wrongly typed field")
		return
	case h.V != protocol.Version:
		in.refuse(protocol.CodeBadVersion, "this server speaks version 1")
		return
	case c.srv.o.Authenticate != nil:
		if !h.HasToken {
			in.refuse(protocol.CodeBadToken, "a token is needed")
			return
		}
		id, code, err := c.srv.o.Authenticate(h.Token)
		if err == nil && !protocol.ValidPlayer(id.Player) {
			in.refuse(protocol.CodeBadToken, "the token's subject is no player's name")
			return
		}
		if err != nil {
			in.refuse(code, err.Error())
			return
		}
		c.player, c.role = id.Player, id.Role
	case !h.HasName || !protocol.ValidPlayer(h.Name):
		in.refuse(protocol.CodeBadName, "a name is 1 to 64 of A-Z a-z 0-9 _ . -")
		return
	default:
		c.player, c.role = h.Name, game.AnyRole
	}
	if e, turned := c.srv.turns(h); turned {
		in.stop, in.end = true, e
		return
	}
	c.admit(in.now, h)
}

// turns says whether a good HELLO is turned away all the same: the node is being emptied, or is short of memory, when who has no
// session yet goes first.
func (s *Server) turns(h protocol.Hello) (ending, bool) {
	if turn := s.turning.Load(); turn != nil {
		return (*turn)(), true
	}
	if s.o.Pressure == nil {
		return ending{}, false
	}
	if p := s.o.Pressure(); p == PressureNone || p == PressureHigh && h.Session != "" {
		return ending{}, false
	}
	return ending{reason: ReasonShed, code: protocol.CodeUnavailable, text: "the node is short of memory: go on at another one",
		retryMS: 2*retrySoon + rand.Int64N(4*retrySoon)}, true
}

// admit makes the connection one that waits for WELCOME.
func (c *Conn) admit(now int64, h protocol.Hello) {
	c.heard.Store(now)
	c.mu.Lock()
	if phase(c.phase.Load()) != phaseHello {
		c.mu.Unlock()
		return
	}
	c.phase.Store(uint32(phaseLogin))
	c.mu.Unlock()
	c.handed = true
	if c.srv.rate.interval > 0 {
		c.srv.tabs.open(c, now)
	}
	c.srv.leaveEarly(c)
	c.srv.clock.put(c, now+int64(c.srv.o.WelcomeTimeout))
	c.srv.h.Hello(c, h)
}
