package mesh

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The results of a dial.
const (
	dialLinked = iota
	dialRefused
	dialFailed
	dialResults
)

var dialNames = [dialResults]string{dialLinked: "linked", dialRefused: "refused", dialFailed: "failed"}

// Who refused.
const (
	refusedByUs = iota
	refusedByPeer
	refusers
)

var refuserNames = [refusers]string{refusedByUs: "us", refusedByPeer: "peer"}

// metrics of a mesh. Children are resolved once; those of a peer exist while it is wanted or linked.
type metrics struct {
	opened  prometheus.Counter
	closed  [closes]prometheus.Counter
	dials   [dialResults]prometheus.Counter
	refused [refusers][refusals]prometheus.Counter
	dropped [lanes][drops]prometheus.Counter

	up, rtt, queue               *prometheus.GaugeVec
	frames, bytes, reads, writes *prometheus.CounterVec
}

// peerMetrics are the series of one peer.
type peerMetrics struct {
	up    prometheus.Gauge
	lanes [lanes]laneMetrics
}

type laneMetrics struct {
	framesIn, framesOut, bytesIn, bytesOut, reads, writes prometheus.Counter
	queue, rtt                                            prometheus.Gauge
	dropped                                               *[drops]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gamed_mesh_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gamed_mesh_" + name, Help: help}, labels)
	}
	opened := prometheus.NewCounter(prometheus.CounterOpts{Name: "gamed_mesh_links_opened_total", Help: "Links that came up."})
	closed := counter("links_closed_total", "Links that ended, by reason.", "reason")
	dials := counter("dials_total", "Attempts to link to a peer, by result.", "result")
	refused := counter("refused_total", "Hellos refused, by who refused and reason.", "by", "reason")
	dropped := counter("dropped_total", "Envelopes not carried, by lane and reason.", "lane", "reason")
	m := &metrics{
		opened: opened,
		up:     gauge("link_up", "1 while the link to the peer is up.", "peer"),
		rtt:    gauge("rtt_seconds", "Round trip of the last heartbeat.", "peer", "lane"),
		queue:  gauge("queue_bytes", "Bytes waiting for the peer, at the last heartbeat.", "peer", "lane"),
		frames: counter("frames_total", "Envelopes carried.", "peer", "lane", "direction"),
		bytes:  counter("bytes_total", "Bytes carried.", "peer", "lane", "direction"),
		reads:  counter("reads_total", "Reads that brought bytes.", "peer", "lane"),
		writes: counter("writes_total", "Writes to the connection.", "peer", "lane"),
	}
	for _, c := range []prometheus.Collector{opened, closed, dials, refused, dropped, m.up, m.rtt, m.queue, m.frames, m.bytes, m.reads, m.writes} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("mesh: register metrics: %w", err)
		}
	}
	for i := range m.closed {
		m.closed[i] = closed.WithLabelValues(Close(i).String())
	}
	for i := range m.dials {
		m.dials[i] = dials.WithLabelValues(dialNames[i])
	}
	for by := range m.refused {
		for i := range m.refused[by] {
			m.refused[by][i] = refused.WithLabelValues(refuserNames[by], Refusal(i).String())
		}
	}
	for a := range m.dropped {
		for i := range m.dropped[a] {
			m.dropped[a][i] = dropped.WithLabelValues(Lane(a).String(), Drop(i).String())
		}
	}
	return m, nil
}

// peer makes the series of a peer.
func (m *metrics) peer(name string) *peerMetrics {
	p := &peerMetrics{up: m.up.WithLabelValues(name)}
	for i := range p.lanes {
		lane := Lane(i).String()
		p.lanes[i] = laneMetrics{
			framesIn: m.frames.WithLabelValues(name, lane, "in"), framesOut: m.frames.WithLabelValues(name, lane, "out"),
			bytesIn: m.bytes.WithLabelValues(name, lane, "in"), bytesOut: m.bytes.WithLabelValues(name, lane, "out"),
			reads: m.reads.WithLabelValues(name, lane), writes: m.writes.WithLabelValues(name, lane),
			queue: m.queue.WithLabelValues(name, lane), rtt: m.rtt.WithLabelValues(name, lane),
			dropped: &m.dropped[i],
		}
	}
	return p
}

// forget deletes the series of a peer.
func (m *metrics) forget(name string) {
	of := prometheus.Labels{"peer": name}
	m.up.DeletePartialMatch(of)
	m.rtt.DeletePartialMatch(of)
	m.queue.DeletePartialMatch(of)
	m.frames.DeletePartialMatch(of)
	m.bytes.DeletePartialMatch(of)
	m.reads.DeletePartialMatch(of)
	m.writes.DeletePartialMatch(of)
}

func (p *peerMetrics) down() {
	p.up.Set(0)
	for i := range p.lanes {
		p.lanes[i].queue.Set(0)
		p.lanes[i].rtt.Set(0)
	}
}
