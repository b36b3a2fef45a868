// Package replica keeps copies: an entity's changes go to the backup of its partition before anything that tells of them leaves
// (Outbox, on the owner), and the backup keeps them until it takes over (Store).
//
// The promise: what an Outbox released tells of nothing that the backup, as the table named it then, did not have; and a Store
// refuses an owner that was replaced, so that such a one releases nothing. Changes may be lost, doubled and reordered on the
// way: each says which one it follows, a copy takes only the next, and the owner sends the whole state again when it hears
// nothing for a second.
package replica

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"gamed/internal/envelope"
	"gamed/internal/shard"
	"gamed/internal/state"
)

// Router is how an outbox sends.
type Router interface {
	Self() envelope.NodeID
	Table() *shard.Table
	Route(e *envelope.Envelope) error
	ToNode(n envelope.NodeID, e *envelope.Envelope) error
}

// Policy is what all outboxes of a node share. Immutable.
type Policy struct {
	Router Router
	// Refused is told of what could not be sent, so that who waits for an answer gets one.
	Refused func(e *envelope.Envelope, why error)
	// Local answers before the backup has the change (--ack=local).
	Local bool
}

// Outbox holds what an entity sends until the backup has everything the entity changed before it. It belongs to one entity and
// thereby to one goroutine. The zero value is ready.
type Outbox struct {
	life     uint64 // later outboxes of this process have a larger one; 0: nothing was changed yet
	seq      uint64 // of the last change
	acked    uint64
	backup   envelope.NodeID // who got the whole state; what was lost on the way is found by its silence
	progress bool            // it has answered since
	since    time.Time       // when something began to wait, or the whole state was sent
	batch    []sending       // of the message being handled
	held     []held          // in order
	bytes    int             // payloads in held
}

type sending struct {
	env  envelope.Envelope
	node envelope.NodeID // zero: by key
}

type held struct {
	sending
	after uint64
}

// Bounds of an outbox: an entity over them takes no more calls.
const (
	MaxHeld      = 4096    // envelopes
	MaxHeldBytes = 8 << 20 // of payload
)

// resendAfter is how long the backup may say nothing before it gets the whole state again, and how often at most it does.
const resendAfter = time.Second

// Route sends by key when the message is done.
func (o *Outbox) Route(e *envelope.Envelope) { o.batch = append(o.batch, sending{env: *e}) }

// ToNode sends to a node when the message is done.
func (o *Outbox) ToNode(n envelope.NodeID, e *envelope.Envelope) {
	o.batch = append(o.batch, sending{env: *e, node: n})
}

// Full says that the backup is so far behind that no more calls should be taken.
func (o *Outbox) Full() bool { return len(o.held) >= MaxHeld || o.bytes >= MaxHeldBytes }

// Waits says that something waits for the backup.
func (o *Outbox) Waits() bool { return o.acked < o.seq }

// keptBatch is the longest batch whose memory is kept for the next message.
const keptBatch = 8

// Finish ends a message: what it changed goes to the backup, then what it sent leaves, or waits for the backup. whole gives the
// entity's whole state, change included, for a backup that has nothing of it yet.
func (o *Outbox) Finish(p *Policy, now time.Time, key string, change *state.Change, whole func(*state.Change)) {
	if !change.Empty() {
		o.replicate(p, now, key, change, whole)
	}
	if len(o.batch) == 0 {
		return
	}
	wait := o.acked < o.seq && !p.Local
	for i := range o.batch {
		s := &o.batch[i]
		if wait {
			s.env.Payload = append([]byte(nil), s.env.Payload...)
			o.bytes += len(s.env.Payload)
			o.held = append(o.held, held{*s, o.seq})
		} else {
			o.send(p, s)
		}
	}
	clear(o.batch)
	if o.batch = o.batch[:0]; cap(o.batch) > keptBatch {
		o.batch = nil
	}
}

func (o *Outbox) send(p *Policy, s *sending) {
	var err error
	if s.node.IsZero() {
		err = p.Router.Route(&s.env)
	} else {
		err = p.Router.ToNode(s.node, &s.env)
	}
	if err != nil {
		p.Refused(&s.env, err)
	}
}

// place is an entity's partition as the table has it now.
type place struct {
	part   uint16
	term   uint64
	mine   bool            // this node owns it: only an owner tells the backup anything
	backup envelope.NodeID // zero: there is none
}

func locate(p *Policy, key string) place {
	part, t := shard.PartitionOf(key), p.Router.Table()
	owner, owned := t.OwnerOf(part)
	backup, _ := t.BackupOf(part)
	return place{part, t.PartTerm[part], owned && owner == p.Router.Self(), backup}
}

