package protocol

import "math"

// The Parse functions read a frame's body that passed CheckFrame. They are not ok when the frame is of another kind, lacks an
// element, or a field named in the protocol has the wrong type: that is a bad_frame. Elements and keys beyond those are
// ignored; of a key that comes twice the last counts; a nil under a key is as if the key were absent.

// enter is a cursor behind the kind of a frame of at least n elements.
func enter(body []byte, kind Kind, n int) (c Cursor, elements int, ok bool) {
	c = NewCursor(body)
	elements, ok = c.Array()
	if !ok || elements < n {
		return c, 0, false
	}
	k, ok := c.Uint()
	return c, elements, ok && k == uint64(kind)
}

var nilValue = []byte{0xc0}

// ParseCall reads a CALL. Ref, topic and event must be there; a missing payload is nil.
func ParseCall(body []byte) (f Call, ok bool) {
	c, n, ok := enter(body, KindCall, 4)
	if !ok {
		return Call{}, false
	}
	var isUint, isTopic, isEvent bool
	f.Ref, isUint = c.Uint()
	f.Topic, isTopic = c.Text()
	f.Event, isEvent = c.Text()
	if !isUint || !isTopic || !isEvent {
		return Call{}, false
	}
	f.Payload = nilValue
	if n > 4 {
		if f.Payload, ok = c.Raw(); !ok {
			return Call{}, false
		}
	}
	return f, true
}

// ParseReply reads a REPLY. Ref and status must be there; a missing payload is nil.
func ParseReply(body []byte) (f Reply, ok bool) {
	c, n, ok := enter(body, KindReply, 3)
	if !ok {
		return Reply{}, false
	}
	ref, isUint := c.Uint()
	status, isText := c.Text()
	if !isUint || !isText {
		return Reply{}, false
	}
	f = Reply{Ref: ref, Status: codeOf(status), Payload: nilValue}
	if n > 3 {
		if f.Payload, ok = c.Raw(); !ok {
			return Reply{}, false
		}
	}
	return f, true
}

// ParsePush reads a PUSH. Topic, offset and event must be there; a missing payload is nil.
func ParsePush(body []byte) (f Push, ok bool) {
	c, n, ok := enter(body, KindPush, 4)
	if !ok {
		return Push{}, false
	}
	var isTopic, isUint, isEvent bool
	f.Topic, isTopic = c.Text()
	f.Offset, isUint = c.Uint()
	f.Event, isEvent = c.Text()
	if !isTopic || !isUint || !isEvent {
		return Push{}, false
	}
	f.Payload = nilValue
	if n > 4 {
		if f.Payload, ok = c.Raw(); !ok {
			return Push{}, false
		}
	}
	return f, true
}

// ParsePing reads the t of a PING, one encoded value of any kind; a missing one is nil. It aliases the body.
func ParsePing(body []byte) (t []byte, ok bool) { return parseBeat(body, KindPing) }

// ParsePong reads the t of a PONG as ParsePing does.
func ParsePong(body []byte) (t []byte, ok bool) { return parseBeat(body, KindPong) }

func parseBeat(body []byte, kind Kind) (t []byte, ok bool) {
	c, n, ok := enter(body, kind, 1)
	if !ok {
		return nil, false
	}
	if n < 2 {
		return nilValue, true
	}
	return c.Raw()
}

// ParseBye says whether the body is a BYE.
func ParseBye(body []byte) bool {
	_, _, ok := enter(body, KindBye, 1)
	return ok
}

// ParseHello reads a HELLO. What is absent is zero: version, name and token are judged by whoever accepts the connection.
func ParseHello(body []byte) (f Hello, ok bool) {
	c, _, ok := enter(body, KindHello, 2)
	if !ok {
		return Hello{}, false
	}
	ok = eachField(&c, func(key string, c *Cursor) bool {
		switch key {
		case "v":
			return readVersion(c, &f.V)
		case "name":
			f.HasName = true
			return readText(c, &f.Name)
		case "token":
			f.HasToken = true
			return readText(c, &f.Token)
		case "session":
			return readText(c, &f.Session)
		case "seen":
			seen, isSeen := readSeen(c)
			f.Seen = seen
			return isSeen
		}
		return c.Skip()
	})
	if !ok {
		return Hello{}, false
	}
	return f, true
}

// ParseSeen reads the map {topic: offset} that HELLO has under "seen".
func ParseSeen(b []byte) (seen []Seen, ok bool) {
	c := NewCursor(b)
	return readSeen(&c)
}

