package mesh

import (
	"net"
	"sync"
	"time"

	"gamed/internal/envelope"
)

// lane is one connection of a link, in both directions: send.. here, read in reader.go.
//
// Senders append frames to buf. Whoever finds nobody writing becomes the writer: it takes the whole buffer and writes it, by
// itself if that takes no waiting, else it passes the rest on to the lane's goroutine. What others append meanwhile goes out in
// one piece after it. So there is one writer at a time, frames leave in the order they were appended, a lonely frame costs no
// switch of goroutines, and many cost one write.
type lane struct {
	link   *link
	which  Lane
	conn   net.Conn
	direct *direct       // nil: all writing is the goroutine's
	wake   chan struct{} // passes the writer's part on to the goroutine
	pulse
	m         *laneMetrics
	maxBytes  int
	maxFrames int
	rest      []byte // of out, left over by a direct write: the writer's own

	mu      sync.Mutex // guards what follows
	buf     []byte     // frames waiting
	frames  int        // how many
	spare   []byte     // the other buffer, while nobody writes it
	beats   []byte     // pings and pongs waiting; they go first
	out     []byte     // what is being written
	beating bool       // out are beats
	count   int        // frames in out
	lull    int        // small batches in a row
	writing bool       // somebody is the writer
	shutUp  bool       // the link has ended
}

const (
	keepBuffer = 256 << 10 // a buffer that grew larger is given back after a lull
	maxLull    = 256
	maxBeats   = 64 << 10 // bytes of pings and pongs that wait: more are not sent
)

func newLane(l *link, which Lane, c net.Conn) *lane {
	o := &l.m.opt
	a := &lane{link: l, which: which, conn: c, wake: make(chan struct{}, 1), m: &l.peer.metrics.lanes[which],
		maxBytes: o.QueueBytes, maxFrames: o.QueueCount}
	if which == Control {
		a.maxBytes, a.maxFrames = o.ControlBytes, o.ControlCount
	}
	a.direct = newDirect(c)
	return a
}

// start is called once the link is whole, before anybody sends.
func (a *lane) start(now time.Duration) { a.heard.Store(int64(now)) }

// send appends a frame; flush sees to it that somebody writes it.
func (a *lane) send(e *envelope.Envelope, flush bool) error {
	a.mu.Lock()
	if a.shutUp {
		a.mu.Unlock()
		a.m.dropped[DropNoLink].Inc()
		return ErrNoLink
	}
	was := len(a.buf)
	waiting := was + len(a.out)
	if waiting > 0 && waiting+len(e.Payload) > a.maxBytes || a.frames+a.count >= a.maxFrames {
		return a.drop(DropBusy, ErrBusy)
	}
	buf, ok := appendEnvelope(a.buf, e)
	a.buf = buf
	if !ok {
		return a.drop(DropTooLarge, ErrTooLarge)
	}
	if waiting > 0 && len(buf)+len(a.out) > a.maxBytes {
		a.buf = buf[:was]
		return a.drop(DropBusy, ErrBusy)
	}
	a.frames++
	if !flush || a.writing {
		a.mu.Unlock()
		return nil
	}
	a.become()
	return nil
}

func (a *lane) drop(why Drop, err error) error {
	a.mu.Unlock()
	a.m.dropped[why].Inc()
	return err
}

// flush sees to it that somebody writes what waits.
func (a *lane) flush() {
	a.mu.Lock()
	if a.writing || len(a.buf) == 0 && len(a.beats) == 0 {
		a.mu.Unlock()
		return
	}
	a.become()
}

// become makes the caller the writer. lane.mu must be held; it is released.
func (a *lane) become() {
	a.writing = true
	if a.direct == nil || a.shutUp {
		a.mu.Unlock()
		a.pass()
		return
	}
	for turns := 0; turns < 2 && a.next(); turns++ {
		out := a.out
		a.mu.Unlock()
		n, err := a.direct.write(out)
		a.m.writes.Inc()
		if err != nil {
			a.link.close(closeOf(err), err)
		}
		if n < len(out) {
			a.rest = out[n:]
			a.pass()
			return
		}
		a.mu.Lock()
		a.done()
	}
	if len(a.buf) > 0 || len(a.beats) > 0 {
		a.mu.Unlock()
		a.pass()
		return
	}
	a.writing = false
	a.mu.Unlock()
}

func (a *lane) pass() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// next takes what is to be written next as out; false when nothing waits. lane.mu must be held.
func (a *lane) next() bool {
	switch {
	case len(a.beats) > 0:
		a.out, a.beating, a.count = a.beats, true, 0
		a.beats = nil
	case len(a.buf) > 0:
		a.out, a.beating, a.count = a.buf, false, a.frames
		a.buf, a.spare, a.frames = a.spare, nil, 0
	default:
		return false
	}
	return true
}

// done gives the buffer of out back. lane.mu must be held.
func (a *lane) done() {
	a.m.framesOut.Add(float64(a.count))
	a.m.bytesOut.Add(float64(len(a.out)))
	if !a.beating {
		if cap(a.out) > keepBuffer && len(a.out) < keepBuffer {
			a.lull++
		} else {
			a.lull = 0
		}
		a.spare = a.out[:0]
		if a.lull > maxLull {
			a.lull, a.spare = 0, nil
		}
	}
	a.out, a.count = nil, 0
}

// write is the lane's goroutine: it writes what is passed on to it, until the link ends.
func (a *lane) write() {
	for {
		select {
		case <-a.link.gone:
			return
		case <-a.wake:
		}
		if !a.drain() {
			return
		}
	}
}

// drain writes until nothing waits; false when the connection failed.
func (a *lane) drain() bool {
	if len(a.rest) > 0 {
		rest := a.rest
		a.rest = nil
		if !a.put(rest) {
			return false
		}
	}
	for {
		a.mu.Lock()
		if len(a.out) > 0 {
			a.done()
		}
		if a.shutUp || !a.next() {
			a.writing = false
			a.mu.Unlock()
			return !a.shutUp
		}
		out := a.out
		a.mu.Unlock()
		if !a.put(out) {
			return false
		}
	}
}

func (a *lane) put(b []byte) bool {
	_, err := a.conn.Write(b)
	a.m.writes.Inc()
	if err != nil {
		a.link.close(closeOf(err), err)
	}
	return err == nil
}

// shut ends the sending side: what waits is lost.
func (a *lane) shut() {
	a.mu.Lock()
	lost := a.frames + a.count
	a.shutUp, a.buf, a.spare, a.beats, a.frames = true, nil, nil, nil, 0
	a.mu.Unlock()
	a.m.dropped[DropLost].Add(float64(lost))
	a.m.queue.Set(0)
}

// ping queues a heartbeat, ahead of what waits.
func (a *lane) ping(now time.Duration) {
	var state []byte
	if a.which == Control {
		state = a.link.m.state()
	}
	seq := a.pulse.ping(now)
	a.beat(func(b []byte) []byte { return appendPing(b, seq, state) })
}

// beat queues a frame of the link ahead of what waits.
func (a *lane) beat(add func([]byte) []byte) {
	a.mu.Lock()
	if a.shutUp || len(a.beats) > maxBeats {
		a.mu.Unlock()
		return
	}
	a.beats = add(a.beats)
	if a.writing {
		a.mu.Unlock()
		return
	}
	a.become()
}

func (a *lane) writingBytes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.out)
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
