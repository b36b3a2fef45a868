// Package replica keeps copies: an entity's changes go to the backup of its partition before anything that tells of them leaves
// (Outbox, on the owner), and the backup keeps them until it takes over (Store).
package replica

import (
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

// Policy is what all outboxes of a node share.
type Policy struct {
	Router Router
	// Refused is told of what could not be sent, so that who waits for an answer gets one.
	Refused func(e *envelope.Envelope, why error)
	// Local answers before the backup has the change (--ack=local).
	Local bool
}

// Outbox holds what an entity sends until the backup has everything the entity changed before it. It belongs to one entity.
type Outbox struct {
	seq    uint64 // of the last change sent
	acked  uint64
	base   uint64 // acknowledgements up to here are of an earlier owner
	backup envelope.NodeID
	sent   time.Time // when the last change, or the whole state again, was sent
	batch  []sending // of the message being handled
	held   []held
}

type sending struct {
	env  envelope.Envelope
	node envelope.NodeID // zero: by key
}

type held struct {
	sending
	after uint64
}

// Bounds of an outbox.
const (
	MaxHeld     = 4096        // envelopes; an entity over it takes no more calls
	resendAfter = time.Second // a change without acknowledgement: the whole state is sent again
)

// Route sends by key when the message is done.
func (o *Outbox) Route(e *envelope.Envelope) { o.batch = append(o.batch, sending{env: *e}) }

// ToNode sends to a node when the message is done.
func (o *Outbox) ToNode(n envelope.NodeID, e *envelope.Envelope) {
	o.batch = append(o.batch, sending{env: *e, node: n})
}

// Full says that the backup is so far behind that no more calls should be taken.
func (o *Outbox) Full() bool { return len(o.held) >= MaxHeld }

// Waits says that something waits for the backup.
func (o *Outbox) Waits() bool { return o.acked < o.seq }

// Finish ends a message: what it changed goes to the backup, then what it sent leaves, or waits for the backup. whole gives the
// entity's whole state, for a backup that has nothing of it yet.
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
			o.held = append(o.held, held{*s, o.seq})
		} else {
			o.send(p, s)
		}
	}
	clear(o.batch)
	o.batch = o.batch[:0]
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

func (o *Outbox) replicate(p *Policy, now time.Time, key string, change *state.Change, whole func(*state.Change)) {
	part := shard.PartitionOf(key)
	t := p.Router.Table()
	backup, ok := t.BackupOf(part)
	if !ok {
		o.backup = envelope.NodeID{}
		o.release(p, o.seq)
		return
	}
	e := envelope.Envelope{Kind: envelope.Replicate, Part: part, Term: t.PartTerm[part], Key: key, Offset: o.seq}
	if backup != o.backup {
		var all state.Change
		whole(&all)
		e.Flags = envelope.FlagWhole
		e.Payload = all.Append(nil)
	} else {
		e.Payload = change.Append(nil)
	}
	o.number(t.PartTerm[part])
	e.Ref = o.seq
	o.sent = now
	if err := p.Router.ToNode(backup, &e); err == nil {
		o.backup = backup
	} else {
		o.backup = envelope.NodeID{} // it has missed this one: the whole state next time
	}
}

// number takes the next number. Numbers of a later owner are above those of all earlier ones.
func (o *Outbox) number(term uint64) {
	if o.base == 0 {
		o.base = term << 24
		o.seq, o.acked = o.base, max(o.acked, o.base)
	}
	o.seq++
}

// Acked notes that the backup has everything up to ref, and sends what waited for it.
func (o *Outbox) Acked(p *Policy, ref uint64) {
	if ref > o.acked && ref <= o.seq {
		o.release(p, ref)
	}
}

func (o *Outbox) release(p *Policy, ref uint64) {
	o.acked = max(o.acked, ref)
	n := 0
	for n < len(o.held) && o.held[n].after <= ref {
		o.send(p, &o.held[n].sending)
		n++
	}
	clear(o.held[:n])
	o.held = o.held[n:]
	if len(o.held) == 0 {
		o.held = nil
	}
}

// Again sends the whole state when the table names another backup, or when the backup has not answered for long.
func (o *Outbox) Again(p *Policy, now time.Time, key string, whole func(*state.Change)) {
	backup, ok := p.Router.Table().BackupOf(shard.PartitionOf(key))
	if ok && backup == o.backup && (!o.Waits() || now.Sub(o.sent) < resendAfter) {
		return
	}
	o.backup = envelope.NodeID{}
	var all state.Change
	whole(&all)
	if !all.Empty() {
		o.replicate(p, now, key, &all, whole)
	}
}

// Deadline is when Again must be called, if something waits.
func (o *Outbox) Deadline() (time.Time, bool) { return o.sent.Add(resendAfter), o.Waits() }

// Drop tells the backup that the entity has left memory with no state.
func (o *Outbox) Drop(p *Policy, key string) {
	if o.backup.IsZero() {
		return
	}
	part := shard.PartitionOf(key)
	o.seq++
	_ = p.Router.ToNode(o.backup, &envelope.Envelope{Kind: envelope.Replicate, Part: part, Term: p.Router.Table().PartTerm[part], Key: key,
		Ref: o.seq, Flags: envelope.FlagDropped}) // an old copy of nothing does no harm
}

// Abandon gives up what waits, because another node owns the entity now: each is handed to refused, in order.
func (o *Outbox) Abandon(refused func(e *envelope.Envelope, node envelope.NodeID)) {
	for i := range o.held {
		refused(&o.held[i].env, o.held[i].node)
	}
	o.held = nil
}