func (o *Outbox) replicate(p *Policy, now time.Time, key string, change *state.Change, whole func(*state.Change)) {
	at := locate(p, key)
	switch {
	case !at.mine: // replaced: what waits is given up or sent again when the entity is told
		o.number(at.term, now)
		o.backup = envelope.NodeID{}
	case at.backup.IsZero():
		o.alone(p)
	case at.backup != o.backup:
		o.sendWhole(p, now, key, at, whole)
	default:
		before := o.seq
		o.number(at.term, now)
		o.toBackup(p, at, &envelope.Envelope{Key: key, Ref: o.seq, Offset: before, Payload: change.Append(nil)})
	}
}

func (o *Outbox) sendWhole(p *Policy, now time.Time, key string, at place, whole func(*state.Change)) {
	var all state.Change
	whole(&all)
	o.number(at.term, now)
	o.since, o.progress = now, false
	o.toBackup(p, at, &envelope.Envelope{Key: key, Ref: o.seq, Flags: envelope.FlagWhole, Payload: all.Append(nil)})
}

func (o *Outbox) toBackup(p *Policy, at place, e *envelope.Envelope) {
	e.Kind, e.Part, e.Term, e.Conn = envelope.Replicate, at.part, at.term, o.life
	o.backup = at.backup
	_ = p.Router.ToNode(at.backup, e) // as if it were lost on the way: a queue that is full does not get better by whole states
}

// alone releases everything: there is no backup to wait for.
func (o *Outbox) alone(p *Policy) {
	o.backup = envelope.NodeID{}
	o.release(p, o.seq)
}

// lives counts the outboxes of this process that had something to tell.
var lives atomic.Uint64

// number takes the next number. Numbers of a later owner are above those of all earlier ones, and those of two outboxes of one
// owner are far apart: an answer to one is never taken for an answer to another.
func (o *Outbox) number(term uint64, now time.Time) {
	if o.life == 0 {
		o.life = lives.Add(1)
		o.seq = term<<40 + rand.Uint64N(1<<39)
		o.acked = o.seq
	}
	if o.acked == o.seq {
		o.since, o.progress = now, false
	}
	o.seq++
}

// Acked notes that the backup has everything up to ref, and sends what waited for it.
func (o *Outbox) Acked(p *Policy, ref uint64) {
	if ref > o.acked && ref <= o.seq {
		o.progress = true
		o.release(p, ref)
	}
}

func (o *Outbox) release(p *Policy, ref uint64) {
	o.acked = max(o.acked, ref)
	n := 0
	for n < len(o.held) && o.held[n].after <= ref {
		o.bytes -= len(o.held[n].env.Payload)
		o.send(p, &o.held[n].sending)
		n++
	}
	clear(o.held[:n])
	o.held = o.held[n:]
	if len(o.held) == 0 {
		o.held = nil
	}
}

// Again sends the whole state when the table names another backup, or when the backup has not answered for long. It is to be
// called when another table is in force, and at the Deadline.
func (o *Outbox) Again(p *Policy, now time.Time, key string, whole func(*state.Change)) {
	at := locate(p, key)
	late := o.Waits() && now.Sub(o.since) >= resendAfter
	switch {
	case !at.mine:
		if late {
			o.since = now
		}
	case at.backup.IsZero():
		o.alone(p)
	case at.backup != o.backup:
		o.sendWhole(p, now, key, at, whole)
	case late && o.progress:
		o.since, o.progress = now, false
	case late:
		o.sendWhole(p, now, key, at, whole)
	}
}

// Deadline is when Again must be called, if something waits.
func (o *Outbox) Deadline() (time.Time, bool) { return o.since.Add(resendAfter), o.Waits() }

// Drop tells the backup that the entity has left memory with no state. Nothing is sent again: an old copy of nothing does no
// harm.
func (o *Outbox) Drop(p *Policy, key string) {
	at := locate(p, key)
	if !at.mine || o.backup.IsZero() || at.backup != o.backup {
		return
	}
	o.seq++
	o.toBackup(p, at, &envelope.Envelope{Key: key, Ref: o.seq, Flags: envelope.FlagDropped})
}

// Abandon gives up what waits, because another node owns the entity now: each is handed to refused, in order.
func (o *Outbox) Abandon(refused func(e *envelope.Envelope, node envelope.NodeID)) {
	for i := range o.held {
		refused(&o.held[i].env, o.held[i].node)
	}
	o.held, o.bytes = nil, 0
}
