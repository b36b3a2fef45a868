package simulation

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/replica"
	"gamed/internal/state"
	"gamed/protocol"
)

// entity is an actor of the simulation: it keeps answers by ref, an account, a log of what other entities said to it, and the
// numbers of what it said to them. It uses the real outbox as players and rooms do: what a message changed goes to the backup
// before anything that tells of it leaves.
type entity struct {
	n       *node
	key     string
	out     replica.Outbox
	change  state.Change
	acct    account
	answers map[string][]byte // by the name of their section
	said    []spoken          // what was said to others, by key
	log     []heard
	asis    state.Sections // sections kept as they are
	wakes   time.Duration  // when Wake is called; 0: not
	kept    bool           // there is state
	gone    bool           // it left this worker
}

type spoken struct {
	to  string
	num uint64
}

type heard struct {
	from string
	num  uint64 // by the sender's count
	op   uint64
}

// The sections of an entity. Those of answers and parts are named as a player's.
const (
	wholeSection  = "v"
	acctSection   = "p/acct:"
	answerSection = "a/" // + client + "." + ref: a REPLY frame
	saidSection   = "c/" // + key: the number of the last word to that entity
	logSection    = "l/" // + index: what was heard
	tailSection   = "h"  // what waited for the backup at the owner before
)

func newEntity(n *node, key string) *entity {
	return &entity{n: n, key: key, answers: map[string][]byte{}, asis: state.Sections{}}
}

// handle processes one message.
func (x *entity) handle(e *envelope.Envelope) {
	x.change.Reset()
	switch e.Kind {
	case envelope.Acked:
		x.out.Acked(x.n.policy, x.n.w.wall(), e)
	case envelope.Frames:
		x.frames(e)
	case envelope.Cast:
		x.hear(e)
	}
	x.finish()
}

// wake is called at the time asked for.
func (x *entity) wake() {
	x.change.Reset()
	x.out.Due(x.n.policy, x.n.w.wall(), x.key, x.whole)
	x.finish()
}

func (x *entity) finish() {
	if !x.change.Empty() && !x.kept {
		x.kept = true
		x.change.Put(wholeSection, []byte{1})
	}
	x.out.Finish(x.n.policy, x.n.w.wall(), x.key, &x.change, x.whole)
	if at, ok := x.out.Deadline(); ok {
		x.n.wakeAt(x, at.Sub(epoch))
	}
}

// frames answers the calls of one read.
func (x *entity) frames(e *envelope.Envelope) {
	gateway := e.Node
	if gateway.IsZero() {
		gateway = x.n.id
	}
	var out []byte
	for rest := e.Payload; len(rest) >= protocol.LengthSize; {
		size := protocol.LengthSize + int(binary.BigEndian.Uint32(rest))
		call, ok := protocol.ParseCall(rest[protocol.LengthSize:size])
		rest = rest[size:]
		if !ok {
			x.n.w.fail("%s got a frame that is no call", x.key)
			return
		}
		out = x.call(out, e.Conn, &call)
	}
	if len(out) > 0 {
		x.out.ToNode(gateway, &envelope.Envelope{Kind: envelope.Out, Conn: e.Conn, Payload: out})
	}
}

// call does one call, unless it has been answered before.
func (x *entity) call(out []byte, conn uint64, c *protocol.Call) []byte {
	w := x.n.w
	client := w.clientOf(conn)
	name := answerSection + strconv.Itoa(client.number) + "." + strconv.FormatUint(c.Ref, 10)
	if kept := x.answers[name]; kept != nil && !w.set.broken(noDedupe) {
		return append(out, kept...)
	}
	op := w.check.op(client, c.Ref)
	if w.tracing {
		w.logf("%s %s does %s", x.n, x.key, op)
	}
	op.runs++
	if op.kind == opRead {
		return protocol.AppendReply(out, c.Ref, x.reading())
	}
	switch {
	case op.kind == opPut && op.withID && x.acct.times(op.number) > 0: // the answer it had, as the bank gives it
	case op.kind == opPut:
		x.acct.apply(op.number, op.amount)
		x.change.Put(acctSection, x.acct.append(nil))
	case op.kind == opTell:
		x.say(op)
	}
	if x.n.router.Table().Degraded() {
		x.asis[state.SpokeSection] = protocol.AppendInt(nil, w.wall().UnixMilli())
		x.change.Put(state.SpokeSection, x.asis[state.SpokeSection])
	}
	answer := protocol.AppendReply(nil, c.Ref, x.reading())
	x.answers[name] = answer
	x.change.Put(name, answer)
	return append(out, answer...)
}

// reading is what every answer tells: the sum, and how much was heard.
func (x *entity) reading() []byte {
	return protocol.AppendUint(protocol.AppendInt(protocol.AppendArray(nil, 2), x.acct.balance), uint64(len(x.log)))
}

