package mesh

import (
	"sync"
	"sync/atomic"
	"time"
)

// missed is the number of heartbeats that may go unanswered.
const missed = 3

// pulse is what one lane knows of its peer's life.
type pulse struct {
	heard atomic.Int64 // Mesh.now of the last bytes read
	busy  atomic.Bool  // the reader is in a callback, so silence means nothing
	rtt   atomic.Int64 // nanoseconds, of the last ping that was answered

	resumed time.Duration // when the reader was last known not to listen; the beat goroutine's own

	mu       sync.Mutex // guards what follows
	sent     uint64     // seq of the last ping
	answered uint64     // seq of the last pong
	at       [64]time.Duration
}

// ping notes that one is sent now, and gives its seq.
func (p *pulse) ping(now time.Duration) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent++
	p.at[p.sent%uint64(len(p.at))] = now
	return p.sent
}

// pong notes an answer, and gives when the ping was sent; false when it answers nothing that was asked, or what is long ago.
func (p *pulse) pong(seq uint64, now time.Duration) (sent time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq <= p.answered || seq > p.sent {
		return 0, false
	}
	p.answered = seq
	if p.sent-seq >= uint64(len(p.at)) {
		return 0, false
	}
	sent = p.at[seq%uint64(len(p.at))]
	p.rtt.Store(int64(now - sent))
	return sent, true
}

// silent says whether nothing was heard for longer than limit.
func (p *pulse) silent(now, limit time.Duration) bool {
	if p.busy.Load() {
		p.resumed = now
		return false
	}
	return now-max(time.Duration(p.heard.Load()), p.resumed) >= limit
}

// unanswered says whether a ping is, for longer than limit.
func (p *pulse) unanswered(now, limit time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answered == p.sent {
		return false
	}
	oldest := p.answered + 1
	if p.sent-oldest >= uint64(len(p.at)) {
		return true
	}
	return now-max(p.at[oldest%uint64(len(p.at))], p.resumed) >= limit
}

// dying says why a lane must be taken for dead, if it must. On the data lane an answer may rightly wait behind megabytes, so there
// only silence counts. That is enough: whichever way a connection is cut, one side hears nothing and closes it.
func (a *lane) dying(now, limit time.Duration) bool {
	return a.silent(now, limit) || a.which == Control && a.unanswered(now, limit)
}

// beat sends the heartbeats of a link and watches those of the peer, until the link ends.
func (l *link) beat() {
	period := l.m.opt.Heartbeat
	limit := missed*period + period/2
	tick := time.NewTicker(period / 2)
	defer tick.Stop()
	last := l.m.now()
	for n := 0; ; n++ {
		now := l.m.now()
		if now-last > 2*period { // this process stood still: what it did not hear says nothing of the peer
			for _, a := range l.lanes {
				a.pulse.resumed = now
			}
		}
		last = now
		for _, a := range l.lanes {
			if a.dying(now, limit) {
				l.close(ClosedSilent, nil)
				return
			}
			if n%2 == 0 {
				a.ping(now)
			}
			a.gauge()
		}
		select {
		case <-l.gone:
			return
		case <-tick.C:
		}
	}
}

// Probe sends a heartbeat to all peers now: to tell them of a new state, or to have theirs.
func (m *Mesh) Probe() {
	now := m.now()
	for _, l := range *m.links.Load() {
		l.lanes[Control].ping(now)
	}
}

// heardWithin says whether the peer was heard on either lane lately.
func (l *link) heardWithin(d time.Duration) bool {
	if !l.up() {
		return false
	}
	now := l.m.now()
	for _, a := range l.lanes {
		if now-time.Duration(a.heard.Load()) <= d {
			return true
		}
	}
	return false
}
