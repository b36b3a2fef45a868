package mesh

import (
	"fmt"
	"sync"

	"gamed/internal/envelope"
)

const readBuffer = 64 << 10

var readBuffers = sync.Pool{New: func() any { b := make([]byte, readBuffer); return &b }}

// reader walks the frames of one lane. It belongs to the lane's reading goroutine.
type reader struct {
	lane   *lane
	pooled *[]byte
	buf    []byte
	from   int // first byte not yet handled
	to     int // end of the bytes read
	lull   int // reads in a row that did not need a large buffer
	e      envelope.Envelope
}

// read is the lane's reading goroutine. It ends the link when the connection ends or brings what is no frame.
func (a *lane) read() {
	pooled := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(pooled)
	r := &reader{lane: a, pooled: pooled, buf: *pooled}
	for {
		n, err := a.conn.Read(r.buf[r.to:])
		if n > 0 {
			r.to += n
			now := a.link.m.now()
			a.heard.Store(int64(now))
			a.m.bytesIn.Add(float64(n))
			a.m.reads.Inc()
			a.busy.Store(true)
			bad := r.walk()
			a.busy.Store(false)
			if bad != nil {
				a.link.close(ClosedBadFrame, bad)
				return
			}
		}
		if err != nil {
			a.link.close(closeOf(err), err)
			return
		}
	}
}

// walk handles all complete frames and makes room for the next read.
func (r *reader) walk() error {
	link := r.lane.link
	frames, need := 0, header
	var bad error
	for r.to-r.from >= header && !link.dead() {
		n, err := frameLen(r.buf[r.from:], envelope.MaxSize)
		if err != nil {
			bad = err
			break
		}
		if need = header + n; r.to-r.from < need {
			break
		}
		body := r.buf[r.from+header : r.from+need]
		r.from += need
		need = header
		if body[0] < frameLink {
			bad = r.lane.linkFrame(body)
		} else if bad = r.e.Decode(body); bad == nil {
			frames++
			link.m.opt.Receive(link.id, r.lane.which, &r.e)
		}
		if bad != nil {
			bad = fmt.Errorf("%w: %w", errFrame, bad)
			break
		}
	}
	r.e = envelope.Envelope{}
	if frames > 0 {
		r.lane.m.framesIn.Add(float64(frames))
		link.m.opt.BatchEnd(link.id, r.lane.which)
	}
	r.room(need)
	return bad
}

// room makes space for a frame of need bytes. The buffer doubles as its bytes come, so that a length alone takes no memory.
func (r *reader) room(need int) {
	if r.from > 0 {
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	}
	if len(r.buf) > readBuffer {
		if need > readBuffer {
			r.lull = 0
		} else if r.lull++; r.lull > maxLull && r.to < readBuffer {
			r.lull = 0
			copy(*r.pooled, r.buf[:r.to])
			r.buf = *r.pooled
		}
	}
	if r.to == len(r.buf) {
		grown := make([]byte, min(2*len(r.buf), max(header+envelope.MaxSize, readBuffer)))
		copy(grown, r.buf)
		r.buf = grown
	}
}

// linkFrame handles a frame of the link itself.
func (a *lane) linkFrame(body []byte) error {
	f := openFrame(body)
	m := a.link.m
	switch body[0] {
	case framePing:
		seq, state := f.uint(maxUint), f.bytes(MaxState)
		if f.bad {
			return errFrame
		}
		var own []byte
		if a.which == Control {
			own = m.state()
		}
		a.beat(func(b []byte) []byte { return appendPong(b, seq, own) })
		if a.which == Control {
			m.opt.OnHello(a.link.id, state)
		}
		return nil
	case framePong:
		seq := f.uint(maxUint)
		var state []byte
		if f.left > 0 {
			state = f.bytes(MaxState)
		}
		if f.bad {
			return errFrame
		}
		if sent, ok := a.pong(seq, m.now()); ok && a.which == Control && len(state) > 0 {
			m.opt.OnAnswer(a.link.id, state, m.started.Add(sent))
		}
		return nil
	}
	return fmt.Errorf("type %d", body[0])
}
