package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"time"
)

// settledLife is how long a link must have lived for its loss to be answered by a dial at once.
const settledLife = 2 * time.Second

// startDial begins a wanted peer's dial loop, if it is time to. Mesh.mu must be held.
func (m *Mesh) startDial(p *peer) {
	if !m.running || p.stopDial != nil {
		return
	}
	ctx, cancel := context.WithCancel(m.ctx)
	if !m.spawn(func() { m.dialLoop(ctx, p) }) {
		cancel()
		return
	}
	p.stopDial = cancel
}

// dialLoop sees to it that a wanted peer is linked, until ctx ends.
func (m *Mesh) dialLoop(ctx context.Context, p *peer) {
	backoff := backoffMin
	for ctx.Err() == nil {
		m.mu.Lock()
		cur, id, addr, cut := p.current, p.id, p.addr, m.cuts[p.name]
		m.mu.Unlock()
		switch {
		case cur != nil:
			select {
			case <-cur.ended:
			case <-ctx.Done():
				return
			}
			if !cur.since.IsZero() && time.Since(cur.since) > settledLife {
				backoff = backoffMin
				continue
			}
		case cut:
			select {
			case <-p.kick:
			case <-ctx.Done():
			}
			continue
		default:
			if m.dial(ctx, p, id, addr) {
				continue
			}
		}
		pause := time.NewTimer(backoff/2 + rand.N(backoff/2))
		backoff = min(2*backoff, backoffMax)
		select {
		case <-pause.C:
		case <-p.kick:
			backoff = backoffMin
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// dial makes one attempt; true when a link is made, by this attempt or by the peer's.
func (m *Mesh) dial(ctx context.Context, p *peer, id NodeID, addr string) bool {
	control, err := m.connect(ctx, addr)
	if err != nil {
		m.dialFailed(ctx, p, id, fmt.Errorf("dial %s: %w", addr, err))
		return false
	}
	l, seen, ok := m.claimDial(p, id)
	if !ok {
		_ = control.Close()
		return true
	}
	if err := m.pair(ctx, l, control, seen, addr); err != nil {
		if l.dead() { // by this node: the peer's own dial is kept, most often
			err = errNotTaken
		}
		l.close(ClosedHello, err)
		<-l.ended
		m.dialFailed(ctx, p, id, err)
		return false
	}
	m.metrics.dials[dialLinked].Inc()
	m.mu.Lock()
	p.dialErr, p.dialRefuse = "", false
	m.mu.Unlock()
	return true
}

func (m *Mesh) connect(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, m.opt.Handshake)
	defer cancel()
	return m.opt.Dial(ctx, addr)
}

// pair greets on both lanes of a link that this node dialed.
func (m *Mesh) pair(ctx context.Context, l *link, control net.Conn, seen uint64, addr string) error {
	release := context.AfterFunc(ctx, func() { l.close(ClosedStopped, nil) })
	defer release()
	if !l.own(control) || !l.await(m.opt.Handshake) {
		return errNotTaken
	}
	conn, w, err := m.hail(l, Control, control, seen)
	if err != nil {
		return fmt.Errorf("control lane of %s: %w", addr, err)
	}
	m.mu.Lock()
	l.welcomed = true
	l.wire, l.state = w.Wire, w.State
	m.mu.Unlock()
	if !l.attach(Control, conn) {
		return errNotTaken
	}
	data, err := m.connect(ctx, addr)
	if err != nil {
		return fmt.Errorf("data lane of %s: %w", addr, err)
	}
	if !l.own(data) {
		return errNotTaken
	}
	if conn, _, err = m.hail(l, Data, data, seen); err != nil {
		return fmt.Errorf("data lane of %s: %w", addr, err)
	}
	if !l.attach(Data, conn) {
		return errNotTaken
	}
	return nil
}

// hail says hello on a connection of a link and waits for the welcome. The connection given back is to be used from now on.
func (m *Mesh) hail(l *link, which Lane, c net.Conn, seen uint64) (net.Conn, *welcome, error) {
	if err := c.SetDeadline(time.Now().Add(m.opt.Handshake)); err != nil {
		return nil, nil, err
	}
	if m.opt.TLS != nil {
		t := tls.Client(c, clientTLS(m.opt.TLS, l.id.Name))
		if err := t.Handshake(); err != nil {
			return nil, nil, fmt.Errorf("TLS: %w", err)
		}
		if err := certified(t, l.id.Name); err != nil {
			return nil, nil, err
		}
		c = t
	}
	h := hello{WireMin: m.opt.WireMin, WireMax: m.opt.WireMax, Cluster: m.opt.Cluster, Config: m.opt.ConfigHash,
		Node: m.opt.Self, Lane: which, To: l.id, Seq: l.seq, Seen: seen, State: m.state()}
	if _, err := c.Write(h.append(nil)); err != nil {
		return nil, nil, fmt.Errorf("write hello: %w", err)
	}
	body, err := readFrame(c)
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer to hello: %w", err)
	}
	w, err := parseAnswer(body)
	if err != nil {
		return nil, nil, err
	}
	if w.Node != l.id || w.Wire < m.opt.WireMin || w.Wire > m.opt.WireMax {
		return nil, nil, fmt.Errorf("%w: welcome of %s, wire version %d", errFrame, w.Node, w.Wire)
	}
	return c, w, c.SetDeadline(time.Time{})
}

// dialFailed tells of an attempt that failed.
func (m *Mesh) dialFailed(ctx context.Context, p *peer, id NodeID, err error) {
	if ctx.Err() != nil || errors.Is(err, errNotTaken) {
		return
	}
	refused := errors.Is(err, syscall.ECONNREFUSED)
	m.mu.Lock()
	p.dialErr, p.dialRefuse = err.Error(), refused
	m.mu.Unlock()
	var no *RefusedError
	if errors.As(err, &no) {
		m.metrics.dials[dialRefused].Inc()
		m.metrics.refused[refusedByPeer][no.Reason].Inc()
		if no.Reason.routine() {
			m.log.Debug("mesh hello refused by the peer", "peer", id.String(), "reason", no.Reason.String(), "text", no.Text)
		} else if m.told.first(id.Name, "refused us: "+no.Reason.String()) {
			m.log.Warn("mesh hello refused by the peer", "peer", id.String(), "reason", no.Reason.String(), "text", no.Text)
		}
		m.opt.OnRefused(id, true, no.Reason)
		return
	}
	m.metrics.dials[dialFailed].Inc()
	if m.told.first(id.Name, "dial") {
		m.log.Warn("mesh dial failed, trying again until it works", "peer", id.String(), "error", err)
	}
	m.opt.OnDialError(id, refused, err)
}
