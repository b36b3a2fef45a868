package replica

import (
	"sync"
	"sync/atomic"
	"time"

	"gamed/internal/envelope"
)

// Pacer spreads the whole states that a node sends after a change of the table over time, so that calls find room on the links.
// Those of entities with changes that the backup does not have come first; the others share a rate. All outboxes of a node share
// one; it is safe for use by many goroutines, and it reads no clock.
type Pacer struct {
	o        PacerOptions
	oversize atomic.Uint64

	mu      sync.Mutex           // guards what follows
	open    map[uint64]time.Time // lives whose whole state is being sent, since when
	paid    time.Time            // when what was begun so far is within the rate
	turns   [2]time.Time         // the last turn given to: those nobody waits for, urgent ones
	average int                  // length of a whole state
}

// PacerOptions of a Pacer.
type PacerOptions struct {
	Rate   int // bytes a second of whole states that nobody waits for
	AtOnce int // entities whose whole state is being sent
	Window int // bytes that may wait for a node before more is sent to it
	// Backlog is how many bytes wait for a node; false: there is no link.
	Backlog func(to envelope.NodeID) (bytes int, up bool)
}

// NewPacer makes a pacer. What is zero in the options is 32 MiB/s, 16, 64 KiB, and no backlog.
func NewPacer(o PacerOptions) *Pacer {
	if o.Rate <= 0 {
		o.Rate = 32 << 20
	}
	if o.AtOnce <= 0 {
		o.AtOnce = 16
	}
	if o.Window <= 0 {
		o.Window = 64 << 10
	}
	if o.Backlog == nil {
		o.Backlog = func(envelope.NodeID) (int, bool) { return 0, true }
	}
	return &Pacer{o: o, open: map[uint64]time.Time{}, average: 4 << 10}
}

const (
	burst     = 10 * time.Millisecond  // how far what was begun may be ahead of the rate: workers look at the clock now and then
	stale     = 10 * time.Second       // then a whole state that was begun is taken to have ended
	urgentGap = 100 * time.Microsecond // between the turns of urgent ones
)

// begin says whether an outbox may begin; if not, when to ask again.
func (p *Pacer) begin(now time.Time, to envelope.NodeID, life uint64, urgent bool) (ok bool, again time.Time) {
	if p == nil {
		return true, now
	}
	room := p.room(to)
	p.mu.Lock()
	defer p.mu.Unlock()
	if room && (urgent || !p.paid.After(now.Add(burst))) && p.slot(now) {
		p.open[life] = now
		return true, now
	}
	turn, gap, from := &p.turns[0], p.cost(p.average), now.Add(roomEvery)
	if urgent {
		turn, gap = &p.turns[1], urgentGap
	} else if free := p.paid.Add(-burst); free.After(from) {
		from = free
	}
	if turn.Before(from) {
		*turn = from
	}
	*turn = turn.Add(gap)
	return false, *turn
}

// slot says whether one more may be under way.
func (p *Pacer) slot(now time.Time) bool {
	if len(p.open) < p.o.AtOnce {
		return true
	}
	for life, since := range p.open {
		if now.Sub(since) >= stale {
			delete(p.open, life)
		}
	}
	return len(p.open) < p.o.AtOnce
}

// cost is the time that so many bytes take at the rate.
func (p *Pacer) cost(bytes int) time.Duration {
	return time.Duration(float64(bytes) / float64(p.o.Rate) * float64(time.Second))
}

// charge counts a whole state that is begun.
func (p *Pacer) charge(now time.Time, bytes int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(p.cost(bytes))
	p.average += (bytes - p.average) / 8
}

// end says that an outbox has sent its whole state, or gives it up.
func (p *Pacer) end(life uint64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, life)
}

// room says whether a node's queue has room for a piece.
func (p *Pacer) room(to envelope.NodeID) bool {
	if p == nil {
		return true
	}
	waiting, up := p.o.Backlog(to)
	return up && waiting <= p.o.Window
}

func (p *Pacer) tooLarge() {
	if p != nil {
		p.oversize.Add(1)
	}
}

// TooLarge is how often a whole state was larger than MaxState.
func (p *Pacer) TooLarge() uint64 { return p.oversize.Load() }
