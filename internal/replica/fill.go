package replica

import (
	"time"

	"gamed/internal/envelope"
	"gamed/internal/state"
)

// MaxState is the largest state of an entity, as it is encoded, in bytes. One that is larger cannot be backed up, so nothing it
// changes is acknowledged and it takes no more calls.
const MaxState = 64 << 20

const (
	defaultPiece = 16 << 10
	aheadPieces  = 16                   // that the backup has not confirmed
	maxLater     = 4 << 20              // bytes of changes that wait for the whole state to be sent: then no more calls are taken
	roomEvery    = 2 * time.Millisecond // how often a queue that is full is looked at
	largeEvery   = 5 * time.Second      // how often a state that was too large is looked at
	patience     = 10 * time.Second     // then a whole state that nobody waits for is as urgent as others
)

// fill is the whole state on its way to a backup that has none of this outbox. Changes made meanwhile follow it.
type fill struct {
	since time.Time // when it was wanted
	due   time.Time // when to try again; zero: the backup's answer is waited for
	over  bool      // the state is too large
	again bool      // the whole state is wanted once more, after this

	begun bool
	pace  *Pacer
	cut   state.Cutter
	piece []byte // that could not be sent yet
	first uint64 // numbers of the pieces
	next  uint64
	end   uint64
	acked uint64
	later []delta
	bytes int // in later
}

func (f *fill) full() bool { return f.over || f.bytes >= maxLater }

// follow takes a change that is to be sent after the last piece.
func (f *fill) follow(d delta) {
	f.later = append(f.later, d)
	f.bytes += len(d.payload)
}

// restart has the whole state sent once more after this one, in the place of changes.
func (f *fill) restart() { f.again, f.later, f.bytes = true, nil, 0 }

// came notes that the backup has a piece; false: it is of another whole state.
func (f *fill) came(seq uint64) bool {
	if !f.begun || seq < f.first || seq >= f.next {
		return false
	}
	f.acked = max(f.acked, seq)
	return true
}

// aim says who gets the changes from now on, after the fill.
func (o *Outbox) aim(backup envelope.NodeID, f *fill) {
	if o.fill != nil && o.fill.begun {
		o.fill.pace.end(o.life)
	}
	o.backup, o.fill = backup, f
}

// want has the whole state sent, to whomever the table names; false: it was wanted before.
func (o *Outbox) want(now time.Time) bool {
	if o.fill != nil && !o.fill.begun {
		return false
	}
	o.aim(envelope.NodeID{}, &fill{since: now, due: now})
	return true
}

// work begins or goes on with what is wanted.
func (o *Outbox) work(p *Policy, now time.Time, key string, at place, whole func(*state.Change)) {
	if o.fill.begun || o.begin(p, now, at, whole) {
		o.push(p, now, key, at)
	}
}

// begin takes the whole state as it is now, if the pace allows.
func (o *Outbox) begin(p *Policy, now time.Time, at place, whole func(*state.Change)) bool {
	f := o.fill
	if f.over && now.Before(f.due) {
		return false
	}
	o.live(p, at.term)
	urgent := o.acked < o.last || now.Sub(f.since) >= patience
	ok, again := p.Pace.begin(now, at.backup, o.life, urgent)
	if !ok {
		if f.due = again; !urgent && f.due.After(f.since.Add(patience)) {
			f.due = f.since.Add(patience)
		}
		return false
	}
	var all state.Change
	whole(&all)
	p.Pace.charge(now, all.Len())
	if f.over = all.Len() > MaxState; f.over {
		p.Pace.end(o.life)
		p.Pace.tooLarge()
		f.due = now.Add(largeEvery)
		return false
	}
	size := p.PieceSize
	if size <= 0 {
		size = defaultPiece
	}
	f.begun, f.pace, f.cut = true, p.Pace, all.Cut(size)
	f.first, f.next, f.acked = o.seq+1, o.seq+1, o.seq
	o.seq += uint64(f.cut.Pieces())
	f.end = o.seq
	o.backup, o.since, o.progress, o.end = at.backup, now, false, f.end
	return true
}

// push sends pieces, no more ahead of the backup's answers than allowed, then what was changed meanwhile.
func (o *Outbox) push(p *Policy, now time.Time, key string, at place) {
	f := o.fill
	f.due = time.Time{}
	for ; f.next <= f.end; f.next++ {
		if f.next > f.acked+aheadPieces {
			return
		}
		if f.piece == nil {
			f.piece, _ = f.cut.Next(nil)
		}
		e := envelope.Envelope{Key: key, Ref: f.next, Payload: f.piece}
		if f.next == f.first {
			e.Flags |= envelope.FlagWhole
		} else {
			e.Offset = f.next - 1
		}
		if f.next < f.end {
			e.Flags |= envelope.FlagMore
		}
		if !p.Pace.room(at.backup) || o.toBackup(p, at, &e) != nil {
			f.due = now.Add(roomEvery)
			return
		}
		f.piece = nil
	}
	if f.again {
		o.want(now)
		return
	}
	o.aim(o.backup, nil)
	for _, d := range f.later {
		o.sendChange(p, at, key, d)
	}
}
