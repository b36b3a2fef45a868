package player

import "github.com/prometheus/client_golang/prometheus"

// Metrics of all players of a node.
type Metrics struct {
	Reads, Calls, Again, Failed, OutLost, CastsLost prometheus.Counter
	Sessions                                        prometheus.Gauge
}

// NewMetrics makes and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "player", Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	m := &Metrics{
		Reads:     counter("reads_total", "Reads of clients' sockets handled."),
		Calls:     counter("calls_total", "Calls and casts of clients begun."),
		Again:     counter("calls_again_total", "Calls that came again with the same ref and got the answer kept."),
		Failed:    counter("calls_failed_total", "Calls answered with a code other than ok."),
		OutLost:   counter("out_lost_total", "Writes to clients lost because their gateway could not be reached."),
		CastsLost: counter("casts_lost_total", "Casts and answers between entities lost because the owner could not be reached."),
		Sessions:  prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "gamed", Subsystem: "player", Name: "sessions", Help: "Sessions of players owned by this node, with or without a socket."}),
	}
	r.MustRegister(m.Sessions)
	return m
}
