package mesh

import (
	"net"
	"sync"
	"time"

	"gamed/internal/envelope"
)

// lane is one connection of a link, in both directions: sending here, reading in reader.go.
//
// Senders append frames to buf under the lock; the lane's writing goroutine takes the whole buffer and writes it in one piece,
// while others fill the other buffer. So frames leave in the order they were appended, and under load many share one write.
// (Writing from the sender when nobody else writes was measured: never cheaper, and five to fifteen times dearer in batches.)
type lane struct {
	link  *link
	which Lane
	conn  net.Conn
	pulse
	m         *laneMetrics
	maxBytes  int
	maxFrames int

	mu      sync.Mutex // guards what follows
	more    sync.Cond  // the writer waits for it while idle
	idle    bool       // the writer waits
	shutUp  bool       // the link has ended
	buf     []byte     // frames waiting
	frames  int        // how many
	spare   []byte     // the other buffer, while nobody writes it
	beats   []byte     // pings and pongs waiting; they go first
	out     []byte     // what is being written
	count   int        // envelopes in out
	beating bool       // out are beats
	lull    int        // batches in a row that did not need their large buffer
}

const (
	keepBuffer = 256 << 10 // a buffer that grew larger is given back after a lull
	maxLull    = 256
	maxBeats   = 64 << 10 // bytes of pings and pongs that wait: more are not sent
)

func newLane(l *link, which Lane, c net.Conn) *lane {
	o := &l.m.opt
	a := &lane{link: l, which: which, conn: c, m: &l.peer.metrics.lanes[which], maxBytes: o.QueueBytes, maxFrames: o.QueueCount}
	if which == Control {
		a.maxBytes, a.maxFrames = o.ControlBytes, o.ControlCount
	}
	a.more.L = &a.mu
	return a
}

// send appends a frame; flush sees to it that it is written now.
func (a *lane) send(e *envelope.Envelope, flush bool) error {
	a.mu.Lock()
	if a.shutUp {
		return a.drop(DropNoLink, ErrNoLink)
	}
	was := len(a.buf)
	waiting := was + len(a.out)
	if waiting > 0 && waiting+len(e.Payload) > a.maxBytes || a.frames+a.count >= a.maxFrames {
		return a.drop(DropBusy, ErrBusy)
	}
	buf, ok := appendEnvelope(a.buf, e)
	if !ok {
		a.buf = buf
		return a.drop(DropTooLarge, ErrTooLarge)
	}
	if waiting > 0 && len(buf)+len(a.out) > a.maxBytes {
		a.buf = buf[:was]
		return a.drop(DropBusy, ErrBusy)
	}
	a.buf = buf
	a.frames++
	a.wake(flush)
	return nil
}

// wake releases lane.mu and, if it is to write now, wakes the writer.
func (a *lane) wake(now bool) {
	now = now && a.idle
	if now {
		a.idle = false
	}
	a.mu.Unlock()
	if now {
		a.more.Signal()
	}
}

// drop releases lane.mu.
func (a *lane) drop(why Drop, err error) error {
	a.mu.Unlock()
	a.m.dropped[why].Inc()
	return err
}

// flush has what waits written now.
func (a *lane) flush() {
	a.mu.Lock()
	a.wake(len(a.buf) > 0)
}

// write is the lane's writing goroutine. It ends the link when the connection fails, and ends with shut.
func (a *lane) write() {
	for {
		out := a.next()
		if out == nil {
			return
		}
		_, err := a.conn.Write(out)
		a.m.writes.Inc()
		if err != nil {
			a.link.close(closeOf(err), err)
			return
		}
	}
}

// next gives back what was written, and waits for what is to be written next; nil when the link has ended.
func (a *lane) next() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done()
	for !a.shutUp {
		switch {
		case len(a.beats) > 0:
			a.out, a.count, a.beating, a.beats = a.beats, 0, true, nil
			return a.out
		case len(a.buf) > 0:
			a.out, a.count, a.beating = a.buf, a.frames, false
			a.buf, a.frames, a.spare = a.spare, 0, nil
			return a.out
		}
		a.idle = true
		a.more.Wait()
	}
	return nil
}

// done counts what was written and gives its buffer back. lane.mu must be held.
func (a *lane) done() {
	if len(a.out) == 0 {
		return
	}
	a.m.bytesOut.Add(float64(len(a.out)))
	if !a.beating {
		a.m.framesOut.Add(float64(a.count))
		a.spare = a.out[:0]
		if cap(a.out) <= keepBuffer || len(a.out) > keepBuffer {
			a.lull = 0
		} else if a.lull++; a.lull > maxLull {
			a.lull, a.spare = 0, nil
		}
	}
	a.out, a.count = nil, 0
}

// shut ends the sending side: what waits is lost. The connection must be closed, or the writer may still be at it.
func (a *lane) shut() {
	a.mu.Lock()
	lost := a.frames + a.count
	a.shutUp, a.buf, a.beats, a.frames = true, nil, nil, 0
	a.mu.Unlock()
	a.more.Signal()
	a.m.dropped[DropLost].Add(float64(lost))
}

// ping queues a heartbeat.
func (a *lane) ping(now time.Duration) {
	var state []byte
	if a.which == Control {
		state = a.link.m.state()
	}
	seq := a.pulse.ping(now)
	a.beat(func(b []byte) []byte { return appendPing(b, seq, state) })
}

// beat queues a frame of the link, ahead of what waits.
func (a *lane) beat(add func([]byte) []byte) {
	a.mu.Lock()
	if !a.shutUp && len(a.beats) < maxBeats {
		a.beats = add(a.beats)
	}
	a.wake(true)
}

func (a *lane) queuedBytes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.buf) + len(a.out)
}

func (a *lane) gauge() {
	a.m.queue.Set(float64(a.queuedBytes()))
	a.m.rtt.Set(time.Duration(a.rtt.Load()).Seconds())
}

// state is this node's opaque state, if it is within bounds.
func (m *Mesh) state() []byte {
	s := m.opt.Hello()
	if len(s) > MaxState {
		m.log.Error("mesh: the hello state is too long and not sent", "bytes", len(s), "limit", MaxState)
		return nil
	}
	return s
}
