package game

import (
	"fmt"
	"time"

	"gamed/protocol"
)

// Context is a handler's only way to act. It is valid during the handler alone and not safe for other goroutines. What it is
// told to do is done when the handler returns, in order; nothing of it when the handler panics.
type Context struct {
	Frame
	answer   Answer
	deferred bool
	forward  bool
	changed  bool
	durable  bool
	offset   uint64
	effects  []Effect
}

// Frame is what a runtime lays under a Context for one message. Only runtimes use it.
type Frame struct {
	At      time.Time // now, on the entity's clock
	Me      Address
	Message *Message // nil when the handler is not Call
	To      ReplyTo  // where the answer goes
	Wants   bool     // the sender waits for an answer
	Offset  uint64   // rooms: the stream's position before the message
	Roster  Roster   // rooms
	Tallies Tallies  // player parts
}

// Roster is a room's members as its handler sees them. Changes are undone by the runtime when the handler panics.
type Roster interface {
	Len() int
	Has(player string) bool
	// Each calls f with the members in the order they joined until it returns false.
	Each(f func(player string) bool)
	// Join adds the sender of the message being handled; false when it is a member already or no player.
	Join() bool
	// Remove ends a membership; false when there was none.
	Remove(player string) bool
}

// Tallies takes what player parts add. Changes are undone by the runtime when the handler panics.
type Tallies interface {
	Add(topic, round string, slot int, n int64, name string) bool
}

// ReplyTo names a caller who still waits for an answer. It is a plain value: a part may keep it in its state.
type ReplyTo struct {
	Key     string // the entity that waits
	Ref     uint64 // its reference, or its client's
	Client  bool   // it waits on behalf of its client
	Session string // the client's session
}

// Answer is the outcome of a message.
type Answer struct {
	Set     bool
	Code    protocol.Code // CodeOK or why not
	Payload Payload       // when ok
	Text    string        // when not
	Retry   time.Duration // when not; below 0: absent
}

// EffectKind says what an Effect does.
type EffectKind uint8

// The effects.
const (
	EffectAnswer    EffectKind = iota + 1 // To, Answer: answers a deferred message
	EffectPush                            // Event, Payload: to the player's own stream
	EffectCall                            // Address, Event, Payload, Name (tag)
	EffectCast                            // Address, Event, Payload
	EffectBroadcast                       // Event, Payload: the room's stream
	EffectAnnounce                        // Event, Payload, Name (except): offset 0 to all members but one
	EffectNotify                          // Event, Payload: player parts of all members
	EffectTimer                           // Name, After
	EffectCancel                          // Name
	EffectCollect                         // Name (round)
	EffectJoined                          // Name: recorded by Roster.Join, so that its place among the pushes is known
	EffectLeft                            // Name: the same for Roster.Remove
)

// Effect is one thing a handler asked for.
type Effect struct {
	Kind    EffectKind
	Event   string
	Name    string
	Address Address
	Payload Payload
	To      ReplyTo
	Answer  Answer
	After   time.Duration
}

// Now is the entity's clock. Use it instead of time.Now: tests and moves depend on it.
func (c *Context) Now() time.Time { return c.At }

// Self is the part that handles the message.
func (c *Context) Self() Address { return c.Me }

// CallID names the client's call that is being handled: the same call, sent again to another owner of the player, has the same
// session and ref. ref 0: it is a cast, or no client's.
func (c *Context) CallID() (session string, ref uint64) {
	if !c.To.Client || !c.Wants {
		return "", 0
	}
	return c.To.Session, c.To.Ref
}

// Reply answers the message. v is a [Payload], a [*Map], or anything msgpack can encode (by reflection: not for hot paths).
// Only the first answer counts.
func (c *Context) Reply(v any) {
	c.settle(Answer{Set: true, Code: protocol.CodeOK, Payload: payloadOf(v)})
}

// ReplyPayload answers with bytes as they are, without allocating. p may be the message's own payload.
func (c *Context) ReplyPayload(p Payload) {
	c.settle(Answer{Set: true, Code: protocol.CodeOK, Payload: p})
}

// Fail answers with a code and a message for people. Codes of class retry say that nothing was changed.
func (c *Context) Fail(code protocol.Code, format string, args ...any) {
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	c.settle(Answer{Set: true, Code: code, Text: text, Retry: -1})
}

// FailRetry is Fail with a hint when to come back.
func (c *Context) FailRetry(code protocol.Code, retry time.Duration, text string) {
	c.settle(Answer{Set: true, Code: code, Text: text, Retry: retry})
}

func (c *Context) settle(a Answer) {
	if !c.answer.Set && !c.deferred && !c.forward {
		c.answer = a
	}
}

// Defer takes over the duty to answer the message; the answer is given later with ReplyTo or FailTo. A client's call that
// is not answered within 10 s fails with unavailable.
func (c *Context) Defer() ReplyTo {
	c.deferred = true
	return c.To
}

// ReplyTo answers a deferred message.
func (c *Context) ReplyTo(to ReplyTo, v any) {
	c.add(Effect{Kind: EffectAnswer, To: to, Answer: Answer{Set: true, Code: protocol.CodeOK, Payload: payloadOf(v)}})
}

