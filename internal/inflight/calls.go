// Package inflight is what a gateway knows of the calls of one connection whose player lives on another node, until they are
// answered. When that node dies, or nobody owns the player for a moment, they are sent again, in order: the player's session knows
// their refs, so each is done once, whoever got it first. Casts are sent at most once and are not kept. It is pure: it has no
// clock, sends nothing, and belongs to one goroutine at a time.
package inflight

import (
	"encoding/binary"
	"slices"
	"time"

	"gamed/internal/envelope"
	"gamed/protocol"
)

// Calls are the open calls of one connection. The zero value has none.
type Calls struct {
	open    []call
	bytes   int
	held    bool            // the last try failed: everything waits for an owner, so that nothing overtakes
	owner   envelope.NodeID // whom the calls were sent to
	twice   []uint64        // refs answered after they were sent twice: a second answer is not for the client
	twiceAt time.Time       // when the last of them was
}

type call struct {
	ref   uint64
	frame []byte // nil: it went to this node, and its player has moved since
	since time.Time
	again bool
}

// Bounds of what is kept for one connection, and how long.
const (
	MaxOpen    = 256
	MaxBytes   = 256 << 10
	HoldFor    = 4 * time.Second  // without an owner: then unavailable
	OpenFor    = 10 * time.Second // no call is open longer
	suspicious = 3 * time.Second  // without an answer: sent again, in case the link lost it
)

// Idle says that nothing is open and no second answer is expected: what is sent to this node itself need not be kept.
func (c *Calls) Idle() bool { return len(c.open) == 0 && len(c.twice) == 0 }

// Open is how many calls are open; Held says that they wait for an owner.
func (c *Calls) Open() int { return len(c.open) }

// Held says that the calls wait for an owner.
func (c *Calls) Held() bool { return c.held }

// Owner is whom the open calls were sent to.
func (c *Calls) Owner() envelope.NodeID { return c.owner }

// Begin notes the calls of a read and gives what is to be sent to the owner now, which may be all that is open. What does not fit
// is given to refuse; the batch is not changed.
func (c *Calls) Begin(now time.Time, batch []byte, owner envelope.NodeID, refuse func(frame []byte)) (send []byte) {
	before := len(c.open)
	batch = c.keep(now, batch, refuse)
	switch {
	case c.held:
		return nil
	case before > 0 && c.owner != owner: // sent to another, not answered: first those
		return c.all(owner)
	}
	c.owner = owner
	return batch
}

// keep notes the calls of a batch and gives what may be sent of it.
func (c *Calls) keep(now time.Time, batch []byte, refuse func([]byte)) []byte {
	whole := batch
	if len(c.twice) > 0 && now.Sub(c.twiceAt) > OpenFor { // no second answers are on the way any more
		c.twice = nil
	}
	for frame, rest := cut(batch); frame != nil; frame, rest = cut(rest) {
		p, ok := protocol.ParseCall(frame[protocol.LengthSize:])
		if !ok || p.Ref == 0 {
			continue
		}
		if len(c.open) >= MaxOpen || c.bytes+len(frame) > MaxBytes {
			refuse(frame)
			if len(whole) == len(batch) { // leave it out of what is sent
				whole = slices.Clone(batch)
			}
			whole = without(whole, p.Ref)
			continue
		}
		c.bytes += len(frame)
		c.open = append(c.open, call{ref: p.Ref, frame: slices.Clone(frame), since: now})
		if i := slices.Index(c.twice, p.Ref); i >= 0 {
			c.twice = slices.Delete(c.twice, i, i+1)
		}
	}
	return whole
}

// Failed says that what was to be sent could not be: everything waits until Again or Look.
func (c *Calls) Failed() { c.held = true }

// Again gives all that is open, to be sent to another owner. Those whose frames are not here are given up: the client has to send
// them again.
func (c *Calls) Again(now time.Time, owner envelope.NodeID, giveUp func(ref uint64)) (send []byte) {
	for i := 0; i < len(c.open); {
		if c.open[i].frame != nil {
			i++
			continue
		}
		giveUp(c.open[i].ref)
		c.settle(now, c.open[i].ref)
	}
	return c.all(owner)
}

