package player

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all players of a node.
type Metrics struct {
	Reads, Again, OutLost, CastsLost prometheus.Counter
	calls, failed                    atomic.Uint64
	sessions                         atomic.Int64
}

// Count is how many calls and casts were begun.
func (m *Metrics) Count() uint64 { return m.calls.Load() }

// Failures is how many answers were other than ok.
func (m *Metrics) Failures() uint64 { return m.failed.Load() }

// Live is how many sessions there are.
func (m *Metrics) Live() int64 { return m.sessions.Load() }

// NewMetrics makes and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "player", Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	m := &Metrics{
		Reads:     counter("reads_total", "Reads of clients' sockets handled."),
		Again:     counter("calls_again_total", "Calls that came again with the same ref and got the answer kept."),
		OutLost:   counter("out_lost_total", "Writes to clients lost because their gateway could not be reached."),
		CastsLost: counter("casts_lost_total", "Casts and answers between entities lost because the owner could not be reached."),
	}
	r.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "player", Name: "calls_total",
			Help: "Calls and casts of clients begun."}, func() float64 { return float64(m.calls.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "gamed", Subsystem: "player", Name: "calls_failed_total",
			Help: "Calls answered with a code other than ok."}, func() float64 { return float64(m.failed.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "gamed", Subsystem: "player", Name: "sessions",
			Help: "Sessions of players owned by this node, with or without a socket."}, func() float64 { return float64(m.sessions.Load()) }))
	return m
}