// FailTo fails a deferred message.
func (c *Context) FailTo(to ReplyTo, code protocol.Code, text string) {
	c.add(Effect{Kind: EffectAnswer, To: to, Answer: Answer{Set: true, Code: code, Text: text, Retry: -1}})
}

// PassTo answers a deferred message with what came from elsewhere (see Answered).
func (c *Context) PassTo(to ReplyTo, status protocol.Code, p Payload) {
	a := Answer{Set: true, Code: status, Payload: p.Clone(), Retry: -1}
	if status != protocol.CodeOK {
		if f, ok := protocol.ParseFailure(p); ok {
			a.Text = f.Message
			if f.HasRetry {
				a.Retry = time.Duration(f.RetryMS) * time.Millisecond
			}
		}
		a.Payload = nil
	}
	c.add(Effect{Kind: EffectAnswer, To: to, Answer: a})
}

// Forward (player part) passes the message on to the room of the topic, which answers the client in its place.
func (c *Context) Forward() { c.forward = true }

// Changed says that Snapshot now gives something else. Without it a change is not committed.
func (c *Context) Changed() { c.changed = true }

// Durable says that the change must be in the store, when there is one, before the answer leaves. It implies Changed.
func (c *Context) Durable() { c.changed, c.durable = true, true }

// Push (player part) sends to the player's own stream, topic "".
func (c *Context) Push(event string, v any) {
	c.add(Effect{Kind: EffectPush, Event: event, Payload: payloadOf(v)})
}

// Call calls another part, at most once; the answer comes to Answered with the tag, within CallTimeout.
func (c *Context) Call(to Address, event string, v any, tag string) {
	c.add(Effect{Kind: EffectCall, Address: to, Event: event, Payload: payloadOf(v), Name: tag})
}

// Cast sends to another part and hears nothing.
func (c *Context) Cast(to Address, event string, v any) {
	c.add(Effect{Kind: EffectCast, Address: to, Event: event, Payload: payloadOf(v)})
}

// Join (room part) makes the sender a member: its client gets the stream from the present position on. False when it was a
// member already.
func (c *Context) Join() bool {
	if !c.Roster.Join() {
		return false
	}
	c.add(Effect{Kind: EffectJoined, Name: c.Message.From.Player})
	return true
}

// Leave (room part) ends a membership. False when there was none.
func (c *Context) Leave(player string) bool {
	if !c.Roster.Remove(player) {
		return false
	}
	c.add(Effect{Kind: EffectLeft, Name: player})
	return true
}

// StreamOffset (room part) is the position of the stream: the offset of the last push, those of this message included.
func (c *Context) StreamOffset() uint64 { return c.offset }

// Broadcast (room part) pushes to every member and returns the push's offset in the stream.
func (c *Context) Broadcast(event string, v any) uint64 {
	c.offset++
	c.add(Effect{Kind: EffectBroadcast, Event: event, Payload: payloadOf(v)})
	return c.offset
}

// Announce (room part) pushes outside the stream (offset 0), best effort, to every member but the one named.
func (c *Context) Announce(event string, v any, except string) {
	c.add(Effect{Kind: EffectAnnounce, Event: event, Payload: payloadOf(v), Name: except})
}

// Notify (room part) tells the player parts of all members, not their clients. Against pushes of Broadcast it has no order;
// a Collect after it sees everything the player parts did on hearing it.
func (c *Context) Notify(event string, v any) {
	c.add(Effect{Kind: EffectNotify, Event: event, Payload: payloadOf(v)})
}

// Tally (player part) adds n to a counter of the topic's round, slot 0..TallySlots-1. False: the round was collected here
// and takes no more; the caller must then behave as if too late.
func (c *Context) Tally(round string, slot int, n int64) bool {
	return c.Tallies.Add(c.Me.Topic, round, slot, n, "")
}

// TallyName is Tally of 1, and marks the player's name (the first TallyNames are kept).
func (c *Context) TallyName(round string, slot int) bool {
	return c.Tallies.Add(c.Me.Topic, round, slot, 1, c.Me.Player)
}

// Collect (room part) closes a round on every partition and brings the sum to Collected.
func (c *Context) Collect(round string) {
	c.add(Effect{Kind: EffectCollect, Name: round})
}

// After sets the part's timer of that name, replacing it if it is set.
func (c *Context) After(name string, d time.Duration) {
	c.add(Effect{Kind: EffectTimer, Name: name, After: d})
}

// Cancel stops a timer.
func (c *Context) Cancel(name string) { c.add(Effect{Kind: EffectCancel, Name: name}) }

func (c *Context) add(e Effect) { c.effects = append(c.effects, e) }

// Begin prepares the context for one message. Only runtimes call it.
func (c *Context) Begin(f Frame) {
	clear(c.effects)
	*c = Context{Frame: f, offset: f.Offset, effects: c.effects[:0]}
}

// Outcome is what a handler asked for. Only runtimes read it; it is valid until the next Begin.
func (c *Context) Outcome() Outcome {
	return Outcome{Answer: c.answer, Deferred: c.deferred, Forward: c.forward, Changed: c.changed, Durable: c.durable, Effects: c.effects}
}

// Outcome is the whole result of a handler.
type Outcome struct {
	Answer   Answer
	Deferred bool
	Forward  bool
	Changed  bool
	Durable  bool
	Effects  []Effect
}