func (c *Calls) all(owner envelope.NodeID) (send []byte) {
	for i := range c.open {
		c.open[i].again = true
		send = append(send, c.open[i].frame...)
	}
	c.owner, c.held = owner, false
	return send
}

// Adopt notes calls whose frames are not here: they went to this node, and their player has moved to owner since. left is how much of
// OpenFor each has still.
func (c *Calls) Adopt(now time.Time, owner envelope.NodeID, refs []uint64, left func(i int) time.Duration) {
	if len(c.open) == 0 {
		c.owner = owner
	}
	for i, ref := range refs {
		if slices.ContainsFunc(c.open, func(o call) bool { return o.ref == ref }) {
			continue
		}
		since := now.Add(min(max(left(i), 0), OpenFor) - OpenFor)
		at := slices.IndexFunc(c.open, func(o call) bool { return o.since.After(since) }) // the longest open stands first
		if at < 0 {
			at = len(c.open)
		}
		c.open = slices.Insert(c.open, at, call{ref: ref, since: since, again: true})
	}
}

// Look gives up calls that are open for too long, and says whether all others are to be sent again: the owner is another, or there
// is one again, or it has been silent for suspiciously long.
func (c *Calls) Look(now time.Time, owner envelope.NodeID, giveUp func(ref uint64)) (again bool) {
	limit := OpenFor
	if c.held {
		limit = HoldFor
	}
	for len(c.open) > 0 && now.Sub(c.open[0].since) > limit {
		giveUp(c.open[0].ref)
		c.settle(now, c.open[0].ref)
	}
	if len(c.open) == 0 {
		c.held = false
		return false
	}
	if owner.IsZero() {
		return false
	}
	once := slices.IndexFunc(c.open, func(o call) bool { return !o.again })
	return c.held || owner != c.owner || once >= 0 && now.Sub(c.open[once].since) > suspicious
}

// Answered takes the calls that frames answer off the list, and gives the frames that are for the client.
func (c *Calls) Answered(now time.Time, frames []byte) []byte {
	if c.Idle() {
		return frames
	}
	var out []byte // set once something is left out
	at := 0
	for frame, rest := cut(frames); frame != nil; frame, rest = cut(rest) {
		drop := false
		if kind, ok := protocol.FrameKind(frame[protocol.LengthSize:]); ok && kind == protocol.KindReply {
			if r, ok := protocol.ParseReply(frame[protocol.LengthSize:]); ok {
				drop = c.settle(now, r.Ref)
			}
		}
		switch {
		case drop && out == nil:
			out = append(make([]byte, 0, len(frames)), frames[:at]...)
		case !drop && out != nil:
			out = append(out, frame...)
		}
		at += len(frame)
	}
	if out == nil {
		return frames
	}
	return out
}

// settle notes the answer to ref; true: the client has one already.
func (c *Calls) settle(now time.Time, ref uint64) bool {
	i := slices.IndexFunc(c.open, func(o call) bool { return o.ref == ref })
	if i < 0 {
		return slices.Contains(c.twice, ref)
	}
	if c.open[i].again {
		if len(c.twice) == MaxOpen {
			c.twice = slices.Delete(c.twice, 0, 1)
		}
		c.twice, c.twiceAt = append(c.twice, ref), now
	}
	c.bytes -= len(c.open[i].frame)
	c.open[i].frame = nil
	if i == 0 { // the usual case
		c.open = c.open[1:]
	} else {
		c.open = slices.Delete(c.open, i, i+1)
	}
	if len(c.open) == 0 && cap(c.open) > 16 {
		c.open = nil
	}
	return false
}

// cut gives the first frame of a batch and the rest; nil when there is none, or only a piece.
func cut(batch []byte) (frame, rest []byte) {
	if len(batch) < protocol.LengthSize {
		return nil, nil
	}
	n := protocol.LengthSize + int(binary.BigEndian.Uint32(batch))
	if n > len(batch) {
		return nil, nil
	}
	return batch[:n], batch[n:]
}

// without is a batch less the call with this ref.
func without(batch []byte, ref uint64) []byte {
	out := batch[:0]
	for frame, rest := cut(batch); frame != nil; frame, rest = cut(rest) {
		if p, ok := protocol.ParseCall(frame[protocol.LengthSize:]); !ok || p.Ref != ref {
			out = append(out, frame...)
		}
	}
	return out
}
