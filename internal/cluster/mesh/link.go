package mesh

import (
	"net"
	"sync"
	"time"
)

// link is one life of the connection pair to a peer.
type link struct {
	m        *Mesh
	peer     *peer
	id       NodeID
	dialed   bool   // by this node
	seq      uint64 // of the dial, in its dialer's count
	welcomed bool   // dialed: the peer has taken the control lane; Mesh.mu guards it
	wire     uint16
	prev     <-chan struct{} // closed when the link before it has ended; nil: there was none
	ended    chan struct{}   // closed when nothing of it will happen any more
	gone     chan struct{}   // closed by close
	paired   chan struct{}   // closed when both lanes are there
	lanes    [lanes]*lane    // both set once paired
	since    time.Time       // valid once isUp
	state    []byte          // the peer's, from hello or welcome

	mu     sync.Mutex // guards what follows
	conns  []net.Conn
	closed bool
	isUp   bool
	why    Close
	cause  error
}

// newLink makes the link that is from now on the peer's current one. Mesh.mu must be held.
func (m *Mesh) newLink(p *peer, id NodeID, dialed bool, seq uint64) *link {
	l := &link{m: m, peer: p, id: id, dialed: dialed, seq: seq, prev: p.tail,
		ended: make(chan struct{}), gone: make(chan struct{}), paired: make(chan struct{})}
	p.current, p.tail = l, l.ended
	m.tasks.Go(l.live)
	return l
}

// attach makes a connection that was welcomed a lane of the link; false: the link has ended or has that lane.
func (l *link) attach(which Lane, c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.lanes[which] != nil {
		return false
	}
	l.lanes[which] = newLane(l, which, c)
	if l.lanes[Data] != nil && l.lanes[Control] != nil {
		close(l.paired)
	}
	return true
}

// own gives a connection to the link, which closes it when it ends; false: it has ended, and the connection is closed.
func (l *link) own(c net.Conn) bool {
	l.mu.Lock()
	if !l.closed {
		l.conns = append(l.conns, c)
		l.mu.Unlock()
		return true
	}
	l.mu.Unlock()
	_ = c.Close()
	return false
}

// close ends the link. The first call's reason counts.
func (l *link) close(why Close, cause error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed, l.why, l.cause = true, why, cause
	conns := l.conns
	l.mu.Unlock()
	close(l.gone)
	for _, c := range conns {
		_ = c.Close()
	}
}

func (l *link) dead() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// up says whether the link carries envelopes.
func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isUp && !l.closed
}

// await waits until the link before it is over, until dead, or until the deadline; false: it may not go on.
func (l *link) await(timeout time.Duration) bool {
	if l.prev == nil {
		return !l.dead()
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-l.prev:
		return !l.dead()
	case <-l.gone:
	case <-t.C:
	}
	return false
}

// live is the link's life from the moment its first lane is there. It returns when nothing of it is left.
func (l *link) live() {
	defer l.finish()
	t := time.NewTimer(2 * l.m.opt.Handshake) // connecting and greeting
	defer t.Stop()
	select {
	case <-l.paired:
	case <-l.gone:
		return
	case <-t.C:
		l.close(ClosedHello, nil)
		return
	}
	now := l.m.now()
	for _, a := range l.lanes {
		a.heard.Store(int64(now))
	}
	l.mu.Lock()
	l.isUp, l.since = !l.closed, time.Now()
	l.mu.Unlock()
	if !l.m.publish(l, true) {
		l.close(ClosedReplaced, nil)
		return
	}
	l.m.linkUp(l)

	var tasks sync.WaitGroup
	for _, a := range l.lanes {
		tasks.Go(a.read)
		tasks.Go(a.write)
	}
	l.beat()
	l.m.publish(l, false)
	for _, a := range l.lanes {
		a.shut()
	}
	tasks.Wait()
	l.m.linkDown(l)
}

// finish waits for the link before it, so that ends are told in their order, and lets the peer go on.
func (l *link) finish() {
	l.close(ClosedHello, nil)
	if l.prev != nil {
		<-l.prev
	}
	l.m.release(l)
}

// linkUp tells that a link is up.
func (m *Mesh) linkUp(l *link) {
	m.told.forget(l.id.Name)
	m.metrics.opened.Inc()
	l.peer.metrics.up.Set(1)
	m.log.Info("mesh link up", "peer", l.id.String(), "dialed", l.dialed, "wire", l.wire)
	m.opt.OnLink(l.id, true, "")
	m.opt.OnHello(l.id, l.state)
}

// linkDown tells that a link has ended.
func (m *Mesh) linkDown(l *link) {
	l.mu.Lock()
	why, cause := l.why, l.cause
	l.mu.Unlock()
	m.metrics.closed[why].Inc()
	l.peer.metrics.down()
	m.log.Info("mesh link down", "peer", l.id.String(), "reason", why.String(), "cause", cause, "lived", time.Since(l.since).Round(time.Millisecond))
	m.opt.OnLink(l.id, false, why.String())
}