// say sends a numbered word to another entity.
func (x *entity) say(op *operation) {
	i := slices.IndexFunc(x.said, func(s spoken) bool { return s.to == op.to })
	if i < 0 {
		i = len(x.said)
		x.said = append(x.said, spoken{to: op.to})
	}
	x.said[i].num++
	if x.n.w.tracing {
		x.n.w.logf("%s %s says word %d to %s (op %d)", x.n, x.key, x.said[i].num, op.to, op.number)
	}
	x.change.Put(saidSection+op.to, protocol.AppendUint(nil, x.said[i].num))
	x.out.Route(&envelope.Envelope{Kind: envelope.Cast, Key: op.to, From: x.key, Ref: op.number, Offset: x.said[i].num})
}

func (x *entity) hear(e *envelope.Envelope) {
	h := heard{from: strings.Clone(e.From), num: e.Offset, op: e.Ref}
	if x.n.w.tracing {
		x.n.w.logf("%s %s hears word %d of %s (op %d, term %d)", x.n, x.key, h.num, h.from, h.op, e.Term)
	}
	x.n.w.check.heard(x, h)
	x.log = append(x.log, h)
	x.change.Put(logSection+strconv.Itoa(len(x.log)-1), h.append(nil))
}

func (h *heard) append(b []byte) []byte {
	return protocol.AppendUint(protocol.AppendUint(protocol.AppendStr(b, h.from), h.num), h.op)
}

// whole puts the state into a change, for a backup that has nothing of it.
func (x *entity) whole(c *state.Change) {
	c.Put(wholeSection, []byte{1})
	c.Put(acctSection, x.acct.append(nil))
	for _, name := range slices.Sorted(maps.Keys(x.answers)) {
		c.Put(name, x.answers[name])
	}
	for _, s := range x.said {
		c.Put(saidSection+s.to, protocol.AppendUint(nil, s.num))
	}
	for i := range x.log {
		c.Put(logSection+strconv.Itoa(i), x.log[i].append(nil))
	}
	for _, name := range slices.Sorted(maps.Keys(x.asis)) {
		c.Put(name, x.asis[name])
	}
}

// give puts the state into a change, for another node that owns the entity now, with what waits for the backup; false: there is
// none.
func (x *entity) give(c *state.Change) bool {
	if !x.kept {
		return false
	}
	x.whole(c)
	var tail []byte
	x.out.Abandon(func(e *envelope.Envelope, to envelope.NodeID) {
		if to == x.n.id && e.Kind == envelope.Out {
			x.n.gateway.moved(e.Conn, e.Payload)
		}
		tail = protocol.AppendBin(tail, e.Append(nil))
		tail = protocol.AppendUint(protocol.AppendStr(tail, to.Name), to.Boot)
	})
	if len(tail) > 0 {
		c.Put(tailSection, tail)
	}
	return true
}

// restore makes a new entity go on from a state.
func (x *entity) restore(s state.Sections) {
	x.change.Reset()
	w := x.n.w
	x.kept = true
	var err error
	if x.acct, err = parseAccount(s[acctSection]); err != nil {
		w.fail("%s restored on %s: %v", x.key, x.n, err)
	}
	for name, b := range s {
		switch {
		case strings.HasPrefix(name, answerSection):
			x.answers[name] = b
		case name == state.ForkSection, name == state.SpokeSection:
			x.asis[name] = b
		}
	}
	for i := 0; ; i++ {
		b, ok := s[logSection+strconv.Itoa(i)]
		if !ok {
			break
		}
		c := protocol.NewCursor(b)
		from, _ := c.Text()
		num, _ := c.Uint()
		op, _ := c.Uint()
		x.log = append(x.log, heard{string(from), num, op})
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if to, ok := strings.CutPrefix(name, saidSection); ok {
			c := protocol.NewCursor(s[name])
			num, _ := c.Uint()
			x.said = append(x.said, spoken{to, num})
		}
	}
	x.out.Again(x.n.policy, w.wall(), x.key, x.whole)
	x.tail(s[tailSection])
	x.finish()
}

// tail sends what waited for the backup at the owner before.
func (x *entity) tail(b []byte) {
	for c := protocol.NewCursor(b); len(c.Rest()) > 0; {
		body, ok1 := c.Text()
		name, ok2 := c.Text()
		boot, ok3 := c.Uint()
		var e envelope.Envelope
		if !ok1 || !ok2 || !ok3 || e.Decode(slices.Clone(body)) != nil {
			x.n.w.fail("%s: damaged tail", x.key)
			return
		}
		if to := (envelope.NodeID{Name: string(name), Boot: boot}); to.IsZero() {
			x.out.Route(&e)
		} else {
			x.out.ToNode(to, &e)
		}
	}
}

// unfork forgets other lives: none can come back.
func (x *entity) unfork() {
	if _, forked := x.asis[state.ForkSection]; !forked {
		return
	}
	x.change.Reset()
	delete(x.asis, state.ForkSection)
	x.change.Delete(state.ForkSection)
	x.finish()
}

// rebase tells that another table is in force.
func (x *entity) rebase() {
	x.change.Reset()
	if x.kept {
		x.out.Again(x.n.policy, x.n.w.wall(), x.key, x.whole)
	} else {
		x.out.Told()
	}
	x.finish()
}
