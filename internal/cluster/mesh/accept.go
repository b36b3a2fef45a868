package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// accept takes connections until the mesh stops: nil, or until the listener is closed by somebody else. Other errors, such as too
// many open files, are waited out.
func (m *Mesh) accept() error {
	pause := 5 * time.Millisecond
	for {
		c, err := m.opt.Listen.Accept()
		if err != nil {
			if m.ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("mesh: accept: %w", err)
			}
			if m.told.first("", "accept") {
				m.log.Error("mesh accept failed, trying again until it works", "error", err)
			}
			t := time.NewTimer(pause)
			pause = min(2*pause, time.Second)
			select {
			case <-t.C:
			case <-m.ctx.Done():
			}
			t.Stop()
			continue
		}
		pause = 5 * time.Millisecond
		select {
		case m.greets <- struct{}{}:
		default:
			m.metrics.refused[refusedByUs][RefusedCrowded].Inc()
			_ = c.Close()
			continue
		}
		m.mu.Lock()
		ok := m.spawn(func() {
			defer func() { <-m.greets }()
			m.greet(c)
		})
		m.mu.Unlock()
		if !ok {
			_ = c.Close()
			<-m.greets
		}
	}
}

// greet reads the hello of an accepted connection and makes it a lane, or refuses it.
func (m *Mesh) greet(raw net.Conn) {
	release := context.AfterFunc(m.ctx, func() { _ = raw.Close() })
	defer release()
	_ = raw.SetDeadline(time.Now().Add(m.opt.Handshake))
	c := raw
	if m.opt.TLS != nil {
		t := tls.Server(raw, serverTLS(m.opt.TLS))
		if err := t.Handshake(); err != nil {
			_ = raw.Close()
			m.refused(nil, raw, RefusedCertificate, "TLS: "+err.Error())
			return
		}
		c = t
	}
	body, err := readFrame(c)
	if err != nil {
		if errors.Is(err, io.EOF) { // a probe: somebody looked whether the port is open
			_ = raw.Close()
			return
		}
		m.refuse(nil, c, raw, RefusedBadHello, "no hello: "+err.Error())
		return
	}
	h, err := parseHello(body)
	if err != nil {
		m.refuse(nil, c, raw, RefusedBadHello, err.Error())
		return
	}
	if reason, text, ok := m.opt.judge(h); !ok {
		m.refuse(h, c, raw, reason, text)
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		if err := certified(t, h.Node.Name); err != nil {
			m.refuse(h, c, raw, RefusedCertificate, err.Error())
			return
		}
	}
	wire := min(h.WireMax, m.opt.WireMax)
	if h.Lane == Control {
		m.takeControl(h, c, raw, wire)
	} else {
		m.takeData(h, c, raw, wire)
	}
}

func (m *Mesh) takeControl(h *hello, c, raw net.Conn, wire uint16) {
	l, reason, text := m.claim(h, wire)
	if l == nil {
		m.refuse(h, c, raw, reason, text)
		return
	}
	if !l.own(raw) {
		return
	}
	if !l.await(m.opt.Handshake) {
		l.close(ClosedHello, nil)
		return
	}
	if err := m.welcome(c, wire); err != nil || !l.attach(Control, c) {
		l.close(ClosedHello, err)
	}
}

func (m *Mesh) takeData(h *hello, c, raw net.Conn, wire uint16) {
	l, ok := m.join(h)
	if !ok {
		m.refuse(h, c, raw, RefusedNoLink, "the control lane of this link is gone")
		return
	}
	if !l.own(raw) {
		return
	}
	if err := m.welcome(c, wire); err != nil || !l.attach(Data, c) {
		l.close(ClosedHello, err)
	}
}

func (m *Mesh) welcome(c net.Conn, wire uint16) error {
	w := welcome{Node: m.opt.Self, Wire: wire, State: m.state()}
	if _, err := c.Write(w.append(nil)); err != nil {
		return fmt.Errorf("write welcome: %w", err)
	}
	return c.SetDeadline(time.Time{})
}

// refuse answers a connection with a reason, sees to it that the peer can read it, and closes.
func (m *Mesh) refuse(h *hello, c, raw net.Conn, reason Refusal, text string) {
	m.refused(h, raw, reason, text)
	defer func() { _ = raw.Close() }()
	if reason == RefusedCut {
		return
	}
	_ = raw.SetDeadline(time.Now().Add(min(m.opt.Handshake, 500*time.Millisecond)))
	if _, err := c.Write(appendRefusal(nil, reason, text)); err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, raw, 64<<10) // unread bytes would turn the close into a reset that eats the answer
	}
}

// refused tells of a refusal by this node.
func (m *Mesh) refused(h *hello, raw net.Conn, reason Refusal, text string) {
	m.metrics.refused[refusedByUs][reason].Inc()
	if m.ctx.Err() != nil {
		return
	}
	var id NodeID
	addr := raw.RemoteAddr().String()
	who, _, err := net.SplitHostPort(addr)
	if err != nil {
		who = addr
	}
	if h != nil {
		id, who = h.Node, h.Node.Name
	}
	if reason.routine() {
		m.log.Debug("mesh hello refused", "peer", id.String(), "addr", addr, "reason", reason.String(), "text", text)
	} else if m.told.first(who, "refused: "+reason.String()) {
		m.log.Warn("mesh hello refused", "peer", id.String(), "addr", addr, "reason", reason.String(), "text", text)
	}
	m.opt.OnRefused(id, false, reason)
}