func readSeen(c *Cursor) (seen []Seen, ok bool) {
	n, ok := c.Map()
	if !ok {
		return nil, false
	}
	for range n {
		topic, isText := c.Text()
		offset, isUint := c.Uint()
		if !isText || !isUint {
			return nil, false
		}
		seen = append(seen, Seen{Topic: string(topic), Offset: offset})
	}
	return seen, true
}

// ParseWelcome reads a WELCOME. What is absent is zero.
func ParseWelcome(body []byte) (f Welcome, ok bool) {
	c, _, ok := enter(body, KindWelcome, 2)
	if !ok {
		return Welcome{}, false
	}
	ok = eachField(&c, func(key string, c *Cursor) bool {
		switch key {
		case "player":
			return readText(c, &f.Player)
		case "session":
			return readText(c, &f.Session)
		case "node":
			return readText(c, &f.Node)
		case "resumed":
			return readBool(c, &f.Resumed)
		case "degraded":
			return readBool(c, &f.Degraded)
		case "heartbeat_ms":
			return readInt(c, &f.HeartbeatMS)
		case "missed":
			f.Missed = nil
			return readMissed(c, &f.Missed)
		case "limits":
			f.Limits = Limits{}
			return eachField(c, func(key string, c *Cursor) bool {
				switch key {
				case "frame":
					return readInt(c, &f.Limits.Frame)
				case "rate":
					return readInt(c, &f.Limits.Rate)
				case "burst":
					return readInt(c, &f.Limits.Burst)
				case "outstanding":
					return readInt(c, &f.Limits.Outstanding)
				}
				return c.Skip()
			})
		}
		return c.Skip()
	})
	if !ok {
		return Welcome{}, false
	}
	return f, true
}

func readMissed(c *Cursor, missed *[]Missed) bool {
	n, ok := c.Map()
	if !ok {
		return false
	}
	for range n {
		topic, isText := c.Text()
		was, isBool := c.Bool()
		if !isText || !isBool {
			return false
		}
		*missed = append(*missed, Missed{Topic: string(topic), Missed: was})
	}
	return true
}

// ParseGoaway reads a GOAWAY. What is absent is zero.
func ParseGoaway(body []byte) (f Goaway, ok bool) {
	c, _, ok := enter(body, KindGoaway, 2)
	if !ok {
		return Goaway{}, false
	}
	ok = eachField(&c, func(key string, c *Cursor) bool {
		switch key {
		case "code":
			code, isText := c.Text()
			f.Code = codeOf(code)
			return isText
		case "reason":
			return readText(c, &f.Reason)
		case "retry_ms":
			return readInt(c, &f.RetryMS)
		case "addrs":
			f.Addrs = nil
			return readTexts(c, &f.Addrs)
		}
		return c.Skip()
	})
	if !ok {
		return Goaway{}, false
	}
	return f, true
}

// ParseFailure reads the payload of a REPLY whose status is not ok.
func ParseFailure(payload []byte) (f Failure, ok bool) {
	c := NewCursor(payload)
	ok = eachField(&c, func(key string, c *Cursor) bool {
		switch key {
		case "message":
			return readText(c, &f.Message)
		case "retry_ms":
			f.HasRetry = true
			return readInt(c, &f.RetryMS)
		}
		return c.Skip()
	})
	if !ok {
		return Failure{}, false
	}
	return f, true
}

// eachField reads a map: read gets each key that is text and holds a value, and must step over the value. Not ok when there is
// no map or read says so.
func eachField(c *Cursor, read func(key string, c *Cursor) bool) bool {
	n, ok := c.Map()
	if !ok {
		return false
	}
	for range n {
		key, isText := c.Text()
		if !isText {
			if !c.Skip() || !c.Skip() {
				return false
			}
			continue
		}
		if c.Nil() {
			continue
		}
		if !read(string(key), c) {
			return false
		}
	}
	return true
}

func readText(c *Cursor, v *string) bool {
	b, ok := c.Text()
	*v = string(b)
	return ok
}

func readTexts(c *Cursor, v *[]string) bool {
	n, ok := c.Array()
	for i := 0; ok && i < n; i++ {
		var s string
		ok = readText(c, &s)
		*v = append(*v, s)
	}
	return ok
}

func readInt(c *Cursor, v *int64) (ok bool) {
	*v, ok = c.Int()
	return ok
}

// readVersion is readInt for a number that is only compared: one too large for an int64 is the largest.
func readVersion(c *Cursor, v *int64) bool {
	before := *c
	if readInt(c, v) {
		return true
	}
	*c = before
	*v = math.MaxInt64
	_, ok := c.Uint()
	return ok
}

func readBool(c *Cursor, v *bool) (ok bool) {
	*v, ok = c.Bool()
	return ok
}
