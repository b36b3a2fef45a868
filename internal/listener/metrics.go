package listener

import "github.com/prometheus/client_golang/prometheus"

// metrics are the listener's series, every child resolved and at zero from the start.
type metrics struct {
	conns, early, blocked prometheus.Gauge
	accepted, acceptErrs  prometheus.Counter
	framesIn              prometheus.Counter
	bytesIn, bytesOut     prometheus.Counter
	limited               prometheus.Counter
	refused               [refusals]prometheus.Counter
	closed                [reasons]prometheus.Counter
	dropped               [drops]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "gamed_listener_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "gamed_listener_" + name, Help: help})
	}
	vec := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gamed_listener_" + name, Help: help}, []string{"reason"})
	}
	m := &metrics{
		conns:      gauge("connections", "Open player connections."),
		early:      gauge("connections_before_hello", "Open connections whose HELLO is not complete."),
		blocked:    gauge("connections_blocked", "Connections whose client does not read fast enough: bytes wait in the outbox."),
		accepted:   counter("accepted_total", "Connections accepted."),
		acceptErrs: counter("accept_errors_total", "Failed accepts, for example because no file descriptor was free."),
		framesIn:   counter("frames_received_total", "Frames received from clients."),
		bytesIn:    counter("received_bytes_total", "Bytes received from clients, inside TLS."),
		bytesOut:   counter("sent_bytes_total", "Bytes given to the sockets or their outboxes, TLS included."),
		limited:    counter("calls_rate_limited_total", "Calls answered rate_limited."),
	}
	refused := vec("refused_total", "Connections closed at once after accept.")
	closed := vec("closed_total", "Connections ended.")
	dropped := vec("dropped_total", "Frames thrown away while the connection lived on.")
	for i := range m.refused {
		m.refused[i] = refused.WithLabelValues(refusal(i).String())
	}
	for i := range m.closed {
		m.closed[i] = closed.WithLabelValues(Reason(i).String())
	}
	for i := range m.dropped {
		m.dropped[i] = dropped.WithLabelValues(drop(i).String())
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.conns, m.early, m.blocked, m.accepted, m.acceptErrs, m.framesIn, m.bytesIn,
		m.bytesOut, m.limited, refused, closed, dropped} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
