// Package replica keeps copies: an entity's changes go to the backup of its partition before anything that tells of them leaves
// (Outbox, on the owner), and the backup keeps them until it takes over (Store).
//
// The promise: what an Outbox released tells of nothing that the backup, as the table named it then, did not have; and a Store
// refuses an owner that was replaced, so that such a one releases nothing. Changes may be lost, doubled and reordered on the
// way: each says which one it follows, a copy takes only the next, and the owner sends the whole state again when it hears
// nothing for a second. Whole states go in pieces, at a bounded rate (Pacer), and a copy is replaced only when all have come.
package replica

import (
	"sync"
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

// Policy is what all outboxes of a node share. Its fields do not change.
type Policy struct {
	Router Router
	// Refused is told of what could not be sent, so that who waits for an answer gets one.
	Refused func(e *envelope.Envelope, why error)
	// Local answers before the backup has the change (--ack=local).
	Local bool
	// Pace says when whole states may be sent; nil: at once.
	Pace *Pacer
	// PieceSize is how long the pieces of a whole state are, in bytes; 0: 16 KiB.
	PieceSize int

	lives atomic.Uint64 // outboxes of this node that had something to tell
}

// Outbox holds what an entity sends until the backup has everything the entity changed before it. It belongs to one entity and
// thereby to one goroutine. The zero value is ready.
type Outbox struct {
	token    uint64 // own term of the partition in the table that the entity was told of last; 0: in the one in force
	life     uint64 // later outboxes of this node have a larger one; 0: nothing was changed yet
	seq      uint64 // the last number given, to a change or a piece of a whole state
	last     uint64 // of the last change
	acked    uint64
	end      uint64          // of the last piece of the whole state that the backup was sent; before it has that, it has nothing
	backup   envelope.NodeID // who gets the changes; what was lost on the way is found by its silence
	progress bool            // it has answered since
	since    time.Time       // when something began to wait, or the whole state was begun
	fill     *fill           // nil: the backup was sent a whole state, or there is none
	batch    *batch          // of the message being handled; nil: it has sent nothing
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

// batch is what one message sends. Its memory goes from one outbox to the next, so that an entity at rest holds none.
type batch struct{ list []sending }

var batches = sync.Pool{New: func() any { return new(batch) }}

// keptBatch is the longest batch whose memory is kept.
const keptBatch = 256

// Bounds of an outbox: an entity over them takes no more calls.
const (
	MaxHeld      = 4096    // envelopes
	MaxHeldBytes = 8 << 20 // of payload
)

// resendAfter is how long the backup may say nothing before it gets the whole state again, and how often at most it does.
const resendAfter = time.Second

// Route sends by key when the message is done.
func (o *Outbox) Route(e *envelope.Envelope) { o.add(e, envelope.NodeID{}) }

// ToNode sends to a node when the message is done.
func (o *Outbox) ToNode(n envelope.NodeID, e *envelope.Envelope) { o.add(e, n) }

func (o *Outbox) add(e *envelope.Envelope, n envelope.NodeID) {
	if o.batch == nil {
		o.batch = batches.Get().(*batch)
	}
	o.batch.list = append(o.batch.list, sending{env: *e, node: n})
}

// Full says that the backup is so far behind, or the state so large, that no more calls should be taken.
func (o *Outbox) Full() bool {
	return len(o.held) >= MaxHeld || o.bytes >= MaxHeldBytes || o.fill != nil && o.fill.full()
}

// Waits says that the backup does not have everything.
func (o *Outbox) Waits() bool { return o.acked < o.seq || o.fill != nil }

// Finish ends a message: what it changed goes to the backup, then what it sent leaves, or waits for the backup. whole gives the
// entity's whole state, change included, for a backup that has nothing of it yet.
func (o *Outbox) Finish(p *Policy, now time.Time, key string, change *state.Change, whole func(*state.Change)) {
	if !change.Empty() {
		o.replicate(p, now, key, change, whole)
	}
	b := o.batch
	if b == nil {
		return
	}
	o.batch = nil
	wait := o.acked < o.last && !p.Local
	for i := range b.list {
		s := &b.list[i]
		if wait {
			s.env.Payload = append([]byte(nil), s.env.Payload...)
			o.bytes += len(s.env.Payload)
			o.held = append(o.held, held{*s, o.last})
		} else {
			o.send(p, s)
		}
	}
	clear(b.list)
	if b.list = b.list[:0]; cap(b.list) <= keptBatch {
		batches.Put(b)
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
	mine   bool            // this node owns it, and the entity was told so: only then the backup is told anything
	backup envelope.NodeID // zero: there is none
}

// locate looks into the table in force. It may be newer than the one that the entity was told of: if others owned the partition
// between the two, what the entity has is old, and must not come to the backup under the new term.
func (o *Outbox) locate(p *Policy, key string) place {
	part, t := shard.PartitionOf(key), p.Router.Table()
	owner, owned := t.OwnerOf(part)
	backup, _ := t.BackupOf(part)
	at := place{part, t.PartTerm[part], owned && owner == p.Router.Self(), backup}
	if o.token == 0 {
		o.token = at.term
	}
	at.mine = at.mine && o.token == at.term
	return at
}

func (o *Outbox) replicate(p *Policy, now time.Time, key string, change *state.Change, whole func(*state.Change)) {
	at := o.locate(p, key)
	switch {
	case !at.mine: // replaced: what waits is given up or sent again when the entity is told
		o.changed(p, at.term, now)
		o.aim(envelope.NodeID{}, nil)
	case at.backup.IsZero():
		o.alone(p)
	case at.backup == o.backup && o.fill != nil && (o.fill.again || change.Len() > maxChange):
		o.changed(p, at.term, now)
		o.fill.restart()
	case at.backup != o.backup || change.Len() > maxChange:
		o.changed(p, at.term, now)
		o.want(now)
		o.work(p, now, key, at, whole)
	default:
		before := o.seq
		o.changed(p, at.term, now)
		if d := (delta{o.seq, before, change.Append(nil)}); o.fill != nil {
			o.fill.follow(d)
		} else {
			o.sendChange(p, at, key, d)
		}
	}
}

// maxChange is the longest change that is sent as such: for longer ones the whole state goes, in pieces.
const maxChange = 1 << 20

// delta is a change and its place among the others.
type delta struct {
	seq, before uint64
	payload     []byte
}

func (o *Outbox) sendChange(p *Policy, at place, key string, d delta) {
	// An error is as if it were lost on the way: a queue that is full does not get better by whole states.
	_ = o.toBackup(p, at, &envelope.Envelope{Key: key, Ref: d.seq, Offset: d.before, Payload: d.payload})
}

func (o *Outbox) toBackup(p *Policy, at place, e *envelope.Envelope) error {
	e.Kind, e.Part, e.Term, e.Conn = envelope.Replicate, at.part, at.term, o.life
	return p.Router.ToNode(at.backup, e)
}

// alone releases everything: there is no backup to wait for.
func (o *Outbox) alone(p *Policy) {
	o.aim(envelope.NodeID{}, nil)
	o.release(p, o.seq)
}

// live gives the outbox its place among all of the node. Numbers of a later owner are above those of all earlier ones.
func (o *Outbox) live(p *Policy, term uint64) {
	if o.life == 0 {
		o.life = p.lives.Add(1)
		o.seq = term << 40
		o.last, o.acked = o.seq, o.seq
	}
}

// changed gives a change its number.
func (o *Outbox) changed(p *Policy, term uint64, now time.Time) {
	o.live(p, term)
	if o.acked == o.seq {
		o.since, o.progress = now, false
	}
	o.seq++
	o.last = o.seq
}

// Acked takes an answer of the backup, and sends what waited for it.
func (o *Outbox) Acked(p *Policy, now time.Time, e *envelope.Envelope) {
	switch {
	case e.Conn != o.life || e.Ref > o.seq: // to another outbox
	case e.Flags&envelope.FlagMore != 0:
		if f := o.fill; f != nil && f.came(e.Ref) {
			o.progress = true
			if at := o.locate(p, e.Key); at.mine && at.backup == o.backup {
				o.push(p, now, e.Key, at)
			}
		}
	case e.Ref > o.acked:
		o.progress = true
		o.release(p, e.Ref)
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

// Again is Due for an entity that is told of another table. What it has is its partition's state by that table.
func (o *Outbox) Again(p *Policy, now time.Time, key string, whole func(*state.Change)) {
	o.Told()
	o.Due(p, now, key, whole)
}

// Told is Again for an entity without state: it owns its partition by the table in force.
func (o *Outbox) Told() { o.token = 0 }

// Due sends the whole state when the table names another backup, or when the backup has not answered for long; or goes on with
// it. It is to be called at the Deadline.
func (o *Outbox) Due(p *Policy, now time.Time, key string, whole func(*state.Change)) {
	at := o.locate(p, key)
	late := o.acked < o.seq && now.Sub(o.since) >= resendAfter
	switch {
	case !at.mine:
		o.aim(envelope.NodeID{}, nil)
		if late {
			o.since = now
		}
	case at.backup.IsZero():
		o.alone(p)
	case at.backup != o.backup:
		if o.want(now) || !now.Before(o.fill.due) {
			o.work(p, now, key, at, whole)
		}
	case late && o.progress:
		o.since, o.progress = now, false
	case late:
		o.want(now)
		o.work(p, now, key, at, whole)
	case o.fill != nil:
		o.work(p, now, key, at, whole)
	}
}

// Deadline is when Due must be called, if something waits.
func (o *Outbox) Deadline() (time.Time, bool) {
	at := o.since.Add(resendAfter)
	if f := o.fill; f != nil {
		if !f.begun || !f.due.IsZero() && f.due.Before(at) {
			at = f.due
		}
		return at, true
	}
	return at, o.acked < o.seq
}

// BackedUp says that the backup which the table in force names has a complete copy: what it does not have is not acknowledged. It is for
// entities with state.
func (o *Outbox) BackedUp(p *Policy, key string) bool {
	at := o.locate(p, key)
	return at.mine && (at.backup.IsZero() || at.backup == o.backup && o.fill == nil && o.acked >= o.end)
}

// Drop tells the backup that the entity has left memory with no state. Nothing is sent again: an old copy of nothing does no
// harm.
func (o *Outbox) Drop(p *Policy, key string) {
	at := o.locate(p, key)
	if !at.mine || o.backup.IsZero() || at.backup != o.backup {
		return
	}
	o.seq++
	_ = o.toBackup(p, at, &envelope.Envelope{Key: key, Ref: o.seq, Flags: envelope.FlagDropped})
}

// Abandon gives up what waits, because another node owns the entity now: each is handed to refused, in order.
func (o *Outbox) Abandon(refused func(e *envelope.Envelope, node envelope.NodeID)) {
	o.aim(envelope.NodeID{}, nil)
	for i := range o.held {
		refused(&o.held[i].env, o.held[i].node)
	}
	o.held, o.bytes = nil, 0
}
